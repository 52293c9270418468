r"""The published extractor's own cases, and where the lenient rule differs from it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from benchmarks.reasoning.grading_published import (
    boxed,
    equal,
    last_option,
    number,
    process_math,
    process_number,
    process_option,
    published_math,
    published_number,
    published_option,
    strict_colon,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The answer is 7", 7),
        ("The answer is: 1,200.", 1200),
        ("The answer is $18.50", 18.5),
        ("The answer is 3/4", None),  # `float` rejects it: wrong by the published rule
        ("The answer is 0.5 hours or 30 minutes", 30),
        ("The answer is no digits", None),
        ("#### 42", 42),
        ("1e3", 3),
        ("The answer is 20%.", 20),
        ("The answer is -5.0", -5),
        ("The answer is 12/", 12),
        ("the answer is 9. There are 3 left", 3),  # the phrase has a capital
        ("The answer is 5. The answer is unknown", None),
        ("The answer is 10000000000000000", 1e16),
        ("", None),
    ],
)
def test_published_numbers(text: str, found: float | None) -> None:
    assert published_number(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,200.50 in all.", Fraction(2401, 2)),
        ("The answer is 5. So 3/4", Fraction(3, 4)),
        ("from 7 to -2.", -2),
        ("3/0", None),
        ("none", None),
    ],
)
def test_the_last_number_exactly(text: str, found: Fraction | None) -> None:
    assert number(text) == found


@pytest.mark.parametrize(
    ("gold", "text", "exact", "lenient", "answered"),
    [
        ("29", "48 - 19 = 29. The answer is 29.", 1, 1, 1),
        ("29", "The answer is 29, as 48 - 19 = 29 and not 28", 0, 0, 1),
        ("29", "So 29 rolls are left.", 1, 1, 1),
        ("0.75", "The answer is 3/4", 0, 1, 1),
        ("1230", "The answer is 1,230.0 litres", 1, 1, 1),
        ("29", "29 it is. The answer is unknown.", 0, 1, 1),
        ("29", "I cannot say.", 0, 0, 0),
    ],
)
def test_numbers(gold: str, text: str, exact: int, lenient: int, answered: int) -> None:
    given = process_number({"answer": gold}, [text])
    assert given == {"exact_match": exact, "lenient": lenient, "answered": answered}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\boxed{3} and \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"$\boxed 9$", "9"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{open", None),
        ("none", None),
    ],
)
def test_boxes(text: str, found: str | None) -> None:
    assert boxed(text) == found


@pytest.mark.parametrize(
    ("text", "told", "colon"),
    [
        (r"The answer is $\frac{1}{2}$.", r"$\frac{1}{2}$", ""),  # as every worked example has it: no colon, no answer
        ("The answer is: 5.\nThat was all.", "5", "5"),
        (r"So \boxed{5} it is, of 9.", "5", ""),
        ("6 then 1,234", "1234", ""),
        ("the answer is 8", "8", ""),
        ("", "", ""),
    ],
)
def test_published_math(text: str, told: str, colon: str) -> None:
    assert (published_math(text), strict_colon(text)) == (told, colon)


@pytest.mark.parametrize(
    ("gold", "told", "same"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"1+\sqrt{2}", r"\sqrt{2} + 1", True),
        (r"\text{Evelyn}", r"\text{Evelyn}", True),
        ("5", "", False),
        ("(-3,3)", "[-3,3]", False),
        ("5", "6", False),
    ],
)
def test_equal_answers(gold: str, told: str, same: bool) -> None:
    assert equal(gold, told) == same


@pytest.mark.parametrize(
    ("text", "exact", "lenient", "colon", "answered"),
    [
        (r"The answer is: $\frac{3}{4}$.", 1, 1, 1, 1),
        (r"The answer is $\frac{3}{4}$.", 1, 1, 0, 1),
        (r"Hence $\boxed{0.75}$.", 1, 1, 0, 1),
        ("The answer is four.\n" r"Check: $\boxed{\frac{3}{4}}$", 0, 1, 0, 1),
        (r"Hence $\boxed{\frac{4}{3}}$.", 0, 0, 0, 1),
        ("I cannot say.", 0, 0, 0, 0),
    ],
)
def test_math(text: str, exact: int, lenient: int, colon: int, answered: int) -> None:
    given = process_math({"answer": r"\frac{3}{4}"}, [text])
    assert given == {"exact_match": exact, "lenient": lenient, "strict_colon": colon, "answered": answered}


@pytest.mark.parametrize(
    ("text", "exact", "last"),
    [
        ("The answer is (B) helium.", "B", "B"),
        ("The answer is: B", "B", "B"),
        ("The answer is B, not C.", "B", "C"),
        ("The answer is helium.", None, "B"),  # only its text
        ("Both (A) and (D) are wrong. It is C.", None, "C"),
        ("It is B. A gas is light.", None, "B"),  # an article is no option
        ("Neon light, or rather helium light", None, "B"),  # the option that is named last
        ("The answer is Eve", None, None),
        ("", None, None),
    ],
)
def test_letters(text: str, exact: str | None, last: str | None) -> None:
    labels, options = ["A", "B", "C", "D"], ["water", "helium", "light air", "neon"]
    assert (published_option(text, labels), last_option(text, labels, options)) == (exact, last)


def test_the_longer_of_two_options_that_end_together_is_meant() -> None:
    assert last_option("so it must be 12", ["A", "B"], ["2", "12"]) == "B"


def test_words_are_read_in_either_case_and_as_whole_words() -> None:
    labels = ["valid", "invalid"]
    assert published_option("The answer is Invalid.", labels) == "invalid"
    assert last_option("It is valid, no: INVALID", labels, labels) == "invalid"
    doc = {"labels": labels, "options": labels, "answer": "invalid"}
    assert process_option(doc, ["It is invalid"]) == {"exact_match": 0, "lenient": 1, "answered": 1}


def test_an_item_without_options_asks_for_a_number() -> None:
    doc = {"labels": [], "options": [], "answer": "4"}
    assert process_option(doc, ["The answer is 4."]) == {"exact_match": 1, "lenient": 1, "answered": 1}
