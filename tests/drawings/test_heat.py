"""Heat maps: cells by kind and task, printed with half-widths, on shades that text can be read on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from methodbench import svg
from methodbench.compare import measure
from methodbench.drawings.heat import brief, half_width
from methodbench.drawings.panels import columns, natural
from methodbench.results import Results
from methodbench.score import samples_path
from tests.drawings.contrast import contrast, luminance
from tests.drawings.long_study import DEPTHS, TASKS, drawn, long_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return long_results(tmp_path_factory.mktemp("long"))


def test_every_cell_is_printed_with_its_half_width(results: Results, tmp_path: Path) -> None:
    _, shown = drawn(results, tmp_path, "heat", arms=["plain"])
    plain = results.arms[TASKS[0]][0]
    for task in TASKS:
        for kind in DEPTHS:
            estimate, unit = measure(results, plain, task, "exact_match", kind)
            place = shown.index(f"{100 * estimate.value:.0f}")
            assert unit == "share" and estimate.n_items == 30 and estimate.n_seeds == 2 and place
            assert f"±{100 * half_width(estimate):.0f}" in shown
    assert sum(text.startswith("±") for text in shown) == len(TASKS) * len(DEPTHS)


def test_rows_are_kinds_in_their_natural_order(results: Results, tmp_path: Path) -> None:
    _, shown = drawn(results, tmp_path, "heat", arms=["plain"], ticks=["256", "512", "1024"])
    assert [text for text in shown if text.startswith("depth")] == list(DEPTHS)  # not "depth 10" before "depth 2"
    assert sorted(["depth 10", "depth 2", "depth 0.25", ""], key=natural) == ["", "depth 0.25", "depth 2", "depth 10"]
    assert {"256", "512", "1024", "exact match, %"} <= set(shown)


def test_panels_and_what_is_missing_in_them(results: Results, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path, "heat")
    assert [name for name in shown if name in ("plain", "kept", "short", "sick")] == ["plain", "kept", "short"]
    assert shown.count("–") == len(DEPTHS)  # `short` is not asked for at the last length
    assert len(made.notes) == 1 and made.notes[0].startswith("`sick` left out: ")
    assert [columns(many) for many in (1, 2, 3, 4, 5, 9)] == [1, 2, 3, 2, 3, 3]


def test_a_kind_of_one_item_is_left_empty(tmp_path: Path) -> None:
    full = long_results(tmp_path)
    for seed in full.study.seeds:
        path = samples_path(full.path(full.arms[TASKS[0]][0], TASKS[0], seed))
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[7]["kind"] = "odd one"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made, shown = drawn(Results.load(tmp_path, "mini", full.study), tmp_path, "heat", arms=["plain"], tasks=TASKS[:1])
    assert made.notes == ("Cells of fewer than two items are left empty",) and "odd one" not in shown


def test_samples_without_kinds_make_one_row(tmp_path: Path) -> None:
    full = long_results(tmp_path)
    for path in (tmp_path / "results").rglob("recall.samples.jsonl"):
        path.write_text(path.read_text().replace('"kind": "depth', '"kind": "", "deep": "depth'))
    _, shown = drawn(Results.load(tmp_path, "mini", full.study), tmp_path, "heat", arms=["plain"])
    assert "all" in shown and sum(text.startswith("±") for text in shown) == len(TASKS)


def test_numbers_that_are_no_shares_are_coloured_from_least_to_most(results: Results, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path, "heat", arms=["plain"], y=["tokens"])
    assert made.path is not None and "tokens" in shown
    body = made.path.read_text().split("</style>", 1)[1]
    assert svg.SHADES[0] in body and svg.SHADES[-1] in body


def test_large_numbers_are_printed_briefly() -> None:
    shown = {
        34.13: "34.1",
        885.2: "885",
        9999: "9999",
        11_670: "12k",
        116_700: "117k",
        2_630_000: "2.6M",
        4.1e10: "41G",
    }
    assert {value: brief(value) for value in shown} == shown and brief(-116_700) == "−117k"


def test_text_is_readable_on_every_shade() -> None:
    shades = [svg.shade(share) for share in (0.0, 0.13, 0.26, 0.38, 0.51, 0.63, 0.76, 0.9, 1.0)]
    assert [shade for shade, _ in shades] == [*svg.SHADES, svg.SHADES[-1]]
    for shade, ink in shades:
        assert contrast(shade, ink) >= 4.5 and contrast(svg.DARK[shade], svg.DARK[ink]) >= 4.5
    light = [luminance(shade) for shade in svg.SHADES]
    dark = [luminance(svg.DARK[shade]) for shade in svg.SHADES]
    assert light == sorted(light, reverse=True) and dark == sorted(dark)  # told apart without any colour
