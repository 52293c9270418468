"""What a run would cost before it starts: its jobs, their minutes, the tokens of its scores, GPU-hours.

What lies on the disk with the identity that the graph wants is done and left out (Snakemake may visit such a job, which
then ends at once). What earlier runs know of the others is in `durations`. The wall time is that of a list schedule:
whenever cores and GPUs are free, the first job by priority whose inputs are there starts, as under Snakemake's greedy
scheduler. Jobs of unknown length count as none, and the plan says how many they are; so do those that prepare data,
track and report, which no run times.
"""

from __future__ import annotations

import heapq
import math
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from methodbench.config import read_yaml
from methodbench.durations import SOURCES, Durations, Tokens, read_json
from methodbench.errors import UserError
from methodbench.graph import Graph
from methodbench.joblog import duration
from methodbench.nodes import CheckpointNode, DatasetNode, EvaluateNode, Pair, StudyGraph
from methodbench.score import samples_path
from methodbench.wording import count

KINDS = ("prepare", "transform", "evaluate", "track", "report")
TIMED = ("transform", "evaluate")  # the Snakefile measures these alone
SHOWN = 4  # names of jobs that were never run


@dataclass(frozen=True)
class Job:
    """One job that a run would start."""

    kind: str
    study: str
    path: Path  # what it makes
    needs: tuple[Path, ...] = ()  # what other jobs make and it reads
    threads: int = 1
    gpus: int = 0
    seconds: float | None = None  # None: not known
    source: str = ""
    tokens: tuple[Tokens | None, ...] = ()  # of each score to come

    @property
    def unknown(self) -> bool:
        """Whether it takes time that no run has told. Jobs of the other kinds are never timed."""
        return self.kind in TIMED and self.seconds is None

    @property
    def core_seconds(self) -> float:
        return self.threads * (self.seconds or 0.0)


@dataclass(frozen=True)
class Machine:
    """What jobs share. `ask` is the GPUs that a profile gives each job of a kind, instead of the method's own."""

    cores: int
    gpus: float = math.inf
    ask: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Plan:
    """Jobs in the order of their priority, and how many are done."""

    scale: str
    machine: Machine
    jobs: list[Job]
    done: int


def machine_of(cores: int | None, profile: Path | None) -> Machine:
    """The cores given (default: all of this process) with the GPUs of a Snakemake profile's folder.

    Raises:
        UserError: the folder has no config.yaml or a broken one, or the number of cores is not positive.
    """
    if cores is not None and cores < 1:
        raise UserError(f"plan: --cores: given {cores}, must be 1 or more")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if profile is None:
        return Machine(cores or usable)
    file = profile / "config.yaml"
    if not file.is_file():
        raise UserError(f"plan: --profile: {file} does not exist; give a folder such as profiles/gpu")
    values: Any = read_yaml(file)
    try:
        totals = dict(str(entry).split("=", 1) for entry in values.get("resources", []))
        asked = {kind: given.get("gpu") for kind, given in (values.get("set-resources") or {}).items()}
        return Machine(
            cores or usable,
            float(totals["gpu"]) if "gpu" in totals else math.inf,
            {kind: int(many) for kind, many in asked.items() if many is not None},
        )
    except (AttributeError, TypeError, ValueError):
        raise UserError(
            f"{file}: cannot be read; expected 'resources: [gpu=1]' and 'set-resources: {{transform: {{gpu: 1}}}}'"
        ) from None


def plan(graph: Graph, names: Collection[str], machine: Machine, place: Path) -> Plan:
    """What a run of these studies (none: all that are not optional) would do in the folder `place`.

    Raises:
        UserError: a study does not exist, or one of them has a mistake.
    """
    studies = [graph.study(name) for name in names or graph.study_names()]
    if not names:
        studies = [study for study in studies if not study.study.optional]
        studies.sort(key=lambda study: sum(len(node.pairs) for node in study.evaluations))
    maker = _Maker(graph, Durations(graph, place), machine, place)
    for study in studies:
        maker.study(study)
    return Plan(graph.scale, machine, list(maker.jobs.values()), len(maker.done))


