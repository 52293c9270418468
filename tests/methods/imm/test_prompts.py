"""The prompts are formats: every byte counts."""

from __future__ import annotations

from methods.imm.prompts import evaluation, few_shot_block, generation, stops, training

BLOCK = (
    "Question: One and one?\nA: Let's think step by step.\n1 + 1\n= 2.\nThe answer is 2\n\n"
    "Question: Two and two?\nA: Let's think step by step.\n2 + 2 = 4.\nThe answer is 4"
)
EVALUATION = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nHow many?\n\n### Response: Let's think step by step."
)


def test_worked_examples() -> None:
    assert few_shot_block([("One and one?", "1 + 1\n= 2.", "2"), ("Two and two?", "2 + 2 = 4.", "4")]) == BLOCK


def test_generation_with_examples_and_without() -> None:
    assert generation("alpaca", "How many?", BLOCK) == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request "
        f"like given examples below:\n\n{BLOCK}\n"
        "### Instruction:\nHow many?\n\n### Response: Let's think step by step."
    )
    assert generation("alpaca", "How many?") == EVALUATION


def test_evaluation() -> None:
    assert evaluation("alpaca", "How many?") == EVALUATION


def test_training_with_one_line_and_with_several() -> None:
    assert training("alpaca", "How many?") == EVALUATION.removesuffix(" Let's think step by step.")
    assert training("alpaca", "How many?\n1 red\n\n2 blue") == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nHow many?\n\n### Input:\n1 red\n\n2 blue\n\n### Response:"
    )


def test_plain_is_the_question_itself() -> None:
    for prompt in (generation("plain", "a\nb", BLOCK), evaluation("plain", "a\nb"), training("plain", "a\nb")):
        assert prompt == "a\nb"


def test_stops() -> None:
    colons = {"Question:", "USER:", "ASSISTANT:", "Instruction:", "Response:"}
    assert sorted(stops("released")) == sorted(colons | {stop[:-1] for stop in colons})
    assert not any(stop in "Responses to the Question and Instruction" for stop in stops("template"))
    assert any(stop in training("alpaca", "Why?") for stop in stops("template"))
    assert stops("none") == ()
