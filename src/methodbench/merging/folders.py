"""What lies in a model folder, read from the headers of its safetensors files; no torch, no weights.

A safetensors file is 8 bytes (little-endian length of the header), the header (JSON: name -> dtype, shape and the first
and one-past-last byte of the data), and the data.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError

ONE, INDEX = "model.safetensors", "model.safetensors.index.json"
FLOATS = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}  # bytes an entry
EXACT = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
SIZES = FLOATS | EXACT
BLOCK = 2**20


@dataclass(frozen=True)
class Entry:
    """One tensor in a file: its bytes are [start, start + size)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    size: int


@dataclass(frozen=True)
class Folder:
    """A model folder: its config.json and its tensors, in the order in which they lie there."""

    path: Path
    config: dict[str, Any]
    entries: dict[str, Entry] = field(repr=False)


def open_folder(path: Path) -> Folder:
    """Read the headers.

    Raises:
        UserError: the folder is missing or broken, or its weights are pickled or of a kind that cannot be merged.
    """
    Checkpoint(path).check()
    config = read_json(path / "config.json")
    entries: dict[str, Entry] = {}
    for name in _files(path):
        for entry in _header(path / name):
            if entry.name in entries:
                raise UserError(f"{entry.file}: tensor '{entry.name}' is also in {entries[entry.name].file.name}")
            entries[entry.name] = entry
    if not entries:
        raise UserError(f"{path}: holds no tensors")
    return Folder(path, config, entries)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or a `UserError`."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({' '.join(str(error).split())})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected keys and values")
    return value


def _files(path: Path) -> list[str]:
    """Names of the weights' files; an index must keep to its own folder."""
    if (path / ONE).exists():
        return [ONE]
    if not (path / INDEX).exists():
        raise UserError(f"{path}: has neither {ONE} nor {INDEX}")
    weight_map = read_json(path / INDEX).get("weight_map")
    if not isinstance(weight_map, dict):
        raise UserError(f"{path / INDEX}: key 'weight_map' is missing")
    files = sorted({str(name) for name in weight_map.values()})
    for name in files:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UserError(f"{path / INDEX}: file '{name}', allowed: a .safetensors file in the same folder")
        if not (path / name).exists():
            raise UserError(f"{path / INDEX}: file '{name}' is missing")
    return files


def _header(file: Path) -> list[Entry]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise UserError(f"{file}: is broken: its header is said to have {length} bytes, the file has {size}")
        try:
            header = json.loads(stream.read(length))
            listed = [_entry(file, name, value, 8 + length) for name, value in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{file}: is broken: its header cannot be read") from None
    for entry in listed:
        if entry.dtype not in SIZES:
            allowed = ", ".join(SIZES)
            raise UserError(
                f"{file}: tensor '{entry.name}' is {entry.dtype}, which cannot be merged; allowed: {allowed}"
            )
        if entry.size != math.prod(entry.shape) * SIZES[entry.dtype] or entry.start + entry.size > size:
            raise UserError(f"{file}: is broken: the bytes of tensor '{entry.name}' do not fit its shape or the file")
    return sorted(listed, key=lambda entry: (entry.start, entry.name))


def _entry(file: Path, name: str, value: dict[str, Any], data: int) -> Entry:
    first, last = value["data_offsets"]
    shape = tuple(value["shape"])
    if min((first, *shape)) < 0 or not all(type(number) is int for number in (first, last, *shape)):
        raise ValueError
    return Entry(name, str(value["dtype"]), shape, file, data + first, last - first)


def same_bytes(one: Entry, other: Entry) -> bool:
    """Do two tensors hold the same?"""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    with one.file.open("rb") as first, other.file.open("rb") as second:
        first.seek(one.start)
        second.seek(other.start)
        steps = (min(BLOCK, one.size - done) for done in range(0, one.size, BLOCK))
        return all(first.read(step) == second.read(step) for step in steps)


def fingerprint(folder: Folder) -> list[Any]:
    """What changes when the folder's weights are written anew."""
    files = sorted({entry.file for entry in folder.entries.values()})
    states = [(os.path.realpath(file), os.stat(file)) for file in files]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states] + [folder.config]
