"""The report job: gather what the graph, the files and the tracker know, write the report, attach it to MLflow."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

from methodbench.context import ModelLine, ReportContext
from methodbench.graph import Graph
from methodbench.joblog import Log
from methodbench.ledger import experiment, report_node
from methodbench.nodes import StudyGraph
from methodbench.provenance import code_digest, commit, machine
from methodbench.report import render
from methodbench.score import Score
from methodbench.track import FinishedNode, Tracker, reconcile, shown
from methodbench.verdicts import NAME as VERDICTS

UI = "http://127.0.0.1:5000"  # where `mlflow ui` serves a local store


def publish_report(graph: Graph, name: str, uri: str, log: Log) -> Path:
    """Write reports/SCALE/STUDY.md, attach it to the study's MLflow experiment, and return its path."""
    started = time.time()
    study = graph.study(name)
    page = render(Path(), graph.scale, study.study, context(graph, study, uri))
    summary = reconcile([finished_report(graph.scale, name, page, started, time.time())], uri)
    log.say(f"{page}" + ("" if summary.ok else f" (not attached: {summary.why})"))
    return page


def finished_report(scale: str, name: str, page: Path, started: float, ended: float) -> FinishedNode:
    """The report in the file `page`, with the effects and verdicts of its claims and pairs, ready to be recorded."""
    told = json.loads((page.parent / name / VERDICTS).read_text(encoding="utf-8"))
    claims, pairs = told["claims"], told.get("pairs", [])
    metrics = {
        f"claim/{claim['id']}/effect": float(claim["effect"])
        for claim in claims
        if isinstance(claim.get("effect"), int | float)
    }
    metrics |= {
        f"pair/{pair['id']}/interaction": float(pair["interaction"]["effect"])
        for pair in pairs
        if pair["interaction"]["effect"] is not None
    }
    tags = {f"claim.{claim['id']}": claim["verdict"] for claim in claims}
    tags |= {f"pair.{pair['id']}": pair["word"] for pair in pairs}
    about = "\n".join(f"- **{claim['id']}** {claim['says']}: **{claim['verdict']}**" for claim in claims)
    node = report_node(scale, name, page, tags, about)
    return FinishedNode(node, started, ended, metrics=metrics, artifacts=[page, page.parent / name])


def context(graph: Graph, study: StudyGraph, uri: str) -> ReportContext:
    """What the report says besides scores and samples."""
    return ReportContext(
        repository=graph.root,
        config_file=str(study.file),
        tasks=study.tasks,
        methods=graph.methods,
        models=tuple(models(study)),
        runs=run_addresses(graph.scale, study.study.study, uri),
        stale=tuple(stale(study)),
        seconds=dict(seconds(study)),
        threads={
            f"transform-{node.name}-{node.run}": node.method.resources.threads
            for node in study.checkpoints
            if node.method.resources.threads > 1
        },
        machine=machine(),
        commit=commit(graph.root),
        tracking=shown(uri),
    )


def models(study: StudyGraph) -> Iterator[ModelLine]:
    """One line for each checkpoint that is scored, read from its files."""
    seen = set()
    for evaluation in study.evaluations:
        node = evaluation.checkpoint
        config = node.path / "config.json"
        if node.name in seen or not config.exists():
            continue
        seen.add(node.name)
        yield ModelLine(
            name=node.name,
            method=node.method.name,
            architecture=json.loads(config.read_text(encoding="utf-8")).get("model_type", ""),
            parameters=sum(parameters(file) for file in weights(node.path)),
            parents=tuple(parent.name for parent in node.parents),
        )


def weights(folder: Path) -> list[Path]:
    """The files that `from_pretrained` reads; a transform may leave others beside them, with masks or adapters."""
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))


def parameters(file: Path) -> int:
    """How many numbers a safetensors file holds, from its header alone."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(prod(entry["shape"]) for key, entry in header.items() if key != "__metadata__")


def stale(study: StudyGraph) -> Iterator[str]:
    """Sentences about results that older code of the same version made."""
    for node in study.checkpoints:
        record = node.path / "checkpoint.json"
        made = json.loads(record.read_text(encoding="utf-8"))["code"] if record.exists() else None
        if made and made != code_digest(node.method.entry):
            yield f"`{node.path}` was made by other code than the present one (same version of `{node.method.name}`)"
    older: dict[str, int] = {}
    for evaluation in study.evaluations:
        for pair in evaluation.pairs:
            if pair.path.exists() and Score.load(pair.path).settings["code"] != code_digest(pair.method.entry):
                older[pair.method.name] = older.get(pair.method.name, 0) + 1
    for method, count in older.items():
        yield f"{count} scores of `{method}` were made by other code than the present one (same version)"


def seconds(study: StudyGraph) -> Iterator[tuple[str, float]]:
    """Wall seconds of every job, as they measured themselves."""
    for file in sorted((Path("results") / study.file.parent.name / study.study.study / "logs").glob("*.tsv")):
        lines = file.read_text(encoding="utf-8").splitlines()
        if len(lines) > 1:
            yield file.stem, float(lines[1].split("\t")[0])


def run_addresses(scale: str, study: str, uri: str) -> Mapping[str, str]:
    """Key of a node -> address of its run in the MLflow UI; empty if the tracker is away."""
    base = uri.rstrip("/") if uri.startswith("http") else UI
    try:
        tracker = Tracker(uri)
        number = tracker.experiment(experiment(scale, study))
        runs = tracker.runs(experiment(scale, study))
    except Exception:  # a report is worth having without its links
        return {}
    return {key: f"{base}/#/experiments/{number}/runs/{found[0].info.run_id}" for key, found in runs.items() if found}
