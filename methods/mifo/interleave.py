"""Supervised sessions woven into reinforcement, whatever does the reinforcement (MIFO, arXiv 2510.04454; sheet 2.6).

    after each rollout batch and its updates:
        buffer questions with acc(q) <= p and a right demonstration      ledger.py, demonstrations.py, buffer.py
        if |B| >= S:
            C~ = alpha C + (1 - alpha) |theta - theta_start|;  M = top k of C~;  C = M C~     importance.py
            one session on B, the coordinates in M frozen                                     session.py
            theta_start = theta

A buffer that is not full when reinforcement ends is left (sheet 6.1, A14). `callback.py` ties this to TRL's trainers,
`run` to any function that makes an update.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from methodbench.sampling import stable_seed
from methods.mifo import importance
from methods.mifo.buffer import Buffer
from methods.mifo.demonstrations import Correct, Demonstrations
from methods.mifo.ledger import Ledger, candidates
from methods.mifo.mifo_config import InterleaveConfig
from methods.mifo.session import Learner

Row = Mapping[str, Any]

# Columns of measures.csv, a session a row. delta: L2 norms of the weights' changes; frozen: coordinates, and how far
# one of them moved in the session; jaccard: of this mask and the last; concentration: mean change inside over outside.
MEASURES = (
    *("session", "step", "rl_steps", "buffered", "sft_steps", "tokens", "selected", "loss", "nll"),
    *("frozen", "frozen_max_diff", "jaccard", "concentration", "delta_rl", "delta_sft"),
    *("unique_demonstrations", "total_demonstrations", "rl_questions"),
)


class Interleaving:
    """The sessions' part of a training run.

    Attributes:
        epoch: of reinforcement; whoever drives it keeps it current.
        measures: one row a session, by the names of `MEASURES`.
    """

    def __init__(
        self,
        config: InterleaveConfig,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[Row],
        correct: Correct,
        seed: int,
    ) -> None:
        self.config, self.seed, self.epoch = config, seed, 0
        self.ledger = Ledger(rows)
        self.demonstrations = Demonstrations(rows, tokenizer, correct, config.session.max_length)
        self.buffer = Buffer(config.trigger, config.overflow, config.order, config.dedup)
        self.batches = 0  # rollout batches since the last session
        self.questions = 0  # of all rollout batches
        self.learned: dict[int, int] = {}  # row -> how often a session learned from it
        self.measures: list[dict[str, float]] = []
        known = json.dumps([asdict(config), seed, [dict(row) for row in rows]], sort_keys=True, default=str)
        self.identity = hashlib.sha256(known.encode()).hexdigest()

    def begin(self, model: nn.Module) -> None:
        """Take the model as it is for theta_start.

        Raises:
            UserError: its weights are not float32, or sharded.
        """
        self.learner = Learner(model, self.config)
        self.weights = list(self.learner.weights.values())
        self.start = [_copy(weight) for weight in self.weights]
        self.change: list[Tensor] = []
        if self.config.mask in ("critical", "bottom"):
            self.change = [torch.zeros_like(one) for one in self.start]
        self.masks: list[Tensor] = []  # the last session's

    def watch(self, rows: Sequence[Row], completions: Sequence[str], right: Sequence[bool | None]) -> None:
        """Note one batch of rollouts, or this process's: the question each one answers, and if it is right."""
        table = self.ledger.tally(rows, right)
        self.questions += len(table)
        failed = candidates(table, self.config.accuracy)
        self.buffer.add((number for number in failed if self.demonstrations[number] is not None), self.epoch)

    @torch.no_grad()
    def after_batch(self, step: int) -> Mapping[str, float] | None:
        """Between two rollout batches, after `step` updates: hold a session if it is time for one.

        Returns its measures.
        """
        self.batches += 1
        if not self.buffer.full or self.batches < self.config.min_rl_steps:
            return None
        session = len(self.measures) + 1
        measures: dict[str, float] = {"session": session, "step": step, "rl_steps": self.batches}
        measures["delta_rl"] = importance.distance(self.weights, self.start)
        masks = self._masks(session, measures)
        for start, weight in zip(self.start, self.weights, strict=True):
            start.copy_(weight)

        numbers = self.buffer.take()
        examples = [example for number in numbers if (example := self.demonstrations[number]) is not None]
        generator = torch.Generator().manual_seed(stable_seed("tokens", self.seed, session))
        with torch.enable_grad():
            outcome = self.learner.learn(examples, masks, self.start, generator)

        for number in numbers:
            self.learned[number] = self.learned.get(number, 0) + 1
        measures |= {
            "buffered": len(numbers),
            "sft_steps": outcome.steps,
            "tokens": outcome.tokens,
            "selected": outcome.selected,
            "loss": outcome.loss,
            "nll": outcome.nll,
            "frozen_max_diff": self._frozen_max_diff(masks),
            "delta_sft": importance.distance(self.weights, self.start),
            "unique_demonstrations": len(self.learned),
            "total_demonstrations": sum(self.learned.values()),
            "rl_questions": self.questions,
        }
        for start, weight in zip(self.start, self.weights, strict=True):
            start.copy_(weight)
        self.batches = 0
        self.measures.append({name: measures[name] for name in MEASURES})
        return self.measures[-1]

    def _masks(self, session: int, measures: dict[str, float]) -> list[Tensor] | None:
        """M of this session; the history becomes C."""
        kind, share, scope = self.config.mask, self.config.frozen, self.config.scope
        masks: list[Tensor] = []
        measures |= {"frozen": 0, "jaccard": math.nan, "concentration": math.nan}
        if kind == "random":
            generator = torch.Generator().manual_seed(stable_seed("mask", self.seed, session))
            masks = importance.random_masks(self.start, share, generator, scope)
        elif kind != "none":
            importance.update_change(self.change, self.weights, self.start, self.config.history)
            masks = top = importance.top_masks(self.change, share, scope)
            if kind == "bottom":
                masks = importance.bottom_masks(self.change, share, scope)
            measures["concentration"] = importance.concentration(self.change, masks)
            importance.keep_selected(self.change, top)
        if not masks:
            return None
        measures["frozen"] = importance.size(masks)
        if self.masks:
            measures["jaccard"] = importance.jaccard(self.masks, masks)
        self.masks = masks
        return masks

    def _frozen_max_diff(self, masks: Sequence[Tensor] | None) -> float:
        moved = [
            float(((weight - start).abs_() * mask).max())
            for weight, start, mask in zip(self.weights, self.start, masks or [], strict=masks is not None)
        ]
        return max(moved, default=0.0)

    def tensors(self) -> dict[str, Tensor]:
        """What `restore` needs, by name."""
        kept: dict[str, Tensor] = {}
        for kind, values in (("start", self.start), ("change", self.change), ("mask", self.masks)):
            kept |= {f"{kind}.{name}": one for name, one in zip(self.learner.weights, values, strict=False)}
        for name, weight in self.learner.weights.items():
            kept |= {f"{key}.{name}": value for key, value in self.learner.optimizer.state.get(weight, {}).items()}
        return kept

    def facts(self) -> dict[str, Any]:
        """What else it needs, as JSON."""
        return {
            "waiting": self.buffer.waiting,
            "entered": list(self.buffer.entered.items()),
            "batches": self.batches,
            "questions": self.questions,
            "learned": list(self.learned.items()),
            "measures": self.measures,
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Be as when `tensors` and `facts` were made; after `begin`."""
        found: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            kind, _, name = key.partition(".")
            found.setdefault(kind, {})[name] = value
        names = list(self.learner.weights)
        self.start = [found["start"][name] for name in names]
        self.change = [found["change"][name] for name in names] if "change" in found else []
        self.masks = [found["mask"][name] for name in names] if "mask" in found else []
        for name, weight in self.learner.weights.items():
            if name in found.get("step", {}):
                state = {key: found[key][name] for key in ("step", "exp_avg", "exp_avg_sq")}
                self.learner.optimizer.state[weight] = state | {"step": state["step"].cpu()}
        self.buffer.waiting = list(facts["waiting"])
        self.buffer.entered = {number: epoch for number, epoch in facts["entered"]}
        self.batches, self.questions = facts["batches"], facts["questions"]
        self.learned = {number: times for number, times in facts["learned"]}
        self.measures = list(facts["measures"])


def run(
    update: Callable[[], tuple[Sequence[Row], Sequence[bool | None]]],
    model: nn.Module,
    batches: int,
    interleaving: Interleaving,
) -> None:
    """Weave sessions into reinforcement by any function.

    `update` draws one batch of rollouts, learns from it, and returns the question of each rollout and if it is right.
    """
    interleaving.begin(model)
    for step in range(1, batches + 1):
        rows, right = update()
        interleaving.watch(rows, [], right)
        interleaving.after_batch(step)


def _copy(weight: Tensor) -> Tensor:
    return weight.detach().clone(memory_format=torch.contiguous_format)
