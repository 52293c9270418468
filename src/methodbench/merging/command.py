"""``methodbench merge PARENT PARENT … --out DIR``: a merge of any two folders, without a study around it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import time
from pathlib import Path
from typing import Any

from methodbench.config import parse
from methodbench.joblog import Log
from methodbench.merging import merge
from methodbench.merging.config import MergeConfig

MIB = 2**20
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)B?", re.IGNORECASE)
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
HELP = {
    "operator": "linear (default), task_arithmetic, dare_linear, ties, dare_ties or slerp",
    "weights": "one for each model, or for each parent, with commas between; default 0.5",
    "normalize": "linear: divide by the sum of the weights",
    "drop": "DARE: chance that an entry is dropped",
    "rescale": "DARE: expectation (default: divide by 1 - drop) or none",
    "mask_seed": "DARE: round (default) or constant",
    "round": "DARE: masks differ by round",
    "density": "TIES: share of the entries kept",
    "trim": "TIES: tensor (default) or global",
    "ties_normalize": "TIES: divide by the weights that agree (default)",
    "scale": "of the merged delta; default 1",
    "layers": 'weights by part of the name: \'{"mlp": 0.2, "": [0, 1]}\'',
    "dtype": "float32, bfloat16 or float16; default: as in the base",
    "shard_size": "bytes a file, e.g. 5GB (default)",
    "tokenizer_from": "first (default) or last",
    "truncate_embeddings": "cut vocabularies to the smallest",
    "chunk": "entries worked on at once; default 16384",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option for every key of `MergeConfig`."""
    parser.add_argument("parents", nargs="+", type=Path, metavar="PARENT", help="model folders, the base last")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--seed", type=int, default=0, help="of the masks")
    for field in dataclasses.fields(MergeConfig):
        option = f"--{field.name.replace('_', '-')}"
        if field.type in (bool, "bool"):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, help=HELP[field.name])
        else:
            parser.add_argument(option, metavar="VALUE", help=HELP[field.name].replace("%", "%%"))


def run(options: argparse.Namespace) -> None:
    """Merge, with a line now and then and one at the end."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(MergeConfig)}
    values = {key: _value(key, value) for key, value in given.items() if value is not None}
    settings = parse(MergeConfig, values, "methodbench merge")
    from methodbench.merging.measuring import in_words, peak_mib

    log, started = Log("merge"), time.monotonic()

    def progress(done: int, total: int) -> None:
        log.progress(done / MIB, total / MIB, "MiB", memory_mib=peak_mib())

    report = merge(options.parents, options.out, settings, options.seed, progress)
    for warning in report["warnings"]:
        log.say(warning)
    log.say(f"{in_words(report)}; {time.monotonic() - started:.1f} s, at most {peak_mib():.0f} MiB: {options.out}")


def _value(key: str, text: Any) -> Any:
    """What a person typed, as YAML would have it; what cannot be read stays, for the check to name it."""
    if not isinstance(text, str):
        return text
    if key == "shard_size" and (found := SIZE.fullmatch(text)):
        return round(float(found.group(1)) * UNITS[found.group(2).upper()])
    try:
        return json.loads(f"[{text}]" if key == "weights" else text)
    except ValueError:
        return text
