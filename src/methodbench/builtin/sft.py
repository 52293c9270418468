"""Supervised fine-tuning of a checkpoint on worked solutions: what reinforcement is compared with, or starts from.

A row is ``{"prompt" or "messages", "completion" or "demonstration"}``. A chat is written out by the tokenizer's
template, up to where the assistant begins. Rows without a solution are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, TrainerCallback

from methodbench.builtin.sft_config import SftConfig
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.supervised import fine_tune
from methodbench.training import save


def sft(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: SftConfig,
    seed: int,
    out: Path,
    log: Log,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Fine-tune on ``data["train"]`` and write the model to `out`; the training state lies beside `out`."""
    model, tokenizer = parents[0].load(dtype=torch.float32)
    rows = read_solutions(data["train"], tokenizer)
    settings = arguments(config, len(rows), seed)
    log.say(f"{len(rows)} rows, {settings['max_steps']} steps of {config.batch_size}")
    if settings["max_steps"]:
        model = fine_tune(
            model.train(),
            tokenizer,
            rows,
            out.parent / "training",
            log,
            anchor_l2=config.anchor_l2,
            lora_rank=config.lora_rank,
            callbacks=callbacks,
            **settings,
        )
    save(model, tokenizer, out)


def arguments(config: SftConfig, rows: int, seed: int) -> dict[str, Any]:
    """TRL's settings for a training on so many rows."""
    steps = config.steps if config.steps is not None else math.ceil(math.ceil(rows / config.batch_size) * config.epochs)
    return {
        "max_steps": steps,
        "max_length": config.max_length,
        "loss_type": config.loss,
        "per_device_train_batch_size": config.micro_batch,
        "gradient_accumulation_steps": config.batch_size // config.micro_batch,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "save_steps": config.save_every,
        # Means between two points of a curve are not part of a state, so states lie at points.
        "logging_steps": max(n for n in range(1, max(1, steps // 50) + 1) if config.save_every % n == 0),
        "seed": seed,
        "data_seed": seed,
    }


def read_solutions(path: Path, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, str]]:
    """Prompts and completions as texts.

    Raises:
        UserError: a row has no prompt, or no row has a solution.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = []
    for number, row in enumerate(rows, 1):
        if "prompt" not in row and "messages" not in row:
            raise UserError(f"{path}: line {number} has neither 'prompt' nor 'messages'")
        solution = row.get("completion") or row.get("demonstration")
        if solution:
            found.append({"prompt": _text(tokenizer, row), "completion": solution})
    if not found:
        raise UserError(f"{path}: none of {len(rows)} rows has a 'completion' or a 'demonstration' to learn from")
    return found


def _text(tokenizer: PreTrainedTokenizerBase, row: Mapping[str, Any]) -> str:
    if "prompt" in row:
        return str(row["prompt"])
    text = str(tokenizer.apply_chat_template(row["messages"], add_generation_prompt=True, tokenize=False))
    # Some templates write the beginning token, which the trainer's tokenization would set before it once more.
    begins = bool(tokenizer.bos_token) and tokenizer("")["input_ids"] == [tokenizer.bos_token_id]
    return text.removeprefix(str(tokenizer.bos_token)) if begins else text
