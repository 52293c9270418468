"""Answers out of rationales: the sheet's vectors, the MATH spellings, and what the filter keeps."""

from __future__ import annotations

import pytest

from methods.imm.extraction import boxed, canonical, extract, gsm8k_answer, keeps, math_answer, normalised

GSM8K = [  # measured on the released code; the last two are ours
    ("The answer is 7", "7"),
    ("The answer is: 1,200.", "1200"),
    ("The answer is $18.50", "18.5"),
    ("The answer is 3/4", "3/4"),
    ("The answer is 0.5 hours or 30 minutes", "30"),
    ("The answer is no digits", ""),
    ("#### 42", "42"),
    ("The answer is 1e3", "3"),
    ("The answer is 20%.", "20"),
    ("The answer is -5.0", "-5"),
    ("The answer is 12/", "12"),
    ("the answer is 9. There are 3 left", "3"),
    ("The answer is 10000000000000000", "1e+16"),
    ("So 3. The answer is 4. No: The answer is 5", "5"),
    ("The answer is -0.0", "0"),
]


@pytest.mark.parametrize(("text", "answer"), GSM8K)
def test_gsm8k_answers(text: str, answer: str) -> None:
    assert gsm8k_answer(text) == extract("gsm8k", text) == answer


@pytest.mark.parametrize("answer", [answer for _, answer in GSM8K if answer != "1e+16"])
def test_a_canonical_number_stays(answer: str) -> None:
    assert canonical("gsm8k", answer) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 apples. The answer is $\\frac12$.", "\\frac{1}{2}"),
        ("the answer is: 12.\nThere are 3 left.", "12"),
        ("The answer is 5\n\nNow to another, 7", "5"),
        ("The answer is 1. No, the answer is 2", "2"),
        ("The answer is $\\boxed{\\text{Evelyn}}$.", "Evelyn"),
        ("First \\boxed{1}, then \\boxed{\\frac{2}{3}} of 9", "\\frac{2}{3}"),
        ("13 and then 21 in all", "21"),
        ("\\boxed{3", "3"),
        ("none", ""),
    ],
)
def test_math_answers(text: str, answer: str) -> None:
    assert math_answer(text) == extract("math", text) == answer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\\dfrac{1}{2}", "1/2"),
        ("\\frac12", "\\frac{1}2"),
        ("-3/4", "-\\tfrac34"),
        ("1,200", "1200"),
        ("10,\\!000.00", "\\$10000"),
        (".50", "0.5"),
        ("-.5", "-0.50"),
        ("\\(5.\\)", "$5.$"),
        ("5\\text{ cm}^2", "5"),
        ("x = 5", "5"),
        ("x \\in [0, 1]", "[0,1]"),
        ("90^\\circ", "90"),
        ("50\\%", "50"),
        ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\frac{\\pi}2)"),
        ("2 \\sqrt3", "2\\sqrt{3}"),
        ("\\text{(A)}", "(A)."),
    ],
)
def test_spellings_of_one_answer(one: str, other: str) -> None:
    assert canonical("math", one) == canonical("math", other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(1,200)", "(1200)"),
        ("1,2,300", "1,2300"),
        ("12345678901234567890", "12345678901234567891"),
        ("10", "1"),
        ("x\\infty", "\\infty"),
        ("\\leftarrow", "arrow"),
        ("1/2", "0.5"),  # spelling, not algebra
    ],
)
def test_answers_that_stay_apart(one: str, other: str) -> None:
    assert canonical("math", one) != canonical("math", other)


def test_a_box_has_balanced_braces() -> None:
    assert boxed("\\boxed{a{b}c} d}") == "a{b}c"
    assert boxed("\\boxed{\\{1, 2\\}}") == "\\{1, 2\\}"
    assert boxed("\\fbox{1}") is boxed("none") is boxed("\\boxed{1") is None
    assert normalised("Thus $x = \\boxed{\\frac12}$ of 8.") == "\\frac{1}{2}"


def test_text_answers() -> None:
    assert extract("text", "a. The answer is b. The answer is:  c \n d. ") == "c d"
    assert extract("text", "c d") == ""
    assert canonical("text", " c\td.") == "c d"


@pytest.mark.parametrize(
    ("kind", "predicted", "gold", "both", "raw"),
    [
        ("gsm8k", "1200", "1200", True, True),
        ("gsm8k", "1200", "1,200", True, False),  # the released code's defect
        ("gsm8k", "5", "5.0", True, False),
        ("gsm8k", "5", "6", False, False),
        ("gsm8k", "", "", False, False),  # no answer is no right answer
        ("math", "\\frac{1}{2}", "\\frac12", True, False),
        ("text", "c d", "c  d", True, False),
    ],
)
def test_the_filter(kind: str, predicted: str, gold: str, both: bool, raw: bool) -> None:
    assert keeps(kind, predicted, gold) is both
    assert keeps(kind, predicted, gold, canonical_gold=False) is raw
