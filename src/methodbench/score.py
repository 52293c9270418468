"""One score: a checkpoint, run by one runtime, on one task, with one seed; and the samples behind it.

On disk: ``results/SCALE/STUDY/seedN/scores/C/R/D/T.json`` and ``T.samples.jsonl`` beside it.

A line of the samples file is a flat JSON object. Always there: ``id`` (int, the item), ``kind`` (str, the item's
sort, "" if the task has one sort only), ``target``, ``response`` (as generated), ``answer`` (as extracted), one number
per metric of the task (e.g. ``exact_match``), ``tokens`` (all generated steps), ``latent`` (steps whose input was an
embedding mixture), ``forced`` (tokens put in by the runtime), ``finish`` (eos|stop|length|budget), and the health
flags ``truncated``, ``unclosed``, ``unparsable``, ``empty`` (0 or 1). A runtime may add numbers of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HEALTH = ("truncated", "unclosed", "unparsable", "empty")


@dataclass(frozen=True)
class Score:
    """What one samples file comes to. `metrics`, `health` and `cost` are means over samples (or totals, see keys)."""

    scale: str
    study: str
    seed: int
    checkpoint: str
    runtime: str
    task: str  # "dataset/task"
    identity: str  # of the pair: what would make this score stale
    n: int
    metrics: Mapping[str, float]
    health: Mapping[str, float]  # shares of samples, keys of HEALTH
    cost: Mapping[str, float]  # tokens, latent, forced (mean a sample); wall_s, peak_mb (of the whole run)
    settings: Mapping[str, Any]  # runtime config, generation settings, first rendered prompt, versions
    samples_sha256: str
    chosen: Mapping[str, Any] = field(default_factory=dict)  # values picked by `choose`, with the scores that did

    def save(self, path: Path) -> None:
        """Write atomically; a reader never sees half a score."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.tmp")
        scratch.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        scratch.replace(path)

    @staticmethod
    def load(path: Path) -> Score:
        return Score(**json.loads(path.read_text(encoding="utf-8")))


def samples_path(score_path: Path) -> Path:
    """``.../T.json`` -> ``.../T.samples.jsonl``."""
    return score_path.with_name(score_path.stem + ".samples.jsonl")


def write_samples(path: Path, samples: Iterable[Mapping[str, Any]]) -> str:
    """Write one JSON object a line, atomically, and return the file's sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(sample, sort_keys=True, ensure_ascii=False) + "\n" for sample in samples)
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
    return hashlib.sha256(text.encode()).hexdigest()


def read_samples(path: Path) -> list[dict[str, Any]]:
    """All samples of a score, in item order."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
