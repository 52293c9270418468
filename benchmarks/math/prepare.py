"""Writes the family's files: procedural splits, arithmetic questions, published sets.

A problem's prompt decides by its hash which split may hold it, whatever the seed, so that no split shares a prompt with
another, not even across seeds. Validation and test problems belong besides to the even or to the odd seeds, so that
neighbouring seeds share no item. `demonstrated` and `prompts` are taken out of `train` where they are asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.math.arithmetic import arithmetic_rows
from benchmarks.math.config import DEMONSTRATED, Kind, MathConfig
from benchmarks.math.demonstrations import demonstration_rows
from benchmarks.math.problems import KINDS, Problem, routes
from benchmarks.math.published import published_rows
from methodbench.errors import UserError

BUCKETS = {  # of 20
    "validation": range(0, 2),
    "test": range(2, 7),
    "train": range(7, 20),
    "demonstrated": range(15, 17),
    "prompts": range(17, 20),
}
TAKEN = ("demonstrated", "prompts")  # of training problems, where they are asked for
SEEDS = 2  # held-out problems are dealt among so many neighbouring seeds
LONGEST = 14  # steps of a trace with its re-checks: at most 100 tokens
TRIES = 2_000  # draws for one new problem before a kind counts as exhausted


def prepare(out: Path, config: MathConfig, seed: int) -> None:
    """Write ``<split>.jsonl`` for every split of ``config.splits()`` into the folder `out`.

    Raises:
        UserError: a kind has too few different problems, or the model hub cannot be reached for a published set.
    """
    out.mkdir(parents=True, exist_ok=True)
    if config.train:
        write(out / "train.jsonl", training_rows(config, seed))
    for split, size in (("validation", config.validation), ("test", config.test)):
        if size:
            write(out / f"{split}.jsonl", held_out_rows(split, size, config, seed))
    if config.arithmetic:
        write(out / "arithmetic.jsonl", arithmetic_rows(config.arithmetic, seed))
    if config.demonstrated:
        order = in_turn(config.kinds, config.demonstrated)
        write(out / "demonstrated.jsonl", worked_rows("demonstrated", order, config, seed))
    if config.prompts:
        weights = {kind: config.prompt_shares.get(kind, 1.0) for kind in config.kinds}
        write(out / "prompts.jsonl", worked_rows("prompts", by_share(weights, config.prompts), config, seed))
    for name in config.published:
        revision = config.revisions.get(name, "main")
        if name in DEMONSTRATED:
            rows, source = demonstration_rows(name, revision, config.stand_in, config.template)
        else:
            rows, source = published_rows(name, revision, config.stand_in, config.tries.get(name), config.template)
        write(out / f"{name}.jsonl", rows)
        (out / f"{name}.source.json").write_text(json.dumps(source, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def problems(split: str, order: Sequence[Kind], config: MathConfig, seed: int) -> Iterator[tuple[Problem, Random]]:
    """Different problems of `split`, of the kinds in `order`, each with the generator to draw its trace from."""
    # A string seed goes through SHA-512, so the streams of neighbouring seeds have nothing in common.
    streams = {kind: Random(f"math {seed} {split} {kind}") for kind in config.kinds}
    seen: set[str] = set()
    for kind in order:
        rng = streams[kind]
        for _ in range(TRIES):
            problem = KINDS[kind](rng, config)
            if problem.prompt not in seen and belongs(problem.prompt, split, config, seed):
                break
        else:
            raise UserError(
                f"math: kind '{kind}' has too few different problems for {len(order)} rows of split '{split}'"
            )
        seen.add(problem.prompt)
        yield problem, rng


def in_turn(kinds: Sequence[Kind], size: int) -> list[Kind]:
    """Equal shares."""
    return [kinds[index % len(kinds)] for index in range(size)]


def by_share(weights: Mapping[Kind, float], size: int) -> list[Kind]:
    """The kind of every row: each time the one that is furthest behind its share (of equals the first named)."""
    total, taken = sum(weights.values()), dict.fromkeys(weights, 0)
    order: list[Kind] = []
    for done in range(1, size + 1):
        kind = max(weights, key=lambda kind: weights[kind] * done / total - taken[kind])
        taken[kind] += 1
        order.append(kind)
    return order


def belongs(prompt: str, split: str, config: MathConfig, seed: int) -> bool:
    """May this problem stand in this split, under this seed?"""
    digest = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big")
    dealt, bucket = divmod(digest, 20)
    if split == "train" and any(getattr(config, taken) and bucket in BUCKETS[taken] for taken in TAKEN):
        return False
    return bucket in BUCKETS[split] and (split in ("train", "prompts") or dealt % SEEDS == seed % SEEDS)


def training_rows(config: MathConfig, seed: int) -> Iterator[dict[str, Any]]:
    """Prompt and completion: a worked trace, whole, cut at a step or empty, and always the true answer."""
    for index, (problem, rng) in enumerate(problems("train", in_turn(config.kinds, config.train), config, seed)):
        steps = problem.steps(rng)
        answer = steps[-1] if problem.kind == "route" else problem.answer  # the route that this search found
        thought = list(steps)
        for _ in range(2):
            # A route is checked by walking it once more, not by a second search.
            again = steps[-1:] if problem.kind == "route" else steps
            if rng.random() >= config.recheck or len(thought) + len(again) > LONGEST:
                break
            thought += [f"again {again[0]}", *again[1:]]
        fate, empty = rng.random(), config.empty_by_kind.get(problem.kind, config.empty)
        if fate < empty:
            thought = []
        elif fate < empty + config.cut and len(thought) > 1:
            thought = thought[: rng.randint(1, len(thought) - 1)]
        yield row(index, problem) | {"answer": answer, "completion": closed(thought, answer)}


def worked_rows(split: str, order: Sequence[Kind], config: MathConfig, seed: int) -> Iterator[dict[str, Any]]:
    """Prompt, answer and a demonstration, which is one worked trace: not cut, not empty, not checked again.

    Where several answers are right, `answers` has them all as a decoded text may write them: every route, and a number
    of several digits also with its digits apart.
    """
    for index, (problem, rng) in enumerate(problems(split, order, config, seed)):
        steps = problem.steps(rng)
        if problem.kind == "route":
            answer, answers = steps[-1], routes(problem)
        else:
            answer, answers = problem.answer, list(dict.fromkeys([problem.answer, " ".join(problem.answer)]))
        asked = {key: value for key, value in row(index, problem).items() if key != "edges"}
        more = {"answers": answers} if len(answers) > 1 else {}
        yield asked | {"answer": answer, "demonstration": closed(steps, answer), **more}


def closed(thought: Sequence[str], answer: str) -> str:
    """A completion: the steps, the end of the thinking, and the answer as grading.py reads it."""
    return " ".join(["", *thought, f"</think> A {answer} <|end|>"])


def held_out_rows(split: str, size: int, config: MathConfig, seed: int) -> Iterator[dict[str, Any]]:
    """Prompt, answer, and what the verifier needs."""
    order = in_turn(config.kinds, size)
    return (row(index, problem) for index, (problem, _) in enumerate(problems(split, order, config, seed)))


def row(index: int, problem: Problem) -> dict[str, Any]:
    """The columns that all procedural rows share; `edges` is empty unless the problem is a route."""
    return {
        "id": index,
        "kind": problem.kind,
        "prompt": f"{problem.prompt} <think>",
        "answer": problem.answer,
        "edges": problem.edges,
    }
