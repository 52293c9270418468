"""Is a completion right? One rule for rewards, for demonstrations and for whoever counts. No torch here.

A row says what is right: ``{"answer": "12"}``, or ``{"answers": ["a c d", "a b d"]}`` where several are. The rule says
where a completion's answer stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from methodbench.config import config, field


@config
class AnswerConfig:
    """Where the answer stands in a completion."""

    rule: Literal["marker", "boxed"] = "boxed"  # what follows `marker`, word for word; or math-verify's reading
    marker: str = field("The answer is", min_length=1)
    think: str = ""  # e.g. "</think>": only what follows the first one counts; without one the answer is wrong


class Correctness:
    """Judges completions by a row's gold answers.

    marker: the text behind the last marker, up to the first special token ``<|...``, equals a gold answer; runs of
    white space count as one space. boxed: math-verify finds it equal to a gold answer read as LaTeX.
    """

    def __init__(self, config: AnswerConfig) -> None:
        self.config = config

    def __call__(self, completion: str, row: Mapping[str, Any]) -> bool | None:
        """True, False, or None where the row has no answer that can be read."""
        answers = row.get("answers") or [row.get("answer")]
        gold = [read for read in (self._gold(str(answer)) for answer in answers if answer is not None) if read]
        if not gold:
            return None
        if self.config.think:
            _, closed, completion = completion.partition(self.config.think)
            if not closed:
                return False
        if self.config.rule == "marker":
            _, found, told = completion.rpartition(self.config.marker)
            return bool(found) and _even(told) in gold
        from math_verify import parse, verify

        told = parse(completion)
        return any(verify(answer, told) for answer in gold)

    def _gold(self, answer: str) -> Any:
        """As the rule compares it; empty if it cannot be read."""
        if self.config.rule == "marker":
            return _even(answer)
        from math_verify import parse

        return parse(f"${answer}$")


def _even(text: str) -> str:
    """Without special tokens at the end, one space for every run of white space."""
    return " ".join(text.split("<|", 1)[0].split())
