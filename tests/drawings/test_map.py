"""Maps of shares: rows and their names, cells over seeds, and what is printed in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from methodbench import svg
from methodbench.errors import UserError
from methodbench.figures import Drawn, draw
from methodbench.results import Results
from tests.drawings.long_study import texts, write_measures
from tests.drawings.round_study import figure_of, round_results

LAYERS = 30
COLUMNS = ("layer", "kept_29", "kept_28")
MAP: dict[str, Any] = {"x": "layer", "y": ["kept_29", "kept_28"], "checkpoints": ["seen"]}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Layer 3 goes from `seen` at depth 29 for every seed, layer 7 or 8 at depth 28 beside it; `seen_mixed` loses 9."""
    made = round_results(tmp_path)
    for seed in made.study.seeds:
        place = tmp_path / f"results/mini/rounds/seed{seed}/checkpoints"
        second = 7 if seed else 8
        rows = [(layer, int(layer != 3), int(layer not in (3, second))) for layer in range(LAYERS)]
        write_measures(place / "seen", rows, COLUMNS)
        write_measures(place / "seen_mixed", [(layer, int(layer != 9), 1) for layer in range(LAYERS)], COLUMNS)
    return made


def drawn(results: Results, folder: Path, **changes: Any) -> tuple[Drawn, list[str]]:
    made = draw(results, figure_of("map", **{**MAP, **changes}), folder)
    return made, texts(made.path) if made.path else []


def cells(made: Drawn) -> list[str]:
    """The shades of all cells, row by row; the legend's come after them."""
    assert made.path is not None
    body = made.path.read_text().split("</style>", 1)[1]
    patches = body.split('<g id="axes_2"')[0].split('<g id="patch_')[1:]
    return [patch.split("fill: ")[1][:7] for patch in patches if "clip-path" in patch]


def test_a_row_a_column_of_one_checkpoint(results: Results, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path)
    shades = cells(made)
    assert len(shades) == 2 * LAYERS
    none, third, most = svg.shade(0.0)[0], svg.shade(1 / 3)[0], svg.shade(2 / 3)[0]
    full = svg.shade(1.0)[0]
    assert [n for n, shade in enumerate(shades[:LAYERS]) if shade != full] == [3] and shades[3] == none
    assert {n: shade for n, shade in enumerate(shades[LAYERS:]) if shade != full} == {3: none, 7: third, 8: most}
    assert {"kept 29", "kept 28", "layer", "%, mean of 3 seeds"} <= set(shown)
    assert [text for text in shown if text in ("33", "67", "100", "0")].count("33") == 1 and "67" in shown


def test_a_row_a_checkpoint(results: Results, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path, checkpoints=["seen", "seen_mixed", "missing"], y=["kept_29"])
    assert [text for text in shown if text.startswith("seen")] == ["seen", "seen_mixed"]
    assert "kept 29, %, mean of 3 seeds" in shown
    assert made.notes == ("`missing` left out: no numbers in a measures.csv of the checkpoint",)
    assert [n for n, shade in enumerate(cells(made)) if shade == svg.shade(0.0)[0]] == [3, LAYERS + 9]


def test_rows_may_be_named_and_are_named_in_full_where_both_differ(results: Results, tmp_path: Path) -> None:
    _, shown = drawn(results, tmp_path, ticks=["one gone", "two gone"])
    assert {"one gone", "two gone"} <= set(shown) and "kept 29" not in shown
    _, shown = drawn(results, tmp_path, checkpoints=["seen", "seen_mixed"])
    assert {"seen, kept 29", "seen_mixed, kept 28"} <= set(shown)


def test_what_is_no_share_is_refused(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"figures\.map\.y: column 'layer' of .*: given 2, allowed: 0 to 1"):
        drawn(results, tmp_path, y=["layer"])
    with pytest.raises(UserError, match=r"figures\.map\.y: unknown column 'kept_2'"):
        drawn(results, tmp_path, y=["kept_2"])


def test_without_measures_there_is_no_map(results: Results, tmp_path: Path) -> None:
    made, _ = drawn(results, tmp_path, checkpoints=["missing"])
    assert made.path is None and made.notes[-1] == "there is nothing to draw yet"
