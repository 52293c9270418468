"""Rationales of a model's own making: sampled, verified, kept (sheet sections 2.2 and 2.4; answer augmentation only).

Departures from the released code: samples are drawn at a temperature (there the setting is read and ignored), each with
a seed of its own question, round and number; prompts go through the model together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from methodbench.completion import complete
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.sampling import Sampling, stable_seed
from methods.imm import extraction, prompts
from methods.imm.config import HeadroomConfig, MatchConfig, SelfImproveConfig

CALCULATION = re.compile(r"<<[^>]*>>")  # GSM8K writes each sum once more between these
ENTROPY_OF = 256  # samples
FILE = "rationales.jsonl"  # beside the weights that learned from them


@dataclass(frozen=True)
class Sample:
    """One sampled rationale. `prompt` is what fine-tuning reads before it."""

    question: int
    prompt: str
    completion: str
    answer: str
    right: bool


def read_questions(path: Path, limit: int | None) -> list[dict[str, Any]]:
    """Rows with a prompt and a gold answer.

    Raises:
        UserError: no rows, or a row lacks one of the two.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][:limit]
    if not rows:
        raise UserError(f"{path}: holds no questions")
    for number, row in enumerate(rows, 1):
        for key in ("prompt", "answer"):
            if key not in row:
                raise UserError(f"{path}: line {number}: key '{key}' is missing; a question has 'prompt' and 'answer'")
    return rows


def worked_examples(questions: Sequence[dict[str, Any]], openings: Sequence[str]) -> str:
    """The examples of the sampling prompt: of the questions, for each opening the first that begins so.

    Raises:
        UserError: no question begins so, or it has no worked solution (`answer_detail`).
    """
    found = []
    for opening in openings:
        row = next((row for row in questions if row["prompt"].startswith(opening)), None)
        if row is None or "answer_detail" not in row:
            raise UserError(f"key 'shots': no question with a solution ('answer_detail') begins with {opening!r}")
        solution = CALCULATION.sub("", row["answer_detail"]).rpartition("####")[0].strip()
        found.append((row["prompt"], solution, str(row["answer"])))
    return prompts.few_shot_block(found)


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[dict[str, Any]],
    config: SelfImproveConfig,
    seed: int,
    work: Path,
    log: Log,
) -> list[Sample]:
    """K rationales for each question, each marked right or wrong, in the order of the questions."""
    asked = [row for row in questions for _ in range(config.samples)]
    shots = worked_examples(questions, config.shots)
    seeds = [
        stable_seed("rationale", seed, config.round, place, number)
        for place in range(len(questions))
        for number in range(config.samples)
    ]
    texts = complete(
        model,
        tokenizer,
        [prompts.generation(config.template, row["prompt"], shots) for row in asked],
        seeds,
        Sampling(do_sample=config.temperature > 0, temperature=config.temperature or 1.0, top_p=config.top_p),
        until=prompts.stops(config.stop),
        max_new_tokens=config.max_new_tokens,
        slots=config.slots,
        journal=work / "samples.jsonl",
        log=log,
        unit="rationale",
    )
    made = []
    for place, (row, text) in enumerate(zip(asked, texts, strict=True)):
        answer = extraction.extract(config.extraction, text)
        right = extraction.keeps(config.extraction, answer, str(row["answer"]), config.gold == "canonical")
        source = prompts.training(config.template, row["prompt"])
        made.append(Sample(place // config.samples, source, text, answer, right))
    return made


def accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[dict[str, Any]],
    config: MatchConfig | HeadroomConfig,
    journal: Path,
    log: Log,
) -> float:
    """Share of questions answered right: by the most probable tokens, or by one sample each at a temperature."""
    texts = complete(
        model,
        tokenizer,
        [prompts.evaluation(config.template, row["prompt"]) for row in questions],
        [stable_seed("question", place) for place in range(len(questions))],
        Sampling(do_sample=config.temperature > 0, temperature=config.temperature or 1.0),
        until=prompts.stops(config.stop),
        max_new_tokens=config.max_new_tokens,
        slots=config.slots,
        journal=journal,
        log=log,
        unit="question",
    )
    answers = [extraction.extract(config.extraction, text) for text in texts]
    right = [
        extraction.keeps(config.extraction, answer, str(row["answer"]), True)
        for answer, row in zip(answers, questions, strict=True)
    ]
    return sum(right) / len(right)


@torch.inference_mode()
def mean_entropy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample], config: SelfImproveConfig
) -> float:
    """Mean entropy, in nats, of the next token's distribution at the sampling temperature, over the samples' tokens.

    The first samples only, up to `ENTROPY_OF`; 0 where samples are drawn greedily.
    """
    if not config.temperature:
        return 0.0
    total, count = 0.0, 0
    for one in samples[:ENTROPY_OF]:
        before = tokenizer(one.prompt)["input_ids"]
        ids = before + tokenizer(one.completion, add_special_tokens=False)["input_ids"]
        if len(ids) == len(before):
            continue
        logits = model(torch.tensor([ids], device=model.device), use_cache=False).logits[0, len(before) - 1 : -1]
        p = (logits.double() / config.temperature).softmax(-1)
        total += float(torch.special.entr(p).sum())
        count += len(p)
    return total / count if count else 0.0
