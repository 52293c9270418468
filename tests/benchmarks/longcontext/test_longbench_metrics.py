"""LongBench's scores on worked cases; ROUGE-L also against a plain search over all subsequences."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from benchmarks.longcontext.longbench_metrics import (
    class_share,
    code_likeness,
    common_words_in_order,
    number_share,
    process_class,
    process_dialogue,
    process_numbers,
    process_question,
    process_trivia,
    rouge_l,
    word_f1,
)


@pytest.mark.parametrize(
    ("told", "gold", "score"),
    [
        ("The ferry, at noon!", "ferry at noon", 1.0),
        ("noon", "at noon", 2 / 3),
        ("noon noon", "at noon", 0.5),
        ("a the an", "noon", 0.0),
        ("", "noon", 0.0),
    ],
)
def test_word_f1(told: str, gold: str, score: float) -> None:
    assert word_f1(told, gold) == pytest.approx(score)


def longest_in_order(one: list[str], two: list[str]) -> set[frozenset[str]]:
    """The words of every longest common subsequence, by trying all subsequences."""
    shared = {one_part for size in range(len(one) + 1) for one_part in combinations(one, size)} & {
        two_part for size in range(len(two) + 1) for two_part in combinations(two, size)
    }
    most = max(map(len, shared))
    return {frozenset(part) for part in shared if len(part) == most}


def test_words_in_order_are_those_of_a_longest_common_subsequence() -> None:
    rng = Random(0)
    for _ in range(300):
        one, two = ([rng.choice("abcd") for _ in range(rng.randint(0, 7))] for _ in range(2))
        assert frozenset(common_words_in_order(one, two)) in longest_in_order(one, two)


@pytest.mark.parametrize(
    ("told", "gold", "score"),
    [
        ("a storm came", "a storm came", 1.0),
        ("a storm came", "a calm came", 2 * 2 / 6),
        ("came storm", "storm came", 2 * 1 / 4),
        ("a b. c d", "a b c d", 1.0),  # united over the answer's sentences
        ("a a a", "a", 1.0),  # different words count once
        ("storm.", "storm", 1.0),
        ("", "storm", 0.0),
        ("...", "storm", 0.0),
    ],
)
def test_rouge_l(told: str, gold: str, score: float) -> None:
    assert rouge_l(told, gold) == pytest.approx(score)


def test_a_class_is_shared_with_the_others_that_are_named() -> None:
    classes = ["Date", "Location", "Location, city"]
    assert class_share("Date", "Date", classes) == 1
    assert class_share("Date or Location", "Date", classes) == 0.5
    assert class_share("Location, city", "Location, city", classes) == 1  # a part of the right name is no other class
    assert class_share("Location", "Date", classes) == 0
    assert class_share("", "Date", classes) == 0


@pytest.mark.parametrize(
    ("told", "gold", "score"),
    [
        ("Paragraph 7", "Paragraph 7", 1.0),
        ("7 or 8", "Paragraph 7", 0.5),
        ("17", "7", 0.0),
        ("7 7 8 9", "7", 0.5),
        ("seven", "7", 0.0),
    ],
)
def test_numbers(told: str, gold: str, score: float) -> None:
    assert number_share(told, gold) == score


def test_code_is_compared_by_its_first_line() -> None:
    assert code_likeness("\n```\n# here\n  // or\n    return y\nreturn z", "    return y") == 1
    assert code_likeness("abcd", "abxx") == 0.5
    assert code_likeness("abc", "abcd") == 0.86
    assert code_likeness("# only", "abcd") == 0


def test_the_best_of_the_accepted_answers_counts() -> None:
    doc = {"answers": ["two", "two corpora"]}
    assert process_question(doc, ["Two corpora."]) == {"score": 1.0, "answered": 1}
    assert process_question(doc, [" \n"]) == {"score": 0, "answered": 0}


def test_only_the_line_of_an_answer_after_worked_examples_counts() -> None:
    assert process_trivia({"answers": ["White"]}, ["\n\nWhite\nPassage: more"])["score"] == 1
    assert process_question({"answers": ["White"]}, ["White\nPassage: more"])["score"] < 1
    assert process_dialogue({"answers": ["Lee waits"]}, ["Lee waits\nDialogue: and so on"])["score"] == 1
    doc = {"answers": ["Date"], "classes": ["Date", "Location"]}
    assert process_class(doc, ["Date\nLocation"])["score"] == 1
    assert process_numbers({"answers": ["Paragraph 7"]}, ["7\n8"])["score"] == 0.5
