"""Training that resumes exactly: transformers' Trainer with whole checkpoints only, progress and curves.

A kill can fall into the middle of a save. A training state therefore counts only once a marker file stands in it,
written last; `resume_point` finds the newest whole one and removes torn ones.

A batch may carry `weights` [B, T] beside its labels: the loss is then the weighted mean of the tokens' cross-entropies.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Sampler
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from methodbench.joblog import Log

WHOLE = "whole"  # the marker's file name


def resume_point(work: Path) -> Path | None:
    """The newest whole training state in `work`, or None; torn states are removed."""
    states = sorted(work.glob("checkpoint-*"), key=lambda state: int(state.name.split("-")[1]))
    for state in states:
        if not (state / WHOLE).exists():
            shutil.rmtree(state)
    whole = [state for state in states if state.exists()]
    return whole[-1] if whole else None


class Watch(TrainerCallback):
    """Tell the log what the trainer does, and mark a saved state as whole once all of it is on the disk.

    `more` names further curves, each with its key in what the trainer logs.
    """

    def __init__(self, log: Log, more: Mapping[str, str]) -> None:
        self.log = log
        self.curves = {"loss": "loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate", **more}
        self.told = ("loss", *more)  # to the person, too
        self.live: dict[str, float] = {}

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any) -> None:
        found = {name: (logs or {}).get(key) for name, key in self.curves.items()}
        values = {name: float(value) for name, value in found.items() if value is not None}
        if values and state.is_world_process_zero:
            self.live |= {name: value for name, value in values.items() if name in self.told}
            self.log.metrics(state.global_step, values)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.log.progress(state.global_step, state.max_steps, "step", **self.live)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        os.sync()
        (folder / WHOLE).touch()


class AlikeInLength(Sampler[int]):
    """Indices in an order whose batches hold rows of about one length, and follow each other at random.

    transformers' "group_by_length" lets batches fall from long to short again and again, so that kinds of rows that
    differ in length come in blocks: with six kinds a small model's loss stayed ten times as high.
    """

    POOL = 40  # batches that are filled from one random draw of rows

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self.seed} {self.epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        pool = self.POOL * self.batch_size
        for begin in range(0, len(order), pool):
            rows = sorted(order[begin : begin + pool], key=lambda row: self.lengths[row])
            batches = [rows[place : place + self.batch_size] for place in range(0, len(rows), self.batch_size)]
            # The loader cuts the order into batches again: only the last one of all may be short.
            last = batches.pop() if len(batches[-1]) < self.batch_size else []
            rng.shuffle(batches)
            yield from (row for batch in [*batches, last] for row in batch)


class WeightedTrainer(Trainer):
    """A Trainer whose loss minds the tokens' weights, where a batch has them."""

    sampler: AlikeInLength | None = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.sampler or super()._get_train_sampler(train_dataset)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """A state's weights; image-text models write them under old names, which transformers' loader passes over."""
        own = self.model
        if isinstance(own, PreTrainedModel) and hasattr(own.config, "vision_config") and not self.is_fsdp_enabled:
            whole = type(own).from_pretrained(resume_from_checkpoint, use_safetensors=True, dtype=own.dtype)
            own.load_state_dict(whole.state_dict())
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if "weights" not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        outputs = model(**inputs, use_cache=False)
        loss = weighted_loss(outputs.logits, labels, weights)
        return (loss, outputs) if return_outputs else loss


def weighted_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean cross-entropy of predicting token t from those before it; logits [B, T, V], the others [B, T]."""
    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
    weights = weights[:, 1:]
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def train(
    model: PreTrainedModel,
    data: Any,
    collate: Any,
    work: Path,
    log: Log,
    optimizer: torch.optim.Optimizer | None = None,
    sampler: AlikeInLength | None = None,
    **arguments: Any,
) -> None:
    """Train `model` in place, from the newest whole state in `work` if there is one.

    `arguments` go to `TrainingArguments`, over those of `quiet`; without an `optimizer` or a `sampler` they choose.
    """
    settings = TrainingArguments(**{**quiet(work), "remove_unused_columns": False, **arguments})
    trainer = WeightedTrainer(
        model=model, args=settings, train_dataset=data, data_collator=collate, optimizers=(optimizer, None)
    )
    trainer.sampler = sampler
    go(trainer, work, log)


def quiet(work: Path) -> dict[str, Any]:
    """Training arguments that make runs repeatable and quiet, with their states in `work`."""
    return {
        "output_dir": str(work),
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "steps",
        "save_total_limit": 2,  # the older one stays until the newer is whole
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "logging_nan_inf_filter": False,
    }


def go(trainer: Trainer, work: Path, log: Log, curves: Mapping[str, str] | None = None) -> None:
    """Run a trainer from the newest whole state in `work`, telling `log` what it does.

    `curves` are more than the loss and the like: the name of each, and its key in what the trainer logs.
    """
    state = resume_point(work)
    step = int(state.name.split("-")[1]) if state else 0
    log.rewind(step)
    if state:
        log.say(f"goes on from step {step}")
    trainer.add_callback(Watch(log, curves or {}))
    trainer.pop_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(state) if state else None)


def main_process() -> bool:
    """Is this the only process of a training, or of several the one that writes?"""
    return int(os.environ.get("RANK", "0")) == 0


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write a trained model and its tokenizer to `out`; one process of several does."""
    if main_process():
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
