"""LUFFY (arXiv 2504.14945), a baseline: in every group of N one demonstration takes the place of a rollout.

The group's mean reward is over all N, and nothing is divided by a standard deviation. With A the advantage,
pi = pi_theta(token) and r = pi / pi_old, a token's part of what is maximised is

    r A               of a rollout (clipped where the settings say so; LUFFY's do not)
    pi/(pi + g) A     of a demonstration, g = 0.1: uncertain tokens count, nearly certain ones hardly move

summed and divided by B · max_new_tokens. Questions without a right demonstration that fits get N rollouts. The place
that a demonstration takes is drawn first and then thrown away: 1/N of all rollouts. Rewards and lengths in the curves
are those of whole groups, the demonstration included.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methodbench.checkpoint import Checkpoint
from methodbench.correctness import Correctness
from methodbench.joblog import Log
from methodbench.reinforcement import GRPO, read_rows, reinforce
from methodbench.training import save
from methods.mifo.config import LuffyConfig
from methods.mifo.demonstrations import Demonstrations


def shaped_objective(
    log_p: Tensor, old: Tensor, advantages: Tensor, demonstration: Tensor, shaping: float, epsilon: float
) -> Tensor:
    """What is maximised at each token, [B, T].

    Args:
        log_p, old: [B, T] log-probabilities of the tokens now and when they were drawn.
        advantages: [B]; demonstration: [B] bool.
    """
    advantage = advantages[:, None]
    ratio = (log_p - old).exp()
    rollout = torch.min(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon) * advantage)
    p = log_p.exp()
    return torch.where(demonstration[:, None], p / (p + shaping) * advantage, rollout)


class Luffy(GRPO):
    """A GRPO trainer in whose groups the last completion is a demonstration, where there is one."""

    num_generations: int
    max_completion_length: int

    demonstrations: Demonstrations
    shaping: float

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        size, first = self.num_generations, self.accelerator.process_index * len(inputs)
        # One a place: the tokens that stand there instead of a rollout.
        self.placed = [
            self._demonstration(one["row"]) if place % size == size - 1 else None
            for place, one in enumerate(inputs, first)
        ]
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        scored["demonstration"] = torch.tensor([ids is not None for ids in self.placed], device=self.accelerator.device)
        return scored

    def _demonstration(self, number: int) -> list[int] | None:
        example = self.demonstrations[number]
        if example is None or example.length > self.max_completion_length:
            return None
        return list(example.ids[example.prompt :])

    def _generate_single_turn(self, *arguments: Any, **named: Any) -> Any:
        drawn, log_p = super()._generate_single_turn(*arguments, **named)
        if log_p is not None:  # vLLM's: TRL leaves tokens without one out of its correction
            log_p = [[math.nan] * len(ids) if ids else own for ids, own in zip(self.placed, log_p, strict=True)]
        return [ids or own for ids, own in zip(self.placed, drawn, strict=True)], log_p

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        mask = inputs["completion_mask"]
        log_p, entropy, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], mask], dim=1),
            mask.shape[1],
            compute_entropy=True,
        )
        old = inputs.get("old_per_token_logps")
        objective = shaped_objective(
            log_p,
            log_p.detach() if old is None else old,
            inputs["advantages"],
            inputs["demonstration"],
            self.shaping,
            self.epsilon_high,
        )
        if "importance_sampling_ratio" in inputs:
            objective = objective * inputs["importance_sampling_ratio"]
        mean_entropy = (entropy * mask).sum() / mask.sum().clamp(min=1)
        self._metrics["train"]["entropy"].append(mean_entropy.item())
        gain = (objective * mask).sum() / (len(mask) * self.max_completion_length)
        loss: Tensor = -(gain + self.entropy_coef * mean_entropy) / self.current_gradient_accumulation_steps
        return loss


def luffy(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: LuffyConfig, seed: int, out: Path, log: Log
) -> None:
    """Train on the questions and demonstrations of ``data["prompts"]`` and write the model to `out`."""
    rows = read_rows(data["prompts"])
    model, tokenizer = parents[0].load(dtype=torch.float32)
    correctness = Correctness(config.rl.answer)

    class Bound(Luffy):
        demonstrations = Demonstrations(rows, tokenizer, correctness, sys.maxsize)  # those too long are not placed
        shaping = config.shaping

    work = out.parent / "training"
    tuned = reinforce(model, tokenizer, rows, correctness, work, log, config.rl, seed=seed, trainer_class=Bound)
    save(tuned, tokenizer, out)
