"""Where an answer stands in a completion, and when it is right."""

from __future__ import annotations

from typing import Any

import pytest

from methodbench.config import parse
from methodbench.correctness import AnswerConfig, Correctness
from methodbench.errors import UserError

MARKER = Correctness(AnswerConfig(rule="marker", marker="The answer is"))
BOXED = Correctness(AnswerConfig())
THINK = Correctness(AnswerConfig(think="</think>"))


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("The answer is 12", True),
        ("so 3 + 9.\nThe answer is\n 12 \n<|end|>", True),
        ("The answer is 7. No. The answer is 12", True),  # the last one counts
        ("The answer is 12. No. The answer is 7", False),
        ("The answer is 12.", False),  # word for word
        ("The answer is 112", False),
        ("12", False),
        ("", False),
    ],
)
def test_the_text_behind_the_last_marker(completion: str, right: bool) -> None:
    assert MARKER(completion, {"answer": "12"}) is right
    assert MARKER(completion, {"answer": 12}) is right


def test_one_of_several_answers_suffices() -> None:
    row = {"answer": "a b d", "answers": ["a b d", "a  c d"]}
    assert MARKER("The answer is a c d", row) is True
    assert MARKER("The answer is a d", row) is False


@pytest.mark.parametrize(
    ("completion", "gold", "right"),
    [
        (r"It is \boxed{\frac{1}{2}}.", "0.5", True),
        (r"It is \boxed{0.5}.", r"\frac{1}{2}", True),
        (r"It is \boxed{2}.", "3", False),
        ("no number at all", "3", False),
        ("", "3", False),
    ],
)
def test_math_verify_reads_boxes(completion: str, gold: str, right: bool) -> None:
    assert BOXED(completion, {"answer": gold}) is right


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        (r"\boxed{4} </think> \boxed{3}", True),
        (r"\boxed{3} </think> \boxed{4}", False),
        (r"</think> \boxed{3} </think> \boxed{3}", True),  # all that follows the first one
        (r"\boxed{3}", False),  # the thought was never closed
    ],
)
def test_only_what_follows_the_thought_counts(completion: str, right: bool) -> None:
    assert THINK(completion, {"answer": "3"}) is right


@pytest.mark.parametrize("row", [{}, {"answer": None}, {"answer": ""}, {"answer": "3", "answers": [""]}])
@pytest.mark.parametrize("judge", [MARKER, BOXED, THINK])
def test_without_a_gold_answer_nothing_can_be_told(judge: Correctness, row: dict[str, Any]) -> None:
    assert judge(r"The answer is \boxed{3}", row) is None


def test_an_empty_marker_is_refused() -> None:
    with pytest.raises(UserError, match="marker"):
        parse(AnswerConfig, {"rule": "marker", "marker": ""}, "test")
