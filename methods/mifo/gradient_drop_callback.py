"""Online gradient drop inside any trainer of transformers' kind, supervised or by reinforcement."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from methodbench.merging.masks import seed_of
from methods.mifo.gradient_drop import drop_gradients


class GradientDrop(TrainerCallback):
    """Drops a `share` of every gradient before the optimiser sees it.

    The trainer clips before it calls (transformers 5.23), so a clipped gradient's norm is max_grad_norm times about
    sqrt(1 - share) afterwards. A step's mask follows from the seed and the step's number alone: nothing is kept between
    steps, and a resumed run draws what an uninterrupted one would. Every rank of a data-parallel run draws the same
    mask; sharded gradients are not foreseen.
    """

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.seed = share, seed

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel | None = None,
        **_: Any,
    ) -> None:
        if self.share == 0 or model is None:
            return
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        generator = torch.Generator(model.device).manual_seed(seed_of(f"drop|{self.seed}|{state.global_step}"))
        drop_gradients(gradients, self.share, generator)
