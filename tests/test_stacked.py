"""Stacked methods on the pages: the matrix that is drawn, the tables, and what a study's pairs may not say."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

from methodbench import svg
from methodbench.agreement import altered_pairs
from methodbench.difference import differences
from methodbench.drawings.matrix import draw_matrix
from methodbench.errors import UserError
from methodbench.graph import Graph
from methodbench.index import render_index
from methodbench.interactions import interactions
from methodbench.publication import finished_report
from methodbench.report import render
from methodbench.results import Results
from methodbench.stacked import pair_verdicts
from methodbench.study import MATRIX
from methodbench.verdicts import NAME
from tests.drawings.contrast import contrast, luminance
from tests.stacked_study import OTHER, PAIRS, TASK, stacked_results
from tests.test_report import part, row


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return stacked_results(tmp_path_factory.mktemp("stacked"))


@pytest.fixture(scope="module")
def report(results: Results) -> Path:
    return render(results.root, "mini", results.study)


def matrix(results: Results, folder: Path) -> tuple[str, list[str]]:
    """The drawing and its texts."""
    path = folder / "matrix.svg"
    svg.save(draw_matrix(interactions(results)), "The matrix", path)
    root = ElementTree.parse(path).getroot()
    return path.read_text(), ["".join(text.itertext()).strip() for text in root.iter() if text.tag.endswith("text")]


def test_the_report_has_matrix_table_and_words(report: Path) -> None:
    text = part(report.read_text(), "Stacked methods")
    assert f"](stack/{MATRIX}.svg)" in text and (report.parent / "stack" / f"{MATRIX}.svg").exists()
    forth, back = (row(text, f"**{name}**") for name in ("Alpha, then Beta", "Beta, then Alpha"))
    assert forth[5] == "**helps more together**" and forth[4].endswith(r"\*") and forth[6].endswith(r"\*")
    assert forth[1:3] == back[2:0:-1] and back[5:] == ["**unclear**", ""] and "points [" in back[4]
    assert row(text, "**Gamma, then Beta**")[3:] == ["—", "—", "**not comparable**", ""]
    assert "**helps less together**" in row(text, "**Alpha, then Gamma**") and "On `math/test/exact_match`" in text


def test_the_page_begins_with_what_the_stacks_show(report: Path) -> None:
    head = report.read_text().partition("\n## ")[0]
    assert "stacks of two methods: 1 × helps more together, 1 × helps less together" in head


def test_the_list_of_reports_shows_the_same(results: Results, report: Path) -> None:
    text = part(render_index(results.root, "mini", [results.study]).read_text(), "Stacked methods")
    shown = row(text, "[Alpha, then Beta](stack.md#pair-a-b)")
    assert shown[1:] == row(report.read_text(), "**Alpha, then Beta**")[1:]
    assert f"](stack/{MATRIX}.svg)" in text and "### [stack](stack.md), 4 seeds" in text
    assert "1 × helps more together<br>1 × helps less together" in (report.parent / "index.md").read_text()
    assert '<a id="pair-a-b"></a>' in report.read_text()


def test_programs_read_the_pairs(report: Path) -> None:
    told = json.loads((report.parent / "stack" / NAME).read_text())["pairs"]
    assert [one["id"] for one in told] == ["a_b", "a_b_reverse", "a_c", "b_c", "lost"]
    first, last = told[0], told[-1]
    assert first["interaction"]["low"] < 0.15 < first["interaction"]["high"] and first["interaction"]["p"] < 0.05
    assert first["order"]["effect"] > 0.1 and told[1]["order"] is None
    assert last["interaction"] == dict.fromkeys(last["interaction"]) | {"shown": ""} and last["first_alone"]["effect"]


def test_the_tracker_gets_the_interactions(report: Path) -> None:
    made = finished_report("mini", "stack", report, 0.0, 1.0)
    assert made.metrics["pair/a_b/interaction"] == pytest.approx(0.15, abs=0.05) and len(made.metrics) == 4
    assert made.node.tags["pair.a_c"] == "helps less together" and made.node.tags["pair.lost"] == "not comparable"


def test_a_study_without_pairs_says_nothing_of_them(tmp_path: Path) -> None:
    results = stacked_results(tmp_path, items=20, pairs=[])
    page = render(tmp_path, "mini", results.study)
    assert "pairs" not in json.loads((page.parent / "stack" / NAME).read_text())
    pages = page.read_text() + render_index(tmp_path, "mini", [results.study]).read_text()
    assert "Stacked" not in pages and not (page.parent / "stack" / f"{MATRIX}.svg").exists()


def test_the_matrix_prints_every_pair_and_leaves_the_rest_empty(results: Results, tmp_path: Path) -> None:
    text, shown = matrix(results, tmp_path)
    assert shown[:3] == ["Alpha", "Beta", "Gamma"] and {"Alpha, then", "Beta, then", "Gamma, then"} <= set(shown)
    numbers = [word for word in shown if re.fullmatch(r"[+−]\d+\.\d\*?", word)]
    assert len(numbers) == 4 == sum(word.startswith("±") for word in shown)
    assert sorted(word[0] for word in numbers if word.endswith("*")) == ["+", "−"]
    assert shown.count("–") == 1  # asked for, but an arm has no score; the other cells were not run
    assert text.count(f"stroke: {svg.INK}; stroke-width: 1.4") == 2
    assert svg.DIVERGING[-1] in text and svg.DIVERGING[0] in text


def test_what_is_unclear_has_a_dashed_frame_and_no_colour(tmp_path: Path) -> None:
    """A large number that may be noise must not look like a finding."""
    text, shown = matrix(stacked_results(tmp_path, pairs=PAIRS, items=12), tmp_path)
    body = text.rpartition("</style>")[2]
    framed = re.findall(r'<path d="[^"]*" (?:clip-path="[^"]*" )?style="([^"]*)"', body)
    dashed = [style for style in framed if "stroke-dasharray: 4" in style]
    assert len(dashed) == shown.count("unclear") > 0
    assert all("fill: none" in style for style in dashed)


def test_the_matrix_is_drawn_inside_its_canvas_for_both_screens_with_the_same_bytes(
    results: Results, tmp_path: Path
) -> None:
    text, _ = matrix(results, tmp_path)
    assert text == matrix(results, tmp_path)[0]
    rules, body = re.findall(r"(?s)(<style>@media \(prefers-color-scheme: dark\).*?</style>)(.*)", text)[0]
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", body))
    assert used <= set(svg.DARK) and all(f": {colour}" in rules for colour in used) and "<image" not in body
    root = ElementTree.fromstring(text)
    width, height = (float(side) for side in str(root.get("viewBox")).split()[2:])
    places = [element for element in root.iter() if element.tag.endswith("text") and element.get("x")]
    assert places
    assert all(0 <= float(str(e.get("x"))) <= width and 0 <= float(str(e.get("y"))) <= height for e in places)


def test_each_metric_has_a_panel_and_noise_is_pale(tmp_path: Path) -> None:
    """Tokens do not differ between the arms: no cell of their panel may look like an effect."""
    pairs = [{**pair, "metric": f"{OTHER}/tokens", "at_least": 2} for pair in PAIRS]
    text, shown = matrix(stacked_results(tmp_path, pairs=pairs), tmp_path)
    body = text.rpartition("</style>")[2]
    assert [body.count(f"fill: {shade}") for shade in (svg.DIVERGING[0], svg.DIVERGING[-1])] == [1, 1]  # the legend's
    assert not any(word.endswith("*") for word in shown)
    both = [*PAIRS, *({**pair, "id": f"{pair['id']}_tokens"} for pair in pairs)]
    _, shown = matrix(stacked_results(tmp_path, pairs=both), tmp_path)
    assert "exact match on math/test" in shown and "tokens on math/far" in shown


def test_nothing_is_drawn_without_an_interaction(tmp_path: Path) -> None:
    assert draw_matrix(interactions(stacked_results(tmp_path, items=10, pairs=PAIRS[3:]))) is None
    assert draw_matrix([]) is None


def test_text_is_readable_on_every_shade() -> None:
    many = len(svg.DIVERGING)
    shades = [svg.diverging((step + 0.5) / many) for step in range(many)]
    assert [shade for shade, _ in shades] == list(svg.DIVERGING)
    assert (svg.diverging(-1)[0], svg.diverging(2)[0]) == (svg.DIVERGING[0], svg.DIVERGING[-1])
    for shade, ink in shades:
        assert contrast(shade, ink) >= 4.5 and contrast(svg.DARK[shade], svg.DARK[ink]) >= 4.5
    for screen, sign in ((lambda c: c, 1), (svg.DARK.__getitem__, -1)):
        light = [sign * luminance(screen(shade)) for shade in svg.DIVERGING]
        middle = many // 2
        assert light[: middle + 1] == sorted(light[: middle + 1]) and light[middle:] == sorted(light[middle:])[::-1]


GOOD: dict[str, Any] = {
    "study": "toy",
    "datasets": {"math": {"config": {"train": 64, "validation": 8, "test": 8, "arithmetic": 0}}},
    "checkpoints": {
        name: {"method": "pretrain", "data": {"train": "math/train"}} for name in ("base", "one", "two", "both")
    },
    "runtimes": {"plain": {"method": "plain"}, "other": {"method": "plain"}},
    "evaluate": {
        "all": {"checkpoints": ["base", "one", "two", "both"], "runtimes": ["plain"], "benchmarks": [TASK]},
        "more": {"checkpoints": ["base"], "runtimes": ["other"], "benchmarks": ["math/validation"]},
    },
}
PAIR = {"id": "p", "first": "One", "second": "Two", "base": "base", "left": "one", "right": "two", "both": "both"}


def read(project: Any, *pairs: dict[str, Any], **changes: Any) -> None:
    values = {**GOOD, "pairs": [{**PAIR, "metric": f"{TASK}/exact_match", **pair} for pair in pairs], **changes}
    Graph(project(toy=yaml.safe_dump(values)), "smoke").study("toy")


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([{"left": "ones"}], r"toy\.yaml: pairs\.p\.left: unknown arm 'ones'; .*did you mean 'one'"),
        ([{"reverse": "boht"}], r"pairs\.p\.reverse: unknown arm 'boht'; .*did you mean 'both'"),
        ([{"metric": "math/tests/exact_match"}], r"pairs\.p\.metric: unknown benchmark 'math/tests'"),
        ([{"metric": "math/validation/exact_match"}], r"no arm 'one' is scored on math/validation"),
        ([{"metric": f"{TASK}/efficiency"}], r"pairs\.p: key 'metric': .*compare arms, not curves"),
        ([{"right": "one"}], r"pairs\.p: given base 'base', left 'one', right 'one', both 'both', must be different"),
        ([{"second": "One"}], r"pairs\.p: key 'second': given 'One', must be another method than 'first'"),
        ([{}, {"id": "q"}], r"pairs\.q: pair 'p' has One, then Two, on math/test/exact_match already"),
        ([{}, {"first": "Three"}], r"pairs: two have the id 'p'"),
        ([{"at_least": -1}], r"key 'pairs\.0\.at_least': given -1"),
    ],
)
def test_pairs_that_mean_nothing_are_refused(project: Any, pairs: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(project, *pairs)


def test_good_pairs_pass_and_their_drawing_keeps_its_name(project: Any) -> None:
    read(project, {}, {"id": "q", "metric": f"{TASK}/tokens"}, {"id": "r", "first": "Two", "second": "One"})
    figure = {"id": MATRIX, "kind": "bars", "title": "x", "task": TASK, "arms": ["one"]}
    with pytest.raises(UserError, match=f"figures.{MATRIX}: key 'id'"):
        read(project, {}, figures=[figure])


def test_programs_tell_what_moved_between_two_reports(report: Path, tmp_path: Path) -> None:
    told = json.loads((report.parent / "stack" / NAME).read_text())
    told["pairs"][2] |= {"word": "unclear", "interaction": {**told["pairs"][2]["interaction"], "effect": 0.3}}
    told["pairs"].pop()
    (tmp_path / NAME).write_text(json.dumps(told))
    text = "\n".join(differences(report.parent / "stack", tmp_path))
    assert "stack a_c  helps less together -> unclear" in text and "1 of 4 verdicts changed" in text
    assert "  stack lost" in text and "claim" not in text


def test_verify_finds_a_pair_that_was_altered(results: Results, report: Path) -> None:
    again = pair_verdicts(interactions(results))
    kept = json.loads((report.parent / "stack" / NAME).read_text())["pairs"]
    assert list(altered_pairs(again, kept)) == []
    kept[0]["word"], kept[2]["interaction"]["low"], kept[4]["id"] = "unclear", 0.5, "other"
    said = list(altered_pairs(again, kept))
    assert said[0] == "pair a_b: says 'unclear', the samples give 'helps more together'"
    assert said[1].startswith("pair a_c: low of interaction is 0.5, the samples give -0.2")
    assert said[2:] == ["lacks pair lost", "holds pair other, which the study does not make"]
