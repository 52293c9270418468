"""Hand-made cases for the grader that looks behind the thought."""

from __future__ import annotations

import pytest

from benchmarks.math.grading_templated import process_results
from benchmarks.math.templates import render


@pytest.mark.parametrize(
    ("gold", "told", "right", "answered"),
    [
        ("18", r"12 + 6 </think> So \boxed{18}.", 1, 1),
        ("18", r"\boxed{18} </think> So \boxed{17}.", 0, 1),  # what was thought is not graded
        ("18", r"so \boxed{18}", 0, 0),  # never closed
        ("18", r"so \boxed{18} </think>", 0, 0),
        ("18", r"</think> \boxed{18} </think> \boxed{17}", 1, 1),  # up to a second closing
        ("18", "</think> The answer is 18", 1, 1),
        (r"\frac{1}{2}", r"</think> \boxed{0.5}", 1, 1),
        ("2, 3", r"</think> \boxed{2, 3}", 1, 1),
        ("B", r"</think> \boxed{B}", 1, 1),
        ("B", r"</think> \boxed{\text{B}}", 1, 1),
        ("I", r"</think> \boxed{I}", 1, 1),
        ("I", r"</think> \boxed{J}", 0, 1),
        ("E", r"</think> \boxed{E}", 1, 1),
        ("18", "", 0, 0),
    ],
)
def test_with_the_thinking_opened(gold: str, told: str, right: int, answered: int) -> None:
    for template in ("thought", "thought_plain"):
        doc = {"kind": "math500", "id": 0, "answer": gold, "prompt": render(template, "Q?")}
        assert process_results(doc, [told]) == {"exact_match": right, "answered": answered}


@pytest.mark.parametrize("template", ["qwen", "prime", "bare"])
def test_without_it_the_whole_text_is_graded(template: str) -> None:
    doc = {"kind": "math500", "id": 0, "answer": "18", "prompt": render(template, "Q?")}  # type: ignore[arg-type]
    assert process_results(doc, [r"so \boxed{18}"]) == {"exact_match": 1, "answered": 1}
    assert process_results({"kind": "math500", "id": 0, "answer": "18"}, [r"\boxed{18}"])["exact_match"] == 1


def test_a_gold_answer_that_cannot_be_read_is_an_error_not_a_row_of_zeros() -> None:
    with pytest.raises(ValueError, match="set 'amc', item 4: gold answer '' cannot be read"):
        process_results({"kind": "amc", "id": 4, "answer": ""}, [r"\boxed{1}"])
