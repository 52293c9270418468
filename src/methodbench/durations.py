"""How long a job will take and how many tokens a score will cost, as far as earlier runs tell.

Seconds of a job come from the first of these that knows it (`SOURCES`):

1. records of this machine for the same job: the seconds beside its log, a checkpoint's ``.times.json``, the wall
   time in its scores; the largest, as a run that was resumed wrote the rest of its time alone;
2. the same of the same job with other seeds, averaged;
3. and 4. the two again from the table of times on the page reports/SCALE/STUDY.md, which comes with a clone (rounded
   to seconds, on the machine that the page names);
5. other jobs of the scale with the same method: the median, for an evaluate job a score.

Records are of the job's name, whatever its config was then: where a study was changed, they are of the old one.
Tokens of a score come from its own score file, else from another seed's, another checkpoint's with the same runtime and
task, else from the published ``numbers.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from methodbench.errors import UserError
from methodbench.graph import Graph
from methodbench.nodes import CheckpointNode, EvaluateNode, Pair
from methodbench.score import samples_path

HERE, PUBLISHED, ALIKE = "this machine's records", "published reports", "other jobs of the same method"
SOURCES = (HERE, PUBLISHED, ALIKE)
ROW = re.compile(r"^\| `((?:transform|evaluate)-[^`]+)` \| ([^|]+?) \|$", re.MULTILINE)
UNITS = {"s": 1, "min": 60, "h": 3600}


class Tokens(NamedTuple):
    """Of one score, over all its items."""

    generated: float
    read: float


class Durations:
    """Earlier runs of a scale. `place` holds results/ and reports/; each study's records are read once, when asked."""

    def __init__(self, graph: Graph, place: Path) -> None:
        self.graph, self.place = graph, place
        self.local = cache(self._local)
        self.published = cache(self._published)
        self.scores = cache(self._scores)
        self._numbers = cache(self._published_tokens)

    def transform(self, node: CheckpointNode) -> tuple[float, str] | None:
        """Seconds and their source, or None where nothing is known."""
        named = self._named(node.study, f"transform-{node.name}-", node.run, "")
        return named or _alike([self._alike_transforms.get(node.method.name)])

    def evaluate(self, study: str, node: EvaluateNode, pending: Iterable[Pair]) -> tuple[float, str] | None:
        """Seconds of the scores that are `pending`, and their source, or None where nothing is known."""
        due, whole = _weight(pending), _weight(node.pairs)
        named = self._named(study, f"evaluate-{node.checkpoint.name}-", f"seed{node.seed}", f"-{node.name}")
        if named:
            return named[0] * due / whole, named[1]
        per_score = [self._alike_scores.get(pair.method.name) for pair in node.pairs]
        known = _alike(per_score)
        return known and (known[0] / len(node.pairs) * due, known[1])

    def tokens(self, study: str, pair: Pair, checkpoint: str) -> Tokens | None:
        """Tokens that a score will generate and read; the candidates of a choice are taken to cost as much each."""
        scores = self.scores(study)
        runs = [key for key in scores if key[1:3] == (pair.runtime, pair.task_name)]
        own = [key for key in runs if key[0] == checkpoint]
        same_seed = [key for key in own if key[3] == pair.seed]
        found = [scores[key][0] for key in same_seed or own or runs]
        numbers = self._numbers(study)
        arms = [key for key in numbers if key[1:] == (pair.runtime, pair.task_name)]
        found = found or [numbers[key] for key in [key for key in arms if key[0] == checkpoint] or arms]
        if not found:
            return None
        times = _weight([pair])
        return Tokens(*(times * fmean(values) for values in zip(*found, strict=True)))

    def _named(self, study: str, head: str, seed: str, tail: str) -> tuple[float, str] | None:
        """Seconds of the job of that name, or of its mean over other seeds."""
        other = re.compile(rf"{re.escape(head)}(seed\d+|unseeded){re.escape(tail)}")
        for source, seconds in ((HERE, self.local(study)), (PUBLISHED, self.published(study))):
            if head + seed + tail in seconds:
                return seconds[head + seed + tail], source
            if found := [seconds[name] for name in seconds if other.fullmatch(name)]:
                return fmean(found), source
        return None

    def _local(self, study: str) -> dict[str, float]:
        """Job -> seconds, from the files of earlier runs here."""
        folder = self.place / "results" / self.graph.scale / study
        found: dict[str, float] = {}

        def learn(name: str, seconds: float) -> None:
            found[name] = max(found.get(name, 0.0), seconds)

        for file in folder.glob("logs/*.tsv"):
            lines = file.read_text(encoding="utf-8").splitlines()
            if len(lines) > 1 and (cell := lines[1].split("\t")[0]).replace(".", "", 1).isdigit():
                learn(file.stem, float(cell))
        for file in folder.glob("*/checkpoints/*/.times.json"):
            if times := read_json(file):
                learn(f"transform-{file.parent.name}-{file.parts[-4]}", times["ended"] - times["started"])
        for node in self._study(study).evaluations if self._study(study) else ():
            walls = [self.scores(study).get(_key(node, pair)) for pair in node.pairs]
            if all(walls):
                name = f"evaluate-{node.checkpoint.name}-seed{node.seed}-{node.name}"
                learn(name, sum(wall[1] for wall in walls if wall))
        return found

    def _published(self, study: str) -> dict[str, float]:
        """Job -> seconds, from the table of a report's page."""
        page = self._report(f"{study}.md")
        return {name: seconds_of(told) for name, told in ROW.findall(page.read_text(encoding="utf-8"))} if page else {}

    def _scores(self, study: str) -> dict[tuple[str, str, str, int], tuple[Tokens, float]]:
        """(checkpoint, runtime, task, seed) -> tokens and wall seconds of its score file."""
        found = {}
        folder = self.place / "results" / self.graph.scale / study
        for file in folder.glob("seed*/scores/*/*/*/*.json"):
            score = read_json(file) if samples_path(file).exists() else None
            if score and "cost" in score:
                cost, many = score["cost"], score["n"]
                tokens = Tokens(many * cost.get("tokens", 0.0), many * cost.get("prompt_tokens", 0.0))
                found[score["checkpoint"], score["runtime"], score["task"], score["seed"]] = tokens, cost["wall_s"]
        return found

    def _published_tokens(self, study: str) -> dict[tuple[str, str, str], Tokens]:
        """(checkpoint, runtime, task) -> tokens, from a report's numbers.json."""
        file = self._report(f"{study}/numbers.json")
        found = {}
        for entry in (read_json(file) or {}).get("numbers", []) if file else []:
            checkpoint, _, runtime = entry["arm"].partition("@")
            many = entry["items"]
            tokens = Tokens(many * (entry["tokens"] or 0.0), many * (entry["prompt_tokens"] or 0.0))
            found[checkpoint, runtime, entry["task"]] = tokens
        return found

    def _report(self, name: str) -> Path | None:
        """The file of a report, made here or, from another folder, in the repository."""
        places = (place / "reports" / self.graph.scale / name for place in (self.place, self.graph.root))
        return next((file for file in places if file.is_file()), None)

    @cached_property
    def _alike_transforms(self) -> dict[str, float]:
        """Method -> median seconds of its known jobs at this scale."""
        seconds: dict[str, list[float]] = {}
        for study in self._studies():
            for node in study.checkpoints:
                if known := self._named(node.study, f"transform-{node.name}-", node.run, ""):
                    seconds.setdefault(node.method.name, []).append(known[0])
        return {name: median(found) for name, found in seconds.items()}

    @cached_property
    def _alike_scores(self) -> dict[str, float]:
        """Runtime method -> median seconds a score of the known jobs that it takes part in."""
        seconds: dict[str, list[float]] = {}
        for study in self._studies():
            for node in study.evaluations:
                head, seed = f"evaluate-{node.checkpoint.name}-", f"seed{node.seed}"
                if known := self._named(study.study.study, head, seed, f"-{node.name}"):
                    for name in {pair.method.name for pair in node.pairs}:
                        seconds.setdefault(name, []).append(known[0] / _weight(node.pairs))
        return {name: median(found) for name, found in seconds.items()}

    def _studies(self) -> list[Any]:
        return [study for study in map(self._study, self.graph.study_names()) if study]

    def _study(self, name: str) -> Any:
        """A study of the scale; None where it cannot be read, as only its records were wanted."""
        try:
            return self.graph.study(name)
        except UserError:
            return None


def seconds_of(told: str) -> float:
    """The opposite of `joblog.duration`: ``"3 min 05 s"`` -> 185."""
    words = told.split()
    return float(sum(int(many) * UNITS[unit] for many, unit in zip(words[::2], words[1::2], strict=True)))


def _alike(known: list[float | None]) -> tuple[float, str] | None:
    """The sum, if every part of it is known."""
    parts = [part for part in known if part is not None]
    return (sum(parts), ALIKE) if parts and len(parts) == len(known) else None


def _weight(pairs: Iterable[Pair]) -> int:
    """How many scores these take: one each, and one for every candidate of a choice."""
    return sum(1 + len(pair.candidates) for pair in pairs)


def _key(node: EvaluateNode, pair: Pair) -> tuple[str, str, str, int]:
    return node.checkpoint.name, pair.runtime, pair.task_name, node.seed


def read_json(path: Path) -> Mapping[str, Any] | None:
    """A JSON file; None if it is not there or half written, for a plan needs no single record."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
