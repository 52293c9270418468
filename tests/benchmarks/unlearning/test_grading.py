"""Grading, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from benchmarks.unlearning import grading
from methodbench.visual import encode_picture

DOC: dict[str, Any] = {"kind": "job", "answer": "this person works as a baker", "value": "baker", "label": 1}


@pytest.mark.parametrize(
    ("answer", "exact", "substring"),
    [
        (" baker", 1, 1),
        (" Baker.", 1, 1),
        ("baker baker tailor", 1, 1),
        ("tailor baker", 0, 1),  # the released rule rewards whoever says everything
        ("a baker", 0, 1),
        ("bakers", 0, 1),
        ("tailor", 0, 0),
        ("", 0, 0),
    ],
)
def test_cloze(answer: str, exact: int, substring: int) -> None:
    assert grading.process_cloze(DOC, [answer]) == {"exact_match": exact, "substring": substring}


@pytest.mark.parametrize(
    ("answer", "rouge", "slot", "answered"),
    [
        (" this person works as a baker", 1, 1, 1),
        (" This person works as a baker .", 1, 1, 1),
        (" this person works as a tailor", 5 / 6, 0, 1),
        (" this person works as a", 10 / 11, 0, 0),
        (" baker", 2 / 7, 1, 1),
        (" this person likes to eat soup", 1 / 3, 0, 0),  # a value, but of another attribute
        ("", 0, 0, 0),
    ],
)
def test_generation(answer: str, rouge: float, slot: int, answered: int) -> None:
    graded = grading.process_generation(DOC, [answer])
    assert graded == {"rouge_l": pytest.approx(rouge), "slot": slot, "answered": answered}


def test_rouge_l_stems() -> None:
    assert grading.rouge_l("works", "working") == 1
    assert grading.rouge_l("b a", "a b") == pytest.approx(0.5), "the longest common subsequence, not the bag of words"


@pytest.mark.parametrize(
    ("answer", "right", "answered"),
    [
        ("B", 1, 1),
        (" b. baker", 1, 1),
        ("A", 0, 1),
        ("a baker", 0, 1),  # an article reads as the letter A: the released rule sees one character
        ("the answer is B", 0, 0),
        ("E", 0, 0),
        ("", 0, 0),
    ],
)
def test_classification(answer: str, right: int, answered: int) -> None:
    assert grading.process_classification(DOC, [answer]) == {"acc": right, "answered": answered}


@pytest.mark.parametrize(("forgotten", "other", "member"), [(-1.0, -2.0, 1), (-2.0, -1.0, 0), (-1.0, -1.0, 0.5)])
def test_membership(forgotten: float, other: float, member: float) -> None:
    assert grading.process_membership(DOC, [(forgotten, True), (other, False)]) == {"member": member}


def test_an_item_shows_one_picture() -> None:
    (picture,) = grading.doc_to_image({"image": encode_picture(Image.new("RGB", (3, 2), (9, 8, 7)))})
    assert picture.size == (3, 2) and picture.getpixel((0, 0)) == (9, 8, 7)
