"""Sessions between the rollout batches of TRL's GRPO and RLOO trainers, or any trainer with reward functions.

The trainer's reward function shows `watch` every batch of rollouts that it scores in training, never in evaluation. A
session falls into `on_step_end` of the last update on a rollout batch: before that, the batch's probabilities under the
policy that drew it would grow stale; after it, the trainer draws anew (and vLLM gets the new weights), saves, logs.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState

from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.measures import NAME
from methods.mifo.demonstrations import Correct
from methods.mifo.interleave import MEASURES, Interleaving
from methods.mifo.mifo_config import InterleaveConfig
from methods.mifo.state import load_state, save_state

CURVES = ("buffered", "loss", "nll", "delta_rl", "delta_sft", "jaccard", "total_demonstrations")


class Interleave(TrainerCallback):
    """Weave sessions into a trainer's run; stands before the callback that marks a checkpoint as whole.

    A table of the sessions is written to `work` when training ends (`methodbench.measures`).
    """

    def __init__(
        self,
        config: InterleaveConfig,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[Mapping[str, Any]],
        correctness: Correct,
        seed: int,
        log: Log,
        work: Path,
    ) -> None:
        self.interleaving = Interleaving(config, tokenizer, rows, correctness, seed)
        self.log, self.work = log, work
        self.watch = self.interleaving.watch
        self.period = 1  # updates on a rollout batch

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, model: nn.Module | None = None, **_: Any
    ) -> None:
        """Take theta_start, or what a checkpoint remembers.

        Raises:
            UserError: the run cannot have sessions, or its checkpoints would fall between the updates on one rollout
                batch, from which it could not go on exactly.
        """
        if getattr(args, "fsdp", None) or getattr(args, "deepspeed", None):
            raise UserError("sessions need whole weights in every process: give neither 'fsdp' nor 'deepspeed'")
        generations = getattr(args, "steps_per_generation", None) or args.gradient_accumulation_steps
        passes = getattr(args, "num_iterations", 1)
        self.period, uneven = divmod(generations * passes, args.gradient_accumulation_steps)
        saving = str(getattr(args.save_strategy, "value", args.save_strategy))
        if uneven or (saving == "steps" and state.save_steps % self.period):
            raise UserError(
                f"key 'save_steps': given {state.save_steps}, allowed: a multiple of the {self.period} updates "
                "on a rollout batch"
            )
        if model is None:
            raise ValueError("a trainer gives its callbacks the model")
        self.interleaving.begin(model)
        if state.global_step:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            device = self.interleaving.weights[0].device
            self.interleaving.restore(*load_state(folder, self.interleaving.identity, device))
        self.interleaving.epoch = int(state.epoch or 0)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step % self.period == 0:
            measures = self.interleaving.after_batch(state.global_step)
            if measures is not None and state.is_world_process_zero:
                curves = {f"session_{name}": measures[name] for name in CURVES}
                self.log.metrics(state.global_step, {name: value for name, value in curves.items() if value == value})
        self.interleaving.epoch = int(state.epoch or 0)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            own = self.interleaving
            save_state(folder, own.tensors(), own.facts(), own.identity)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.write_measures(self.work)

    def write_measures(self, folder: Path) -> None:
        """The table of the sessions so far, one a row."""
        with (folder / NAME).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(MEASURES)
            table.writerows([f"{row[name]:.8g}" for name in MEASURES] for row in self.interleaving.measures)
