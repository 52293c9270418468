"""One supervised session inside reinforcement: demonstrations, chosen tokens, frozen coordinates (MIFO, sheet 2.4-2.6).

    for a batch b of S demonstrations:
        H    = entropies, dropout off              tokens.py
        loss = mean over b of (1/|s|) sum of -ln p(s_t) over the chosen t
        g    = dloss/dtheta, summed over processes; g[M] = 0; |g| cut to max_grad_norm
        theta = AdamW(theta, g);  theta[M] as it was

The last line is needed because AdamW moves a coordinate whose gradient is 0, by its moments and by weight decay
(`freeze: gradient` leaves it out). The optimiser is the sessions' own. A session draws nothing from the global random
state, and leaves the modules' modes as they were and no gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import clip_grad_norm_

from methodbench.errors import UserError
from methods.mifo import tokens
from methods.mifo.demonstrations import Example
from methods.mifo.mifo_config import InterleaveConfig


@dataclass
class Outcome:
    """What a session did: sums over its optimiser steps."""

    steps: int = 0
    tokens: int = 0  # of all demonstrations
    selected: int = 0
    loss: float = 0.0  # without the anchors
    nll: float = 0.0  # of all tokens, each before the step that learns from it


class Learner:
    """A model's trainable weights and the AdamW that sessions move them with.

    Attributes:
        weights: by name, in the model's order, tied ones once.
    """

    def __init__(self, model: nn.Module, config: InterleaveConfig) -> None:
        self.model, self.config = model, config
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        refuse_unfit(model, self.weights)
        self.optimizer = self._fresh()

    def _fresh(self) -> torch.optim.AdamW:
        own = self.config.session
        return torch.optim.AdamW(
            list(self.weights.values()), lr=own.learning_rate, betas=own.betas, weight_decay=own.weight_decay
        )

    def learn(
        self,
        examples: Sequence[Example],
        masks: Sequence[Tensor] | None,
        start: Sequence[Tensor],
        generator: torch.Generator,
    ) -> Outcome:
        """One session.

        Args:
            masks: True where a weight is frozen; None for nowhere.
            start: the weights as they are now; not changed.
            generator: on the CPU and the same on all processes; draws random tokens.
        """
        outcome = Outcome()
        if not self.config.share:
            return outcome
        if self.config.session.optimizer == "reset":
            self.optimizer = self._fresh()
        training = [module for module in self.model.modules() if module.training]
        self.model.eval()
        self.optimizer.zero_grad()
        try:
            for _ in range(self.config.session.passes):
                for begin in range(0, len(examples), self.config.trigger):
                    batch = examples[begin : begin + self.config.trigger]
                    self._gradients(batch, start, generator, outcome)
                    self._step(masks, start)
        finally:
            self.optimizer.zero_grad()
            for module in training:
                module.training = True
        outcome.loss, outcome.nll = outcome.loss / outcome.steps, outcome.nll / outcome.tokens
        return outcome

    def _gradients(
        self, batch: Sequence[Example], start: Sequence[Tensor], generator: torch.Generator, outcome: Outcome
    ) -> None:
        """The batch's gradient in the weights, the same on all processes: each takes every R-th demonstration."""
        lengths = [example.length for example in batch]
        weights = tokens.weights(lengths, self.config.session.reduction, len(batch), sum(lengths)).split(lengths)
        chosen: Sequence[Tensor | None] = [None] * len(batch)
        if self.config.tokens == "random":
            chosen = tokens.anywhere(lengths, self.config.share, generator).split(lengths)
        rank, processes = _place()
        own = list(zip(batch, weights, chosen, strict=True))[rank::processes]
        sums = torch.zeros(3, dtype=torch.float64)  # loss, -ln p of all tokens, number of chosen ones
        for begin in range(0, len(own), self.config.session.micro_batch):
            examples, scales, picks = zip(*own[begin : begin + self.config.session.micro_batch], strict=True)
            loss, part = self._loss(examples, torch.cat(scales), picks, start)
            loss.backward()
            sums += part
        sums = self._reduce(sums, processes)
        outcome.steps += 1
        outcome.tokens += sum(lengths)
        outcome.selected += int(sums[2])
        outcome.loss += float(sums[0])
        outcome.nll += float(sums[1])
        if self.config.session.anchor_l2:
            for weight, origin in zip(self.weights.values(), start, strict=True):
                if weight.grad is not None:
                    weight.grad.add_(weight.detach() - origin, alpha=2 * self.config.session.anchor_l2)

    def _loss(
        self, examples: Sequence[Example], scales: Tensor, picks: Sequence[Tensor | None], start: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The micro-batch's part of the batch's loss, with its graph, and the sums that `_gradients` keeps."""
        device = next(iter(self.weights.values())).device
        ids, predicting, inputs = padded(examples, device)
        logits = self.model(**inputs, use_cache=False).logits[:, :-1]
        targets = ids[:, 1:][predicting]
        entropies, nll = tokens.uncertainty(logits.detach()[predicting], targets)
        lengths, share = [example.length for example in examples], self.config.share
        if self.config.tokens == "all":
            chosen = torch.ones_like(entropies, dtype=torch.bool)
        elif self.config.tokens == "random":
            chosen = torch.cat([pick for pick in picks if pick is not None]).to(device)
        else:
            chosen = tokens.most_uncertain(entropies, lengths, share)
        scales = scales.to(device)
        own = self.config.session
        places = predicting.clone()
        places[predicting] = chosen
        losses = tokens.token_losses(logits[places], targets[chosen], own.loss, own.entropy)
        loss = plain = (losses * scales[chosen]).sum()
        if own.anchor_kl:
            origin = dict(zip(self.weights, start, strict=True))
            with torch.no_grad():
                before = functional_call(self.model, origin, kwargs={**inputs, "use_cache": False}).logits[:, :-1]
            distance = tokens.divergence(logits[predicting], before[predicting])
            loss = loss + own.anchor_kl * (distance * scales).sum()
        return loss, torch.stack([plain.detach(), nll.sum(dtype=torch.float64), chosen.sum()]).cpu()

    def _reduce(self, sums: Tensor, processes: int) -> Tensor:
        """Gradients and sums of all processes together."""
        if processes == 1:
            return sums
        for weight in self.weights.values():
            if weight.grad is None:  # this process had no demonstration
                weight.grad = torch.zeros_like(weight)
            dist.all_reduce(weight.grad)
        sums = sums.to(next(iter(self.weights.values())).device)
        dist.all_reduce(sums)
        return sums.cpu()

    @torch.no_grad()
    def _step(self, masks: Sequence[Tensor] | None, start: Sequence[Tensor]) -> None:
        weights, longest = list(self.weights.values()), self.config.session.max_grad_norm
        if self.config.clip == "before":
            clip_grad_norm_(weights, longest)
        if masks is not None:
            for weight, mask in zip(weights, masks, strict=True):
                if weight.grad is not None:
                    weight.grad.masked_fill_(mask, 0)
        if self.config.clip == "after":
            clip_grad_norm_(weights, longest)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if masks is not None and self.config.freeze == "exact":
            for weight, mask, origin in zip(weights, masks, start, strict=True):
                weight.copy_(torch.where(mask, origin, weight))


def padded(examples: Sequence[Example], device: torch.device) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Tokens [B, T]; the places [B, T - 1] that predict a demonstration's token; what the model is given."""
    longest = max(len(example.ids) for example in examples)
    # A padding token is predicted by nothing and seen by nothing before it: any id will do.
    ids = torch.tensor([[*example.ids, *[0] * (longest - len(example.ids))] for example in examples], device=device)
    place = torch.arange(longest, device=device)
    ends = torch.tensor([[len(example.ids)] for example in examples], device=device)
    prompts = torch.tensor([[example.prompt] for example in examples], device=device)
    predicting = (place[1:] >= prompts) & (place[1:] < ends)
    return ids, predicting, {"input_ids": ids, "attention_mask": (place < ends).long()}


def refuse_unfit(model: nn.Module, weights: dict[str, nn.Parameter]) -> None:
    """Raise a `UserError` where sessions would not do what they say.

    A bfloat16 weight above 5e-4 does not change at all at a learning rate of 1e-6 (sheet 6.1, A16). A process that
    holds a part of the weights alone cannot find the largest changes of all.
    """
    wrong = next((name for name, weight in weights.items() if weight.dtype != torch.float32), None)
    if wrong is not None:
        given = str(weights[wrong].dtype).removeprefix("torch.")
        raise UserError(f"model: weight '{wrong}' is stored as {given}; sessions need float32 weights")
    kinds = {cls.__name__ for module in model.modules() for cls in type(module).__mro__}
    kinds |= {type(part).__name__ for weight in weights.values() for part in (weight, weight.data)}
    if kinds & {"FullyShardedDataParallel", "FSDPModule", "DTensor"} or any(_zero3(w) for w in weights.values()):
        raise UserError("model: its weights are sharded (FSDP, ZeRO-3); sessions need whole ones: one process or DDP")
    if not weights:
        raise UserError("model: none of its weights is trained")


def _zero3(weight: Any) -> bool:
    return hasattr(weight, "ds_id")


def _place() -> tuple[int, int]:
    """This process's rank and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
