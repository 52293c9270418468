"""Which rows an unlearning step sees: an epoch's passes over the forget and the retain rows, fixed by the seed.

The whole order is known before the first step, so that a job that goes on after a kill sees what it would have seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True)
class Visit:
    """A row and how often it was visited before."""

    row: int
    number: int


@dataclass(frozen=True)
class Step:
    """What one optimiser step sees; one of the two kinds may be empty."""

    epoch: int
    forget: tuple[Visit, ...] = ()
    retain: tuple[Visit, ...] = ()


def released(forget: int, retain: int, size: int, seed: int) -> Iterator[Step]:
    """Endless epochs of the released code: all of `forget` rows in batches of `size`, then all of `retain` rows.

    A pass ends with a short batch where `size` does not divide its rows; without retain rows there is one pass.
    """
    epoch = 0
    while True:
        yield from (Step(epoch, forget=batch) for batch in _batches(forget, size, "forget", seed, epoch))
        yield from (Step(epoch, retain=batch) for batch in _batches(retain, size, "retain", seed, epoch))
        epoch += 1


def joint(forget: int, retain: int, size: int, seed: int) -> Iterator[Step]:
    """Endless epochs over `forget` rows; each step has as many retain rows beside them, from shuffled passes of theirs.

    Without retain rows steps have forget rows alone.
    """
    beside = _endless(retain, seed) if retain else iter(())
    epoch = 0
    while True:
        for batch in _batches(forget, size, "forget", seed, epoch):
            yield Step(epoch, batch, tuple(islice(beside, len(batch))))
        epoch += 1


def planned(order: Iterator[Step], steps: int | None, epochs: int) -> list[Step]:
    """The first `steps` of an order, or without them its first `epochs`."""
    if steps is not None:
        return list(islice(order, steps))
    plan = []
    for step in order:
        if step.epoch >= epochs:
            break
        plan.append(step)
    return plan


def _batches(rows: int, size: int, kind: str, seed: int, epoch: int) -> Iterator[tuple[Visit, ...]]:
    order = _shuffled(rows, kind, seed, epoch)
    for begin in range(0, rows, size):
        yield tuple(Visit(row, epoch) for row in order[begin : begin + size])


def _endless(rows: int, seed: int) -> Iterator[Visit]:
    epoch = 0
    while True:
        yield from (Visit(row, epoch) for row in _shuffled(rows, "retain", seed, epoch))
        epoch += 1


def _shuffled(rows: int, kind: str, seed: int, epoch: int) -> list[int]:
    order = list(range(rows))
    random.Random(f"{seed} {kind} {epoch}").shuffle(order)
    return order
