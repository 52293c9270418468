"""What MLflow shall show of one node of the graph, in the form in which MLflow can hold it.

Limits of MLflow 3: a parameter's value has 6000 characters, a tag's 8000; names are made of letters, digits and
``_ - . space : /``; infinity is stored as the largest number. Pure values: nothing here touches a tracker.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from methodbench.checkpoint import digest_file, digest_folder

Status = Literal["FINISHED", "FAILED", "KILLED"]
NOTE = "mlflow.note.content"  # the description on MLflow's pages
KEY, IDENTITY, SUPERSEDED = "methodbench.key", "methodbench.identity", "methodbench.superseded"


@dataclass(frozen=True)
class Node:
    """What MLflow shall show of one node of the graph, known before its job starts.

    Tags for people have plain names, so that ``tags.study = 'toy'`` finds them and MLflow's columns are short; what
    only the tracker reads begins with ``methodbench.``.
    """

    key: str  # unique in the experiment and the same for ever, e.g. the path of the node's files
    name: str  # for people: "reasoner@swir · s1 · math/test"; MLflow's lists show some 22 characters of it
    kind: Literal["dataset", "checkpoint", "score", "report"]
    experiment: str  # "methodbench/SCALE/STUDY"
    identity: str  # what would make the node's files stale; another identity is another run
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)  # study, scale, seed, arm, checkpoint, runtime, task …
    parents: tuple[str, ...] = ()  # names of the nodes that it was made from
    files: str = ""  # where the node's files are, shown in the run's description
    about: str = ""  # the description's first words, Markdown

    def run_params(self) -> dict[str, str]:
        """The parameters as MLflow can hold them."""
        return {valid_name(name): str(value)[:6000] for name, value in self.params.items()}

    def run_tags(self) -> dict[str, str]:
        """All tags that say what the node is."""
        made = f", made from {', '.join(f'`{parent}`' for parent in self.parents)}" if self.parents else ""
        where = f"Files: `{self.files}`" if self.files else ""
        note = "\n\n".join(filter(None, [self.about, f"A {self.kind}{made}.", where]))
        own = {"kind": self.kind, "parents": ", ".join(self.parents), **self.tags}
        tags = {name: str(value)[:8000] for name, value in own.items() if str(value)}
        return {
            "mlflow.runName": self.name,
            NOTE: note[:8000],
            **tags,
            KEY: self.key,
            IDENTITY: self.identity,
            SUPERSEDED: "false",
        }


@dataclass(frozen=True)
class FinishedNode:
    """A node whose files exist. Times are seconds since 1970."""

    node: Node
    started: float
    ended: float
    status: Status = "FINISHED"
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[tuple[int, Mapping[str, float]]] = ()  # (step, {name: value}); a name here is not in `metrics`
    artifacts: Sequence[Path] = ()  # small files, and folders that keep their name

    def content(self) -> str:
        """Digest of all that MLflow shall show, times left out."""
        shown = [
            [self.node.run_params(), self.node.run_tags(), self.status, dict(self.metrics)],
            [[step, dict(values)] for step, values in self.curves],
            [[path.name, digest_folder(path) if path.is_dir() else digest_file(path)] for path in self.artifacts],
        ]
        return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()

    def points(self) -> dict[tuple[str, int], Point]:
        """Every curve point by (name, step); the time of a point that was not seen live is interpolated."""
        found = {}
        for index, (step, values) in enumerate(self.curves):
            when = self.started + (self.ended - self.started) * (index + 1) / len(self.curves)
            for name, value in values.items():
                found[valid_name(name), step] = Point(valid_name(name), storable(value), step, milliseconds(when))
        return found


class Point(NamedTuple):
    """One value of a metric. MLflow ignores a point that it already has, equal in all four."""

    name: str
    value: float
    step: int
    when: int  # milliseconds since 1970


def valid_name(name: str) -> str:
    """A metric's or parameter's name as MLflow allows it: ``exact_match,none`` -> ``exact_match/none``."""
    allowed = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name.replace(",", "/"))
    return posixpath.normpath(allowed.lstrip("./") or "_")[:250].rstrip("/")


def storable(value: float) -> float:
    """What MLflow's store makes of a value: infinity becomes the largest number."""
    return float(value) if math.isnan(value) else max(-sys.float_info.max, min(sys.float_info.max, float(value)))


def same(left: float, right: float) -> bool:
    """Equal, or both not a number."""
    return left == right or (math.isnan(left) and math.isnan(right))


def milliseconds(seconds: float) -> int:
    """Seconds -> whole milliseconds, MLflow's unit of time."""
    return round(seconds * 1000)
