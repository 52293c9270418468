"""Reinforcement learning from right and wrong answers: TRL's GRPO and RLOO with exact resume, progress and curves.

A row is ``{"prompt": text}`` or ``{"messages": chat}``, and what tells which answers are right (correctness.py). N
completions a question are drawn; R is 1 for a right one, 0 for a wrong one; one that cannot be judged has no part in
its group. In GRPO ``A = R - mean R`` (`scale` divides it further), in RLOO the mean is that of the others.

Completions come from this package's decode loop (or vLLM), each from a seed of its own: neither the global random state
nor the number of slots decides them. A job that was killed goes on from a state between two rollout batches, because
rollouts themselves are not kept.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from methodbench.decoding import Request, decode
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.policy import Ordinary
from methodbench.reinforcement_config import ReinforceConfig
from methodbench.sampling import Sampling, stable_seed
from methodbench.supervised import CHECKPOINTING
from methodbench.training import go, quiet

Row = Mapping[str, Any]
Correct = Callable[[str, Row], bool | None]  # of a completion: right, wrong, or None if that cannot be told
Watcher = Callable[[list[Row], list[str], list[bool | None]], None]

UNCLIPPED = 1e9  # an epsilon that no ratio reaches
CURVES = {  # ours, TRL's; once a rollout batch
    "reward": "reward",
    "entropy": "entropy",
    "tokens": "completions/mean_length",
    "truncated": "completions/clipped_ratio",
}


class Rollouts:
    """What is ours in both trainers: how completions are drawn, and no model card."""

    slots: int

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: writing one asks the hub about the model's name."""

    def _generate_single_turn(self: Any, prompt_ids: list[list[int]], *arguments: Any, **named: Any) -> Any:
        if self.use_vllm or self.is_fsdp_enabled or self.is_deepspeed_enabled:  # weights that lie elsewhere
            return super()._generate_single_turn(prompt_ids, *arguments, **named)  # type: ignore[misc]
        step, process = self.state.global_step, self.accelerator.process_index
        seeds = [stable_seed("rollout", self.args.seed, step, process, place) for place in range(len(prompt_ids))]
        drawn = decode(
            self.accelerator.unwrap_model(self.model_wrapped),
            [Request(ids, seed, self.max_completion_length) for ids, seed in zip(prompt_ids, seeds, strict=True)],
            Ordinary(),
            Sampling(do_sample=True, temperature=self.temperature, top_p=self.top_p),
            slots=self.slots,
            eos_ids=self.eos_token_ids,
        )
        tokens = [generation.tokens for generation in drawn]
        return (tokens, None) if isinstance(self, GRPOTrainer) else tokens  # GRPO: with log-probabilities, if known


class GRPO(Rollouts, GRPOTrainer):
    """TRL's GRPOTrainer on our rollouts."""


class RLOO(Rollouts, RLOOTrainer):
    """TRL's RLOOTrainer on our rollouts."""


TRAINERS: dict[str, type[Any]] = {"grpo": GRPO, "rloo": RLOO}


def reinforce(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    correctness: Correct,
    work: Path,
    log: Log,
    config: ReinforceConfig,
    *,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
    trainer_class: Any = None,
    watch: Watcher | None = None,
) -> PreTrainedModel:
    """Train on `rows`, from the newest whole state in `work` if there is one; returns the model with new weights.

    Args:
        model: float32 on the job's device; changed in place.
        callbacks: act before the state of a step counts as whole.
        trainer_class: `GRPO` (the default), `RLOO`, or a class of theirs.
        watch: is shown every rollout batch with its judgements, groups of N in a row; must leave random states alone.

    Raises:
        UserError: too few rows, a row without a prompt, or a prompt that leaves no room for a completion.
    """
    steps = count_steps(len(rows), config)
    if steps == 0:
        return model
    prompts = read_prompts(model, tokenizer, rows, config)
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}

    def right(completion_ids: list[list[int]], row: list[int], **_: Any) -> list[float | None]:
        # Decoded here: TRL drops special tokens, and a rule may look for one.
        texts = [str(tokenizer.decode([token for token in ids if token not in ends])) for ids in completion_ids]
        asked = [rows[index] for index in row]
        judged = [correctness(text, one) for text, one in zip(texts, asked, strict=True)]
        if watch is not None and trainer.model.training:
            watch(asked, texts, judged)
        return [None if judgement is None else float(judgement) for judgement in judged]

    kind = trainer_class or GRPO
    data = [{"prompt": prompt, "row": index} for index, prompt in enumerate(prompts)]
    datasets.disable_progress_bars()
    trainer: Any = kind(
        model=model,
        reward_funcs=right,
        args=arguments(kind, config, steps, seed, work),
        train_dataset=datasets.Dataset.from_list(data),
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )
    trainer.slots = config.slots
    log.say(f"{len(rows)} questions, {steps} steps, {config.questions} x {config.samples} completions a batch")
    go(trainer, work, log, CURVES)
    return model


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file.

    Raises:
        UserError: it has none.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not rows:
        raise UserError(f"{path}: holds no questions")
    return rows


