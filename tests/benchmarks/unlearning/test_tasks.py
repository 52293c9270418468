"""Every task of the world through the real lm-eval, answered by a script."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import pytest
from lm_eval.api.model import LM

from benchmarks.unlearning import FAMILIES
from benchmarks.unlearning.published_tasks import TASKS as PUBLISHED
from methodbench.benchmark import Task
from methodbench.evaluate import load_task
from tests.benchmarks.unlearning.worlds import SMALL, read
from tests.conftest import ROOT

(FAMILY,) = FAMILIES
TASKS = [task for task in FAMILY.tasks if task not in PUBLISHED]
Doc = dict[str, Any]
GOLD: dict[str, Callable[[Doc], str]] = {
    "cloze": lambda doc: f" {doc['value']}",
    "generation": lambda doc: f" {doc['answer']}",
    "classification": lambda doc: f" {'ABCD'[doc['label']]}",
}


class Scripted(LM):
    """Says what it is told, finds one option the likeliest, and remembers what it was asked."""

    MULTIMODAL = True  # without it lm-eval refuses tasks with pictures

    def __init__(self, text: Callable[[Doc], str], likeliest: Callable[[Doc], int]) -> None:
        super().__init__()
        self.text, self.likeliest = text, likeliest
        self.asked: list[tuple[Doc, tuple[Any, ...]]] = []

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        self.asked += [(request.doc, request.args) for request in requests]
        return [self.text(request.doc) for request in requests]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self.asked += [(request.doc, request.args) for request in requests]
        return [(-float(request.idx != self.likeliest(request.doc)), False) for request in requests]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        raise AssertionError("these tasks generate or choose")


def scored(task: Task, folder: Path, model: Scripted) -> dict[str, float]:
    """The means of the task's metrics."""
    loaded = load_task(FAMILY.folder(ROOT) / task.yaml, folder / f"{task.split}.jsonl")
    results = lm_eval.evaluator.evaluate(
        lm=model, task_dict={"tasks": {loaded.config.task: loaded}, "groups": {}, "group_map": {}}, bootstrap_iters=0
    )
    (scores,) = results["results"].values()
    return {metric.name: scores[f"{metric.name},none"] for metric in task.metrics}


def form(task: Task) -> str:
    """The kind of question, from the task's file."""
    return task.yaml.removeprefix("tasks/").rsplit("_", 1)[0]


def test_the_tasks_ask_in_every_form() -> None:
    assert set(map(form, TASKS)) == {"cloze", "generation", "classification", "choice", "membership"}
    names = {task.name for task in TASKS}
    assert {"forget_10_image_cloze", "test_5_text_choice", "real_text_choice", "membership_15_image"} <= names
    assert {"general_image_generation", "validation_retain_10_text_cloze", "unseen_5_image_cloze"} <= names
    assert {task.split for task in TASKS} == {s for s in SMALL.splits() if s.endswith(("_image", "_text"))}


@pytest.mark.parametrize("task", [task for task in TASKS if "_10_" in task.name or task.name[:4] in ("real", "gene")])
def test_a_task_scores_a_script(task: Task, small: Path) -> None:
    kind, items = form(task), read(small, task.split)
    right = Scripted(GOLD.get(kind, lambda doc: ""), lambda doc: 0 if kind == "membership" else doc["label"])
    assert scored(task, small, right) == {metric.name: pytest.approx(1) for metric in task.metrics}
    asked = len(items) * {"choice": 4, "membership": 2}.get(kind, 1)
    assert len(right.asked) == asked
    for _, arguments in right.asked:
        shown = arguments[2]["visual"] if len(arguments) == 3 else []
        assert len(shown) == task.split.endswith("_image") == str(arguments[0]).count("<image>")
        assert re.match(r"USER: (<image>\n)?[a-z]", arguments[0])
    wrong = Scripted(lambda doc: "", lambda doc: 1 if kind == "membership" else (doc["label"] + 1) % 4)
    assert set(scored(task, small, wrong).values()) == {0.0}


def test_what_is_asked_word_for_word(small: Path) -> None:
    def first(name: str) -> tuple[Doc, tuple[Any, ...]]:
        model = Scripted(lambda doc: "", lambda doc: 0)
        scored(next(task for task in TASKS if task.name == name), small, model)
        return model.asked[0]

    doc, (prompt, settings) = first("forget_10_text_cloze")
    assert prompt == doc["cloze"] and prompt.startswith("USER: where was ") and prompt.endswith(" was born in")
    assert settings == {"until": [], "max_gen_toks": 4, "do_sample": False}
    doc, (prompt, settings, shown) = first("forget_10_image_generation")
    assert prompt == "USER: <image>\nwhere was this person born\nASSISTANT:" and settings["max_gen_toks"] == 16
    assert [picture.size for picture in shown["visual"]] == [(32, 32)]
    doc, (prompt, option, _) = first("forget_10_image_choice")
    assert prompt == doc["cloze"] and option == f" {doc['options'][0]}"
    doc, (prompt, _) = first("forget_10_text_classification")
    assert re.search(r"born\nA\. [a-z]+\nB\. [a-z]+\nC\. [a-z]+\nD\. [a-z]+\nASSISTANT:$", prompt)


@pytest.mark.parametrize("mode", ["image", "text"])
def test_a_pair_is_asked_about_both_persons(mode: str, small: Path) -> None:
    model = Scripted(lambda doc: "", lambda doc: 0)
    scored(next(task for task in TASKS if task.name == f"membership_10_{mode}"), small, model)
    (doc, one), (same, two) = model.asked[:2]
    assert doc == same and one[:2] == (doc["cloze"], f" {doc['value']}") and two[:2] == (doc["other_cloze"], one[1])
    if mode == "image":
        assert one[2]["visual"][0].tobytes() != two[2]["visual"][0].tobytes()


def test_chance_is_told() -> None:
    chance = {task.name: task.chance for task in TASKS}
    assert chance["forget_10_image_cloze"] == pytest.approx(1 / 12)
    assert chance["forget_10_image_choice"] == chance["real_text_classification"] == 0.25
    assert chance["membership_5_text"] == 0.5 and chance["forget_5_text_generation"] == 0
    assert chance["general_text_cloze"] == pytest.approx((1 / 8 + 1 / 6) / 2)


def test_less_is_better_where_persons_are_to_be_forgotten_and_nowhere_else() -> None:
    named = {task.name for task in FAMILIES[0].tasks if task.to_forget}
    assert {"forget_10_image_cloze", "test_5_text_choice", "membership_15_image", "mllmu_5_test_image_cloze"} <= named
    assert {"clear_1_forget_text_qa", "validation_forget_10_text_cloze", "unseen_10_text_choice"} <= named
    assert not {name for name in named if any(word in name for word in ("retain", "real", "general"))}
