"""How nodes are named on MLflow's pages, whose lists show the first 22 characters or so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from methodbench.cli import main
from methodbench.graph import Graph
from methodbench.ledger import finished, score_node, short


@pytest.mark.parametrize(
    ("folders", "name", "arm"),
    [
        ("pruned_66/plain/language/facts", "pruned_66 · s3 · language/facts", "pruned_66"),
        ("reasoner/swir_off/math/test", "reasoner@swir_off · s3 · math/test", "reasoner@swir_off"),
        ("reasoner/tuned~a=0.05/math/test", "reasoner@tuned~a=0.05 · s3 · math/test", "reasoner@tuned~a=0.05"),
    ],
)
def test_a_scores_name_begins_with_what_tells_arms_apart(folders: str, name: str, arm: str) -> None:
    path = Path(f"results/mini/study/seed3/scores/{folders}.json")
    node = score_node("mini", "study", path, "identity", "method", {}, 3)
    assert (node.name, node.tags["arm"]) == (name, arm)
    assert f"{node.tags['checkpoint']}/{node.tags['runtime']}/{node.tags['task']}" == folders


def test_a_dataset_is_shown_in_each_study_that_uses_it(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = """
study: toy
datasets: {math: {seed: 5, config: {train: 4, validation: 0, test: 4, arithmetic: 0, kinds: [chain]}}}
checkpoints: {base: {method: pretrain, data: {train: math/train}}}
"""
    child = "study: child\ndatasets: {math: {from: toy/math}}\ncheckpoints: {base: {from: [toy/base]}}\n"
    root = project(toy=toy, child=child)
    monkeypatch.chdir(root)
    assert main(["prepare", "--root", ".", "--scale", "smoke", "--study", "child", "--dataset", "math"]) == 0
    assert [str(path.parent) for path in Path().rglob("dataset.json")] == ["results/smoke/toy/datasets/math"]
    graph = Graph(Path(), "smoke")
    (own,), (used,) = (list(finished(graph, graph.study(name))) for name in ("toy", "child"))
    assert (own.node.experiment, used.node.experiment) == ("methodbench/smoke/toy", "methodbench/smoke/child")
    assert (used.node.tags["study"], used.node.params["seed"], used.node.params["kinds"]) == (
        "child",
        "5",
        "('chain',)",
    )
    assert (used.node.key, used.node.params, used.metrics) == (own.node.key, own.node.params, own.metrics)


def test_a_checkpoint_without_a_seed_says_so() -> None:
    assert (short("12"), short("unseeded")) == ("s12", "unseeded")


def test_empty_tags_and_parts_of_the_description_are_left_out() -> None:
    node = score_node("mini", "study", Path("results/mini/study/seed3/scores/a/plain/d/t.json"), "i", "", {}, 3)
    tags = node.run_tags()
    assert "method" not in tags
    assert tags["mlflow.note.content"].startswith("A score, made from `a`, `d`.\n\nFiles:")
