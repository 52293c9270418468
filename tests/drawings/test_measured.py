"""Lines of measures.csv: along rounds, against a column, over seeds, and files that are missing or wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from methodbench.errors import UserError
from methodbench.figures import draw
from methodbench.results import Results
from methodbench.svg import plt
from tests.drawings.long_study import write_measures
from tests.drawings.round_study import drawn, figure_of, round_results


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return round_results(tmp_path)


def lines(results: Results, patch: pytest.MonkeyPatch, folder: Path, kind: str, **changes: Any) -> list[Any]:
    """For each panel the x and y of its lines, and how far their whiskers reach, rounded."""
    kept = []
    with patch.context() as patched:
        patched.setattr(plt, "close", kept.append)
        draw(results, figure_of(kind, **changes), folder)
    plt.close(kept[0])
    return [
        [
            (line.get_xdata(), line.get_ydata(), [part[:, 1] for part in bars[0].get_segments()])
            for line, _, bars in axes.containers
        ]
        for axes in kept[0].axes
    ]


def test_rounds_keep_their_places(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unique, entropy = lines(results, monkeypatch, tmp_path, "measures")
    (x, y, whiskers), _ = unique
    assert x == pytest.approx([2, 3, 4], abs=0.05)  # the first checkpoint, `base`, has no file
    assert y == pytest.approx([0.78, 0.58, 0.38])  # means over rows and seeds
    assert whiskers[0] == pytest.approx([0.76, 0.80])  # lowest and highest seed
    assert entropy[1][1] == pytest.approx([1.95, 1.9, 1.85])


def test_what_is_left_out_is_told_once(results: Results, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path, "measures", ticks=["start", "1", "2", "3"])
    assert made.notes == (
        "`base` left out: no measures.csv in the checkpoint's folder",
        "Lines are means, whiskers run from the lowest to the highest of 3 seeds",
    )
    assert {"start", "1", "2", "3", "round", "unique", "entropy"} <= set(shown)
    assert shown.count("tuned on itself") == shown.count("mixed") == 2


def test_columns_stand_against_a_column(results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    importance, change = lines(results, monkeypatch, tmp_path, "layers")
    assert change[0][0] == pytest.approx(range(6), abs=0.05)
    assert change[0][1] == pytest.approx([0.061 + 0.002 * layer for layer in range(6)])
    assert change[1][1][-1] == pytest.approx(0.051)
    assert importance[0][1] == pytest.approx([5 / 3**layer for layer in range(6)])
    _, shown = drawn(results, tmp_path, "layers")
    assert {"layer", "importance", "change", "seen", "seen_mixed"} <= set(shown)


def test_rows_at_one_place_are_averaged_and_sorted(
    results: Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "results/mini/rounds/unseeded/checkpoints/base"
    write_measures(folder, [(2, 1.0), (0, 3.0), (2, 2.0), (1, "nan")], ("layer", "change"))
    (((x, y, _),),) = lines(results, monkeypatch, tmp_path, "layers", checkpoints=["base"], y=["change"])
    assert list(x) == [0, 2] and list(y) == [3.0, 1.5]
    assert drawn(results, tmp_path, "layers", checkpoints=["base"], y=["change"])[0].notes == ()


def test_no_file_makes_no_drawing(results: Results, tmp_path: Path) -> None:
    made, _ = drawn(results, tmp_path, "layers", checkpoints=["base"])
    assert made.path is None and made.notes[-1] == "there is nothing to draw yet"


@pytest.mark.parametrize(("kind", "key"), [("measures", "y"), ("layers", "y"), ("layers", "x")])
def test_an_unknown_column_is_refused(results: Results, tmp_path: Path, kind: str, key: str) -> None:
    wrong: Any = "entropi" if key == "x" else ["entropi"]
    with pytest.raises(UserError, match=rf"figures\.{kind}\.{key}: unknown column 'entropi' of .*measures\.csv"):
        drawn(results, tmp_path, kind, **{key: wrong})
