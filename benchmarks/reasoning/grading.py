"""Grades the procedural kinds: by the trained form of the answer, and by whatever the output ends on.

Two scores, because a model tuned on another form may have lost the form and not the reasoning. Spaces never decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.reasoning.passk import pass_at_k

FORM = re.compile(r"\bThe answer is\b")
READABLE = re.compile(r"\d+|[a-z]+")
NUMBER = re.compile(r"\d(?: *\d)*")
LETTERS = re.compile(r"\b[a-z](?: +[a-z]\b)+|[a-z]+")
TRIES = (1, 2, 4, 8, 16)  # the k of pass@k


def joined(text: str) -> str:
    """``" 2 7 "`` -> ``"27"``."""
    return "".join(text.split())


def extract(output: str) -> str | None:
    """``"A 7 B 2 7 . The answer is 2 7 <|end|>"`` -> ``"27"``.

    None unless the form stands there exactly once and only digits or only letters follow it.
    """
    _, *answers = FORM.split(output.split("<|", 1)[0])
    found = joined(answers[0]) if len(answers) == 1 else ""
    return found if READABLE.fullmatch(found) else None


def last(output: str, answer: str) -> str | None:
    """The last run of digits in the output or, for an `answer` of letters, of single letters, else its last word."""
    found = (NUMBER if answer[:1].isdigit() else LETTERS).findall(output.split("<|", 1)[0])
    return joined(found[-1]) if found else None


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """What lm-eval asks of a task: one number per metric, for one item."""
    answer, found = joined(doc["answer"]), extract(results[0])
    return {
        "exact_match": int(found == answer),
        "lenient": int(last(results[0], answer) == answer),
        "answered": int(found is not None),
    }


def process_tries(doc: Mapping[str, Any], results: Sequence[Sequence[str]]) -> dict[str, float]:
    """pass@k of one item; ``results[0]`` are its samples (lm-eval's filter ``take_first_k`` hands on all of them)."""
    right = sum(extract(sample) == joined(doc["answer"]) for sample in results[0])
    return {f"pass_{k}": pass_at_k(len(results[0]), right, k) for k in TRIES}


def choices(doc: Mapping[str, Any]) -> list[str]:
    """The options, each closed by the end token: without it ``2`` could never be less likely than ``2 7``."""
    return [f"{option} <|end|>" for option in doc["options"]]
