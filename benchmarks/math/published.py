"""The published sets: fetched from the model hub at a chosen revision, or stood in for by rows of our own making.

A row is ``{"id", "kind", "question", "answer", "repeat"}``, with a template also `prompt`; an AIME item stands in eight
rows that differ in `repeat`, because a runtime seeds each row by its own content and place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from benchmarks.math.config import Template
from benchmarks.math.stand_ins import STAND_INS
from benchmarks.math.templates import render
from methodbench.errors import UserError
from methodbench.hub import fetch_rows


@dataclass(frozen=True)
class Source:
    """Where a set lies on the hub and which columns hold what."""

    hub: str
    subset: str | None
    split: str
    question: str | Callable[[Mapping[str, Any]], str]
    answer: Callable[[Mapping[str, Any]], str]
    n: int
    repeats: int = 1


def number(row: Mapping[str, Any]) -> str:
    """AMC's answers are real numbers on the hub, all of them whole: ``142.0`` -> ``142``."""
    return f"{float(row['answer']):.10g}"


def expressions(row: Mapping[str, Any]) -> str:
    """OlympiadBench's answers are a list of LaTeX texts, with or without dollar signs."""
    return ", ".join(str(text).strip().strip("$") for text in row["final_answer"])


def lettered(row: Mapping[str, Any]) -> str:
    """A question with at most ten options below it, a line each: ``B. 4``."""
    options = zip(ascii_uppercase, row["options"], strict=False)
    return "\n".join([str(row["question"]).strip(), *(f"{letter}. {option}" for letter, option in options)])


SOURCES = {
    "gsm8k": Source(
        "openai/gsm8k", "main", "test", "question", lambda row: str(row["answer"]).rsplit("####", 1)[-1].strip(), 1319
    ),
    "math500": Source("HuggingFaceH4/MATH-500", None, "test", "problem", lambda row: str(row["answer"]), 500),
    "aime24": Source(
        "HuggingFaceH4/aime_2024", None, "train", "problem", lambda row: str(row["answer"]), 30, repeats=8
    ),
    "aime25": Source("yentinglin/aime_2025", None, "train", "problem", lambda row: str(row["answer"]), 30, repeats=8),
    "gpqa_diamond": Source(
        "hendrydong/gpqa_diamond_mc", None, "test", "problem", lambda row: str(row["solution"]), 198
    ),
    "amc": Source("AI-MO/aimo-validation-amc", None, "train", "problem", number, 83, repeats=32),
    "olympiadbench": Source("Hothan/OlympiadBench", "OE_TO_maths_en_COMP", "train", "question", expressions, 674),
    # 12,032 scored ones and 70 meant as examples: only together are they the 12,102 that arXiv 2510.04454 counts.
    "mmlu_pro": Source("TIGER-Lab/MMLU-Pro", None, "test+validation", lettered, lambda row: str(row["answer"]), 12_102),
}


def published_rows(
    name: str, revision: str, stand_in: bool, tries: int | None = None, template: Template = ""
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of one set, and what to write beside them about where they come from.

    `tries` is how many rows an item stands in, by default the source's own number.

    Raises:
        UserError: the hub cannot be reached or has no such revision, or the set has not the published size.
    """
    source = SOURCES[name]
    if stand_in:
        pairs = list(STAND_INS[name])
        origin: dict[str, Any] = {"stand_in": True}
    else:
        pairs, fingerprint = fetch(name, source, revision)
        origin = {"hub": source.hub, "split": source.split, "revision": revision, "fingerprint": fingerprint}
        if len(pairs) != source.n:
            raise UserError(f"math: set '{name}', revision '{revision}': given {len(pairs)} rows, expected {source.n}")
    repeats = tries or source.repeats
    rows = [
        {"id": index * repeats + repeat, "kind": name, "question": question, "answer": answer, "repeat": repeat}
        | ({"prompt": render(template, question)} if template else {})
        for index, (question, answer) in enumerate(pairs)
        for repeat in range(repeats)
    ]
    return rows, origin | {"n": len(pairs), "repeats": repeats}


def fetch(name: str, source: Source, revision: str) -> tuple[list[tuple[str, str]], str]:
    """Questions and gold answers from the hub, and the fingerprint of what came."""
    rows, fingerprint = fetch_rows(f"math: set '{name}'", source.hub, source.subset, source.split, revision)
    ask = source.question
    return [(ask(row) if callable(ask) else str(row[ask]).strip(), source.answer(row)) for row in rows], fingerprint
