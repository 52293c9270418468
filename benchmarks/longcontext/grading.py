"""Grades the synthetic tasks, RULER and the books.

- One number (`process_number`): the first number of the answer must be the right one, digit for digit.
- Several (`process_several`): a value counts as found if it stands in the answer as a whole word or number, in any
  order and whatever stands around it; `recovered` is the share found.
- RULER (`process_ruler_all`, `process_ruler_any`): its own rule: an expected string counts as found if it stands
  anywhere in the answer, capitals or not, even inside another word. Any one suffices where they are accepted answers to
  one question.

A tokenizer of single digits writes ``4 7 1 9 3``: digits one blank apart are read as one number, as long as each of
them stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

APART = re.compile(r"\b\d(?: \d\b)+")
DIGITS = re.compile(r"\d+")
WORD = re.compile(r"\w+")
CONTROL = re.compile(r"[\x00-\x1f]")


def joined(text: str) -> str:
    """``"4 7 1 9 3 ."`` -> ``"47193 ."``."""
    return APART.sub(lambda found: found.group().replace(" ", ""), text)


def first_number(text: str) -> str | None:
    """The first run of digits; None without one."""
    found = DIGITS.search(joined(text))
    return found.group() if found else None


def process_number(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """What lm-eval asks of a task: one number per metric, for one item."""
    told = first_number(results[0])
    return {"exact_match": int(told == doc["answer"]), "answered": int(told is not None)}


def process_several(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """As `process_number`, for a list of answers."""
    told = set(WORD.findall(joined(results[0]).lower()))
    return {"recovered": share(answer in told for answer in doc["answers"]), "answered": int(bool(told))}


def process_ruler_all(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """RULER: the share of the expected strings that stand in the answer."""
    told = CONTROL.sub("\n", results[0].strip()).strip().lower()
    return {"recovered": share(answer.lower() in told for answer in doc["answers"]), "answered": int(bool(told))}


def process_ruler_any(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """RULER's questions: 1 if any accepted answer stands in the text."""
    told = process_ruler_all(doc, results)
    return told | {"recovered": float(told["recovered"] > 0)}


def process_last(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Books: negative log-likelihood of the window's last span, per token of the tokenizer that cut the window."""
    ((likelihood, _),) = results
    return {"nll": 0.0 - likelihood / doc["tokens"]}


def share(found: Iterable[bool]) -> float:
    """How many of the yes-or-no values are yes."""
    values = list(found)
    return sum(values) / len(values)
