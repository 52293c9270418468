"""Grades published sets that are asked by a template, as the scripts behind arXiv 2510.04454's tables do.

Where the prompt opens the thinking, the answer is what follows the first ``</think>``, up to a second if there is one,
and without any it is wrong. So this grader has to see the thinking: it is for models of whose tokenizer ``</think>`` is
no single token, since the runtime cuts the thinking of all others off. Gold is read between dollar signs, the
prediction by math-verify's defaults. One habit of those scripts is left out: they cut an answer at a line that begins
with ``Answer:``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from math_verify import parse, verify

from benchmarks.math.templates import opened


def after_thought(prompt: str, told: str) -> str | None:
    """What is graded of a text; None if its thinking was opened and never closed."""
    if not opened(prompt):
        return told
    pieces = told.split("</think>")
    return pieces[1] if len(pieces) > 1 else None


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """What lm-eval asks of a task: one number per metric, for one item.

    Raises:
        ValueError: the gold answer cannot be read, which would count every answer as wrong.
    """
    gold = parse(f"${doc['answer']}$")
    if not gold:
        raise ValueError(f"math: set '{doc['kind']}', item {doc['id']}: gold answer {doc['answer']!r} cannot be read")
    answer = after_thought(doc.get("prompt", ""), results[0])
    found = parse(answer) if answer else []
    return {"exact_match": int(bool(found) and bool(verify(gold, found))), "answered": int(bool(found))}