def arguments(kind: type, config: ReinforceConfig, steps: int, seed: int, work: Path) -> Any:
    """TRL's settings for a trainer class."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    update = config.questions * config.samples // config.updates
    accumulation, uneven = divmod(update, config.micro_batch * processes)
    if uneven:
        raise UserError(
            f"reinforcement: key 'micro_batch': given {config.micro_batch} on {processes} processes, "
            f"allowed: a divisor of {update} completions an update, all processes together"
        )
    settings = quiet(work) | {
        CHECKPOINTING: False,
        "bf16": torch.cuda.is_available(),
        "disable_dropout": True,
        "remove_unused_columns": False,
        "max_steps": steps,
        "per_device_train_batch_size": config.micro_batch,
        "gradient_accumulation_steps": accumulation,
        "steps_per_generation": accumulation * config.updates,
        "num_iterations": config.iterations,
        "num_generations": config.samples,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_completion_length": config.max_new_tokens,
        "use_vllm": config.vllm,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup,
        "adam_beta1": config.betas[0],
        "adam_beta2": config.betas[1],
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "epsilon": config.epsilon if config.clip else UNCLIPPED,
        "beta": config.kl,
        # Means between two points of a curve are not part of a state, so states lie at points.
        "logging_steps": config.period,
        "save_steps": config.period * config.save_every,
        "seed": seed,
        "data_seed": seed,
    }
    if issubclass(kind, RLOOTrainer):
        return RLOOConfig(**settings)
    return GRPOConfig(**settings, entropy_coef=config.entropy, scale_rewards=config.scale, loss_type=config.loss)


def count_steps(rows: int, config: ReinforceConfig) -> int:
    """Optimiser steps of the whole training; a rollout batch at the end of an epoch that is not full is left out."""
    batches = rows // config.questions
    if not batches and config.steps != 0:
        raise UserError(f"reinforcement: key 'questions': given {config.questions}, allowed: at most the {rows} rows")
    return config.steps if config.steps is not None else math.ceil(batches * config.period * config.epochs)


def read_prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], config: ReinforceConfig
) -> list[Any]:
    """Texts, or chats where the rows have `messages`; every one leaves room for a completion.

    Raises:
        UserError: a row has neither, rows are of both kinds, or one is too long.
    """
    chat = "messages" in rows[0]
    key = "messages" if chat else "prompt"
    for index, row in enumerate(rows):
        if key not in row:
            raise UserError(f"reinforcement: row {index} has no '{key}', as the first row has; give every row one")
    lengths = [len(prompt_ids(tokenizer, row)) for row in rows]
    room = getattr(model.config, "max_position_embeddings", None)
    if room is not None and max(lengths) + config.max_new_tokens > room:
        raise UserError(
            f"a prompt has {max(lengths)} tokens and key 'max_new_tokens' is {config.max_new_tokens}; "
            f"the model has {room}"
        )
    return [row[key] for row in rows]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, row: Row) -> list[int]:
    """A row's prompt as the model reads it before a completion."""
    if "messages" in row:
        chat: Any = tokenizer.apply_chat_template(list(row["messages"]), add_generation_prompt=True, return_dict=True)
        return list(chat["input_ids"])
    return list(tokenizer(row["prompt"])["input_ids"])
