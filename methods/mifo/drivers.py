"""The transforms of this folder that train: MIFO and ReLIFT, and the two trainings that lose gradients on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from methodbench.builtin.reinforce import reinforce as plain_rl
from methodbench.builtin.sft import sft
from methodbench.checkpoint import Checkpoint
from methodbench.correctness import Correctness
from methodbench.joblog import Log
from methodbench.measures import NAME
from methodbench.reinforcement import TRAINERS, read_rows, reinforce
from methodbench.training import main_process, save
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
    save(tuned, tokenizer, out)
    if main_process() and (work / NAME).exists():
        shutil.copyfile(work / NAME, out / NAME)


def drop_rl(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: DropRlConfig, seed: int, out: Path, log: Log
) -> None:
    """GRPO in which a share of every gradient is dropped."""
    plain_rl(parents, data, config.rl, seed, out, log, algorithm="grpo", callbacks=[GradientDrop(config.drop, seed)])


def drop_sft(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: DropSftConfig, seed: int, out: Path, log: Log
) -> None:
    """Supervised fine-tuning in which a share of every gradient is dropped."""
    sft(parents, data, config.sft, seed, out, log, callbacks=[GradientDrop(config.drop, seed)])
