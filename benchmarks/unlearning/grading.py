"""Grades the procedural tasks, and hands their pictures to lm-eval.

Where a language model judges in the original, there are ROUGE-L and the value's place in the answer instead (M§4.5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from PIL import Image
from rouge_score.rouge_scorer import RougeScorer

from benchmarks.unlearning.questions import KINDS, LETTERS
from methodbench.visual import decode_picture

WORD = re.compile(r"[a-z]+")


def doc_to_image(doc: Mapping[str, Any]) -> list[Image.Image]:
    """The item's one picture, as lm-eval wants it."""
    return [decode_picture(doc["image"])]


def words(text: str) -> list[str]:
    """``" Works as a baker."`` -> ``["works", "as", "a", "baker"]``."""
    return WORD.findall(text.lower())


def process_cloze(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """`exact_match`: the first word is the value. `substring`: it stands anywhere, the released rule (M§4.2)."""
    return {
        "exact_match": int(words(results[0])[:1] == [doc["value"]]),
        "substring": int(doc["value"].lower() in results[0].lower()),
    }


def process_generation(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """ROUGE-L F1 against the whole answer; is the value among the words; is any value of the attribute."""
    said = set(words(results[0]))
    return {
        "rouge_l": rouge_l(doc["answer"], results[0]),
        "slot": int(doc["value"] in said),
        "answered": int(not said.isdisjoint(KINDS[doc["kind"]])),
    }


def process_classification(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """The answer's first character, in upper case, is the letter; any other than A to D is wrong (M§4.2)."""
    letter = results[0].strip()[:1].upper()
    read = letter != "" and letter in LETTERS
    return {"acc": int(read and letter == LETTERS[doc["label"]]), "answered": int(read)}


def process_membership(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """1 if the value is likelier of the person to be forgotten than of one never trained on, 0.5 if neither.

    The mean over items is the area under the curve of an attack by likelihood that is told such pairs; 0.5 is ideal.
    """
    (forgotten, _), (other, _) = results
    return {"member": 0.5 if forgotten == other else float(forgotten > other)}


def rouge_l(reference: str, answer: str) -> float:
    """ROUGE-L F1 with stemming, as the released code has it."""
    return float(rouge(answer, reference).fmeasure)


def rouge(told: str, gold: str) -> Any:
    """Precision, recall and F1 of the longest common subsequence of stemmed words."""
    return _scorer().score(gold, told)["rougeL"]


@cache
def _scorer() -> RougeScorer:
    return RougeScorer(["rougeL"], use_stemmer=True)