class _Maker:
    """Walks the graph and keeps each job once; a study's inputs from other studies come before it."""

    def __init__(self, graph: Graph, known: Durations, machine: Machine, place: Path) -> None:
        self.graph, self.known, self.machine, self.place = graph, known, machine, place
        self.jobs: dict[Path, Job] = {}
        self.done: set[Path] = set()

    def study(self, study: StudyGraph) -> None:
        name = study.study.study
        before = len(self.jobs)
        for dataset in study.datasets.values():
            self.dataset(dataset)
        for checkpoint in study.checkpoints:
            self.checkpoint(checkpoint)
        for evaluation in study.evaluations:
            self.evaluation(name, evaluation)
        tracked = Path("results") / self.graph.scale / name / "tracked.json"
        report = Path("reports") / self.graph.scale / f"{name}.md"
        fresh = len(self.jobs) > before
        if fresh or not (self.place / tracked).exists():
            wanted = [node.path for node in study.datasets.values()]
            wanted += [node.path for node in study.checkpoints]
            wanted += [node.path for node in study.evaluations]
            self.add(Job("track", name, tracked, tuple(wanted)))
        else:
            self.done.add(tracked)
        if tracked in self.jobs or not (self.place / report).exists():
            self.add(Job("report", name, report, (tracked,)))
        else:
            self.done.add(report)

    def dataset(self, node: DatasetNode) -> None:
        if not self.seen(node, node.path / "dataset.json"):
            self.add(Job("prepare", node.study, node.path))

    def checkpoint(self, node: CheckpointNode) -> None:
        for parent in node.parents:
            self.checkpoint(parent)
        for dataset, _ in node.data.values():
            self.dataset(dataset)
        if self.seen(node, node.path / "checkpoint.json"):
            return
        needs = (*(parent.path for parent in node.parents), *(dataset.path for dataset, _ in node.data.values()))
        seconds, source = self.known.transform(node) or (None, "")
        resources = node.method.resources
        gpus = self.machine.ask.get("transform", resources.gpu)
        self.add(Job("transform", node.study, node.path, needs, resources.threads, gpus, seconds, source))

    def evaluation(self, study: str, node: EvaluateNode) -> None:
        self.checkpoint(node.checkpoint)
        for dataset in node.datasets:
            self.dataset(dataset)
        if self.seen(node, node.path):
            return
        pending = [pair for pair in node.pairs if not self.scored(pair)]
        seconds, source = self.known.evaluate(study, node, pending) or (None, "")
        gpus = self.machine.ask.get("evaluate", max((pair.method.resources.gpu for pair in node.pairs), default=0))
        needs = (node.checkpoint.path, *(dataset.path for dataset in node.datasets))
        tokens = tuple(self.known.tokens(study, pair, node.path.parent.name) for pair in pending)
        self.add(Job("evaluate", study, node.path, needs, 1, gpus, seconds, source, tokens))

    def seen(self, node: DatasetNode | CheckpointNode | EvaluateNode, record: Path) -> bool:
        """Whether the node has its job already, or needs none."""
        if node.path in self.jobs or node.path in self.done:
            return True
        if (read_json(self.place / record) or {}).get("identity") == node.identity:
            self.done.add(node.path)
            return True
        return False

    def scored(self, pair: Pair) -> bool:
        path = self.place / pair.path
        return samples_path(path).exists() and (read_json(path) or {}).get("identity") == pair.identity

    def add(self, job: Job) -> None:
        self.jobs[job.path] = job


def wall_seconds(jobs: Sequence[Job], machine: Machine) -> float:
    """When the last job of a list schedule ends; `jobs` are in the order of their priority."""
    made_here = {job.path for job in jobs}
    waiting = [(job, {path for path in job.needs if path in made_here}) for job in jobs]
    running: list[tuple[float, int, Job]] = []  # end, number, job
    now, cores, gpus, finished = 0.0, float(machine.cores), machine.gpus, set[Path]()
    while waiting or running:
        held = []
        for place, (job, needs) in enumerate(waiting):
            takes, asks = min(job.threads, machine.cores), min(float(job.gpus), machine.gpus)
            if needs <= finished and takes <= cores and asks <= gpus:
                cores, gpus = cores - takes, gpus - asks
                heapq.heappush(running, (now + (job.seconds or 0.0), place + len(finished) * len(jobs), job))
            else:
                held.append((job, needs))
        waiting = held
        now, _, job = heapq.heappop(running)
        finished.add(job.path)
        cores, gpus = cores + min(job.threads, machine.cores), gpus + min(float(job.gpus), machine.gpus)
    return now


