"""Planes: paths in the order given, the origin's lines, the table of gains, and names that hide nothing."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from methodbench import svg
from methodbench.compare import compare, compare_gap
from methodbench.drawings.point_names import name_points
from methodbench.figures import draw
from methodbench.results import Results
from methodbench.svg import plt
from tests.drawings.round_study import FAR, NEAR, drawn, figure_of, round_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return round_results(tmp_path_factory.mktemp("rounds"))


def test_paths_points_and_origin_are_named_once(results: Results, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path, "plane")
    assert made.notes == () and {"in-domain accuracy, %", "far-domain accuracy, %"} <= set(shown)
    assert [shown.count(name) for name in ("tuned on itself", "mixed", "other", "base")] == [1, 1, 1, 1]


def test_a_path_keeps_the_order_of_its_arms(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    draw(results, figure_of("plane", curves=["tuned"], arms=[]), tmp_path)
    monkeypatch.undo()
    (axes,) = kept[0].axes
    plt.close(kept[0])
    path = next(line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 4)
    assert path.get_xdata() == pytest.approx([40, 60, 70, 75], abs=6)
    assert path.get_ydata() == pytest.approx([50, 45, 35, 25], abs=9)
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    origin = next(line for line in axes.lines if line.get_marker() == "D")
    assert dashed[0].get_xdata()[0] == origin.get_xdata()[0] and dashed[1].get_ydata()[0] == origin.get_ydata()[0]
    assert sum(bool(text.arrow_patch) for text in axes.texts) == 3


def test_the_axes_are_named_by_metric_and_task_or_as_given(results: Results, tmp_path: Path) -> None:
    _, shown = drawn(results, tmp_path, "plane", ticks=[], y=["exact_match", "tokens"])
    assert f"exact match on {NEAR}, %" in shown and f"tokens on {FAR}" in shown
    assert "accuracy, %" in drawn(results, tmp_path, "plane", ticks=[], x="accuracy")[1]


def test_the_table_gives_gains_and_their_gap(results: Results, tmp_path: Path) -> None:
    table = drawn(results, tmp_path, "plane")[0].table
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| `")}
    assert set(rows) == {f"`{kind}_{number}`" for kind in ("tuned", "mixed") for number in (1, 2, 3)} | {"`other`"}
    values = [float(value) for value in re.findall(r"([+-][\d.]+) points", rows["`tuned_3`"].replace("−", "-"))]
    assert values == pytest.approx([35, -25, 60], abs=8) and values[2] == pytest.approx(values[0] - values[1], abs=0.11)
    assert drawn(results, tmp_path, "plane", origin="")[0].table == ""


def test_the_gap_is_paired_by_seed_and_adds_the_items(results: Results) -> None:
    metrics = f"{NEAR}/exact_match", f"{FAR}/exact_match"
    gains = [compare(results, "other@plain", "base@plain", metric).effect for metric in metrics]
    gap = compare_gap(results, "other@plain", "base@plain", (metrics[0], metrics[1])).effect
    assert gap and gains[0] and gains[1]
    assert gap.per_seed == pytest.approx(np.subtract(gains[0].per_seed, gains[1].per_seed))
    assert gap.se_items == pytest.approx(np.hypot(gains[0].se_items, gains[1].se_items)) and gap.n_items == 400


def test_what_is_missing_is_told_and_has_no_gains(results: Results, tmp_path: Path) -> None:
    made, _ = drawn(results, tmp_path, "plane", arms=["missing"])
    assert made.notes == ("`missing` left out: it has no score",)
    assert "| `missing` | — | — | — |" in made.table
    nothing, _ = drawn(results, tmp_path, "plane", arms=["missing"], curves=[], origin="")
    assert nothing.path is None and nothing.table == ""


def test_tasks_scored_with_other_seeds_have_no_gap(tmp_path: Path) -> None:
    results = round_results(tmp_path)
    arm = next(arm for arm in results.arms[FAR] if arm.checkpoint == "other")
    results.path(arm, FAR, 2).unlink()
    again = Results.load(tmp_path, "mini", results.study)
    found = compare_gap(again, "other@plain", "base@plain", (f"{NEAR}/exact_match", f"{FAR}/exact_match"))
    assert found.effect is None and "different seeds" in found.reason


def test_names_of_near_points_do_not_overlap() -> None:
    drawing, (axes,) = svg.canvas(3.0)
    axes.plot([0, 1], [0, 1])
    near = [(0.5 + 0.004 * number, 0.5, f"a name {number}", svg.INK) for number in range(6)]
    name_points(axes, near, [])
    boxes = [text.get_window_extent() for text in axes.texts]
    frame = axes.get_window_extent()
    assert len(boxes) == 6 and not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
    plt.close(drawing)
