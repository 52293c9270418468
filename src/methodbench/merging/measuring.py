"""What a merge did, tensor by tensor, counted while the pieces go by.

For each model x_n: ||x_n - b||_2, max |x_n - b|, the share of entries that differ from the base's, and the share that
a mask or a trim kept. For the merged tensor the same, and what the cast to the written type lost: the relative L2 error
of the merged delta, and the share of the entries meant to move that the cast left at the base's value. In bfloat16 both
are large where the deltas are a fine-tuning's (1e-5 to 1e-4 beside weights of 0.02).
"""

from __future__ import annotations

import math
import resource
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Row = dict[str, Any]


class Tally:
    """Sums over the pieces of one tensor; they make a JSON row that a resumed merge reads again."""

    def __init__(self, models: int) -> None:
        self._models = [_Deltas() for _ in range(models)]
        self._merged = _Deltas()
        self._errors: list[float] = []
        self._stuck = self._meant = self._count = 0

    def add(self, base: Tensor, deltas: Sequence[Tensor], merged: Tensor, written: Tensor) -> None:
        """One piece: the base, what the models add to it, and the result in float64 and as it is written."""
        for sums, delta in zip(self._models, deltas, strict=True):
            sums.add(delta, _count(delta))
        stored = written.double()
        meant = merged - base
        changed, moving = stored != base, meant != 0
        self._merged.add(meant, _count(changed))
        self._count += len(base)
        self._meant += _count(moving)
        self._stuck += _count(moving > changed)
        error = merged - stored
        self._errors.append(float(torch.dot(error, error)))

    def row(self, kept: Sequence[int] | None) -> Row:
        """Everything as plain numbers."""
        return {
            "count": self._count,
            "models": [sums.row() for sums in self._models],
            "merged": self._merged.row(),
            "kept": kept,
            "error": math.fsum(self._errors),
            "meant": self._meant,
            "stuck": self._stuck,
        }


class _Deltas:
    def __init__(self) -> None:
        self._squares: list[float] = []
        self._largest = 0.0
        self._changed = 0

    def add(self, delta: Tensor, changed: int) -> None:
        self._squares.append(float(torch.dot(delta, delta)))
        low, high = torch.aminmax(delta)
        self._largest = max(self._largest, -float(low), float(high))
        self._changed += changed

    def row(self) -> Row:
        return {"squares": math.fsum(self._squares), "largest": self._largest, "changed": self._changed}


def _count(values: Tensor) -> int:
    """How many are not 0; twice as fast as a sum."""
    return int(torch.count_nonzero(values))


def total(rows: Sequence[Row]) -> Row:
    """The row of all tensors together."""
    if not rows:
        return Tally(0).row(None)
    models = [_total([row["models"][n] for row in rows]) for n in range(len(rows[0]["models"]))]
    masked = [row for row in rows if row["kept"] is not None]
    kept = [sum(row["kept"][n] for row in masked) for n in range(len(models))] if len(masked) == len(rows) else None
    summed = {key: sum(row[key] for row in rows) for key in ("count", "meant", "stuck")}
    error = math.fsum(row["error"] for row in rows)
    return {"models": models, "merged": _total([row["merged"] for row in rows]), "kept": kept, "error": error, **summed}


def _total(rows: Sequence[Row]) -> Row:
    return {
        "squares": math.fsum(row["squares"] for row in rows),
        "largest": max(row["largest"] for row in rows),
        "changed": sum(row["changed"] for row in rows),
    }


def shown(row: Row) -> Row:
    """A row as the report has it. Six digits: sums over pieces of another size differ in the last of sixteen."""
    count = row["count"]
    kept = row["kept"] or [None] * len(row["models"])
    moved = row["merged"]["squares"]
    return {
        "entries": count,
        "models": [
            _shown(model, count) | ({} if number is None else {"kept": _six(number / count)})
            for model, number in zip(row["models"], kept, strict=True)
        ],
        "merged": _shown(row["merged"], count),
        "cast_error": _six(math.sqrt(row["error"] / moved) if moved else 0.0),
        "cast_to_base": _six(row["stuck"] / row["meant"] if row["meant"] else 0.0),
    }


def _shown(row: Mapping[str, Any], count: int) -> Row:
    return {
        "norm": _six(math.sqrt(row["squares"])),
        "largest": _six(row["largest"]),
        "changed": _six(row["changed"] / max(1, count)),
    }


def _six(value: float) -> float:
    return float(f"{value:.6g}")


def finite(row: Row) -> bool:
    """Were all values numbers?"""
    return all(math.isfinite(part["squares"]) for part in (*row["models"], row["merged"])) and math.isfinite(
        row["error"]
    )


def in_words(report: Mapping[str, Any]) -> str:
    """A report's totals in a line."""
    totals = report["totals"]
    kept = [f"{model['kept']:.1%}" for model in totals["models"] if "kept" in model]
    return (
        f"{totals['entries']:,} entries, {totals['merged']['changed']:.1%} changed, "
        f"by {totals['merged']['norm']:.4g} in all, "
        + (f"{' and '.join(kept)} of the deltas kept, " if kept else "")
        + f"the cast lost {totals['cast_error']:.2g} of that and left {totals['cast_to_base']:.1%} unchanged"
    )


def peak_mib() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