def told(found: Plan) -> Iterator[str]:
    """The plan in lines: by kind, by study, what is not known, and the totals."""
    jobs = found.jobs
    yield f"scale {found.scale}: {count(len(jobs), 'job')} to do, {found.done} done already"
    if not jobs:
        return
    yield from _kinds(jobs)
    studies = list(dict.fromkeys(job.study for job in jobs))
    if len(studies) > 1:
        width = max(map(len, studies))
        yield ""
        for name in studies:
            own = [job for job in jobs if job.study == name]
            yield f"{name:<{width}}  {count(len(own), 'job'):>9}  {_minutes(own):>8} core-minutes{_lacking(own)}"
    yield ""
    timed = [job for job in jobs if job.kind in TIMED]
    sources = Counter(job.source for job in timed if job.seconds is not None)
    if sources:
        yield "learned from " + ", ".join(f"{name} ({sources[name]})" for name in SOURCES if name in sources)
    unknown = [job for job in timed if job.unknown]
    if unknown:
        names = ", ".join(str(job.path) for job in unknown[:SHOWN]) + (", …" if len(unknown) > SHOWN else "")
        was = "was" if len(unknown) == 1 else "were"
        yield f"{count(len(unknown), 'job')} {was} never run, nor any alike: not counted ({names})"
    if untimed := len(jobs) - len(timed):
        yield f"jobs that prepare data, track or report: {untimed}, which no run times; not counted"
    if timed:
        yield from _totals(found, timed)


def _totals(found: Plan, timed: Sequence[Job]) -> Iterator[str]:
    scores = [tokens for job in timed for tokens in job.tokens]
    known = [tokens for tokens in scores if tokens is not None]
    if scores:
        generated, read = (sum(tokens[place] for tokens in known) for place in (0, 1))
        of = "" if len(known) == len(scores) else f" by {len(known)} of them; of the others it is not known"
        amounts = f"{_large(generated)} tokens generated, {_large(read)} read{of}"
        yield f"scores: {len(scores)}, {amounts if known else 'their tokens are not known'}"
    asking = [job for job in timed if job.gpus]
    if asking:
        hours = sum(job.gpus * (job.seconds or 0.0) for job in asking) / 3600
        shown = f"{hours:.1f}" if any(job.seconds is not None for job in asking) else "not known"
        yield f"GPU-hours: {shown} in {count(len(asking), 'job')} that ask for GPUs{_lacking(asking)}"
    else:
        yield "GPU-hours: none, no job asks for a GPU"
    if timed and all(job.unknown for job in timed):
        yield "total: not known, none of these jobs was ever run"
        return
    wall = duration(wall_seconds(found.jobs, found.machine))
    cores = count(found.machine.cores, "core")
    least = "at least " if any(job.unknown for job in timed) else ""
    yield f"total: {least}{_minutes(timed)} core-minutes, {least}{wall} on {cores}"


def _kinds(jobs: Sequence[Job]) -> Iterator[str]:
    yield f"{'':<9}  {'jobs':>5}  {'core-minutes':>12}  {'longest':>12}"
    for kind in KINDS:
        own = [job for job in jobs if job.kind == kind]
        if own:
            lengths = [job.seconds for job in own if job.seconds is not None]
            shown = (_minutes(own), duration(max(lengths))) if lengths else ("—", "—")
            yield f"{kind:<9}  {len(own):>5}  {shown[0]:>12}  {shown[1]:>12}"


def _minutes(jobs: Sequence[Job]) -> str:
    return f"{sum(job.core_seconds for job in jobs) / 60:.1f}"


def _lacking(jobs: Sequence[Job]) -> str:
    lost = sum(job.unknown for job in jobs)
    return f", {lost} of them not known" if lost else ""


def _large(amount: float) -> str:
    """``"950"``, ``"12.3 k"``, ``"4.56 M"``."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if amount >= size:
            return f"{amount / size:.3g}{unit}"
    return f"{amount:.0f}"
