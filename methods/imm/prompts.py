"""What a model is asked, to the byte (sheet sections 2.2, 2.5 and 4).

The wording around a question is that of Stanford's Alpaca, which the released code uses even for chat models. Sampling
and evaluation end in "Let's think step by step.", training does not, so a stored rationale begins after that phrase.
What separates two worked examples is not known; here it is an empty line.
"""

from __future__ import annotations

from collections.abc import Sequence

TASK = "Below is an instruction that describes a task. Write a response that appropriately completes the request"
PAIRED = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request"
)
THINK = " Let's think step by step."
RELEASED_STOPS = (
    "Question:", "Question", "USER:", "USER", "ASSISTANT:", "ASSISTANT", "Instruction:", "Instruction", "Response:",
    "Response",
)  # fmt: skip
TEMPLATE_STOPS = ("Question:", "### Instruction:", "### Response:")


def generation(template: str, question: str, shots: str = "") -> str:
    """The prompt that rationales are sampled from; `shots` is a block of worked examples (`few_shot_block`)."""
    if template == "plain":
        return question
    if not shots:
        return evaluation(template, question)
    return f"{TASK} like given examples below:\n\n{shots}\n### Instruction:\n{question}\n\n### Response:{THINK}"


def evaluation(template: str, question: str) -> str:
    """The prompt of a test question: no examples."""
    if template == "plain":
        return question
    return f"{TASK}.\n\n### Instruction:\n{question}\n\n### Response:{THINK}"


def training(template: str, question: str) -> str:
    """The prompt before a rationale in fine-tuning; further lines of a question are its "input"."""
    if template == "plain":
        return question
    first, _, rest = question.partition("\n")
    if rest:
        return f"{PAIRED}.\n\n### Instruction:\n{first}\n\n### Input:\n{rest}\n\n### Response:"
    return f"{TASK}.\n\n### Instruction:\n{question}\n\n### Response:"


def few_shot_block(examples: Sequence[tuple[str, str, str]]) -> str:
    """Worked examples (question, solution, answer), a blank line between them."""
    return "\n\n".join(
        f"Question: {question}\nA:{THINK}\n{solution}\nThe answer is {answer}"
        for question, solution, answer in examples
    )


def stops(which: str) -> tuple[str, ...]:
    """Stop strings: the released ones also cut answers that use such words; the template's where it begins anew."""
    return {"released": RELEASED_STOPS, "template": TEMPLATE_STOPS, "none": ()}[which]
