"""Lines over tasks: which arms, which places, the reference, and the notes on what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from methodbench.drawings.line_names import wrapped
from methodbench.drawings.panels import tick_names
from methodbench.errors import UserError
from methodbench.figures import draw
from methodbench.results import Results
from methodbench.svg import plt
from tests.drawings.long_study import TASKS, drawn, figure_of, long_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return long_results(tmp_path_factory.mktemp("long"))


def test_every_arm_is_named_once_a_panel(results: Results, tmp_path: Path) -> None:
    _, shown = drawn(results, tmp_path, "lengths")
    assert [shown.count(name) for name in ("plain", "kept", "short")] == [2, 2, 2]
    assert {"exact match, %", "tokens", "tokens of context", "l256", "l512", "l1024"} <= set(shown)
    assert shown.count("chance, 12.5 %") == 1


def test_ticks_are_named_by_dataset_or_as_given() -> None:
    assert tick_names(figure_of("lengths")) == ["l256", "l512", "l1024"]
    assert tick_names(figure_of("lengths", ticks=["256", "512", "1k"])) == ("256", "512", "1k")
    assert tick_names(figure_of("lengths", tasks=["a/x", "a/y"])) == ("a/x", "a/y")


def test_lines_stand_where_the_numbers_are(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    draw(results, figure_of("lengths", arms=["plain", "short"], y=["exact_match"]), tmp_path)
    (axes,) = kept[0].axes
    lines = {tuple(round(float(x)) for x in part[0].get_xdata()): part[0].get_ydata() for part in axes.containers}
    monkeypatch.undo()
    plt.close(kept[0])
    assert set(lines) == {(0, 1, 2), (0, 1)}  # `short` is not asked for at the last length
    assert lines[0, 1, 2] == pytest.approx([90, 60, 20], abs=9)


def test_what_is_left_out_is_named_with_its_tasks(results: Results, tmp_path: Path) -> None:
    made, _ = drawn(results, tmp_path, "lengths", arms=["plain", "base@sick", "absent"])
    sick, absent = made.notes
    assert sick.startswith("`sick` left out: ") and "% of the answers ended without an answer" in sick
    assert absent == "`absent` left out: it has no score"


def test_a_missing_length_leaves_the_others(tmp_path: Path) -> None:
    full = long_results(tmp_path)
    plain = full.arms[TASKS[1]][0]
    for seed in full.study.seeds:
        full.path(plain, TASKS[1], seed).unlink()
    made, shown = drawn(Results.load(tmp_path, "mini", full.study), tmp_path, "lengths")
    assert made.notes == ("`plain` left out on l512/recall: it has no score",) and shown.count("plain") == 2


def test_numbers_that_explode_get_a_logarithmic_axis(
    results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for seed in results.study.seeds:
        for factor, task in zip((1, 30, 2000), TASKS, strict=True):
            columns = dict(results.samples(results.arms[task][0], task, seed).columns)
            results.samples(results.arms[task][0], task, seed).columns["loss"] = columns["tokens"] * factor  # type: ignore[index]
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    draw(results, figure_of("lengths", arms=["plain"], y=["loss"]), tmp_path)
    assert kept[0].axes[0].get_yscale() == "log"
    monkeypatch.undo()
    plt.close(kept[0])


def test_an_arm_that_is_scored_on_none_of_the_tasks_is_refused(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no arm 'short' is scored on l1024/recall"):
        drawn(results, tmp_path, "lengths", tasks=TASKS[2:], arms=["short"])


def test_a_long_name_breaks_before_its_runtime() -> None:
    assert wrapped("calibrated@filter_random_keep") == "calibrated\n@filter_random_keep"
    assert wrapped("base@plain") == "base@plain" and wrapped("A curve with a long name") == "A curve with a long\nname"
