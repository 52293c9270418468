"""Worked solutions as tokens, those alone whose answer is right (MIFO, arXiv 2510.04454, section 3.1; sheet 2.3).

A demonstration stands where a rollout would: the prompt's tokens as for a rollout, then the demonstration's, then the
end token, which counts as one of them (sheet 6.1, A13). What exceeds the longest length is cut, the end token with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from methodbench.reinforcement import prompt_ids

Correct = Callable[[str, Mapping[str, Any]], bool | None]


@dataclass(frozen=True)
class Example:
    """Tokens of a prompt and its demonstration."""

    ids: tuple[int, ...]
    prompt: int  # how many of them are the prompt's

    @property
    def length(self) -> int:
        """n = |s|."""
        return len(self.ids) - self.prompt


class Demonstrations:
    """Examples of rows by number, made and verified when first asked for."""

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        tokenizer: PreTrainedTokenizerBase,
        correct: Correct,
        max_length: int,
    ) -> None:
        self.rows, self.tokenizer, self.correct, self.max_length = rows, tokenizer, correct, max_length
        self._known: dict[int, Example | None] = {}

    def __getitem__(self, number: int) -> Example | None:
        """The example; None without a demonstration, with a wrong one, or where the prompt leaves no room for it."""
        if number not in self._known:
            self._known[number] = self._made(self.rows[number])
        return self._known[number]

    def _made(self, row: Mapping[str, Any]) -> Example | None:
        text = row.get("demonstration")
        if not text or self.correct(text, row) is not True:
            return None
        prompt = prompt_ids(self.tokenizer, row)
        if not 0 < len(prompt) < self.max_length:  # the first token of all is predicted from nothing
            return None
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        if ids[-1:] != [end]:
            ids = [*ids, end]
        return Example((*prompt, *ids)[: self.max_length], len(prompt))
