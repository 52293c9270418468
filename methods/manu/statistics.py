"""Statistics of activations in one pass: MANU's importance functions need four sums a unit (M§2.2, §2.3).

z       activations, [N, C]: N positions of C units
count   N; `total` sum z; `absolute` sum |z|; `active` number of |z| > tau; `squares` sum z^2, each [C]

Sums are float64 whatever the model computes in (float16 squares overflow above 256), and take memory for C, not for N.
They add up: `merged` of two parts is the whole, and no order of batches matters beyond float64 rounding. Everything is
divided by the number of positions, so that a picture's many tokens do not make a mode louder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

AT_ONCE = 2**16  # activations whose float64 copies lie in a processor's cache
AT_ONCE_GPU = 2**24
CHUNK = 10  # batches whose positions the released code averages together [C]


@dataclass(frozen=True)
class Summary:
    """What one set of activations looks like, each [C] float64; all 0 for units that never ran."""

    mean: Tensor  # of |z|, or of z where that was asked for
    freq: Tensor  # share of positions above tau
    var: Tensor
    ms: Tensor  # mean square


class Moments:
    """Running sums over activations of C units.

    Args:
        width: C.
        tau: an activation above it is active.
        signed: count z > tau instead of |z| > tau, and let `summary` give the mean of z.
        clamp: cut z to +-clamp first, or None.
    """

    def __init__(
        self,
        width: int,
        tau: float,
        signed: bool = False,
        clamp: float | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.tau, self.signed, self.clamp = tau, signed, clamp
        self.count = 0
        self.total, self.absolute, self.active, self.squares = (
            torch.zeros(width, dtype=torch.float64, device=device) for _ in range(4)
        )

    def add(self, z: Tensor) -> None:
        """Take in activations [N, C]."""
        self.count += len(z)
        rows = max(1, (AT_ONCE_GPU if z.is_cuda else AT_ONCE) // max(1, z.shape[1]))
        for part in z.split(rows):
            wide = part.double()
            if self.clamp is not None:
                wide = wide.clamp(-self.clamp, self.clamp)
            size = wide.abs()
            self.total += wide.sum(0)
            self.absolute += size.sum(0)
            self.active += ((wide if self.signed else size) > self.tau).sum(0)
            self.squares += wide.square().sum(0)

    def summary(self, variance: str = "population") -> Summary:
        """Mean, share of active positions, variance ("population" or "sample") and mean square."""
        n = max(1, self.count)
        mean = self.total / n
        ms = self.squares / n
        spread = (ms - mean.square()).clamp(min=0)  # rounding may leave less than 0
        if variance == "sample":
            spread = spread * (n / max(1, n - 1))
        return Summary(mean if self.signed else self.absolute / n, self.active / n, spread, ms)


def merged(parts: Sequence[Moments]) -> Moments:
    """The sums over all of the parts' activations; the parts stay.

    Raises:
        ValueError: no part, or parts that count differently.
    """
    if not parts or len({(part.tau, part.signed, part.clamp) for part in parts}) > 1:
        raise ValueError("parts must exist and share tau, signed and clamp")
    first = parts[0]
    whole = Moments(len(first.total), first.tau, first.signed, first.clamp, first.total.device)
    for part in parts:
        whole.count += part.count
        for name in ("total", "absolute", "active", "squares"):
            getattr(whole, name).add_(getattr(part, name))
    return whole


class Pooled:
    """The released code's statistics, with its faults (M§2.4, items 4 and 5): for `code_buggy` only.

    Of a batch, the activations of *all* layers, [layers * B, T, C], are reduced over the first axis only: mean |z|,
    share of |z| > tau, the sample standard deviation, sqrt(mean z^2), each [T, C]. Ten batches make a chunk, which is
    averaged over all its T; chunks are averaged, whatever their sizes. Padding counts.
    """

    def __init__(self, tau: float, clamp: float) -> None:
        self.tau, self.clamp = tau, clamp
        self._sums: list[Tensor] | None = None  # of this batch: total, absolute, active, squares [T, C]
        self._rows = 0
        self._chunk: list[tuple[int, Tensor]] = []  # of every batch: T, and the sums over T [4, C]
        self._chunks: list[Tensor] = []

    def layer(self, z: Tensor) -> None:
        """Take in one layer's activations [B, T, C] of the batch that runs."""
        wide = z.double().clamp(-self.clamp, self.clamp)
        size = wide.abs()
        found = [wide.sum(0), size.sum(0), (size > self.tau).double().sum(0), wide.square().sum(0)]
        self._sums = found if self._sums is None else [old + new for old, new in zip(self._sums, found, strict=True)]
        self._rows += len(z)

    def batch(self) -> None:
        """End a batch."""
        if self._sums is None:
            raise ValueError("a batch without activations")
        n = self._rows
        total, absolute, active, squares = self._sums
        spread = ((squares - total.square() / n).clamp(min=0) / max(1, n - 1)).sqrt()
        reduced = torch.stack([absolute / n, active / n, spread, (squares / n).sqrt()])  # [4, T, C]
        self._chunk.append((reduced.shape[1], reduced.sum(1)))
        self._sums, self._rows = None, 0
        if len(self._chunk) == CHUNK:
            self._close()

    def _close(self) -> None:
        positions = sum(length for length, _ in self._chunk)
        self._chunks.append(torch.stack([sums for _, sums in self._chunk]).sum(0) / positions)
        self._chunk = []

    def result(self) -> Tensor:
        """Mean |z|, share, standard deviation, root mean square: [4, C].

        Raises:
            ValueError: no batch was taken in.
        """
        if self._chunk:
            self._close()
        if not self._chunks:
            raise ValueError("no batch was taken in")
        return torch.stack(self._chunks).mean(0)
