"""The procedural tasks through the real lm-eval, answered by a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval.evaluator
import pytest
from lm_eval.api.model import LM

from benchmarks.reasoning.config import SIZES, ReasoningConfig
from benchmarks.reasoning.grading import TRIES
from benchmarks.reasoning.passk import pass_at_k
from benchmarks.reasoning.prepare import prepare
from methodbench.evaluate import load_task
from tests.benchmarks.scripted import run
from tests.conftest import ROOT

FOLDER = ROOT / "benchmarks" / "reasoning" / "tasks"
HELD: dict[str, Any] = {
    "validation": 4,
    "in_domain": 6,
    "near_domain": 10,
    "far_domain": 24,
    "passk_in": 3,
    "passk_far": 12,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reasoning")
    prepare(folder, ReasoningConfig(**dict.fromkeys(SIZES, 0) | HELD), 0)
    return folder


@pytest.mark.parametrize("name", ["validation", "in_domain", "near_domain", "far_domain"])
def test_generation(name: str, data: Path) -> None:
    rows, yaml = data / f"{name}.jsonl", FOLDER / f"{name}.yaml"
    scores, asked = run(yaml, rows, lambda doc: f" A 1 . The answer is {doc['answer']} <|end|>")
    assert {key: scores[key] for key in ("exact_match", "lenient", "answered")} == dict.fromkeys(
        ("exact_match", "lenient", "answered"), 1
    )
    assert len(asked) == HELD[name]
    assert all(settings == {"until": [], "max_gen_toks": 40, "do_sample": False} for _, settings in asked)
    unsigned, _ = run(yaml, rows, lambda doc: doc["answer"])
    assert (unsigned["exact_match"], unsigned["lenient"], unsigned["answered"]) == (0, 1, 0)


@pytest.mark.parametrize("name", ["passk_in", "passk_far"])
def test_sixteen_samples_of_every_question(name: str, data: Path) -> None:
    calls: dict[int, int] = {}

    def fourth(doc: dict[str, Any]) -> str:
        """Right at every fourth sample of an item."""
        calls[doc["id"]] = calls.get(doc["id"], 0) + 1
        return f" The answer is {doc['answer'] if calls[doc['id']] % 4 == 0 else 'x'}"

    scores, asked = run(FOLDER / f"{name}.yaml", data / f"{name}.jsonl", fourth)
    assert set(calls.values()) == {16} and len(asked) == 16 * HELD[name]
    assert asked[0][1]["do_sample"] is True and asked[0][1]["temperature"] == 0.7
    assert {key: scores[key] for key in scores if key.startswith("pass")} == pytest.approx(
        {f"pass_{k}": pass_at_k(16, 4, k) for k in TRIES}
    )


class Chooser(LM):
    """Finds one option the likeliest."""

    def __init__(self, right: bool) -> None:
        super().__init__()
        self.right = right
        self.asked: list[tuple[str, str]] = []

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self.asked += [request.args for request in requests]
        return [(float((request.idx == request.doc["label"]) is self.right), False) for request in requests]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        raise AssertionError("these tasks choose")

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        raise AssertionError("these tasks choose")


@pytest.mark.parametrize("name", ["in_domain", "near_domain", "far_domain"])
def test_choice_asks_for_the_answer_at_once(name: str, data: Path) -> None:
    task = load_task(FOLDER / f"{name}_choice.yaml", data / f"{name}.jsonl")
    for right in (True, False):
        model = Chooser(right)
        results = lm_eval.evaluator.evaluate(
            lm=model,
            task_dict={"tasks": {task.config.task: task}, "groups": {}, "group_map": {}},
            bootstrap_iters=0,
        )
        (scores,) = results["results"].values()
        assert scores["acc,none"] == float(right)
        assert len(model.asked) == 4 * HELD[name]
        assert all(asked.endswith(" = The answer is") or "solve" in asked for asked, _ in model.asked)
        assert all(told.startswith(" ") and told.endswith(" <|end|>") for _, told in model.asked)
