"""The graph's nodes as MLflow shall show them: before a job (for the live view) and after it (from the files)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from methodbench.arms import Arm
from methodbench.checkpoint import digest_file
from methodbench.graph import Graph
from methodbench.joblog import read_curves
from methodbench.nodes import CheckpointNode, DatasetNode, StudyGraph
from methodbench.publish import WORK
from methodbench.record import FinishedNode, Node
from methodbench.score import Score, samples_path

ORDINARY = "plain"  # the runtime that an arm's name leaves out


def experiment(scale: str, study: str) -> str:
    """One MLflow experiment a study."""
    return f"methodbench/{scale}/{study}"


def dataset_node(node: DatasetNode, scale: str, study: str) -> Node:
    """How a prepared dataset is shown in MLflow, in the experiment of each `study` that uses it."""
    return Node(
        key=str(node.path),
        name=f"{node.name} · data",
        kind="dataset",
        experiment=experiment(scale, study),
        identity=node.identity,
        params=flat({"family": node.family.name, "seed": node.seed, **asdict(node.config)}),
        tags={"study": study, "scale": scale, "method": node.family.name},
        files=str(node.path),
    )


def checkpoint_node(node: CheckpointNode, scale: str) -> Node:
    """How a checkpoint is shown in MLflow."""
    return Node(
        key=str(node.path),
        name=f"{node.name} · {short(node.run.removeprefix('seed'))}",
        kind="checkpoint",
        experiment=experiment(scale, node.study),
        identity=node.identity,
        params=flat({"method": node.method.name, "method_version": node.method.version, **asdict(node.config)}),
        tags={
            "study": node.study,
            "scale": scale,
            "seed": node.run.removeprefix("seed"),
            "checkpoint": node.name,
            "method": node.method.name,
            "role": node.method.role,
        },
        parents=tuple(parent.name for parent in node.parents)
        + tuple(dataset.name for dataset, _ in node.data.values()),
        files=str(node.path),
        about=f"`{node.method.name}`: {node.method.summary}." if node.method.summary else "",
    )


def score_node(
    scale: str, study: str, path: Path, identity: str, method: str, config: Mapping[str, Any], seed: int
) -> Node:
    """`path` is results/SCALE/STUDY/seedN/scores/C/R/D/T.json. What tells arms apart comes first in the name."""
    checkpoint, runtime, dataset = path.parts[5:8]
    task = f"{dataset}/{path.stem}"
    arm = checkpoint if runtime == ORDINARY else str(Arm(checkpoint, runtime))
    return Node(
        key=str(path),
        name=f"{arm} · {short(str(seed))} · {task}",
        kind="score",
        experiment=experiment(scale, study),
        identity=identity,
        params=flat({"method": method, **config}),
        tags={
            "study": study,
            "scale": scale,
            "seed": str(seed),
            "arm": arm,
            "checkpoint": checkpoint,
            "runtime": runtime,
            "task": task,
            "method": method,
        },
        parents=(checkpoint, dataset),
        files=str(path),
    )


def short(seed: str) -> str:
    """A seed as MLflow's narrow lists can show it: ``"0"`` -> ``"s0"``; ``"unseeded"`` as it is."""
    return f"s{seed}" if seed.isdigit() else seed


def report_node(scale: str, study: str, page: Path, tags: Mapping[str, str], about: str = "") -> Node:
    """How a report is shown in MLflow; its page is its identity."""
    return Node(
        key=str(page),
        name="report",
        kind="report",
        experiment=experiment(scale, study),
        identity=digest_file(page),
        tags={"study": study, "scale": scale, **tags},
        files=str(page),
        about=about,
    )


def finished(graph: Graph, study: StudyGraph) -> Iterator[FinishedNode]:
    """Every node of the study whose files exist, with what the files say."""
    scale = graph.scale
    for dataset in study.datasets.values():
        if (record := _read(dataset.path / "dataset.json")) and record["identity"] == dataset.identity:
            started, ended = _times(dataset.path)
            rows = {f"rows/{name.removesuffix('.jsonl')}": float(count) for name, count in record["rows"].items()}
            artifacts = [dataset.path / "dataset.json"]
            shown = dataset_node(dataset, scale, study.study.study)
            yield FinishedNode(shown, started, ended, metrics=rows, artifacts=artifacts)
    for node in study.checkpoints:
        if (record := _read(node.path / "checkpoint.json")) and record["identity"] == node.identity:
            started, ended = _times(node.path)
            curves = node.path / "curves.jsonl"
            points = [(int(point.pop("step")), point) for point in read_curves(curves)] if curves.exists() else []
            yield FinishedNode(
                checkpoint_node(node, scale),
                started,
                ended,
                curves=points,
                artifacts=[node.path / "checkpoint.json"],
            )
    for evaluation in study.evaluations:
        for pair in evaluation.pairs:
            candidates = pair.path.parents[2].glob(f"{pair.runtime}~*/{pair.dataset.name}/*.json")
            for path in [pair.path, *sorted(candidates)]:
                if path.exists() and WORK not in path.parts:
                    yield finished_score(scale, study.study.study, path)


def finished_score(scale: str, study: str, path: Path) -> FinishedNode:
    """The score in the file `path`, with its numbers, ready to be recorded."""
    score = Score.load(path)
    ended = path.stat().st_mtime
    node = score_node(
        scale, study, path, score.identity, score.settings["method"], score.settings["config"], score.seed
    )
    metrics = {f"{score.task}/{name}": value for name, value in score.metrics.items()}
    metrics |= {f"health/{name}": value for name, value in score.health.items()}
    metrics |= {f"cost/{name}": value for name, value in score.cost.items()}
    metrics["n"] = float(score.n)
    return FinishedNode(
        node, ended - score.cost["wall_s"], ended, metrics=metrics, artifacts=[path, samples_path(path)]
    )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested config as dotted names: {"shape": {"layers": 2}} -> {"shape.layers": "2"}; empty values are left out."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif value not in ("", None, (), []):
            found[f"{prefix}{key}"] = str(value)
    return found


def _times(folder: Path) -> tuple[float, float]:
    ended = folder.stat().st_mtime
    record = _read(folder / ".times.json") or {}
    return record.get("started", ended), record.get("ended", ended)


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
