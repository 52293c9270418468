"""What counts as an answer, and when it is right."""

from __future__ import annotations

import pytest

from benchmarks.math.grading import check, extract, process_demonstration, process_plain, process_results

GRAPH = {"kind": "route", "answer": "a d c", "edges": "ab ad dc bd"}


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        (" A 7", "7"),
        ("A 1 2 <|end|>", "12"),
        ("A 12 <|end|> <|pad|>", "12"),
        ("A - 5", "-5"),
        ("A a d c <|end|>", "a d c"),
        ("3 + 4 = 7 </think> A 7", "7"),
        ("A 3 </think> A 8", "8"),
        ("", None),
        ("A", None),
        ("A <|end|>", None),
        ("7", None),
        ("3 a + 4 = 7 b", None),
        ("A 7 + 1", None),
        ("A 7 a", None),
        ("A 7 </think>", None),
    ],
)
def test_extraction(told: str, answer: str | None) -> None:
    assert extract(told) == answer


def test_an_answer_is_right_only_if_equal() -> None:
    row = {"kind": "chain", "answer": "7", "edges": ""}
    assert check(row, "A 7")
    assert not check(row, "A 8")
    assert not check(row, "A 77")
    assert not check(row, "7")


@pytest.mark.parametrize(
    ("told", "right"),
    [
        ("A a d c", True),
        ("A a b d c", True),  # longer, yet along the edges
        ("A a c", False),  # no such edge
        ("A a d", False),  # not there yet
        ("A d c", False),  # starts elsewhere
        ("A c", False),
        ("A c d a", False),  # against the edges
        ("A 7", False),
    ],
)
def test_any_walk_along_the_edges_is_right(told: str, right: bool) -> None:
    assert check(GRAPH, told) is right


def test_numbers_for_lm_eval() -> None:
    assert process_results(GRAPH, ["A a d c"]) == {"exact_match": 1, "answered": 1}
    assert process_results(GRAPH, ["A a c"]) == {"exact_match": 0, "answered": 1}
    assert process_results(GRAPH, ["a d"]) == {"exact_match": 0, "answered": 0}


@pytest.mark.parametrize(
    ("told", "right", "answered"),
    [(" 42", 1, 1), (" 42 apples, not 41.", 1, 1), (" 4", 0, 1), (" -42", 0, 1), (" forty-two", 0, 0), ("", 0, 0)],
)
def test_plain_answers(told: str, right: int, answered: int) -> None:
    assert process_plain({"answer": "42"}, [told]) == {"exact_match": right, "answered": answered}


def test_a_plain_answer_may_have_thousands_separators() -> None:
    assert process_plain({"answer": "1042"}, [" 1,042."])["exact_match"] == 1


def test_a_demonstration_costs_nats_a_word() -> None:
    assert process_demonstration({"demonstration": " 3 </think> A 3 <|end|>"}, [(-7.5, False)]) == {"nll": 1.5}
