"""Filler: sentences of a small grammar, dealt to the splits by their hash, whatever the seed.

A sentence is some fifteen words of which about half can be foretold ("the", "one", the kind of thing that a verb goes
with, the preposition); there are some two hundred million, so a model can learn the grammar but not the sentences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random

from benchmarks.language.words import CAUSES, DEEDS, LOOKS, PEOPLE, PLACES, QUALITIES, STATES, TIMES

BUCKETS = {"pretrain": range(0, 6), "train": range(6, 8), "text_calibration": range(8, 9), "text": range(9, 10)}
DEALT = 10
WINDOW = 3  # sentences of one row


def sentence(rng: Random) -> str:
    """One sentence: who does what to what, where and when, and in which weather."""
    deed = rng.choice(list(DEEDS))
    preposition, things = DEEDS[deed]
    doer = f"the {rng.choice(QUALITIES)} {rng.choice(PEOPLE)}"
    done = f"{deed} one {rng.choice(LOOKS)} {rng.choice(things)} {preposition} the {rng.choice(PLACES)}"
    weather = f" {rng.choice(CAUSES)} it {rng.choice(STATES)}" if rng.random() < 0.5 else ""
    return f"{doer} {done} {rng.choice(TIMES)}{weather} ."


def sentences(split: str, rng: Random) -> Iterator[str]:
    """Endless different sentences that `split` may hold."""
    seen: set[str] = set()
    while True:
        drawn = sentence(rng)
        if drawn not in seen and belongs(drawn, split):
            seen.add(drawn)
            yield drawn


def belongs(drawn: str, split: str) -> bool:
    """May this sentence stand in this split?"""
    return int.from_bytes(hashlib.sha256(drawn.encode()).digest()[:8], "big") % DEALT in BUCKETS[split]


def texts(split: str, rng: Random) -> Iterator[str]:
    """Endless texts of `WINDOW` sentences each."""
    source = sentences(split, rng)
    while True:
        yield " ".join(next(source) for _ in range(WINDOW))
