"""Self-improvement: a model learns from its own rationales, those whose answers are right (sheet sections 2.2 to 2.5).

    S  = sample(phi, questions, K)          rationales.py
    D  = {(q, r) in S : answer(r) = gold(q)}
    th = SFT(start, D)                      only this round's data, a fresh optimiser

This alone, round after round, is the paper's baseline. `round.py` merges after it.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.supervised import fine_tune
from methods.imm import diversity, extraction
from methods.imm.config import SelfImproveConfig
from methods.imm.rationales import FILE, Sample, mean_entropy, read_questions, sample


def self_improve(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: SelfImproveConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """One round. The first parent samples; training starts from the last, which may be another model (a student)."""
    improve(parents[0], parents[-1], data["questions"], config, seed, out, out.parent, log)


def improve(
    sampler: Checkpoint,
    start: Checkpoint,
    questions: Path,
    config: SelfImproveConfig,
    seed: int,
    out: Path,
    work: Path,
    log: Log,
) -> None:
    """Write the model that learned from the sampler's right rationales to `out`, with these and their measures.

    Raises:
        UserError: no sampled answer is right, so there is nothing to learn from.
    """
    rows = read_questions(questions, config.questions)
    model, tokenizer = sampler.load(dtype=torch.float32)
    samples = sample(model, tokenizer, rows, config, seed, work, log)
    kept = [one for one in samples if one.right]
    log.say(f"{len(kept)} of {len(samples)} rationales are right")
    if not kept:
        raise UserError(
            f"{sampler.path}: none of {len(samples)} sampled answers is right; "
            "questions that the model can answer now and then are needed"
        )
    entropy = mean_entropy(model, tokenizer, samples, config)
    learned = [*earlier((sampler, start)), *kept] if config.accumulate else kept
    if start.path != sampler.path:
        model, tokenizer = start.load(dtype=torch.float32)
    steps = math.ceil(math.ceil(len(learned) / config.batch_size) * config.epochs)
    tuned = learn(model, tokenizer, learned, config, seed, steps, work / "training", log)
    tuned.save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_rationales(out / FILE, learned)
    gold = [extraction.canonical(config.extraction, str(rows[one.question]["answer"])) for one in samples]
    write_measures(out / "measures.csv", samples, gold, entropy, config.round)


def learn(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[Sample],
    config: SelfImproveConfig,
    seed: int,
    steps: int,
    work: Path,
    log: Log,
) -> PreTrainedModel:
    """Fine-tune on prompts and rationales; the stored learning curve starts anew."""
    accumulation = config.batch_size // config.micro_batch
    log.say(f"{len(samples)} rationales, {steps} steps of {config.batch_size}")
    return fine_tune(
        model.train(),
        tokenizer,
        [asdict(one) for one in samples],
        work,
        log,
        anchor_l2=config.anchor_l2,
        lora_rank=config.lora_rank,
        max_length=config.max_length,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.micro_batch,
        gradient_accumulation_steps=accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup,  # a number below 1 is a share of the steps
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        save_steps=config.save_every,
        logging_steps=max(1, steps // 50),
        seed=seed,
        data_seed=seed,
    )


def earlier(parents: Sequence[Checkpoint]) -> list[Sample]:
    """The rationales that these checkpoints learned from, each file once."""
    files = dict.fromkeys(parent.path / FILE for parent in parents)
    lines = [line for file in files if file.exists() for line in file.read_text(encoding="utf-8").splitlines()]
    return [Sample(**json.loads(line)) for line in lines]


def write_rationales(path: Path, samples: Sequence[Sample]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in samples), encoding="utf-8")


def write_measures(path: Path, samples: Sequence[Sample], gold: Sequence[str], entropy: float, number: int) -> None:
    """The signs of collapse in one row: of all samples, and of those that are kept (`diversity.py`)."""
    kept = [one.completion for one in samples if one.right]
    questions, answers = [one.question for one in samples], [one.answer for one in samples]
    measures = {
        "round": number,
        "samples": len(samples),
        "kept": len(kept) / len(samples),
        "covered": diversity.coverage(questions, [one.right for one in samples]),
        "majority": diversity.majority(questions, answers, gold),
        "unique": diversity.unique_share([f"{one.prompt}\n{one.completion}" for one in samples if one.right]),
        "distinct_2": diversity.distinct(kept, 2),
        "distinct_3": diversity.distinct(kept, 3),
        "words": diversity.mean_words(kept),
        "entropy": entropy,
    }
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(measures)
        table.writerow(f"{value:.6g}" for value in measures.values())
