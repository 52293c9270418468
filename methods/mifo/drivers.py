"""The transforms of this folder that train: MIFO and ReLIFT, and the two trainings that lose gradients on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
import torch
from trl.trainer.sft_config import SFTConfig

from methodbench.builtin.sft import arguments, read_solutions
from methodbench.checkpoint import Checkpoint
from methodbench.correctness import Correctness
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.measures import NAME
from methodbench.reinforcement import TRAINERS, read_rows, reinforce
from methodbench.supervised import CHECKPOINTING, AnchoredTrainer
from methodbench.training import go, quiet
from methods.mifo.callback import Interleave
from methods.mifo.config import DropRlConfig, DropSftConfig, MifoConfig, ReliftConfig
from methods.mifo.gradient_drop_callback import GradientDrop


def interleaved(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: MifoConfig | ReliftConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Reinforcement on ``data["prompts"]`` with sessions on their demonstrations; a table of the sessions beside it."""
    rows = read_rows(data["prompts"])
    model, tokenizer = parents[0].load(dtype=torch.float32)
    work = out.parent / "training"
    work.mkdir(exist_ok=True)
    correctness = Correctness(config.rl.answer)
    sessions = Interleave(config.interleave, tokenizer, rows, correctness, seed, log, work)
    tuned = reinforce(
        model,
        tokenizer,
        rows,
        correctness,
        work,
        log,
        config.rl,
        seed=seed,
        callbacks=[sessions],
        trainer_class=TRAINERS[config.algorithm],
        watch=sessions.watch,
    )
    tuned.save_pretrained(out)
    tokenizer.save_pretrained(out)
    if (work / NAME).exists():
        shutil.copyfile(work / NAME, out / NAME)


def drop_rl(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: DropRlConfig, seed: int, out: Path, log: Log
) -> None:
    """GRPO in which a share of every gradient is dropped."""
    rows = read_rows(data["prompts"])
    model, tokenizer = parents[0].load(dtype=torch.float32)
    correctness, drop = Correctness(config.rl.answer), GradientDrop(config.drop, seed)
    work = out.parent / "training"
    tuned = reinforce(model, tokenizer, rows, correctness, work, log, config.rl, seed=seed, callbacks=[drop])
    tuned.save_pretrained(out)
    tokenizer.save_pretrained(out)


def drop_sft(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: DropSftConfig, seed: int, out: Path, log: Log
) -> None:
    """Supervised fine-tuning in which a share of every gradient is dropped.

    Raises:
        UserError: an anchor or low-rank updates are asked for, of which the experiment knows nothing.
    """
    if config.sft.anchor_l2 or config.sft.lora_rank:
        raise UserError("mifo_drop_sft: keys 'sft.anchor_l2' and 'sft.lora_rank': given other values, allowed: 0")
    model, tokenizer = parents[0].load(dtype=torch.float32)
    rows = read_solutions(data["train"], tokenizer)
    settings = arguments(config.sft, len(rows), seed)
    if settings["max_steps"]:
        work = out.parent / "training"
        fixed = {"bf16": torch.cuda.is_available(), CHECKPOINTING: False, "packing": False}
        datasets.disable_progress_bars()
        trainer = AnchoredTrainer(
            model=model.train(),
            args=SFTConfig(**{**quiet(work), **fixed, **settings}),
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[GradientDrop(config.drop, seed)],
        )
        go(trainer, work, log)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
