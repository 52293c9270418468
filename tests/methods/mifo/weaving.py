"""What the tests of sessions share: questions with demonstrations, a rule, and a reinforcement that is planted."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.config import parse
from methods.mifo.interleave import Interleaving
from methods.mifo.mifo_config import InterleaveConfig
from tests import pico

ROWS: list[dict[str, Any]] = [
    {"prompt": f"{number:02d}?", "answer": "abcde"[number % 5], "demonstration": f"it is {'abcde'[number % 5]}."}
    for number in range(24)
]


def correct(text: str, row: Mapping[str, Any]) -> bool | None:
    """Right is what has the answer before its end."""
    return row["answer"] in text[:-1]


def config(session: dict[str, Any] | None = None, **keys: Any) -> InterleaveConfig:
    own = {"learning_rate": 1e-3, "micro_batch": 4, "max_length": 64, **(session or {})}
    return parse(InterleaveConfig, {"trigger": 4, **keys, "session": own}, "test")


def interleaving(settings: InterleaveConfig, seed: int = 0) -> Interleaving:
    return Interleaving(settings, pico.tokenizer(), ROWS, correct, seed)


def weights(model: PreTrainedModel) -> list[Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


class Planted:
    """Reinforcement that moves the weights at random, with verdicts at random: eight rollouts of four questions.

    What a call does follows from its number.
    """

    def __init__(self, model: PreTrainedModel, wrong: float = 0.88, call: int = 0) -> None:
        self.model, self.wrong, self.call = model, wrong, call

    def questions(self) -> list[tuple[int, list[bool]]]:
        """Numbers of the questions of this call, and the verdicts on their rollouts."""
        rng = random.Random(f"planted {self.call}")
        chosen = rng.sample(range(len(ROWS)), 4)
        return [(number, [rng.random() > self.wrong for _ in range(8)]) for number in chosen]

    def move(self) -> None:
        generator = torch.Generator().manual_seed(1000 + self.call)
        with torch.no_grad():
            for weight in self.model.parameters():
                weight += 1e-3 * torch.randn(weight.shape, generator=generator)

    def __call__(self) -> tuple[Sequence[Mapping[str, Any]], Sequence[bool | None]]:
        asked = self.questions()
        self.move()
        self.call += 1
        rows = [ROWS[number] for number, verdicts in asked for _ in verdicts]
        return rows, [verdict for _, verdicts in asked for verdict in verdicts]


def steps(update: Callable[[], Any], own: Interleaving, first: int, last: int) -> None:
    """What `run` does, from one step to another."""
    for step in range(first, last + 1):
        rows, right = update()
        own.watch(rows, [], right)
        own.after_batch(step)
