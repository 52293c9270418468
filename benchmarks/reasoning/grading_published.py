r"""Grades answers to the published sets by the published extractor, and beside it by one that minds no form.

Published (code of arXiv 2503.02103, merge_syn 5f5cb16). Numbers: the last one after the last "The answer is", in the
whole text if that is absent, compared as floats, so that "3/4" is wrong. MATH: what follows the phrase, else the last
box, else the last number; `strict_colon` is what its evaluation script does, which wants "The answer is: " with a colon
that no worked example has. Options, where the code has nothing: the label right after the phrase.

Lenient: the last number or fraction of the text; the boxed, else the last expression that math-verify reads; the last
label that stands alone, else the option whose text comes last. `answered` tells whether there is any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from benchmarks.reasoning.passk import pass_at_k
from benchmarks.reasoning.published_tasks import TRIES

PHRASE = "The answer is"
MATH_PHRASE = re.compile(r"[Tt]he answer is(?::\s*|\s+)")
NUMBER = re.compile(r"-?\d+/?\.?\d*")
VALUE = re.compile(r"-?\d+(?:\.\d+)?(?:/\d+(?:\.\d+)?)?")
BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
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


# -- numbers -----------------------------------------------------------------------------------------------------------


def published_number(text: str) -> float | None:
    """``"It is $18.50. The answer is 1,200 or 3."`` -> 3.0; None where there is none, or `float` rejects it."""
    found = NUMBER.findall(text.rpartition(PHRASE)[2].replace(",", ""))
    try:
        return float(found[-1].rstrip("./")) if found else None
    except ValueError:
        return None


def number(text: str) -> Fraction | None:
    """The last number of a text, exactly: ``"1,200.50"``, ``"3/4"``; None if there is none."""
    found = VALUE.findall(text.replace(",", ""))
    if not found:
        return None
    above, _, below = found[-1].partition("/")
    divisor = Fraction(below or 1)
    return Fraction(above) / divisor if divisor else None


def process_number(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """What lm-eval asks of a task: one number per metric, for one item; the gold answer is a number."""
    gold, told, last = number(doc["answer"]), published_number(results[0]), number(results[0])
    assert gold is not None  # others were left out
    return {
        "exact_match": int(told is not None and told == float(gold)),
        "lenient": int(last == gold),
        "answered": int(last is not None),
    }


# -- MATH --------------------------------------------------------------------------------------------------------------


def boxed(text: str) -> str | None:
    r"""What the last ``\boxed{...}`` holds, braces balanced; also ``\boxed 5``; None without one."""
    opened = list(BOX.finditer(text))
    if not opened:
        bare = re.findall(r"\\boxed ([^$\s]+)", text)
        return str(bare[-1]) if bare else None
    start, depth = opened[-1].end(), 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0) if text[place - 1] != "\\" else 0
        if depth == 0:
            return text[start:place]
    return None


def sentence(text: str) -> str:
    """Up to the full stop that ends a line, and without a last one."""
    return text.split(".\n")[0].strip().removesuffix(".")


def published_math(text: str) -> str:
    """What follows the phrase, else the last box, else the last number; "" if there is none of them."""
    phrases = list(MATH_PHRASE.finditer(text))
    if phrases:
        return sentence(text[phrases[-1].end() :])
    box = boxed(text)
    if box is not None:
        return box
    found = NUMBER.findall(text.replace(",", ""))
    return str(found[-1]) if found else ""


def strict_colon(text: str) -> str:
    """What follows the last "The answer is: ", with its colon; "" without it."""
    _, phrase, rest = text.rpartition(f"{PHRASE}: ")
    return sentence(rest) if phrase else ""


def equal(gold: str, told: str) -> bool:
    """Are two LaTeX answers the same: as strings without blanks and dollar signs, else as math-verify reads them?"""
    one, two = ("".join(answer.split()).replace("$", "") for answer in (gold, told))
    if not two or one == two:
        return bool(two)
    return bool(verify(expression(one), expression(two)))


def expression(answer: str) -> list[Any]:
    """A bare LaTeX answer as math-verify reads it; empty if it cannot."""
    return list(parse(f"${answer}$", extraction_config=[LatexExtractionConfig()]))


def lenient_math(gold: str, text: str) -> tuple[bool, bool]:
    """Is the boxed, else the last expression of a whole text the gold answer, and was there any?"""
    found = list(parse(text, extraction_config=PREDICTION, extraction_mode="first_match"))
    return bool(found) and (str(found[-1]) == gold or bool(verify(expression(gold), found))), bool(found)


def process_math(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """As `process_number`, for answers in LaTeX."""
    gold, text = doc["answer"], results[0]
    right, answered = lenient_math(gold, text)
    return {
        "exact_match": int(equal(gold, published_math(text))),
        "lenient": int(right),
        "strict_colon": int(equal(gold, strict_colon(text))),
        "answered": int(answered),
    }


def process_tries(doc: Mapping[str, Any], results: Sequence[Sequence[str]]) -> dict[str, float]:
    """pass@k from all answers to one question, by the lenient rule; `answered` is the share with any."""
    tries = [lenient_math(doc["answer"], text) for text in results[0]]
    right = sum(one for one, _ in tries)
    passed = {f"pass_{k}": pass_at_k(len(tries), right, k) for k in TRIES}
    return passed | {"answered": sum(answered for _, answered in tries) / len(tries)}


# -- options -----------------------------------------------------------------------------------------------------------


def published_option(text: str, labels: Sequence[str]) -> str | None:
    """The label right after the last phrase: ``"The answer is (C) 12"`` -> "C"; None without one."""
    _, phrase, rest = text.rpartition(PHRASE)
    found = pattern(labels, before=r":?[\s(\[*\"'$]*").match(rest) if phrase else None
    return spelled(found[1], labels) if found else None


def last_option(text: str, labels: Sequence[str], options: Sequence[str]) -> str | None:
    """The last label that stands alone, else the option whose text ends last, of several the longest; else None."""
    # "A" and "I" before a small letter are words of a sentence.
    found = pattern(labels, before=r"(?<![A-Za-z0-9'])(?![AI] [a-z])").findall(text)
    if found:
        return spelled(found[-1], labels)
    said = [
        (text.lower().rfind(option.lower()) + len(option), len(option), place) for place, option in enumerate(options)
    ]
    said = [one for one in said if one[0] >= one[1] > 0]
    return labels[max(said)[2]] if said else None


def pattern(labels: Sequence[str], before: str) -> re.Pattern[str]:
    """A label that no letter or digit follows; words in either case, letters as capitals."""
    either = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    return re.compile(rf"{before}({either})(?![A-Za-z0-9])", re.IGNORECASE if len(labels[0]) > 1 else re.NOFLAG)


def spelled(found: str, labels: Sequence[str]) -> str:
    """The label in its own spelling."""
    return next(label for label in labels if label.lower() == found.lower())


def process_option(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """As `process_number`, for options; an item without any asks for a number."""
    labels = doc["labels"]
    if not labels:
        return process_number(doc, results)
    last = last_option(results[0], labels, doc["options"])
    return {
        "exact_match": int(published_option(results[0], labels) == doc["answer"]),
        "lenient": int(last == doc["answer"]),
        "answered": int(last is not None),
    }
