"""Profiles: a line an arm over several metrics, in their order, with the axis named by what they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from methodbench.figures import draw
from methodbench.results import Results
from methodbench.svg import plt
from tests.drawings.round_study import drawn, figure_of, round_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return round_results(tmp_path_factory.mktemp("rounds"))


def test_arms_and_metrics_are_named(results: Results, tmp_path: Path) -> None:
    _, shown = drawn(results, tmp_path, "profile")
    assert {"1", "4", "16", "samples k", "pass, %", "base", "tuned_3", "mixed_3"} <= set(shown)
    _, shown = drawn(results, tmp_path, "profile", ticks=[], y=["pass_1", "exact_match"])
    assert {"pass 1", "exact match", "mean, %"} <= set(shown)


def test_metrics_stand_in_their_order(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    draw(results, figure_of("profile", arms=["tuned_3@sampled"]), tmp_path)
    monkeypatch.undo()
    plt.close(kept[0])
    ((line, _, _),) = kept[0].axes[0].containers
    right = 2 * line.get_ydata()[0]  # planted: k tries, each right half of the time if the item can be solved
    assert list(line.get_xdata()) == [0, 1, 2]
    assert line.get_ydata() == pytest.approx([right / 2, right * (1 - 0.5**4), right * (1 - 0.5**16)])


def test_an_arm_without_the_fields_is_told(results: Results, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path, "profile", arms=["base@plain", "other", "tuned_3@sampled"])
    (note,) = made.notes
    assert note.startswith("`base@plain` and `other@plain` left out: ") and "no field 'pass_1' in its samples" in note
    assert "tuned_3@sampled" in shown
    assert drawn(results, tmp_path, "profile", arms=["base@plain"])[0].path is None
