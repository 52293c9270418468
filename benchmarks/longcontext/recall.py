"""Associative recall in a made language of one-token words, at any length.

A document is a row of blocks of four words: filler, `pairs` notes ("store k v .") and, in its last `tail` blocks,
`queries` questions ("ask k is v"). The notes of a training document lie anywhere before the tail; those of a test
document lie together at one depth, its `kind`.

Filler has structure of its own: a word repeats the successor of the word `lag` places before it with probability
`regularity`, and is any word otherwise. Predicting it needs a memory of a few words, which a state-space model learns
in channels that forget quickly; recall needs channels that keep. So a method that spoils the former shows in the
filler's loss alone, and both are scored: every answer and some runs of filler are spans of the document.

The language (words, successors) is the same for every seed and every length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, product
from random import Random
from typing import Any

from benchmarks.longcontext.config import LongContextConfig

BLOCK = 4  # words
RUNS, RUN_BLOCKS = 8, 8  # runs of filler scored in a document, blocks in the longest
SYLLABLES = ["".join(parts) for parts in product("bdfgklmnprstvz", "aeiou")]  # 70 words
NOTE, ASK, IS, STOP = "store", "ask", "is", "."
BAND = 0.1  # share of the document in which the notes of one depth lie


def language(config: LongContextConfig) -> tuple[list[str], list[str], list[str], dict[str, str]]:
    """Filler words, keys, values, and the successor of every filler word."""
    words = list(SYLLABLES)
    Random("longcontext: words").shuffle(words)
    fillers, rest = words[: config.fillers], words[config.fillers :]
    keys, values = rest[: config.keys], rest[config.keys : config.keys + config.values]
    successors = list(fillers)
    Random("longcontext: successors").shuffle(successors)
    return fillers, keys, values, dict(zip(fillers, successors, strict=True))


def training_rows(split: str, size: int, config: LongContextConfig, seed: int) -> Iterator[dict[str, Any]]:
    """Documents with a loss weight for every answer (1 each) and every filler word (`filler_loss` in all, a document).

    A row is ``{"id", "kind", "text", "weights": [[start, end, weight], ...]}``; characters without a weight carry no
    loss.
    """
    rng = Random(f"longcontext {seed} {split}")
    for index in range(size):
        words, answers = document(config, rng, None)
        text, starts = joined(words)
        fillers = [place for place, kind in enumerate(block_kinds(words)) if kind == "filler"]
        share = config.filler_loss * len(answers) / (BLOCK * max(1, len(fillers)))
        weights: list[list[float]] = [span(starts, words, place, place + 1, 1.0) for place in answers]
        weights += [span(starts, words, BLOCK * block, BLOCK * (block + 1), share) for block in fillers]
        yield {"id": index, "kind": "anywhere", "text": text, "weights": sorted(weights)}


def recall_rows(split: str, size: int, config: LongContextConfig, seed: int) -> Iterator[dict[str, Any]]:
    """Documents with spans [start, end, kind] to score, the depths in turn: ``{"id", "kind", "text", "spans"}``."""
    rng = Random(f"longcontext {seed} {split} {config.length}")
    for index in range(size):
        depth = config.depths[index % len(config.depths)]
        words, answers = document(config, rng, depth)
        text, starts = joined(words)
        spans = [span(starts, words, place, place + 1, "answer") for place in answers]
        spans += [span(starts, words, first, last, "filler") for first, last in filler_runs(words)]
        yield {"id": index, "kind": f"depth {depth:g}", "text": text, "spans": sorted(spans)}


def document(config: LongContextConfig, rng: Random, depth: float | None) -> tuple[list[str], list[int]]:
    """`length` words, and the places of the answers among them. Without a depth the notes lie anywhere."""
    fillers, keys, values, successors = language(config)
    blocks = config.length // BLOCK
    body = blocks - config.tail
    if depth is None:
        notes = rng.sample(range(body), config.pairs)
    else:
        width = min(body, max(2 * config.pairs, round(BAND * body)))
        first = round(depth * (body - width))
        notes = rng.sample(range(first, first + width), config.pairs)
    asks = sorted(rng.sample(range(body, blocks), config.queries))
    stored = dict(zip(rng.sample(keys, config.pairs), rng.choices(values, k=config.pairs), strict=True))
    asked = [rng.choice(list(stored)) for _ in asks]
    special = {block: [NOTE, key, stored[key], STOP] for block, key in zip(notes, stored, strict=True)}
    special |= {block: [ASK, key, IS, stored[key]] for block, key in zip(asks, asked, strict=True)}
    words: list[str] = []
    for block in range(blocks):
        if block in special:
            words += special[block]
            continue
        for _ in range(BLOCK):
            before = successors.get(words[-config.lag]) if len(words) >= config.lag else None
            follows = before is not None and rng.random() < config.regularity
            words.append(before if follows and before is not None else rng.choice(fillers))
    return words, [BLOCK * block + BLOCK - 1 for block in asks]


def block_kinds(words: Sequence[str]) -> list[str]:
    """What each block is: note, ask or filler."""
    names = {NOTE: "note", ASK: "ask"}
    return [names.get(word, "filler") for word in words[::BLOCK]]


def filler_runs(words: Sequence[str]) -> list[tuple[int, int]]:
    """Some runs of filler, spread over the document: first word and the one after the last."""
    kinds = block_kinds(words)
    runs: list[tuple[int, int]] = []
    for kind, group in groupby(range(1, len(kinds)), key=lambda block: kinds[block]):  # before block 0 stands nothing
        blocks = list(group)
        if kind == "filler":
            pieces = [blocks[start : start + RUN_BLOCKS] for start in range(0, len(blocks), RUN_BLOCKS)]
            runs += [(BLOCK * piece[0], BLOCK * (piece[-1] + 1)) for piece in pieces]
    many = min(RUNS, len(runs))
    return [runs[round(place * (len(runs) - 1) / max(1, many - 1))] for place in range(many)]


def joined(words: Sequence[str]) -> tuple[str, list[int]]:
    """The text, and where each word begins in it."""
    starts, place = [], 0
    for word in words:
        starts.append(place)
        place += len(word) + 1
    return " ".join(words), starts


def span(starts: Sequence[int], words: Sequence[str], first: int, last: int, what: Any) -> list[Any]:
    """[start, end, what] in characters, with the blank before the first word, as lm-eval's continuations have it."""
    return [max(0, starts[first] - 1), starts[last - 1] + len(words[last - 1]), what]


def process_results(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """How well a document's spans were foreseen.

    `recall`: share of the questions whose answer is the likeliest word; `answer_nll`: nats an answer, which still tells
    settings apart where all recall everything; `filler_nll`: nats a word of filler.
    """
    right, surprise, loss, words = [], 0.0, 0.0, 0
    for (start, end, kind), (likelihood, is_greedy) in zip(doc["spans"], results, strict=True):
        if kind == "answer":
            right.append(float(is_greedy))
            surprise -= likelihood
        else:
            loss -= likelihood
            words += len(doc["text"][start:end].split())
    return {
        "recall": sum(right) / len(right),
        "answer_nll": surprise / len(right),
        "filler_nll": loss / words if words else 0.0,
    }
