"""The merge itself: checks, plans the files, streams the tensors through them, and goes on where a killed one stopped.

A finished file of weights lies in the work folder beside a note of what was measured; only files without their note are
written again. The whole result appears in one rename.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methodbench.errors import UserError
from methodbench.merging.beside import copy_beside, write_json
from methodbench.merging.config import DARE, MergeConfig
from methodbench.merging.folders import Folder, fingerprint, open_folder, read_json
from methodbench.merging.measuring import Row, Tally, finite, shown, total
from methodbench.merging.preflight import Plan, Planned, plan, refuse_taken
from methodbench.merging.recipe import largest, needs_global_trim, recipe
from methodbench.merging.selecting import Trim
from methodbench.merging.streaming import TORCH, Reader, flat_bytes, hasher, header, index, shards, size
from methodbench.merging.weights import Weights
from methodbench.publish import discard, publish, work_folder

Progress = Callable[[int, int], None]
FORMAT = 1  # of the work folder: raise it when a half-done merge of older code must not be gone on with


def merge_folders(
    parents: Sequence[Path], out: Path, settings: MergeConfig, seed: int, progress: Progress | None = None
) -> dict[str, Any]:
    """See `methodbench.merging.merge`."""
    if len(parents) < 2:
        raise UserError(f"merge: given {len(parents)} parents, allowed: two or more")
    refuse_taken(out)
    folders = [open_folder(path) for path in parents]
    planned = plan(folders, settings)
    weights = Weights(settings, len(folders), [tensor.name for tensor in planned.tensors])
    identity = [FORMAT, _told(settings), seed, [fingerprint(folder) for folder in folders]]
    work = work_folder(out, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest())
    with (
        _alone(work, out),
        _one_thread(),
        closing(Reader(settings.chunk, len(folders))) as reader,
    ):
        try:
            report = _Merge(folders, planned, weights, settings, seed, reader, progress).into(work)
        except UserError:  # nothing to go on with
            discard(work)
            raise
        publish(work / "out", out)
        discard(work)
    return report


class _Merge:
    def __init__(
        self,
        folders: Sequence[Folder],
        planned: Plan,
        weights: Weights,
        settings: MergeConfig,
        seed: int,
        reader: Reader,
        progress: Progress | None,
    ) -> None:
        self._folders, self._plan, self._weights, self._settings = folders, planned, weights, settings
        self._seed, self._reader, self._progress = seed, reader, progress
        self._models = len(folders) - 1
        self._written, self._total = 0, sum(size(tensor) for tensor in planned.tensors)

    @torch.inference_mode()
    def into(self, work: Path) -> dict[str, Any]:
        """Everything, in the folder "out" of the work folder."""
        out = work / "out"
        out.mkdir(exist_ok=True)
        files = shards(self._plan.tensors, self._settings.shard_size)
        rows: dict[str, Row] = {}
        trims: list[float] | None = None
        for name, tensors in files.items():
            note = work / f"{name}.json"
            if not (note.exists() and (out / name).exists()):
                if trims is None and needs_global_trim(self._settings):
                    trims = self._global_trims()
                write_json(note, self._shard(out / name, work / f"{name}.part", tensors, trims))
            else:
                self._written += sum(size(tensor) for tensor in tensors)
            rows |= read_json(note)
        if len(files) > 1:
            where, content = index(files)
            write_json(out / where, content)
        tokenizer = self._folders[0 if self._settings.tokenizer_from == "first" else -1]
        copy_beside(self._folders[-1], tokenizer.path, self._plan.config, out)
        report = self._report(rows)
        write_json(out / "merge.json", report)
        return report

    def _shard(self, file: Path, part: Path, tensors: Sequence[Planned], trims: list[float] | None) -> dict[str, Row]:
        rows = {}
        with part.open("wb") as stream:
            stream.write(header(tensors))
            for tensor in tensors:
                write = self._merged if tensor.merged else self._copied
                rows[tensor.name] = write(tensor, stream.write, trims)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
        return rows

    def _merged(self, tensor: Planned, write: Callable[[memoryview], object], trims: list[float] | None) -> Row:
        count, dtype = math.prod(tensor.shape), TORCH[tensor.dtype]

        def pieces() -> Iterator[list[Tensor]]:
            for parts in self._reader.pieces(tensor.sources, count):
                yield [part.double() for part in parts]

        weights = self._weights.of(tensor.name)
        fixed = [Trim(least, None) for least in trims or ()]
        blend = recipe(self._settings, weights, self._seed, tensor.name, count, pieces, fixed)
        tally, hashes = Tally(self._models), [hasher(entry) for entry in tensor.sources]
        for parts in self._reader.pieces(tensor.sources, count, hashes):
            wide = [part.double() for part in parts]
            deltas = [part - wide[-1] for part in wide[:-1]]
            merged = blend(wide, deltas)
            written = merged.to(dtype)
            tally.add(wide[-1], deltas, merged, written)
            write(flat_bytes(written))
            self._tell(written.nbytes)
        row = tally.row(blend.kept)
        if not finite(row):
            raise UserError(
                f"merge: tensor '{tensor.name}': a parent's value is not finite, "
                f"or the result's is beyond {tensor.dtype}"
            )
        return row | {"sha256": [digest.hexdigest() for digest in hashes]}

    def _copied(self, tensor: Planned, write: Callable[[memoryview], object], trims: list[float] | None) -> Row:
        hashes = [hasher(entry) for entry in tensor.sources]
        for parts in self._reader.pieces(tensor.sources, math.prod(tensor.shape), hashes):
            for folder, part in zip(self._folders, parts, strict=True):
                if not torch.equal(part, parts[-1]):
                    raise UserError(
                        f"{folder.path}: tensor '{tensor.name}' of {tensor.dtype} differs from that of "
                        f"{self._folders[-1].path}; allowed: equal ones, which are copied"
                    )
            write(flat_bytes(parts[-1]))
            self._tell(parts[-1].nbytes)
        return {"sha256": [digest.hexdigest() for digest in hashes]}

    def _global_trims(self) -> list[float]:
        merged = [tensor for tensor in self._plan.tensors if tensor.merged]

        def pieces() -> Iterator[list[Tensor]]:
            for tensor in merged:
                for parts in self._reader.pieces(tensor.sources, math.prod(tensor.shape)):
                    yield [part.double() for part in parts]

        keep = max(1, int(self._settings.density * sum(math.prod(tensor.shape) for tensor in merged)))
        return [found.least for found in largest([keep] * self._models, pieces)]

    def _tell(self, count: int) -> None:
        self._written += count
        if self._progress is not None:
            self._progress(self._written, self._total)

    def _report(self, rows: dict[str, Row]) -> dict[str, Any]:
        """What merge.json holds; the same for every chunk size."""
        digests = [hashlib.sha256() for _ in self._folders]
        for tensor in sorted(self._plan.tensors, key=lambda tensor: tensor.name):
            for digest, one, aliased in zip(digests, rows[tensor.name]["sha256"], tensor.aliased, strict=True):
                if not aliased:
                    digest.update(one.encode())
        measured = {tensor.name: rows[tensor.name] for tensor in self._plan.tensors if tensor.merged}
        drawn = self._settings.operator in DARE and 0 < self._settings.drop < 1
        return {
            "settings": _told(self._settings),
            "seed": self._seed if drawn else None,  # it changes nothing elsewhere
            "parents": [
                {"folder": folder.path.name, "sha256": digest.hexdigest()}
                for folder, digest in zip(self._folders, digests, strict=True)
            ],
            "tensors": {name: shown(row) for name, row in measured.items() if row["count"]},
            "totals": shown(total([row for row in measured.values() if row["count"]])),
            "copied": sorted(tensor.name for tensor in self._plan.tensors if not tensor.merged),
            "warnings": self._plan.warnings,
        }


def _told(settings: MergeConfig) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(json.dumps(asdict(settings)))  # as it is read back
    del shown["chunk"]  # changes nothing
    return shown


@contextmanager
def _one_thread() -> Iterator[None]:
    """Pieces are too small to share, sums would depend on the number, and waiting threads burn a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _alone(work: Path, out: Path) -> Iterator[None]:
    """Two processes in one work folder would spoil each other's files."""
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{out}: another process is merging into it") from None
        yield
