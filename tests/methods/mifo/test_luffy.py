"""LUFFY's objective against loops, and where demonstrations take a rollout's place."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.reinforcement import UNCLIPPED, reinforce
from methods.mifo.config import LuffyConfig, LuffyRl
from methods.mifo.demonstrations import Demonstrations
from methods.mifo.luffy import Luffy, shaped_objective
from tests import pico

SETTINGS: dict[str, Any] = dict(
    questions=4, samples=4, updates=1, micro_batch=16, max_new_tokens=8, learning_rate=3e-3, steps=1
)


def drawn(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """log p and log p_old [4, 5], advantages [4]."""
    generator = torch.Generator().manual_seed(seed)
    log_p = -3 * torch.rand(4, 5, generator=generator)
    old = log_p + 0.8 * torch.randn(4, 5, generator=generator)
    return log_p, old, torch.randn(4, generator=generator)


@pytest.mark.parametrize("epsilon", [0.2, UNCLIPPED])
@pytest.mark.parametrize("placed", [[], [3], [0, 2], [0, 1, 2, 3]])
def test_the_objective_is_the_loops(placed: list[int], epsilon: float) -> None:
    log_p, old, advantages = drawn()
    demonstration = torch.tensor([row in placed for row in range(4)])
    found = shaped_objective(log_p, old, advantages, demonstration, 0.1, epsilon)
    for row in range(4):
        for token in range(5):
            p, q, a = math.exp(log_p[row, token]), math.exp(old[row, token]), float(advantages[row])
            ratio = p / q
            wanted = min(ratio * a, max(1 - epsilon, min(1 + epsilon, ratio)) * a)
            if row in placed:
                wanted = p / (p + 0.1) * a
            assert float(found[row, token]) == pytest.approx(wanted, rel=1e-5)


def test_a_demonstrations_gradient_is_that_of_the_shaped_probability() -> None:
    log_p, old, advantages = drawn(1)
    log_p.requires_grad_()
    shaped_objective(log_p, old, advantages, torch.ones(4, dtype=torch.bool), 0.1, UNCLIPPED).sum().backward()
    p = log_p.detach().exp()
    # d/dlog p of p/(p+g) is p g/(p+g)^2: small for tokens that are nearly certain, largest at p = g
    assert log_p.grad is not None
    assert torch.allclose(log_p.grad, p * 0.1 / (p + 0.1) ** 2 * advantages[:, None])


@pytest.mark.parametrize("placed", [True, False])
def test_gradients_are_finite_whatever_is_missing(placed: bool) -> None:
    log_p, old, advantages = drawn(2)
    log_p[:, 0] = -200.0  # exp underflows
    log_p.requires_grad_()
    shaped_objective(log_p, old, advantages, torch.full((4,), placed), 0.1, UNCLIPPED).sum().backward()
    assert log_p.grad is not None and torch.isfinite(log_p.grad).all()


ROWS: list[dict[str, Any]] = [
    {"prompt": "a", "answer": "x", "demonstration": "xyz"},
    {"prompt": "b", "answer": "x", "demonstration": "wrong"},
    {"prompt": "c", "answer": "x"},
    {"prompt": "d", "answer": "x", "demonstration": "x" * 8},  # with its end token too long
]


def begins(completion: str, row: Mapping[str, Any]) -> bool:
    return completion.startswith(row["answer"])


def train(work: Path, rows: list[dict[str, Any]], **own: Any) -> tuple[PreTrainedModel, list[list[Any]]]:
    seen: list[list[Any]] = []

    class Bound(Luffy):
        demonstrations = Demonstrations(rows, pico.tokenizer(), begins, 512)
        shaping = 0.1

    model = reinforce(
        pico.model("llama"),
        pico.tokenizer(),
        rows,
        begins,
        work,
        Log("test", stream=io.StringIO()),
        LuffyRl(**SETTINGS | own),
        seed=1,
        trainer_class=Bound,
        watch=lambda *told: seen.append(list(told)),
    )
    return model, seen


def test_the_last_of_a_group_is_a_demonstration_that_is_right_and_fits(tmp_path: Path) -> None:
    _, seen = train(tmp_path, ROWS)
    ((rows, completions, right),) = seen
    assert len(completions) == 16
    for first in range(0, 16, 4):
        row, group = rows[first], completions[first : first + 4]
        assert (group[-1] == "xyz") is (row["prompt"] == "a")
        assert not {"xyz", "wrong", "x" * 8} & set(group[:-1])
    assert right[[row["prompt"] for row in rows].index("a") + 3] is True


@pytest.mark.parametrize("micro_batch", [16, 2])  # with 2 most micro-batches hold no demonstration
def test_demonstrations_become_likely_and_nothing_breaks(micro_batch: int, tmp_path: Path) -> None:
    rows = [{"prompt": letter, "answer": "x", "demonstration": "xyz"} for letter in "abcd"]
    model, seen = train(tmp_path, rows, micro_batch=micro_batch, steps=30, learning_rate=1e-2)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    assert sum(map(bool, seen[0][2])) <= 6  # at first the four demonstrations, hardly more
    assert sum(sum(map(bool, right)) for *_, right in seen[-5:]) >= 5 * 8


def test_a_micro_batch_changes_rounding_only(tmp_path: Path) -> None:
    one, _ = train(tmp_path / "one", ROWS, entropy=0.0)
    many, _ = train(tmp_path / "many", ROWS, entropy=0.0, micro_batch=4)
    moved = torch.cat(
        [(a - b).detach().abs().flatten() for a, b in zip(one.parameters(), many.parameters(), strict=True)]
    )
    assert moved.quantile(0.99) < 1e-5


def test_other_losses_are_refused() -> None:
    with pytest.raises(UserError, match="luffy: keys 'loss' and 'kl'"):
        parse(LuffyConfig, {"rl": {"loss": "grpo"}}, "test")
    assert parse(LuffyConfig, {"rl": {"samples": 4}}, "test").rl.clip is False
