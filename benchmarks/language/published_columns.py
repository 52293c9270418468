"""One row of a published set as ours: lm-eval's own prompts and options, an option with the blank before it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]
Given = Mapping[str, Any]
LETTERS = "ABCD"


def chosen(prompt: str, options: Sequence[str], label: int) -> Row:
    """A question, and what may follow it."""
    return {"prompt": prompt, "options": [f" {option}" for option in options], "label": label}


def boolq(given: Given) -> Row:
    """BoolQ as in SuperGLUE."""
    return chosen(f"{given['passage']}\nQuestion: {given['question']}?\nAnswer:", ("no", "yes"), int(given["label"]))


def piqa(given: Given) -> Row:
    """PIQA."""
    return chosen(f"Question: {given['goal']}\nAnswer:", (given["sol1"], given["sol2"]), int(given["label"]))


def hellaswag(given: Given) -> Row:
    """HellaSwag; WikiHow's marks in brackets are taken out."""
    context = f"{given['activity_label']}: {given['ctx_a']} {given['ctx_b'].capitalize()}"
    row = chosen(unmarked(context), [unmarked(ending) for ending in given["endings"]], int(given["label"]))
    return {"kind": given["activity_label"], **row}


def unmarked(text: str) -> str:
    """As lm-eval does it, double blanks and all."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def winogrande(given: Given) -> Row:
    """WinoGrande: the options are the sentence up to and with each filling; `rest` follows."""
    before, _, after = given["sentence"].partition("_")
    options = [before + given["option1"], before + given["option2"]]
    return {"prompt": "", "options": options, "rest": f" {after.strip()}", "label": int(given["answer"]) - 1}


def arc(given: Given) -> Row:
    """ARC."""
    choices = given["choices"]
    label = list(choices["label"]).index(given["answerKey"])
    return chosen(f"Question: {given['question']}\nAnswer:", choices["text"], label)


def openbookqa(given: Given) -> Row:
    """OpenBookQA: the question is a beginning."""
    choices = given["choices"]
    label = list(choices["label"]).index(given["answerKey"].lstrip())
    return chosen(given["question_stem"], choices["text"], label)


def mmlu(given: Given, shots: Sequence[Given]) -> Row:
    """MMLU behind the solved `shots` of its subject."""
    subject = given["subject"]
    intro = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    solved = "".join(f"{mmlu_question(shot)} {LETTERS[int(shot['answer'])]}\n\n" for shot in shots)
    row = chosen(intro + solved + mmlu_question(given), LETTERS, int(given["answer"]))
    return {"kind": subject, **row}


def mmlu_question(given: Given) -> str:
    """The question and its lettered options, up to the answer."""
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, given["choices"], strict=True))
    return f"{given['question'].strip()}\n{listed}\nAnswer:"


BOTH = "Below is an instruction that describes a task, paired with an input that provides further context."
ALONE = "Below is an instruction that describes a task."
WRITE = "Write a response that appropriately completes the request."


def alpaca(given: Given) -> Row:
    """An instruction in one of the two standard Alpaca templates; the trainer's tokenizer closes the answer."""
    task = f"### Instruction:\n{given['instruction']}\n\n"
    if given["input"]:
        prompt = f"{BOTH} {WRITE}\n\n{task}### Input:\n{given['input']}\n\n### Response: "
    else:
        prompt = f"{ALONE} {WRITE}\n\n{task}### Response: "
    return {"prompt": prompt, "completion": given["output"]}
