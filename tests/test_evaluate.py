"""Picking settings by a score: every combination is scored once, and the best by the metric's own direction wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from methodbench.benchmark import Metric
from methodbench.evaluate import Bench, best_of
from methodbench.graph import Graph
from methodbench.joblog import Log
from methodbench.nodes import EvaluateNode, Pair
from methodbench.score import Score, samples_path, write_samples

STUDY = """
study: toy
datasets: {math: {config: {train: 64, validation: 8, test: 8, arithmetic: 0}}}
checkpoints: {base: {method: pretrain, data: {train: math/train}, config: {steps: 5}}}
runtimes:
  picked: {method: swireasoning, choose: {among: {alpha0: [0.5, 1.0], w_el: [4, null]}, on: math/validation}}
evaluate: {main: {checkpoints: [base], runtimes: [picked], benchmarks: [math/test]}}
"""
Project = Callable[..., Path]
FOLDERS = [
    "picked~alpha0=0.5,w_el=4",
    "picked~alpha0=0.5,w_el=none",
    "picked~alpha0=1.0,w_el=4",
    "picked~alpha0=1.0,w_el=none",
]


class PlannedBench(Bench):
    """Scores what a list says, in order, instead of running a model."""

    def __init__(self, node: EvaluateNode, root: Path, metric: str, planned: list[float]) -> None:
        super().__init__(node, root, "smoke", "", Log("test"))
        self.metric, self.planned = metric, planned
        self.scored: list[tuple[str, Any, Mapping[str, Any]]] = []  # arm, config, what was chosen

    def score(self, pair, config, dataset, task, path, identity, chosen, arm="") -> None:  # type: ignore[no-untyped-def]
        self.scored.append((arm or pair.runtime, config, chosen))
        value = self.planned.pop(0)
        digest = write_samples(samples_path(path), [])
        name = f"{dataset.name}/{task.name}"
        metrics = {self.metric: value}
        Score("smoke", "toy", 0, "base", arm, name, identity, 0, metrics, {}, {}, {}, digest, chosen).save(path)


def picked_pair(root: Path, metric: Metric) -> tuple[EvaluateNode, Pair]:
    """The study's only pair, its deciding task declared with `metric`."""
    (node,) = Graph(root, "smoke").study("toy").evaluations
    (pair,) = node.pairs
    assert pair.choice is not None and pair.choice_task is not None
    dataset, task = pair.choice_task
    task = replace(task, metrics=(Metric("exact_match"), metric))
    return node, replace(pair, choice=replace(pair.choice, metric=metric.name), choice_task=(dataset, task))


@pytest.mark.parametrize(
    ("direction", "planned", "best"),
    [("greater", [0.2, 0.6, 0.6, 0.1], 1), ("less", [3.0, 2.5, 4.0, 2.5], 1), ("less", [3.0, 9.0, 2.0, 2.5], 2)],
)
def test_the_best_of_the_grid_is_run(
    project: Project, monkeypatch: pytest.MonkeyPatch, direction: Any, planned: list[float], best: int
) -> None:
    root = project(toy=STUDY)
    monkeypatch.chdir(root)
    node, pair = picked_pair(root, Metric("measured", direction))
    bench = PlannedBench(node, root, "measured", [*planned, 0.0])
    bench.run(pair)
    assert [arm for arm, _, _ in bench.scored] == [*FOLDERS, "picked"]
    _, config, chosen = bench.scored[-1]
    wanted = [{"alpha0": a, "w_el": w} for a in (0.5, 1.0) for w in (4, None)]
    assert chosen["values"] == wanted[best] and {"alpha0": config.alpha0, "w_el": config.w_el} == wanted[best]
    assert [(one["values"], one["score"]) for one in chosen["scores"]] == list(zip(wanted, planned, strict=True))
    assert Score.load(pair.path).chosen == chosen
    assert sorted(path.name for path in node.path.parent.iterdir()) == sorted(["picked", *FOLDERS])


def test_finished_candidates_are_not_scored_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project(toy=STUDY)
    monkeypatch.chdir(root)
    node, pair = picked_pair(root, Metric("measured"))
    PlannedBench(node, root, "measured", [0.1, 0.2, 0.3, 0.4, 0.0]).run(pair)
    again = PlannedBench(node, root, "measured", [0.0])
    again.run(pair)
    assert [arm for arm, _, _ in again.scored] == ["picked"]


def test_a_score_that_is_no_number_never_wins() -> None:
    nan = float("nan")
    assert best_of([nan, 0.1, 0.3], "greater") == 2 and best_of([nan, 2.0, 3.0], "less") == 1
    assert best_of([nan, nan], "less") == 0
