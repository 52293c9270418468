"""Tensors from and to safetensors files a piece at a time, through buffers that are used again and again.

Files are read with preadv, not mapped: pages of a mapped file count as memory of the process.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methodbench.errors import UserError
from methodbench.merging.folders import INDEX, ONE, SIZES, Entry
from methodbench.merging.preflight import Planned

TORCH = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
PIECES = 16


class Reader:
    """Reads several tensors side by side, `PIECES` pieces of `chunk` entries at a time.

    No thread reads ahead: beside arithmetic that keeps one core busy it was measured to gain nothing.
    """

    def __init__(self, chunk: int, parents: int) -> None:
        self._chunk, self._block = chunk, chunk * PIECES
        self._buffers = [torch.empty(self._block * max(SIZES.values()), dtype=torch.uint8) for _ in range(parents)]
        self._files: dict[Path, int] = {}

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            os.close(file)

    def pieces(self, entries: Sequence[Entry], count: int, hashes: Sequence[Any] = ()) -> Iterator[tuple[Tensor, ...]]:
        """The first `count` entries of each tensor as flat pieces; a piece is valid until the next one is asked for.

        `hashes`, one for each tensor, are given the bytes in order. Tensors of integers come as bytes.
        """
        for first in range(0, count, self._block):
            block = []
            for place, (entry, buffer) in enumerate(zip(entries, self._buffers, strict=True)):
                width = SIZES[entry.dtype]
                part = buffer[: min(self._block, count - first) * width]
                self._fill(entry, first * width, flat_bytes(part))
                if hashes:
                    hashes[place].update(flat_bytes(part))
                block.append(part.view(TORCH.get(entry.dtype, torch.uint8)))
            yield from zip(*(part.split(self._chunk) for part in block), strict=True)

    def _fill(self, entry: Entry, offset: int, view: memoryview) -> None:
        if entry.file not in self._files:
            self._files[entry.file] = os.open(entry.file, os.O_RDONLY)
        done = 0
        while done < len(view):
            got = os.preadv(self._files[entry.file], [view[done:]], entry.start + offset + done)
            if got == 0:
                raise UserError(f"{entry.file}: became shorter while it was read")
            done += got


def shards(tensors: Sequence[Planned], limit: int) -> dict[str, list[Planned]]:
    """File name -> its tensors. A file is begun when the next tensor would go beyond `limit` bytes.

    In a file, wide entries come first, so that each tensor begins at a multiple of its entries' width.
    """
    groups: list[list[Planned]] = [[]]
    filled = 0
    for tensor in tensors:
        if groups[-1] and filled + size(tensor) > limit:
            groups.append([])
            filled = 0
        groups[-1].append(tensor)
        filled += size(tensor)
    for group in groups:
        group.sort(key=lambda tensor: -SIZES[tensor.dtype])
    if len(groups) == 1:
        return {ONE: groups[0]}
    return {f"model-{n:05d}-of-{len(groups):05d}.safetensors": group for n, group in enumerate(groups, 1)}


def size(tensor: Planned) -> int:
    """Bytes written for a tensor."""
    return math.prod(tensor.shape) * SIZES[tensor.dtype]


def header(tensors: Sequence[Planned]) -> bytes:
    """The first bytes of a safetensors file that holds `tensors` in this order."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + size(tensor)
        table[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def index(shards: dict[str, list[Planned]]) -> tuple[str, dict[str, Any]]:
    """Name and content of the file that says which tensor is where."""
    placed = {tensor.name: name for name, tensors in shards.items() for tensor in tensors}
    total = sum(size(tensor) for tensors in shards.values() for tensor in tensors)
    return INDEX, {"metadata": {"total_size": total}, "weight_map": placed}


def flat_bytes(piece: Tensor) -> memoryview:
    """The bytes of a contiguous tensor, not copied."""
    return piece.view(torch.uint8).numpy().data


def hasher(entry: Entry) -> Any:
    """The hash of a tensor's name, type, shape and, once it is given them, bytes."""
    return hashlib.sha256(f"{entry.name} {entry.dtype} {list(entry.shape)}\0".encode())
