"""The tasks through the real lm-eval, by a script and by a small model that was pretrained on the world."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import pytest

from benchmarks.language import FAMILIES
from benchmarks.language.config import LanguageConfig
from benchmarks.language.grading import process_bytes, process_recalled, process_words
from benchmarks.language.prepare import prepare
from benchmarks.language.published_tasks import PUBLISHED
from methodbench.builtin.plain import PlainLM
from methodbench.builtin.plain_config import PlainConfig
from methodbench.builtin.pretrain import pretrain
from methodbench.builtin.pretrain_config import PretrainConfig
from methodbench.checkpoint import Checkpoint
from methodbench.evaluate import load_task
from methodbench.joblog import Log
from tests.benchmarks.scripted import run
from tests.conftest import ROOT

FOLDER = ROOT / "benchmarks" / "language"
TASKS = {task.name: task for task in FAMILIES[0].tasks}
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    small = {"entities": 3, "attributes": 2, "pretrain": 400, "train": 20, "calibration": 4, "facts": 4, "text": 4}
    most = {"docs": 4, "docs_choice": 4}
    prepare(folder, LanguageConfig(**small, published=PUBLISHED, most=most, stand_in=True, wikitext_characters=500), 0)
    return folder


@pytest.fixture(scope="module")
def lm(data: Path, tmp_path_factory: pytest.TempPathFactory) -> PlainLM:
    """A model of two layers that has read the world for some steps."""
    work = tmp_path_factory.mktemp("model")
    config = PretrainConfig(
        architecture="llama",
        shape=SHAPE,
        steps=80,
        batch_size=32,
        warmup_steps=5,
        learning_rate=1e-2,
        special_tokens=(),
    )
    pretrain([], {"train": data / "pretrain.jsonl"}, config, 0, work / "out", Log("pretrain", stream=io.StringIO()))
    return PlainLM(Checkpoint(work / "out"), PlainConfig(), batch_size=4)


def scores(lm: PlainLM, name: str, data: Path) -> dict[str, float]:
    task = TASKS[name]
    loaded = load_task(FOLDER / task.yaml, data / f"{task.split}.jsonl")
    results = lm_eval.evaluator.evaluate(
        lm=lm,
        task_dict={"tasks": {loaded.config.task: loaded}, "groups": {}, "group_map": {}},
        bootstrap_iters=0,
        log_samples=True,
    )
    (samples,) = results["samples"].values()
    return {metric.name: sum(sample[metric.name] for sample in samples) / len(samples) for metric in task.metrics}


@pytest.mark.parametrize("name", TASKS)
def test_a_pretrained_model_can_be_scored(name: str, lm: PlainLM, data: Path) -> None:
    found = scores(lm, name, data)
    assert all(math.isfinite(value) for value in found.values())
    if name == "text":
        # Uniform over the vocabulary is log(tokens) = 5 nats and more; what the grammar leaves open, some 1.2.
        assert 1.0 < found["nll"] < math.log(len(lm.tokenizer)) / 2
    if name in ("facts", "recalled"):
        assert all(value > 2 * TASKS[name].chance for value in found.values()), "of three entities something is learnt"


def test_the_first_word_is_the_answer(data: Path) -> None:
    def told(form: str) -> float:
        found, asked = run(
            FOLDER / "tasks" / "recalled.yaml", data / "facts.jsonl", lambda doc: form.format(doc["answer"])
        )
        assert all(settings["max_gen_toks"] == 2 for _, settings in asked)
        return found["exact_match"]

    assert [told(form) for form in (" {}", "{} .", "{} again", "the {}", "{}s", "", "?")] == [1, 1, 1, 0, 0, 0, 0]


def test_likelihoods_are_means_per_unit_and_nothing_is_minus_zero() -> None:
    doc: dict[str, Any] = {"tokens": 4, "bytes": 10, "answer": "oslo"}
    assert process_words(doc, [(-6.0, False)]) == {"nll": 1.5}
    assert process_bytes(doc, [(-6.0, False)]) == {"nll_byte": 0.6}
    assert str(process_bytes(doc, [(0.0, True)])["nll_byte"]) == "0.0"
    assert process_recalled(doc, ["Oslo."]) == {"exact_match": 1}
