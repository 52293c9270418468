"""What holds for the drawings over several tasks and of checkpoints: title, canvas, bytes, colours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from methodbench import svg
from methodbench.figures import Drawn
from methodbench.results import Results
from tests.drawings import long_study, round_study

KINDS = [*long_study.FIGURES, *round_study.FIGURES]
Both = dict[str, Results]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Both:
    long = long_study.long_results(tmp_path_factory.mktemp("long"))
    rounds = round_study.round_results(tmp_path_factory.mktemp("rounds"))
    return dict.fromkeys(long_study.FIGURES, long) | dict.fromkeys(round_study.FIGURES, rounds)


def drawn(results: Both, folder: Path, kind: str, **changes: object) -> tuple[Drawn, list[str]]:
    study = long_study if kind in long_study.FIGURES else round_study
    return study.drawn(results[kind], folder, kind, **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_drawn_inside_its_canvas(results: Both, kind: str, tmp_path: Path) -> None:
    made, shown = drawn(results, tmp_path, kind)
    assert made.path == tmp_path / f"{kind}.svg"
    assert f"What the {kind} says" in shown and "nan" not in " ".join(shown)
    root = ElementTree.parse(made.path).getroot()
    width, height = (float(side) for side in str(root.get("viewBox")).split()[2:])
    places = [element for element in root.iter() if element.tag.endswith("text") and element.get("x")]
    assert places
    assert all(0 <= float(str(e.get("x"))) <= width and 0 <= float(str(e.get("y"))) <= height for e in places)


@pytest.mark.parametrize("kind", KINDS)
def test_same_results_same_bytes(results: Both, kind: str, tmp_path: Path) -> None:
    first, second = (drawn(results, tmp_path / name, kind)[0].path for name in ("a", "b"))
    assert first is not None and second is not None and first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_dark_screens_get_other_colours_for_all_that_is_drawn(results: Both, kind: str, tmp_path: Path) -> None:
    path = drawn(results, tmp_path, kind)[0].path
    assert path is not None
    rules, body = re.findall(r"(?s)(<style>@media \(prefers-color-scheme: dark\).*?</style>)(.*)", path.read_text())[0]
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", body))
    assert used and used <= set(svg.DARK)
    assert all(f": {colour}" in rules for colour in used)
    assert "<image" not in body  # a picture has colours that no rule can replace
    assert all("fill: #" in style for style in re.findall(r'<text style="([^"]*)"', body))  # never black by default


@pytest.mark.parametrize("kind", ["lengths", "heat"])
def test_arms_without_scores_draw_nothing(results: Both, kind: str, tmp_path: Path) -> None:
    made, _ = drawn(results, tmp_path, kind, arms=["absent"])
    assert made.path is None and made.notes == ("`absent` left out: it has no score", "there is nothing to draw yet")
