"""Writes the family's files: procedural splits and published sets.

A problem's prompt decides by its hash which split may hold it, whatever the seed, so that no split shares a prompt with
another, not even across seeds. Problems of every split but `train` belong besides to the even or to the odd seeds, so
that neighbouring seeds share no such item. Only `train` may hold a problem twice: where its kind has no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.reasoning import arithmetic, digits, letters
from benchmarks.reasoning.config import Kind, ReasoningConfig
from benchmarks.reasoning.options import options, slipped
from benchmarks.reasoning.problem import Problem
from benchmarks.reasoning.published import published_rows
from methodbench.errors import UserError

MAKERS: dict[Kind, Callable[[Random, ReasoningConfig], Problem]] = {
    "sum": arithmetic.sum_,
    "difference": arithmetic.difference,
    "products": arithmetic.products,
    "basic_arithmetic": arithmetic.basic_arithmetic,
    "simple_equations": arithmetic.simple_equations,
    "modulo": arithmetic.modulo,
    "spell_backward": letters.spell_backward,
    "word_sequence_reversal": letters.word_sequence_reversal,
    "letter_counting": letters.letter_counting,
    "caesar_cipher": letters.caesar_cipher,
    "palindrome_generation": letters.palindrome_generation,
    "count_bits": digits.count_bits,
    "number_filtering": digits.number_filtering,
    "number_sorting": digits.number_sorting,
    "rotate_matrix": digits.rotate_matrix,
    "spiral_matrix": digits.spiral_matrix,
    "manipulate_matrix": digits.manipulate_matrix,
    "leg_counting": digits.leg_counting,
}
BUCKETS = {  # of 20; a kind is in-domain, near or far, so splits that share buckets share no kind
    "train": range(0, 11),
    "questions": range(11, 14),
    "validation": range(14, 15),
    "in_domain": range(15, 18),
    "near_domain": range(15, 18),
    "far_domain": range(15, 18),
    "probe_id": range(18, 19),
    "probe_ood": range(18, 19),
    "passk_in": range(19, 20),
    "passk_far": range(19, 20),
}
WORKED = ("train", "probe_id", "probe_ood")  # with the completion
CHOICES = ("in_domain", "near_domain", "far_domain")  # with options
SEEDS = 2  # problems of all splits but `train` are dealt among so many neighbouring seeds
TRIES = 5_000  # draws for one new problem before a kind counts as exhausted; in `train` a twentieth


def prepare(out: Path, config: ReasoningConfig, seed: int) -> None:
    """Write ``<split>.jsonl`` for every split of ``config.splits()`` into the folder `out`.

    Raises:
        UserError: a kind has too few different problems, or the model hub cannot be reached for a published set.
    """
    out.mkdir(parents=True, exist_ok=True)
    for split in BUCKETS:
        if getattr(config, split):
            write(out / f"{split}.jsonl", rows(split, config, seed))
    for name in config.published:
        found, source = published_rows(name, config.revisions.get(name, "main"), config.stand_in)
        write(out / f"{name}.jsonl", found)
        (out / f"{name}.source.json").write_text(json.dumps(source, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def rows(split: str, config: ReasoningConfig, seed: int) -> Iterator[dict[str, Any]]:
    """The rows of a procedural split: prompt and answer, with a completion or with options where the split has them."""
    # A string seed goes through SHA-512, so the streams of neighbouring seeds have nothing in common.
    streams = {kind: Random(f"reasoning {seed} {split} {kind}") for kind in config.kinds(split)}
    found: dict[Kind, dict[str, Problem]] = {kind: {} for kind in streams}
    exhausted: set[Kind] = set()
    careless = Random(f"reasoning {seed} {split} slips")
    for index, kind in enumerate(order(split, config, seed)):
        rng, seen = streams[kind], found[kind]
        problem = None if kind in exhausted else new_problem(kind, split, seen, rng, config, seed)
        if problem is None and split == "train" and seen:
            exhausted.add(kind)
            problem = rng.choice(list(seen.values()))
        if problem is None:
            raise UserError(
                f"reasoning: key '{split}': given {getattr(config, split)}, "
                f"but kind '{kind}' has too few different problems"
            )
        seen[problem.prompt] = problem
        row: dict[str, Any] = {"id": index, "kind": kind, "prompt": problem.prompt, "answer": problem.answer}
        if split in WORKED:
            wrong = split == "train" and careless.random() < config.slips.get(kind, 0.0)
            row["completion"] = problem.concluding(slipped(problem, careless)) if wrong else problem.completion
        if split in CHOICES:
            row["options"], row["label"] = options(problem, rng)
        yield row


def new_problem(
    kind: Kind, split: str, seen: Container[str], rng: Random, config: ReasoningConfig, seed: int
) -> Problem | None:
    """A problem that `split` may hold and whose prompt is not in `seen`; None if none was drawn in so many tries."""
    for _ in range(TRIES if split != "train" else TRIES // 20):
        problem = MAKERS[kind](rng, config)
        if problem.prompt not in seen and belongs(problem.prompt, split, seed):
            return problem
    return None


def order(split: str, config: ReasoningConfig, seed: int) -> list[Kind]:
    """The kind of every row: in turn, or for `train` so many of each as its share says, shuffled."""
    kinds, size = config.kinds(split), getattr(config, split)
    if split != "train":
        return [kinds[index % len(kinds)] for index in range(size)]
    weights = [config.shares.get(kind, 1.0) for kind in kinds]
    ends = [round(size * sum(weights[: place + 1]) / sum(weights)) for place in range(len(kinds))]
    counts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    found = [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
    Random(f"reasoning {seed} order").shuffle(found)
    return found


def belongs(prompt: str, split: str, seed: int) -> bool:
    """May this problem stand in this split, under this seed?"""
    digest = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big")
    dealt, bucket = divmod(digest, 20)
    return bucket in BUCKETS[split] and (split == "train" or dealt % SEEDS == seed % SEEDS)
