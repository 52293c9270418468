"""Figures: each kind is drawn, says what it shows, fits its canvas, and comes out the same every time."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from methodbench import svg
from methodbench.config import parse
from methodbench.drawings.line_names import spread
from methodbench.figures import draw
from methodbench.results import Results
from methodbench.study import Figure
from tests.drawings.contrast import contrast
from tests.results_factory import Planted, study_of, write_results

BUDGETS = (20, 40, 80)
VALUES: dict[str, Any] = {
    "study": "demo",
    "seeds": [0, 1],
    "checkpoints": {"base": {"method": "pretrain"}},
    "runtimes": {
        "one": {"method": "m"},
        "two": {"method": "m"},
        "sick": {"method": "m"},
        "absent": {"method": "m"},
        "g_{budget}": {"method": "m", "sweep": {"budget": list(BUDGETS)}},
        "w_{budget}": {"method": "m", "sweep": {"budget": [*BUDGETS, None]}},
    },
    "evaluate": {
        "all": {
            "checkpoints": ["base"],
            "runtimes": ["one", "two", "sick", "absent", "g_{budget}", "w_{budget}"],
            "benchmarks": ["math/test"],
        }
    },
    "curves": {
        "g": {"arms": ["g_{budget}"], "label": "Good & short"},
        "w": {"arms": ["w_{budget}", "absent"], "label": "The weaker curve with a long name"},
    },
}
TRUTH = {
    "base@one": Planted(0.7, latent=0.2),
    "base@two": Planted(0.5, latent=0.1),
    "base@sick": Planted(unparsable=0.8),
    **{f"base@g_{budget}": Planted(0.4 + budget / 200, budget) for budget in BUDGETS},
    **{f"base@w_{budget}": Planted(0.2 + budget / 200, budget) for budget in BUDGETS},
    "base@w_none": Planted(0.7, 100),
}
FIGURES: dict[str, dict[str, Any]] = {
    "curve": {"curves": ["g", "w"]},
    "sweep": {"arms": ["g_{budget}", "w_{budget}"], "y": ["exact_match", "tokens"]},
    "bars": {"arms": ["one", "two", "sick", "absent"], "y": ["exact_match", "tokens"]},
    "stack": {"arms": ["one", "two"], "y": ["latent:tokens", "forced:tokens"]},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("figures")
    study = study_of(VALUES)
    write_results(root, "mini", study, TRUTH, items=120)
    return Results.load(root, "mini", study)


def figure_of(kind: str, **changes: Any) -> Figure:
    title = f"What the {kind} says"
    return parse(Figure, {"id": kind, "kind": kind, "title": title, "task": "math/test", **changes}, "test")


@pytest.mark.parametrize("kind", FIGURES)
def test_each_kind_is_drawn_inside_its_canvas(results: Results, kind: str, tmp_path: Path) -> None:
    drawn = draw(results, figure_of(kind, **FIGURES[kind]), tmp_path)
    assert drawn.path == tmp_path / f"{kind}.svg"
    root = ElementTree.parse(drawn.path).getroot()
    texts = [element for element in root.iter() if element.tag.endswith("text")]
    shown = " ".join("".join(text.itertext()) for text in texts)
    assert f"What the {kind} says" in shown and "nan" not in shown
    width = float(str(root.get("viewBox")).split()[2])
    assert all(0 <= float(text.get("x", 0)) <= width for text in texts)


@pytest.mark.parametrize("kind", FIGURES)
def test_same_results_same_bytes(results: Results, kind: str, tmp_path: Path) -> None:
    figure = figure_of(kind, **FIGURES[kind])
    first, second = (draw(results, figure, tmp_path / name).path for name in ("a", "b"))
    assert first is not None and second is not None and first.read_bytes() == second.read_bytes()


def test_dark_screens_get_other_colours_for_all_that_is_drawn(results: Results, tmp_path: Path) -> None:
    path = draw(results, figure_of("curve", **FIGURES["curve"]), tmp_path).path
    assert path is not None
    rules, body = re.findall(r"(?s)(<style>@media \(prefers-color-scheme: dark\).*?</style>)(.*)", path.read_text())[0]
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", body))
    assert used and used <= set(svg.DARK)
    assert all(f": {colour}" in rules for colour in used)
    assert all("fill: #" in style for style in re.findall(r'<text style="([^"]*)"', body))  # never black by default


def test_what_is_left_out_is_named(results: Results, tmp_path: Path) -> None:
    notes = " ".join(draw(results, figure_of("bars", **FIGURES["bars"]), tmp_path).notes)
    assert "`sick` left out: " in notes and "cannot be read" not in notes.split("`absent`")[1]
    assert "`absent` left out: it has no score on math/test" in notes


def test_nothing_to_draw_makes_no_file(results: Results, tmp_path: Path) -> None:
    drawn = draw(results, figure_of("bars", arms=["absent"]), tmp_path)
    assert drawn.path is None and not list(tmp_path.iterdir()) and "nothing to draw" in drawn.notes[-1]


def test_labels_keep_their_distance_and_their_order() -> None:
    wanted = [1.0, 1.1, 1.2, 5.0, 5.1, 9.0]
    spots = spread(wanted, 1.0)
    assert all(after - before >= 1.0 - 1e-9 for before, after in itertools.pairwise(spots))
    assert spots[-1] == 9.0 and abs(sum(spots[:3]) / 3 - 1.1) < 1e-9


def test_every_colour_is_readable_on_its_background() -> None:
    for light, dark in {**svg.COLOURS, svg.INK: svg.DARK[svg.INK], svg.FAINT: svg.DARK[svg.FAINT]}.items():
        assert contrast(light, svg.PAPER) >= 4.5 and contrast(dark, svg.DARK[svg.PAPER]) >= 4.5
