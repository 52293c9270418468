"""How often the policy is right on each question, from the rollouts that reinforcement scores anyway (sheet 2.3).

acc(q)   right rollouts over scorable ones; a question without a scorable rollout is left out (sheet 6.1, A15)

A question is its row's number. All processes see all rollouts, in rank order, whoever of them made which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed

from methodbench.errors import UserError


@dataclass
class Tally:
    """Rollouts of one question in one batch."""

    right: int = 0
    scorable: int = 0

    @property
    def accuracy(self) -> float:
        return self.right / self.scorable


class Ledger:
    """Questions by what they ask, and what their rollouts came to."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._numbers: dict[str, int] = {}
        for number, row in enumerate(rows):
            self._numbers.setdefault(_asked(row), number)  # of equal rows the first

    def number(self, row: Mapping[str, Any]) -> int:
        """The row's number.

        Raises:
            UserError: it is none of the rows given at first.
        """
        found = self._numbers.get(_asked(row))
        if found is None:
            raise UserError(f"prompts: a rollout answers a question that no row asks: {_asked(row)[:80]}")
        return found

    def tally(self, rows: Sequence[Mapping[str, Any]], right: Sequence[bool | None]) -> dict[int, Tally]:
        """The questions of one batch of rollouts that could be scored, in order of their first rollout."""
        own = [(self.number(row), verdict) for row, verdict in zip(rows, right, strict=True)]
        table: dict[int, Tally] = {}
        for number, verdict in everyones(own):
            tally = table.setdefault(number, Tally())
            tally.scorable += verdict is not None
            tally.right += bool(verdict)
        return {number: tally for number, tally in table.items() if tally.scorable}


def candidates(table: Mapping[int, Tally], accuracy: float) -> list[int]:
    """Questions with acc(q) <= `accuracy`: at 1/8 and eight rollouts those with none or one right (sheet 2.3)."""
    return [number for number, tally in table.items() if tally.accuracy <= accuracy]


def everyones(own: Iterable[tuple[int, bool | None]]) -> list[tuple[int, bool | None]]:
    """What all processes hold, in rank order."""
    own = list(own)
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return own
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, own)
    return [entry for part in parts for entry in part]


def _asked(row: Mapping[str, Any]) -> str:
    """What makes two rows the same question; a prompt may be a text or messages."""
    return json.dumps([row.get("prompt") or row.get("messages"), row.get("answer")], ensure_ascii=False, sort_keys=True)
