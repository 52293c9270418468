"""Grades the texts (nats a word or a byte) and the recalled facts, and hands options to lm-eval."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

WORD = re.compile(r"[a-z]+")


def bare_options(doc: Mapping[str, Any]) -> list[str]:
    """The options without the blank before them, which lm-eval adds again.

    A row's option is what follows its prompt, letter for letter; lm-eval's acc_norm does not count that blank.
    """
    return [option.removeprefix(" ") for option in doc["options"]]


def process_recalled(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """1 if the first word is the right value."""
    return {"exact_match": int(WORD.findall(results[0].lower())[:1] == [doc["answer"]])}


def process_words(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Negative log-likelihood of a window from its second word on, per word; a full stop counts as one."""
    ((likelihood, _),) = results
    return {"nll": 0.0 - likelihood / doc["tokens"]}


def process_bytes(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """The same per byte in UTF-8, so that models with different tokenizers can be compared."""
    ((likelihood, _),) = results
    return {"nll_byte": 0.0 - likelihood / doc["bytes"]}
