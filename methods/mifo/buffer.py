"""Questions whose demonstrations wait for a session: B_FT of MIFO (arXiv 2510.04454; sheet 2.3, 6.1 A6, A8).

fifo     first come, first served
lifo     a batch's questions stand, in their order, before those of earlier batches (ReLIFT; old ones may wait for ever)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Overflow = Literal["consume_all", "take_keep", "take_drop"]


@dataclass
class Buffer:
    """Numbers of rows, in the order in which they are served; a number may stand there twice."""

    trigger: int
    overflow: Overflow = "consume_all"
    order: Literal["fifo", "lifo"] = "fifo"
    dedup: Literal["none", "epoch", "run"] = "none"
    waiting: list[int] = field(default_factory=list)
    entered: dict[int, int] = field(default_factory=dict)  # row -> epoch in which it was last buffered

    def add(self, numbers: Iterable[int], epoch: int = 0) -> None:
        """Buffer the questions of one rollout batch, save those that `dedup` keeps out."""
        admitted = []
        for number in numbers:
            last = self.entered.get(number)
            if last is None or self.dedup == "none" or (self.dedup == "epoch" and last != epoch):
                admitted.append(number)
                self.entered[number] = epoch
        self.waiting = [*self.waiting, *admitted] if self.order == "fifo" else [*admitted, *self.waiting]

    @property
    def full(self) -> bool:
        return len(self.waiting) >= self.trigger

    def take(self) -> list[int]:
        """What the session learns from; the rest is kept or forgotten, as `overflow` says."""
        count = len(self.waiting) if self.overflow == "consume_all" else self.trigger
        taken = self.waiting[:count]
        self.waiting = self.waiting[count:] if self.overflow == "take_keep" else []
        return taken
