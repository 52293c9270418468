"""A merge of checkpoints as a node of a graph; the last parent is the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from methodbench.checkpoint import Checkpoint
from methodbench.joblog import Log
from methodbench.merging import merge as merge_folders
from methodbench.merging.config import MergeConfig
from methodbench.merging.measuring import in_words, peak_mib

MIB = 2**20


def merge(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: MergeConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Write the merged checkpoint and ``merge.json``, what was measured on the way, to `out`."""

    def progress(done: int, total: int) -> None:
        log.progress(done / MIB, total / MIB, "MiB", memory_mib=peak_mib())

    report = merge_folders([parent.path for parent in parents], out, config, seed, progress)
    for warning in report["warnings"]:
        log.say(warning)
    log.say(in_words(report))
    totals = report["totals"]
    log.metrics(
        0,
        {
            "delta_norm": totals["merged"]["norm"],
            "changed": totals["merged"]["changed"],
            "cast_error": totals["cast_error"],
            "cast_to_base": totals["cast_to_base"],
        },
    )
