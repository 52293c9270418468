"""Every task through the real lm-eval: the prompt arrives unchanged, the limit is the room that was kept free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from benchmarks.longcontext import FAMILIES
from benchmarks.longcontext.config import PUBLISHED, LongContextConfig
from benchmarks.longcontext.prepare import ITEMS, prepare
from tests.benchmarks.scripted import run

FAMILY = FAMILIES[0]
FOLDER = Path(__file__).parents[3] / "benchmarks" / "longcontext"
GENERATING = [task for task in FAMILY.tasks if task.name != "recall" and not task.name.startswith("pg19")]
LIMITS = {  # new tokens of LongBench, as its authors set them
    **{"qasper": 128, "multifieldqa_en": 64, "hotpotqa": 32, "2wikimqa": 32, "gov_report": 512, "multi_news": 512},
    **{"trec": 64, "triviaqa": 32, "samsum": 128, "passage_count": 32, "passage_retrieval_en": 32},
    **{"lcc": 64, "repobench-p": 64},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("longcontext")
    prepare(folder, LongContextConfig(**dict.fromkeys(ITEMS, 5), published=PUBLISHED, stand_in=True), 0)
    return folder


@pytest.mark.parametrize("task", GENERATING, ids=lambda task: task.name)
def test_gold_scores_one_and_empty_nothing(task: Any, data: Path) -> None:
    file = data / f"{task.split}.jsonl"
    gold, asked = run(FOLDER / task.yaml, file, lambda doc: str(doc["answer"]))
    assert gold == {metric.name: 1.0 for metric in task.metrics}
    nothing, _ = run(FOLDER / task.yaml, file, lambda doc: "")
    assert set(nothing.values()) == {0.0}
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [prompt for prompt, _ in asked] == [row["prompt"] for row in rows]
    assert all(settings["do_sample"] is False for _, settings in asked)


@pytest.mark.parametrize("split", ITEMS)
def test_the_room_for_an_answer_is_the_tasks_limit(split: str) -> None:
    settings = load_yaml(FOLDER / "tasks" / f"{split}.yaml")["generation_kwargs"]
    assert settings["max_gen_toks"] == ITEMS[split][1]
    assert settings["until"] == ["\n"]


@pytest.mark.parametrize("task", LIMITS)
def test_longbench_is_stopped_by_its_limits_alone(task: str) -> None:
    settings = load_yaml(FOLDER / "tasks" / f"longbench_{task}.yaml")["generation_kwargs"]
    assert (settings["max_gen_toks"], settings["until"]) == (LIMITS[task], [])


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith("ruler")])
def test_rulers_limits_are_lm_evals(name: str) -> None:
    from benchmarks.longcontext.from_lm_eval import lm_eval_folder

    file = lm_eval_folder() / "tasks" / "ruler" / f"{name.removeprefix('ruler_')}.yaml"
    theirs = load_yaml(file, resolve_func=False)["generation_kwargs"]
    ours = load_yaml(FOLDER / "tasks" / f"{name}.yaml")["generation_kwargs"]
    assert (ours["max_gen_toks"], ours["until"]) == (theirs["max_gen_toks"], theirs["until"])
