"""Grades the published sets with math-verify, as the experiments of arXiv 2510.05069 do.

Gold: a plain expression for gsm8k, AIME and AMC, LaTeX between dollar signs for the other sets. Prediction: a boxed
expression first, then a plain one; the first match counts; nothing readable is wrong. As in those experiments, a text
without a closed thinking part is graded whole (the runtime then returns it whole).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

LATEX_GOLD = {"math500", "gpqa_diamond", "olympiadbench", "mmlu_pro"}
PREDICTION = (
    LatexExtractionConfig(
        try_extract_without_anchor=False,
        boxed_match_priority=0,
        normalization_config=NormalizationConfig(
            basic_latex=True, units=True, malformed_operators=False, nits=False, boxed="all"
        ),
    ),
    ExprExtractionConfig(),
)


def parse_gold(kind: str, answer: str) -> list[Any]:
    """The gold answer as math-verify reads it: ``"1/2"`` or ``\\frac{1}{2}`` -> ``[Rational(1, 2), ...]``."""
    if kind in LATEX_GOLD:
        return list(parse(f"${answer}$", extraction_config=[LatexExtractionConfig()]))
    return list(parse(answer, extraction_config=[ExprExtractionConfig()]))


def parse_prediction(answer_text: str) -> list[Any]:
    """What the text after the last ``</think>`` says in the end; empty if nothing can be read."""
    told = answer_text.rsplit("</think>", 1)[-1]
    return list(parse(told, extraction_config=PREDICTION, extraction_mode="first_match"))


def extract(answer_text: str) -> str | None:
    """The extracted answer as text, None if nothing can be read."""
    found = parse_prediction(answer_text)
    return str(found[-1]) if found else None


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """What lm-eval asks of a task: one number per metric, for one item.

    Raises:
        ValueError: the gold answer cannot be read, which would count every answer as wrong.
    """
    gold = parse_gold(doc["kind"], doc["answer"])
    if not gold:
        raise ValueError(f"math: set '{doc['kind']}', item {doc['id']}: gold answer {doc['answer']!r} cannot be read")
    found = parse_prediction(results[0])
    return {"exact_match": int(bool(found) and bool(verify(gold, found))), "answered": int(bool(found))}
