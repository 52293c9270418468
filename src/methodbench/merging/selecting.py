"""The k largest of a long row of numbers in constant memory: their least one is found by counting, twice.

Magnitudes are compared as float32, whose bits are in the order of the values: the first pass counts the upper 16 of the
31 bits, the second the lower 15 of those in the bucket that the k-th falls into.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOW = 15  # bits


class Counting:
    """Finds the `keep`-th largest magnitude: `add` every piece, `narrow`, `add` every piece again, `narrow`."""

    def __init__(self, keep: int) -> None:
        self.left = keep  # to be taken from the values not yet known to be larger
        self._bucket: int | None = None
        self._counts = torch.zeros(1 << 16, dtype=torch.int64)
        self.least = 0.0

    def add(self, delta: Tensor) -> None:
        """Count a piece."""
        bits = _bits(delta)
        if self._bucket is None:
            self._counts += torch.bincount(bits >> LOW, minlength=len(self._counts))
        else:
            inside = bits[(bits >> LOW) == self._bucket]
            self._counts += torch.bincount(inside & ((1 << LOW) - 1), minlength=len(self._counts))

    def narrow(self) -> None:
        """Choose the bucket of the `keep`-th; after the second time `least` is its value and `left` its rank there."""
        down = self._counts.flip(0).cumsum(0)
        place = int((down >= self.left).nonzero()[0])
        if place:
            self.left -= int(down[place - 1])
        chosen = len(self._counts) - 1 - place
        if self._bucket is None:
            self._bucket = chosen
            self._counts.zero_()
        else:
            bits = torch.tensor((self._bucket << LOW) | chosen, dtype=torch.int32)
            self.least = float(bits.view(torch.float32))


class Trim:
    """Sets all but the largest entries of a tensor to 0, piece after piece.

    Of those as large as the least one kept, the first `equal` stay in flat order; None keeps them all.
    """

    def __init__(self, least: float, equal: int | None) -> None:
        self.least, self.equal = least, equal
        self.kept = 0

    def __call__(self, delta: Tensor) -> Tensor:
        """The next piece, trimmed."""
        size = delta.float().abs()
        stays = size >= self.least
        if self.equal is not None:
            same = size == self.least
            found = int(same.sum())
            if found > self.equal:
                stays &= ~same | (same.cumsum(0) <= self.equal)
            self.equal -= min(found, self.equal)
        self.kept += int(stays.sum())
        return delta * stays


def _bits(delta: Tensor) -> Tensor:
    return delta.float().abs().view(torch.int32)
