"""What counts as an answer, and as found."""

from __future__ import annotations

import pytest

from benchmarks.longcontext.grading import (
    joined,
    process_last,
    process_number,
    process_ruler_all,
    process_ruler_any,
    process_several,
)


@pytest.mark.parametrize(
    ("told", "right", "answered"),
    [
        (" 47193", 1, 1),
        (" 47193. The pass key is 12345.", 1, 1),
        (" 4 7 1 9 3 .", 1, 1),  # a tokenizer of single digits
        ("It is 47193", 1, 1),
        (" 47193 47193", 1, 1),
        (" 471935", 0, 1),
        (" 4719", 0, 1),
        (" 4 7 1 9 3 5", 0, 1),
        (" 12345, no, 47193", 0, 1),
        (" none", 0, 0),
        ("", 0, 0),
    ],
)
def test_one_number(told: str, right: int, answered: int) -> None:
    assert process_number({"answer": "47193"}, [told]) == {"exact_match": right, "answered": answered}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (" bado, kemi, 12345", 1.0),
        (" 12345 and KEMI and bado and more", 1.0),
        (" bado , kemi , 1 2 3 4 5", 1.0),
        (" bado", 1 / 3),
        (" badoti, kemi, 123456", 1 / 3),
        ("", 0.0),
    ],
)
def test_several_values_in_any_order(told: str, found: float) -> None:
    doc = {"answers": ["bado", "kemi", "12345"]}
    assert process_several(doc, [told]) == {"recovered": found, "answered": int(told != "")}


@pytest.mark.parametrize(
    ("told", "one"),
    [("4 7 1", "471"), ("4 7 , 1 2", "47 , 12"), ("14 7 1", "14 71"), ("4  7", "4  7"), ("a4 7", "a4 7"), ("47", "47")],
)
def test_only_single_digits_one_blank_apart_are_joined(told: str, one: str) -> None:
    assert joined(told) == one


def test_rulers_rule_finds_strings_anywhere() -> None:
    doc = {"answers": ["Lund", "1811"]}
    assert process_ruler_all(doc, ["LUNDING"]) == {"recovered": 0.5, "answered": 1}
    assert process_ruler_all(doc, ["lund in 18110"]) == {"recovered": 1.0, "answered": 1}
    assert process_ruler_all(doc, [" \x01 "]) == {"recovered": 0.0, "answered": 0}
    assert process_ruler_any(doc, ["LUNDING"]) == {"recovered": 1.0, "answered": 1}
    assert process_ruler_any(doc, [""]) == {"recovered": 0.0, "answered": 0}


def test_the_last_spans_likelihood_is_spread_over_its_tokens() -> None:
    assert process_last({"tokens": 100}, [(-250.0, False)]) == {"nll": 2.5}
