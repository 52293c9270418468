"""Plain reinforcement learning of a checkpoint: GRPO and RLOO, by the method's `algorithm`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from transformers import TrainerCallback

from methodbench import reinforcement
from methodbench.checkpoint import Checkpoint
from methodbench.correctness import Correctness
from methodbench.joblog import Log
from methodbench.reinforcement_config import ReinforceConfig
from methodbench.training import save


def reinforce(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: ReinforceConfig,
    seed: int,
    out: Path,
    log: Log,
    algorithm: Literal["grpo", "rloo"],
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Train on the questions of ``data["prompts"]`` and write the model to `out`; the state lies beside `out`."""
    rows = reinforcement.read_rows(data["prompts"])
    model, tokenizer = parents[0].load(dtype=torch.float32)
    tuned = reinforcement.reinforce(
        model,
        tokenizer,
        rows,
        Correctness(config.answer),
        out.parent / "training",
        log,
        config,
        seed=seed,
        callbacks=callbacks,
        trainer_class=reinforcement.TRAINERS[algorithm],
    )
    save(tuned, tokenizer, out)
