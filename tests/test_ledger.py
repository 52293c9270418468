"""How nodes are named on MLflow's pages, whose lists show the first 22 characters or so."""

from __future__ import annotations

from pathlib import Path

import pytest

from methodbench.ledger import score_node, short


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


def test_a_checkpoint_without_a_seed_says_so() -> None:
    assert (short("12"), short("unseeded")) == ("s12", "unseeded")


def test_empty_tags_and_parts_of_the_description_are_left_out() -> None:
    node = score_node("mini", "study", Path("results/mini/study/seed3/scores/a/plain/d/t.json"), "i", "", {}, 3)
    tags = node.run_tags()
    assert "method" not in tags
    assert tags["mlflow.note.content"].startswith("A score, made from `a`, `d`.\n\nFiles:")
