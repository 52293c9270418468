"""Update norms of every block: the tuned weights, linked, and ``measures.csv`` and ``norms.json`` beside them.

The paper trains with SFT and with RL at one learning rate for one epoch and finds norms of 6.5 to 13 against 1.0 to 1.4
a block (read off its plot). Weights are read a piece at a time, and no model is built.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from methodbench.checkpoint import Checkpoint, link_files
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.merging.config import MergeConfig
from methodbench.merging.folders import open_folder
from methodbench.merging.preflight import plan
from methodbench.merging.streaming import Reader
from methods.mifo.analysis_config import NormsConfig
from methods.mifo.norms import Moved, moved, place, together

TABLE, REPORT = "measures.csv", "norms.json"
COLUMNS = ("l2", "rel", "share", "changed")


def mifo_norms(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: NormsConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the first parent's files, linked, with the two of this analysis, to `out`.

    The parents are the tuned checkpoint and the one that its training began with. The seed changes nothing. An output
    layer that is the embedding counts once.
    """
    tuned, original = parents
    by_tensor = moves(tuned.path, original.path, log)
    whole = together(by_tensor.values())
    blocks, kinds, outside = grouped(by_tensor)
    link_files(tuned.path, out, leave=(TABLE, REPORT))
    with (out / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["layer", *(f"update_{column}" for column in COLUMNS)])
        for block, part in sorted(blocks.items()):
            table.writerow([block, *(f"{part.row(whole)[column]:.6g}" for column in COLUMNS)])
    report = {
        "whole": _shown(whole, whole),
        "kinds": {name: _shown(part, whole) for name, part in sorted(kinds.items())},
        "outside": {name: _shown(part, whole) for name, part in outside.items()},
    }
    (out / REPORT).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    log.say(f"moved by {whole.l2:.4g} in all, {whole.changed / max(1, whole.count):.1%} of {whole.count:,} entries")
    log.metrics(0, {f"update_{column}": whole.row(whole)[column] for column in ("l2", "changed")})


def moves(tuned: Path, original: Path, log: Log) -> dict[str, Moved]:
    """How far every tensor moved, by name.

    Raises:
        UserError: the folders do not hold models of one shape, or a weight is not finite.
    """
    settings = MergeConfig()
    planned = [
        tensor for tensor in plan([open_folder(tuned), open_folder(original)], settings).tensors if tensor.merged
    ]
    found = {}
    with closing(Reader(settings.chunk, 2)) as reader:
        for number, tensor in enumerate(planned, 1):
            pieces = reader.pieces(tensor.sources, math.prod(tensor.shape))
            found[tensor.name] = together(moved(new, old) for new, old in pieces)
            if not math.isfinite(found[tensor.name].squares):
                raise UserError(f"mifo_norms: tensor '{tensor.name}' of {tuned} or {original} holds no finite number")
            log.progress(number, len(planned), "tensor")
    return found


def grouped(by_tensor: Mapping[str, Moved]) -> tuple[dict[int, Moved], dict[str, Moved], dict[str, Moved]]:
    """Moves of each block, of each kind of tensor over all blocks, of each tensor outside of blocks."""
    blocks: dict[int, list[Moved]] = {}
    kinds: dict[str, list[Moved]] = {}
    outside = {}
    for name, part in by_tensor.items():
        block, kind = place(name)
        if block is None:
            outside[name] = part
        else:
            blocks.setdefault(block, []).append(part)
            kinds.setdefault(kind, []).append(part)
    return (
        {block: together(parts) for block, parts in blocks.items()},
        {kind: together(parts) for kind, parts in kinds.items()},
        outside,
    )


def _shown(part: Moved, whole: Moved) -> dict[str, Any]:
    """Six digits, as the table has them, and null for what is not a number."""
    return {key: float(f"{value:.6g}") if math.isfinite(value) else None for key, value in part.row(whole).items()}
