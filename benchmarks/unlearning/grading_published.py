"""Scores of the published sets' answers (M§4.2 and 4.3), and the picture of a row.

- classification: right if the answer's first character, as a capital, is the right letter, as released: any other
  beginning is wrong. `answered` tells how many begin with one of the letters.
- cloze: `substring` is the released rule, right if the gold words stand anywhere in the answer, whatever their case; it
  rewards long answers, so `exact_match` asks for nothing else but a full stop.
- generation: ROUGE-L F1 with a stemmer. CLEAR: its recall; `named` tells whether a caption has the person's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.unlearning.grading import rouge

LETTERS = ("A", "B", "C", "D")
Doc = Mapping[str, Any]


def process_letter(doc: Doc, results: Sequence[str]) -> dict[str, int]:
    """Classification."""
    first = results[0].strip()[:1].upper()
    return {"acc": int(first == doc["answer"]), "answered": int(first in LETTERS)}


def process_cloze(doc: Doc, results: Sequence[str]) -> dict[str, int]:
    """Cloze."""
    told, gold = results[0].strip(), str(doc["answer"]).strip()
    return {
        "substring": int(gold.lower() in told.lower()),
        "exact_match": int(told.rstrip(".").lower() == gold.rstrip(".").lower()),
        "answered": int(bool(told)),
    }


def process_sentence(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Generation."""
    return {"rouge_l": rouge(results[0], doc["answer"]).fmeasure, "answered": int(bool(results[0].strip()))}


def process_qa(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """A question of TOFU."""
    return {"rouge_l_recall": rouge(results[0], doc["answer"]).recall, "answered": int(bool(results[0].strip()))}


def process_caption(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """A caption of CLEAR."""
    return process_qa(doc, results) | {"named": int(str(doc["person"]).lower() in results[0].lower())}
