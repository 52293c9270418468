"""A problem as every kind gives it, and the draw of an item from reasoning-gym.

Text is written for a tokenizer of whole lower-case words, single letters, digits and symbols. Where a step of a worked
rationale refers to an element of the prompt, a capital stands before the element and before its step: a model that has
learnt to repeat what followed a token finds the element by its label, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from random import Random
from string import ascii_uppercase
from typing import Any

from reasoning_gym import create_dataset

SIGNS = " . The answer is"  # what stands between a rationale and its answer
Slip = Callable[[list[str], Random], list[str]]  # pieces of an answer -> the same with one slip, or unchanged


@dataclass(frozen=True)
class Problem:
    """One problem. `prompt` alone identifies it; all text is pieces with a space between."""

    prompt: str  # "sum A 7 B 4 C 9 ="
    work: str  # the rationale: "A 7 B 1 1 C 2 0"
    answer: str  # "2 0", or "c b a"
    plausible: range | Slip  # an answer that is a number is one of these; of any other, how it may go wrong
    entry: Mapping[str, Any] = field(default_factory=dict)  # reasoning-gym's item; empty where the kind is ours

    @property
    def completion(self) -> str:
        """The worked answer as a model is to write it."""
        return self.concluding(self.answer)

    def concluding(self, answer: str) -> str:
        """The rationale, with this answer."""
        return f" {self.work}{SIGNS} {answer} <|end|>"


def spaced(pieces: object) -> str:
    """``107`` -> ``"1 0 7"``, ``"abc"`` or ``["a", "b", "c"]`` -> ``"a b c"``."""
    return " ".join(pieces if isinstance(pieces, list) else str(pieces))


def labelled(values: Iterable[object]) -> str:
    """``[7, 11]`` -> ``"A 7 B 1 1"``."""
    return " ".join(f"{label} {spaced(value)}" for label, value in zip(ascii_uppercase, values, strict=False))


def draw(rng: Random, name: str, source: Mapping[str, list[str]] | None = None, /, **settings: Any) -> dict[str, Any]:
    """One item of reasoning-gym's data set `name` under `settings`; `source`: the texts that it is to draw from."""
    data = gym(name, tuple(settings.items()))
    for attribute, texts in (source or {}).items():
        assert hasattr(data, attribute), f"reasoning-gym's {name} has no '{attribute}'"
        setattr(data, attribute, texts)
    # Item i is drawn from seed + i, so items of one seed would overlap with its neighbours': a far seed an item.
    data.seed = rng.getrandbits(48)
    item: dict[str, Any] = data[0]
    return item


@cache
def gym(name: str, settings: tuple[tuple[str, Any], ...] = ()) -> Any:
    """reasoning-gym's data set of one item, made once for equal settings."""
    return create_dataset(name, size=1, seed=0, **dict(settings))
