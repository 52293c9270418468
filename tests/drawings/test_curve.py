"""Curves against what transforms measured: where points stand, which axes begin at 0, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from methodbench.benchmark import Metric, Task
from methodbench.errors import UserError
from methodbench.figures import draw
from methodbench.results import Results
from tests.drawings.long_study import texts, write_measures
from tests.drawings.round_study import NEAR, figure_of, round_results

CURVE: dict[str, Any] = {"task": NEAR, "curves": ["tuned", "mixed"], "x": "measures.unique", "y": ["exact_match"]}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return round_results(tmp_path)


def panel(results: Results, patch: pytest.MonkeyPatch, folder: Path, **changes: Any) -> Any:
    """The axes of the drawing."""
    kept: list[Any] = []
    with patch.context() as patched:
        patched.setattr(plt, "close", kept.append)
        made = draw(results, figure_of("curve", **{**CURVE, **changes}), folder)
    plt.close(kept[0])
    return kept[0].axes[0], made


def test_x_is_the_mean_over_rows_and_seeds(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    axes, made = panel(results, monkeypatch, tmp_path)
    line, _, bars = axes.containers[0]
    assert line.get_xdata() == pytest.approx([0.38, 0.58, 0.78])  # rounds 3, 2, 1 from left to right
    assert bars[0].get_segments()[0][:, 0] == pytest.approx([0.36, 0.40])  # lowest and highest seed
    assert axes.get_xlabel() == "unique" and axes.get_ylim()[0] == 0
    assert made.notes == ("`base` left out: no number for it in a measures.csv of the checkpoint",)


def test_an_axis_begins_at_nought_where_its_numbers_are_near(
    results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert panel(results, monkeypatch, tmp_path)[0].get_xlim()[0] > 0.3  # 0.38 to 0.93
    for seed in results.study.seeds:
        write_measures(tmp_path / f"results/mini/rounds/seed{seed}/checkpoints/base", [(0.1,), ("nan",)], ("unique",))
    axes, made = panel(results, monkeypatch, tmp_path)
    assert axes.get_xlim()[0] == 0 and min(axes.containers[0][0].get_xdata()) == pytest.approx(0.1)
    assert made.notes == ()


def test_large_numbers_have_a_letter(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place, name in enumerate(("base", "tuned_1", "other")):
        folder = tmp_path / f"results/mini/rounds/unseeded/checkpoints/{name}"
        write_measures(folder, [(75_600_000 + 30_000_000 * place,)], ("parameters",))
    axes, made = panel(results, monkeypatch, tmp_path, curves=[], arms=["base@plain", "other"], x="measures.parameters")
    assert axes.xaxis.get_major_formatter()(75_600_000.0) == "75.6M"
    assert {"base", "other", "parameters"} <= set(texts(made.path))
    assert [len(container[0].get_xdata()) for container in axes.containers] == [1, 1]


def test_points_stand_beside_lines(results: Results, tmp_path: Path) -> None:
    figure = figure_of("curve", **{**CURVE, "x": "", "arms": ["other"]})
    made = draw(results, figure, tmp_path)
    assert made.path is not None
    shown = set(texts(made.path))
    assert "tokens per answer (mean)" in shown and {"tuned on itself", "mixed", "other"} <= {
        name.removesuffix("@plain") for name in shown
    }


def test_a_loss_does_not_begin_at_nought(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert panel(results, monkeypatch, tmp_path, y=["tokens"])[0].get_ylim()[0] == 0
    loss = Task("in_domain", "x.yaml", "in_domain", (Metric("tokens", "less", "nats"),))
    results.tasks[NEAR] = loss  # type: ignore[index]
    assert panel(results, monkeypatch, tmp_path, y=["tokens"])[0].get_ylim()[0] > 1


def test_an_unknown_column_is_refused(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"figures\.curve\.x: unknown column 'uniqe' of .*did you mean 'unique'"):
        draw(results, figure_of("curve", **{**CURVE, "x": "measures.uniqe"}), tmp_path)


def test_nothing_measured_makes_no_drawing(results: Results, tmp_path: Path) -> None:
    made = draw(results, figure_of("curve", **{**CURVE, "curves": [], "arms": ["other"]}), tmp_path)
    assert made.path is None and made.notes[-1] == "there is nothing to draw yet"
