"""DARE's random masks: one stream of numbers a tensor, the same whatever pieces it is drawn in."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def seed_of(text: str) -> int:
    """The first 8 bytes of the sha256 of `text`; torch's generator on the CPU looks at half of them."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


class Mask:
    """m_i = [u_i >= drop] with u_i uniform in [0, 1), i running through the flat tensor in row-major order."""

    def __init__(self, key: str, drop: float) -> None:
        self.drop = drop
        self._generator = torch.Generator().manual_seed(seed_of(key))

    def next(self, count: int) -> Tensor:
        """The next `count` entries, True where kept."""
        return torch.rand(count, generator=self._generator) >= self.drop
