"""Histograms of measures.csv: pooled shares, whiskers over seeds, clipping, panels, and files that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from methodbench.errors import UserError
from methodbench.figures import draw
from methodbench.measures import checkpoint_measures
from methodbench.results import Results
from methodbench.svg import plt
from tests.drawings.long_study import drawn, figure_of, long_results, write_measures


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return long_results(tmp_path)


def heights(results: Results, monkeypatch: pytest.MonkeyPatch, folder: Path, **changes: Any) -> list[np.ndarray]:
    """The bars of every panel that has some."""
    kept = []
    with monkeypatch.context() as patched:
        patched.setattr(plt, "close", kept.append)
        draw(results, figure_of("histogram", **changes), folder)
    bars = [np.array([patch.get_height() for patch in axes.patches]) for axes in kept[0].axes if axes.patches]
    plt.close(kept[0])
    return bars


def test_panels_are_sorted_and_marks_named(results: Results, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path, "histogram")
    assert [text for text in shown if text.startswith("layer")] == ["layer 0", "layer 2", "layer 10"]
    assert shown.count("0.05") == shown.count("0.04") == 3 and "log10 decay" in shown
    assert made.notes[-1] == "Whiskers run from the lowest to the highest share among 2 seeds"


def test_shares_of_a_panel_sum_to_all(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    panels = heights(results, monkeypatch, tmp_path)
    assert len(panels) == 3 and all(bars.sum() == pytest.approx(100) for bars in panels)
    (bars,) = heights(results, monkeypatch, tmp_path, by="")
    assert bars.sum() == pytest.approx(100)


def test_what_lies_outside_is_counted_at_the_edges_and_told(
    results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values = [value for m in checkpoint_measures(results, "cal") for value in m.numbers("log10_decay", "here")]
    below, above = sum(value < -8 for value in values), sum(value > -2 for value in values)
    made, _ = drawn(results, tmp_path, "histogram", clip=[-8, -2])
    assert f"Of 360 values, {below} below −8 and {above} above −2 are counted in the bins at the edges" in made.notes
    (bars,) = heights(results, monkeypatch, tmp_path, by="", clip=[-8, -2])
    assert bars[0] * 3.6 >= below and bars[-1] * 3.6 >= above


def test_one_file_for_all_seeds_has_no_whiskers(results: Results, tmp_path: Path) -> None:
    write_measures(tmp_path / "results/mini/long/unseeded/checkpoints/base", [(0, 0, -1), (0, 1, -2.5)])
    made, shown = drawn(results, tmp_path, "histogram", checkpoints=["base"], by="", clip=None, marks={})
    assert made.notes == () and "share, %" in shown


def test_several_checkpoints_share_panels_and_are_named(results: Results, tmp_path: Path) -> None:
    write_measures(tmp_path / "results/mini/long/seed0/checkpoints/base", [(7, 0, -1), (7, 1, -2.5)])
    _, shown = drawn(results, tmp_path, "histogram", checkpoints=["cal", "base"])
    assert [text for text in shown if text in ("cal", "base")] == ["cal", "base"] and "layer 7" in shown


def test_a_checkpoint_that_stands_for_another_is_found(results: Results, tmp_path: Path) -> None:
    write_measures(tmp_path / "results/mini/others/unseeded/checkpoints/theirs", [(0, 0, -1), (0, 1, -2)])
    assert len(checkpoint_measures(results, "borrowed")) == 1
    assert [m.path for m in checkpoint_measures(results, "alias")] == [
        m.path for m in checkpoint_measures(results, "cal")
    ]


def test_no_file_makes_no_drawing(results: Results, tmp_path: Path) -> None:
    made, _ = drawn(results, tmp_path, "histogram", checkpoints=["base"])
    assert made.path is None
    assert made.notes == ("`base` left out: its folder holds no measures.csv", "there is nothing to draw yet")


def test_values_that_are_no_numbers_are_counted(results: Results, tmp_path: Path) -> None:
    folder = tmp_path / "results/mini/long/unseeded/checkpoints/base"
    write_measures(folder, [(0, 0, -1), (0, 1, "nan"), (0, 2, "-inf"), (0, 3, -2)])
    notes = drawn(results, tmp_path, "histogram", checkpoints=["base"], clip=None)[0].notes
    assert notes == ("2 values of `base` left out: no finite number",)
    notes = drawn(results, tmp_path, "histogram", checkpoints=["base"], clip=[-9, 0])[0].notes
    assert notes[0] == "1 value of `base` left out: no finite number" and "1 below −9" in notes[1]
    write_measures(folder, [])
    assert "holds no number" in drawn(results, tmp_path, "histogram", checkpoints=["base"])[0].notes[0]


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        ([(0, 0, -1)], {"x": "log10_decy"}, ["figures.histogram.x", "'log10_decy'", "did you mean 'log10_decay'"]),
        ([(0, 0, -1)], {"by": "layr"}, ["figures.histogram.by", "did you mean 'layer'"]),
        ([(0, 0, -1), (0, 1, "fast")], {}, ["measures.csv: line 3, column 'log10_decay'", "given 'fast'"]),
        ([(0, 0)], {}, ["measures.csv: line 2: 2 cells, the header names 3"]),
    ],
)
def test_a_wrong_file_or_column_is_refused(
    results: Results, tmp_path: Path, rows: list[tuple[object, ...]], changes: dict[str, Any], said: list[str]
) -> None:
    write_measures(tmp_path / "results/mini/long/unseeded/checkpoints/base", rows)
    with pytest.raises(UserError) as caught:
        drawn(results, tmp_path, "histogram", checkpoints=["base"], **changes)
    assert "\n" not in str(caught.value) and all(part in str(caught.value) for part in said)


def test_an_empty_file_is_refused(results: Results, tmp_path: Path) -> None:
    write_measures(tmp_path / "results/mini/long/unseeded/checkpoints/base", []).write_text("")
    with pytest.raises(UserError, match=r"measures.csv: is empty"):
        drawn(results, tmp_path, "histogram", checkpoints=["base"])
