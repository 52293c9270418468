"""Writes the family's files: documents of recall, texts with something to find, published sets.

What an item asks about (a pass key, a thing and its number, …) decides by its hash whether the even or the odd seeds
may ask it, so that neighbouring seeds share no item; within a split nothing is asked twice. Two splits never share one,
because their questions differ. The text around is drawn anew for every item.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.longcontext.books import book_rows, text_rows
from benchmarks.longcontext.config import LONGBENCH, RULER, LongContextConfig
from benchmarks.longcontext.documents import document_retrieval
from benchmarks.longcontext.fitting import Draft, fitted
from benchmarks.longcontext.longbench import longbench_rows
from benchmarks.longcontext.needles import multi_needle, multi_value, needle, passkey, variable_tracking
from benchmarks.longcontext.recall import recall_rows, training_rows
from benchmarks.longcontext.ruler import ruler_rows
from benchmarks.longcontext.tokens import Tokens, load_tokens
from benchmarks.longcontext.word_lists import common_words, frequent_words
from methodbench.errors import UserError
from methodbench.hub import write_rows, write_source

Drafter = Callable[[Random, int, LongContextConfig], Draft]

# Split -> how an item is drawn, and the tokens kept free for its answer (the `max_gen_toks` of its task).
ITEMS: dict[str, tuple[Drafter, int]] = {
    "passkey": (passkey, 12),
    "needle": (needle, 12),
    "multi_needle": (multi_needle, 12),
    "multi_value": (multi_value, 32),
    "variable_tracking": (variable_tracking, 32),
    "common_words": (common_words, 24),
    "frequent_words": (frequent_words, 24),
    "document_retrieval": (document_retrieval, 8),
}
SEEDS = 2  # facts are dealt among so many neighbouring seeds
TRIES = 2_000  # draws for one new fact before they count as exhausted


def prepare(out: Path, config: LongContextConfig, seed: int) -> None:
    """Write ``<split>.jsonl`` for every split of ``config.splits()`` into the folder `out`.

    Raises:
        UserError: a text of `length` tokens is too short for a task, or something cannot be fetched.
    """
    out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "calibration"):
        if size := getattr(config, split):
            write_rows(out / f"{split}.jsonl", training_rows(split, size, config, seed))
    if config.recall:
        write_rows(out / "recall.jsonl", recall_rows("recall", config.recall, config, seed))
    tokens = load_tokens(config)
    for split in ITEMS:
        if size := getattr(config, split):
            write_rows(out / f"{split}.jsonl", item_rows(split, size, config, seed, tokens))
    for name in config.published:
        rows, source = published_rows(name, config, tokens)
        write_rows(out / f"{name}.jsonl", [{"id": place, "kind": name, **row} for place, row in enumerate(rows)])
        write_source(out / f"{name}.source.json", source | {"n": len(rows)})


def item_rows(split: str, size: int, config: LongContextConfig, seed: int, tokens: Tokens) -> Iterator[dict[str, Any]]:
    """`size` items: prompt, answer as it may be written, and the list of what it holds."""
    draw, room = ITEMS[split]
    # A string seed goes through SHA-512, so the streams of neighbouring seeds and lengths have nothing in common.
    rng = Random(f"longcontext {seed} {split} {config.length}")
    seen: set[str] = set()
    for index in range(size):
        for _ in range(TRIES):
            draft = draw(rng, index, config)
            if draft.fact not in seen and belongs(draft.fact, seed):
                break
        else:
            raise UserError(f"longcontext: key '{split}': given {size}, but there are too few different items")
        seen.add(draft.fact)
        prompt = fitted(draft, tokens, config.length - room)
        if prompt is None:
            raise UserError(f"longcontext: key 'length': given {config.length}, too short for an item of '{split}'")
        answers = list(draft.answers)
        yield {"id": index, "kind": draft.kind, "prompt": prompt, "answer": ", ".join(answers), "answers": answers}


def belongs(fact: str, seed: int) -> bool:
    """May this be asked under this seed?"""
    return int.from_bytes(hashlib.sha256(fact.encode()).digest()[:8], "big") % SEEDS == seed % SEEDS


def published_rows(name: str, config: LongContextConfig, tokens: Tokens) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of one published set, and what to write beside them about where they come from."""
    if name in RULER:
        return ruler_rows(name, config, tokens)
    if name in LONGBENCH:
        return longbench_rows(name, config)
    return text_rows(config) if name == "pg19_text" else book_rows(config, tokens, name)
