"""Every task through the real lm-eval, on a scripted model: gold answers score 1, empty ones 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import pytest
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from benchmarks.math import FAMILIES
from benchmarks.math.config import SCORED, TEMPLATED, MathConfig
from benchmarks.math.prepare import prepare

FAMILY = FAMILIES[0]
FOLDER = Path(__file__).parents[3] / "benchmarks" / "math"


class Scripted(LM):
    """Answers what it is told to; the right option is the likeliest, or by `gold=False` the least likely.

    A worked solution is certain to it, or costs it one nat a word.
    """

    def __init__(self, gold: bool) -> None:
        super().__init__()
        self.gold = gold
        self.arguments: list[tuple[Any, ...]] = []

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        self.arguments += [request.args for request in requests]
        return [answer(request.doc) if self.gold else "" for request in requests]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self.arguments += [request.args for request in requests]
        if "demonstration" in requests[0].doc:
            return [(0.0 if self.gold else -float(len(request.args[1].split())), self.gold) for request in requests]
        right = [request.args[1].strip() == request.doc["answer"] for request in requests]
        return [(float(one is self.gold), False) for one in right]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        return [0.0 for _ in requests]


def answer(doc: dict[str, Any]) -> str:
    if "edges" in doc:
        return f"A {doc['answer']} <|end|>"
    if "options" in doc:
        return f" {doc['answer']}\n"
    thought = "Hm. </think> " if "prompt" in doc else ""
    return f"{thought}It is $\\boxed{{{doc['answer'].removeprefix(chr(92) + 'boxed')}}}$."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("math")
    sizes = {"train": 0, "validation": 12, "test": 24, "arithmetic": 12, "demonstrated": 12}
    prepare(folder, MathConfig(**sizes, published=SCORED, stand_in=True), 0)
    return folder


def run(name: str, data: Path, gold: bool) -> tuple[dict[str, Any], Scripted]:
    task = FAMILY.task(name)
    assert task is not None
    config = load_yaml(FOLDER / task.yaml) | {
        "dataset_kwargs": {"data_files": {"test": str(data / f"{task.split}.jsonl")}},
        "test_split": "test",
    }
    loaded = TaskManager(include_defaults=False).load([config])["tasks"]
    model = Scripted(gold)
    results = lm_eval.evaluator.evaluate(
        lm=model,
        task_dict={"tasks": loaded, "groups": {}, "group_map": {}},
        bootstrap_iters=0,
    )
    (scores,) = results["results"].values()
    return scores, model


@pytest.mark.parametrize("name", [task.name for task in FAMILY.tasks])
def test_gold_scores_one_and_empty_scores_nothing(name: str, data: Path) -> None:
    task = FAMILY.task(name)
    assert task is not None
    for gold in (True, False):
        scores, _ = run(name, data, gold)
        assert {metric.name: scores[f"{metric.name},none"] for metric in task.metrics} == {
            metric.name: float(gold == (metric.direction == "greater")) for metric in task.metrics
        }


@pytest.mark.parametrize("task", FAMILY.tasks, ids=lambda task: task.name)
def test_the_declared_version_is_the_task_files(task: Any) -> None:
    assert load_yaml(FOLDER / task.yaml)["metadata"]["version"] == task.version


def test_a_reasoning_prompt_ends_with_the_opening_of_the_thinking(data: Path) -> None:
    _, model = run("test", data, True)
    prompts = [prompt for prompt, _ in model.arguments]
    assert all(prompt.endswith(" <think>") for prompt in prompts)
    assert {json.loads(line)["prompt"] for line in (data / "test.jsonl").read_text().splitlines()} == set(prompts)


def test_a_demonstration_is_given_behind_its_prompt(data: Path) -> None:
    _, model = run("demonstrated", data, True)
    rows = [json.loads(line) for line in (data / "demonstrated.jsonl").read_text().splitlines()]
    assert model.arguments == [(row["prompt"], row["demonstration"]) for row in rows]


@pytest.mark.parametrize(("name", "budget"), [("gsm8k", 32768), ("aime24", 38912), ("aime25", 38912)])
def test_a_published_prompt_and_its_settings_are_the_papers(name: str, budget: int, data: Path) -> None:
    _, model = run(name, data, True)
    prompt, settings = model.arguments[0]
    first = json.loads((data / f"{name}.jsonl").read_text().splitlines()[0])
    suffix = "Please reason step by step, and put your final answer within \\boxed{}."
    assert prompt == f"{first['question']}\n{suffix}"
    wanted = {"until": [], "max_gen_toks": budget, "do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}
    assert settings == wanted


@pytest.mark.parametrize("name", TEMPLATED)
def test_a_templated_prompt_and_its_settings_are_the_papers(name: str, data: Path, tmp_path: Path) -> None:
    """Without a template the question stands alone; with one its text is asked to the letter."""
    _, bare = run(f"{name}_templated", data, True)
    assert bare.arguments[0][0] == json.loads((data / f"{name}.jsonl").read_text().splitlines()[0])["question"]
    sizes = {"train": 0, "validation": 0, "test": 0, "arithmetic": 0}
    prepare(tmp_path, MathConfig(**sizes, published=(name,), stand_in=True, template="thought"), 0)
    scores, model = run(f"{name}_templated", tmp_path, True)
    prompt, settings = model.arguments[0]
    assert prompt == json.loads((tmp_path / f"{name}.jsonl").read_text().splitlines()[0])["prompt"]
    assert settings == {"until": [], "max_gen_toks": 8192, "do_sample": True, "temperature": 0.6, "top_p": 1.0}
    assert scores["exact_match,none"] == 1
