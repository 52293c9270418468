"""Why would a target be made again? Said in words, by comparing what is on the disk with what the graph wants."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from methodbench.errors import UserError, nearest
from methodbench.graph import Graph
from methodbench.nodes import CheckpointNode, DatasetNode, EvaluateNode, Pair
from methodbench.provenance import code_digest
from methodbench.score import Score
from methodbench.transform import made

Node = CheckpointNode | DatasetNode | EvaluateNode | Pair


def explain(graph: Graph, target: str) -> list[str]:
    """One sentence for each reason that `target` (a path, or a part of one) is stale; "is up to date" if none is.

    Raises:
        UserError: no node of the graph has such a path.
    """
    nodes = {str(node.path): node for node in all_nodes(graph)}
    wanted = target.rstrip("/")
    matches = [path for path in nodes if path == wanted] or [path for path in nodes if wanted in path]
    if not matches:
        raise UserError(f"explain: '{target}' is no target at scale {graph.scale}; {nearest(target, nodes)}")
    lines = []
    for path in matches:
        reasons = list(_reasons(nodes[path]))
        lines += [f"{path}: {reason}" for reason in reasons or ["is up to date"]]
    return lines


def all_nodes(graph: Graph) -> Iterator[Node]:
    """Every node of every study of the scale."""
    for name in graph.study_names():
        study = graph.study(name)
        yield from study.datasets.values()
        yield from study.checkpoints
        for evaluation in study.evaluations:
            yield evaluation
            yield from evaluation.pairs


def _reasons(node: Node) -> Iterator[str]:
    if isinstance(node, EvaluateNode):
        stale = [pair for pair in node.pairs if list(_reasons(pair))]
        if not node.path.exists() or stale:
            yield f"{len(stale)} of {len(node.pairs)} scores are missing or stale"
        return
    if not node.path.exists():
        yield "does not exist yet"
        return
    if isinstance(node, Pair):
        yield from _score_reasons(node)
        return
    record = json.loads((node.path / _record_name(node)).read_text(encoding="utf-8"))
    if record["identity"] == node.identity:
        entry = node.method.entry if isinstance(node, CheckpointNode) else node.family.prepare
        if record["code"] != code_digest(entry):
            yield "was built by older code of the same version: it stays; raise the version if its results change"
        return
    version = node.method.version if isinstance(node, CheckpointNode) else node.family.version
    if record["version"] != version:
        yield f"version {record['version']} -> {version}"
    yield from _differences("config", record["config"], asdict(node.config))
    if isinstance(node, CheckpointNode):
        if record["method"] != node.method.name:
            yield f"method {record['method']} -> {node.method.name}"
        before = [parent["identity"] for parent in record["parents"]]
        for index, parent in enumerate(node.parents):
            if index >= len(before) or before[index] != parent.identity:
                yield f"its parent {parent.name} changes"
        for dataset, _ in node.data.values():
            if not made(dataset.path / "dataset.json", dataset.identity):
                yield from (f"its dataset {dataset.name}: {reason}" for reason in _reasons(dataset))
    elif record["seed"] != node.seed:
        yield f"seed {record['seed']} -> {node.seed}"


def _score_reasons(pair: Pair) -> Iterator[str]:
    score = Score.load(pair.path)
    if score.identity == pair.identity:
        return
    settings = score.settings
    if settings["method_version"] != pair.method.version:
        yield f"runtime version {settings['method_version']} -> {pair.method.version}"
    wanted = asdict(pair.config)
    if pair.choice is not None:
        wanted = {**wanted, **score.chosen.get("values", {})}
    yield from _differences("config", settings["config"], wanted)
    if settings["task_version"] != pair.task.version:
        yield f"task version {settings['task_version']} -> {pair.task.version}"
    if settings["checkpoint"] != pair.checkpoint_identity:
        yield "its checkpoint changes"
    if settings["limit"] != pair.limit:
        yield f"limit {settings['limit']} -> {pair.limit}"
    yield "its identity changed (see above, or its dataset or its choice)"


def _differences(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    plain = json.loads(json.dumps(after, default=str))
    for key in sorted({*before, *plain}):
        if before.get(key) != plain.get(key):
            yield f"{prefix}.{key} {before.get(key)!r} -> {plain.get(key)!r}"


def _record_name(node: CheckpointNode | DatasetNode) -> str:
    return "checkpoint.json" if isinstance(node, CheckpointNode) else "dataset.json"
