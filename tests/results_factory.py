"""Makes a results tree with known effects, so that statistics and reports can be checked against what was planted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from methodbench.arms import Arm, study_arms, study_runtimes
from methodbench.config import parse
from methodbench.score import HEALTH, Score, samples_path, write_samples
from methodbench.study import Study


@dataclass(frozen=True)
class Planted:
    """What an arm truly does."""

    accuracy: float = 0.5
    tokens: float = 60.0
    latent: float = 0.0  # share of the tokens
    unparsable: float = 0.0
    truncated: float = 0.0  # such an answer is unparsable, too
    twin_of: str = ""  # answers exactly as that arm does
    on: Mapping[str, float] = field(default_factory=dict)  # task -> accuracy there, instead of `accuracy`
    kinds: tuple[str, ...] = ("word", "chain")  # of the items, in turn
    by_kind: tuple[float, ...] = (0.0,)  # what each kind adds to the accuracy, in turn


def study_of(values: Mapping[str, Any]) -> Study:
    """A checked study from plain values."""
    return parse(Study, values, "test study")


def write_results(
    root: Path, scale: str, study: Study, planted: Mapping[str, Planted], items: int = 300, seed_sd: float = 0.0
) -> None:
    """Scores and samples for every arm named in `planted` ("checkpoint@runtime"), on every task it is asked for."""
    for task, arms in study_arms(study).items():
        difficulty = np.random.default_rng(_hash(task)).normal(0.0, 0.15, items)
        for arm in arms:
            for seed in study.seeds:
                if str(arm) in planted:
                    _write(root, scale, study, arm, task, seed, planted[str(arm)], difficulty, seed_sd)


def _write(
    root: Path,
    scale: str,
    study: Study,
    arm: Arm,
    task: str,
    seed: int,
    truth: Planted,
    difficulty: np.ndarray,
    seed_sd: float,
) -> None:
    rng = np.random.default_rng(_hash(f"{truth.twin_of or arm}/{task}/{seed}"))
    easier = np.resize(truth.by_kind, len(difficulty))
    accuracy = truth.on.get(task, truth.accuracy) + easier
    chance = np.clip(accuracy + difficulty + rng.normal(0.0, seed_sd), 0.0, 1.0)
    right = rng.random(len(difficulty)) < chance
    tokens = np.maximum(1, rng.poisson(truth.tokens, len(difficulty)))
    truncated = rng.random(len(difficulty)) < truth.truncated
    unparsable = truncated | (rng.random(len(difficulty)) < truth.unparsable)
    samples = [
        {
            "id": item,
            "kind": truth.kinds[item % len(truth.kinds)],
            "target": "7",
            "response": f"<think> 3 + 4 </think> A {7 if right[item] else 8}",
            "answer": "7" if right[item] else "8",
            "exact_match": int(right[item]),
            "tokens": int(tokens[item]),
            "latent": round(tokens[item] * truth.latent),
            "forced": 0,
            "finish": "length" if truncated[item] else "eos",
            "truncated": int(truncated[item]),
            "unclosed": 0,
            "unparsable": int(unparsable[item]),
            "empty": 0,
        }
        for item in range(len(difficulty))
    ]
    place = root / "results" / scale / study.study / f"seed{seed}" / "scores" / arm.checkpoint / arm.runtime
    path = place / f"{task}.json"
    digest = write_samples(samples_path(path), samples)
    Score(
        scale=scale,
        study=study.study,
        seed=seed,
        checkpoint=arm.checkpoint,
        runtime=arm.runtime,
        task=task,
        identity=hashlib.sha256(f"{arm}{task}{seed}".encode()).hexdigest(),
        n=len(samples),
        metrics={"exact_match": float(right.mean())},
        health={flag: float(np.mean([sample[flag] for sample in samples])) for flag in HEALTH},
        cost={
            "tokens": float(tokens.mean()),
            "latent": float(np.mean([sample["latent"] for sample in samples])),
            "forced": 0.0,
            "wall_s": 2.0 + len(arm.runtime) / 10,
            "peak_mb": 512.0,
        },
        settings={
            "method": "m",
            "method_version": 1,
            "config": {"window": 12},
            "generation": {"do_sample": True, "temperature": 0.6},
            "task_version": 2,
            "fewshot": 0,
            "chat_template": False,
            "limit": None,
            "first_prompt": "what is 3 + 4 ? <think>",
            "slots": 64,
            "versions": {"torch": "2.11.0", "lm_eval": "0.4.13"},
            "code": "c0de" * 16,
            "commit": "0123456789ab",
            "checkpoint": "f00d" * 16,
        },
        samples_sha256=digest,
        chosen=_chosen(study, arm),
    ).save(path)


def _chosen(study: Study, arm: Arm) -> dict[str, Any]:
    choice = study_runtimes(study)[arm.runtime].spec.choose
    if choice is None:
        return {}
    tried = choice.combinations()
    scores = [{"values": values, "score": 0.5 + place / 100} for place, values in enumerate(tried)]
    return {"values": tried[-1], "on": choice.on, "metric": choice.metric, "scores": scores}


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
