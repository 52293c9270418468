"""Supervised fine-tuning on prompts and completions: TRL's SFTTrainer with exact resume, progress and curves.

A row is ``{"prompt", "completion"}``. The loss is the cross-entropy of the completion's tokens, the end token that TRL
puts behind them included, summed over the whole batch and divided by their number.

With `anchor_l2` the loss gains ``anchor_l2 * sum_i (theta_i - theta_i(start))^2``, which holds the weights near where
they began. With `lora_rank` only low-rank updates of all linear layers are trained, and then added to the weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from methodbench.joblog import Log
from methodbench.training import go, quiet

# TRL's default is to compute activations twice; transformers 5.23 renamed the switch.
NAMES = {field.name for field in dataclasses.fields(SFTConfig)}
CHECKPOINTING = next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in NAMES)


class AnchoredTrainer(SFTTrainer):
    """An SFTTrainer with a squared distance from the starting weights in its loss."""

    anchor_l2: float = 0.0
    anchor: Mapping[str, Tensor]

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: writing one asks the hub about the model's name."""

    def compute_loss(self, model: Any, *arguments: Any, **named: Any) -> Any:
        loss = super().compute_loss(model, *arguments, **named)
        if not self.anchor_l2:
            return loss
        moved = [((p - self.anchor[name]) ** 2).sum() for name, p in model.named_parameters() if name in self.anchor]
        return loss + self.anchor_l2 * torch.stack(moved).sum()


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, str]],
    work: Path,
    log: Log,
    *,
    anchor_l2: float = 0.0,
    lora_rank: int = 0,
    callbacks: Sequence[TrainerCallback] = (),
    **arguments: Any,
) -> PreTrainedModel:
    """Train on `rows`, from the newest whole state in `work` if there is one; returns the model with new weights.

    Args:
        model: float32 on the job's device; changed in place.
        callbacks: act before the state of a step counts as whole.
        arguments: of TRL's `SFTConfig`; the ones fixed here make runs repeatable and quiet.
    """
    tuned: Any = model
    if lora_rank:
        tuned = get_peft_model(
            model,
            LoraConfig(r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
    fixed = {"bf16": torch.cuda.is_available(), CHECKPOINTING: False, "packing": False}
    settings = SFTConfig(**{**quiet(work), **fixed, **arguments})
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_list([{key: row[key] for key in ("prompt", "completion")} for row in rows])
    trainer = AnchoredTrainer(
        model=tuned, args=settings, train_dataset=data, processing_class=tokenizer, callbacks=list(callbacks)
    )
    trainer.anchor_l2 = anchor_l2
    trainer.anchor = {}
    if anchor_l2:
        trainer.anchor = {n: p.detach().clone() for n, p in tuned.named_parameters() if p.requires_grad}
    go(trainer, work, log)
    trained: PreTrainedModel = tuned.merge_and_unload() if isinstance(tuned, PeftModel) else model
    return trained
