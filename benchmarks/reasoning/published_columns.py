"""How one row of a published set, as the hub has it, becomes one of ours: a function a set.

A row is ``{"kind", "prompt", "answer"}``, where the prompt is the bare question, and

- where the set has a worked solution: `answer_detail`;
- where there are options: their texts in `options`, what names them in `labels` ("A", "B" or "Yes", "No"), and the
  index of the right one in `label`. Parts of bbh that ask for a number have neither, and -1.

`part` is the set's subset on the hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.reasoning.grading_published import boxed

Row = dict[str, Any]
Given = Mapping[str, Any]

LETTERS = "ABCDEFGHIJKLMNOPQR"
ASKING = (  # how tasks/_number asks
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{question}\n\n### Response: Let's think step by step."
)
WORDS = (("True", "False"), ("Yes", "No"), ("valid", "invalid"))  # answers of bbh's parts without letters
LETTERED = re.compile(r"^\(([A-Z])\) (.*)$", re.MULTILINE)
ASKED = re.compile(r"\s*Answer Choices:.*$", re.DOTALL)  # what stands behind the question in AGIEval's own prompts


def gsm8k(given: Given, part: str) -> Row:
    """openai/gsm8k: the answer stands behind the last ``####`` of the solution."""
    solution = str(given["answer"]).strip()
    gold = solution.rpartition("####")[2].strip().replace(",", "")
    return {"prompt": str(given["question"]).strip(), "answer": gold, "answer_detail": solution}


def gsm8k_probe(given: Given, part: str) -> Row:
    """A whole prompt and the solution behind it, without the calculator's notes."""
    row = gsm8k(given, part)
    steps = re.sub(r"<<[^>]*>>", "", row["answer_detail"].rpartition("####")[0]).strip()
    return read(row | {"kind": "gsm8k"}, steps)


def math(given: Given, part: str) -> Row:
    """EleutherAI/hendrycks_math: the answer is the last box of the solution; the subject is the kind."""
    solution = str(given["solution"]).strip()
    question, gold = str(given["problem"]).strip(), boxed(solution) or ""
    return {"kind": part, "prompt": question, "answer": gold, "answer_detail": solution}


def math_probe(given: Given, part: str) -> Row:
    """A whole prompt and the solution behind it."""
    row = math(given, part)
    return read(row, row["answer_detail"])


def read(row: Row, steps: str) -> Row:
    """A row of which the completion is read, not asked for."""
    prompt = ASKING.format(question=row["prompt"])
    return {"kind": row["kind"], "prompt": prompt, "completion": f"\n{steps}\nThe answer is {row['answer']}"}


def gsm_plus(given: Given, part: str) -> Row:
    """qintongli/GSM-Plus: what was changed in the GSM8K question is the kind; the answer may be the word None."""
    kind, gold = str(given["perturbation_type"]).strip(), str(given["answer"]).strip()
    return {"kind": kind, "prompt": str(given["question"]).strip(), "answer": gold}


def asdiv(given: Given, part: str) -> Row:
    """EleutherAI/asdiv: a body and its question; a unit stands in brackets behind the answer."""
    question = f"{str(given['body']).strip()} {str(given['question']).strip()}"
    gold = str(given["answer"]).partition(" (")[0].strip()
    return {"kind": str(given["solution_type"]), "prompt": question, "answer": gold}


def svamp(given: Given, part: str) -> Row:
    """ChilleD/SVAMP: a body, often without its full stop, and its question; the operation is the kind."""
    body = str(given["Body"]).strip()
    body = body if body.endswith((".", "?", "!", ",")) else f"{body}."
    question = f"{body} {str(given['Question']).strip()}"
    return {"kind": str(given["Type"]), "prompt": question, "answer": str(given["Answer"]).strip()}


def mathqa(given: Given, part: str) -> Row:
    """regisss/math_qa: five options in one string, ``a ) 38 , b ) 27.675 , ... e ) none of these``."""
    texts = re.findall(r"[a-e] \) (.*?)(?=\s*,\s*[a-e] \) |\s*$)", str(given["options"]), re.DOTALL)
    return options(given["Problem"], texts, "abcde".index(str(given["correct"])))


def lettered(given: Given, part: str) -> Row:
    """allenai/ai2_arc and tau/commonsense_qa: options called A to E, or 1 to 5; here always A to E."""
    offered = given["choices"]
    return options(given["question"], offered["text"], list(offered["label"]).index(given["answerKey"]))


def mmlu(given: Given, part: str) -> Row:
    """cais/mmlu; the subject is the kind."""
    return {"kind": part} | options(given["question"], given["choices"], int(given["answer"]))


def agieval(given: Given, part: str) -> Row:
    """hails/agieval-...: `query` is AGIEval's own prompt, with its options; of several answers the first counts."""
    query, gold = str(given["query"]), given["gold"]
    texts = [re.sub(r"^\([A-Z]\)\s*", "", str(option)) for option in given["choices"]]
    question = ASKED.sub("", query).strip().removeprefix("Q: ")
    made = options(question, texts, int(gold[0] if isinstance(gold, list) else gold))
    return made | {"query": query, "choices": [str(option) for option in given["choices"]]}


def bbh(given: Given, part: str) -> Row:
    """SaylorTwift/bbh: options in the text, ``(A) ...``, else one of two words, else a number; the part is the kind."""
    question, target = str(given["input"]).strip(), str(given["target"]).strip()
    if re.fullmatch(r"\([A-Z]\)", target):
        labels, texts = (list(found) for found in zip(*LETTERED.findall(question), strict=True))
        answer = target[1]
    else:
        labels = texts = list(next((pair for pair in WORDS if target in pair), ()))
        answer = target
    made = {"kind": part, "prompt": question, "answer": answer, "options": texts, "labels": labels}
    return made | {"label": labels.index(answer) if labels else -1}


def options(question: Any, offered: Any, right: int) -> Row:
    """A row with lettered options."""
    texts = [str(option).strip() for option in offered]
    labels = list(LETTERS[: len(texts)])
    return {
        "prompt": str(question).strip(),
        "answer": labels[right],
        "options": texts,
        "labels": labels,
        "label": right,
    }
