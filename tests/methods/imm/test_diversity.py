"""Diversity against numbers worked out by hand."""

from __future__ import annotations

import statistics

import pytest

from methods.imm.diversity import coverage, distinct, majority, mean_words, unique_share


def test_unique_share() -> None:
    assert unique_share(["a", "a", "b", "c"]) == 3 / 4


def test_distinct_n_is_over_all_texts_together() -> None:
    texts = ["a b a b", "b a  c", "d"]  # bigrams ab ba ab, ba ac: 3 of 5; trigrams aba bab, bac: 3 of 3
    assert distinct(texts, 2) == 3 / 5
    assert distinct(texts, 3) == 1
    assert distinct(["same text here"] * 4, 2) == 1 / 4


def test_mean_words() -> None:
    assert mean_words(["a b  c", "d"]) == 2


def test_coverage_counts_a_question_once() -> None:
    assert coverage([0, 0, 1, 1, 2, 2], [True, True, False, False, False, True]) == 2 / 3


@pytest.mark.parametrize(
    ("answers", "gold", "right"),
    [
        (["1", "2", "2"], "2", True),
        (["1", "2"], "1", True),  # of equally frequent answers the first sampled counts
        (["2", "1"], "1", False),
        (["1", "2", "2", "1"], "1", True),
        (["", "", "3"], "3", False),  # no answer is a vote, too
    ],
)
def test_the_most_frequent_answer(answers: list[str], gold: str, right: bool) -> None:
    many = len(answers)
    assert (statistics.mode(answers) == gold) is right
    assert majority([7] * many, answers, [gold] * many) == right
    assert majority([3, *[7] * many], ["x", *answers], ["x", *[gold] * many]) == (1 + right) / 2


def test_nothing_is_0() -> None:
    found = [unique_share([]), distinct(["a"], 2), mean_words([]), coverage([], []), majority([], [], [])]
    assert found == [0.0] * 5
