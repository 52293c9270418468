"""What every benchmark family promises: data that repeat and do not overlap, tasks that grade as they declare.

Published sets stand in for themselves (`stand_in`), so everything here is offline. A split whose size is a key of the
config is drawn by the seed; every other split is published.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, get_args, get_type_hints

import lm_eval.evaluator
import pytest
from lm_eval.api.model import LM
from lm_eval.tasks._yaml_loader import load_yaml

from methodbench.benchmark import Family, Task
from methodbench.builtin.pretrain import PIECES
from methodbench.config import parse
from methodbench.evaluate import load_task
from tests.contract.found import FAMILIES, ROOT

Row = dict[str, Any]
DRAWN, GRADED = 500, 12  # rows of a drawn split (with 200 a leak may go unseen), items graded of a task
TASKS = [(family, task) for family in FAMILIES.values() for task in family.tasks]
# How a right answer may be written; the first that a task understands is used for all its items.
FORMS = ("{}", "A {}", "${}$", "\\boxed{{{}}}")
TOKENS = rf"<\S+>|{PIECES}"  # what `pretrain` makes of a text
SWITCHES = ("stand_in", "run_generated_code")  # keys that must be true to make everything offline


@cache
def keys(family: Family) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(family.config))


def drawn(family: Family) -> list[str]:
    """Splits that a seed decides."""
    return [split for split in family.splits(offline(family)) if split in keys(family)]


@cache
def offline(family: Family) -> Any:
    """A config that makes the splits of all tasks without a network."""
    wanted = {task.split for task in family.tasks}
    values: dict[str, Any] = dict.fromkeys(sorted((wanted | {"train"}) & keys(family)), DRAWN)
    values |= dict.fromkeys(sorted(set(SWITCHES) & keys(family)), True)
    config = parse(family.config, values, family.name)
    missing = sorted(wanted - set(family.splits(config)))
    if missing and "sets" in keys(family):  # published under other names than their splits have
        (named, _) = get_args(get_type_hints(family.config)["sets"])
        return parse(family.config, values | {"sets": get_args(named)}, family.name)
    return parse(family.config, values | {"published": missing}, family.name) if missing else config


def read(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def questions(rows: list[Row]) -> set[tuple[str, ...]]:
    """What makes a row a different item: what is asked. Worked examples may stand before it, a blank line between.

    A published item may have a name (`source`); of a document of which parts are scored, all is asked.
    """
    asked = set()
    for row in rows:
        prompt = str(row["prompt"]).rsplit("\n\n", 1)[-1] if "prompt" in row else ""
        asked.add((*(str(row.get(key, "")) for key in ("text", "source", "context", "question")), prompt))
    assert ("",) * 5 not in asked, "a row has neither 'question' nor 'prompt' nor 'text'"
    return asked


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Family, int], Path]:
    """The folder that a family prepares for a seed."""

    @cache
    def of(name: str, seed: int) -> Path:
        family = FAMILIES[name]
        folder = tmp_path_factory.mktemp(f"{name}{seed}-")
        family.load()(folder, offline(family), seed)
        return folder

    return lambda family, seed: of(family.name, seed)


# -- the data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_family_writes_the_splits_it_names(family: Family, made: Callable[[Family, int], Path]) -> None:
    splits = family.splits(offline(family))
    assert {task.split for task in family.tasks} <= set(splits)
    assert {file.stem for file in made(family, 0).glob("*.jsonl")} == set(splits)
    for split in splits:
        rows = read(made(family, 0) / f"{split}.jsonl")
        assert [row["id"] for row in rows] == list(range(len(rows))) and rows
        assert split not in keys(family) or len(rows) == getattr(offline(family), split)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_same_seed_gives_the_same_bytes(
    family: Family, made: Callable[[Family, int], Path], tmp_path: Path
) -> None:
    family.load()(tmp_path, offline(family), 0)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == sorted(file.name for file in made(family, 0).iterdir())
    assert all((tmp_path / name).read_bytes() == (made(family, 0) / name).read_bytes() for name in names)


@pytest.mark.parametrize("family", [family for family in FAMILIES.values() if not family.recalls], ids=lambda f: f.name)
def test_no_item_stands_in_two_splits(family: Family, made: Callable[[Family, int], Path]) -> None:
    """Not even in the splits of different seeds: a model trained under one may be scored under another."""
    held_out = {task.split for task in family.tasks}
    asked = {
        (split, seed): questions(read(made(family, seed) / f"{split}.jsonl"))
        for split in family.splits(offline(family))
        for seed in (0, 1)
    }
    for (one, seed), (two, other) in combinations(asked, 2):
        if one != two:
            assert not asked[one, seed] & asked[two, other], f"{one} and {two} share an item"
        elif one in held_out and one in drawn(family):
            assert not asked[one, seed] & asked[two, other], f"neighbouring seeds share an item of {one}"
        elif one not in drawn(family):
            assert asked[one, seed] == asked[two, other], f"the published {one} depends on the seed"


# -- the tasks ---------------------------------------------------------------------------------------------------------


class Told(LM):
    """Answers what it is told, and finds the option it is told to the likeliest.

    Of a text that a task gives (a solution, the spans of a document) it is certain if it has an answer; if not, each
    token of it, or each byte for a task that counts bytes, costs it one nat.
    """

    MULTIMODAL = True  # it looks at no picture; without this lm-eval asks it nothing beside one

    def __init__(
        self, text: Callable[[Row], str], likeliest: Callable[[Row], int], chooses: bool, by_byte: bool = False
    ) -> None:
        super().__init__()
        self.text, self.likeliest, self.chooses, self.by_byte = text, likeliest, chooses, by_byte

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        return [self.text(request.doc) for request in requests]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return [self.option(request) if self.chooses else self.given(request) for request in requests]

    def option(self, request: Any) -> tuple[float, bool]:
        return float(request.idx == self.likeliest(request.doc)), False

    def given(self, request: Any) -> tuple[float, bool]:
        certain = self.text(request.doc) != ""
        given = request.args[1]
        units = len(given.encode()) if self.by_byte else len(re.findall(TOKENS, given))
        return (0.0 if certain else -float(units)), certain

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        raise AssertionError("a task of this repository generates or chooses")


def grades(
    loaded: Any, text: Callable[[Row], str], likeliest: Callable[[Row], int], by_byte: bool = False
) -> list[Row]:
    """lm-eval's record of every graded item."""
    results = lm_eval.evaluator.evaluate(
        lm=Told(text, likeliest, loaded.config.output_type == "multiple_choice", by_byte),
        task_dict={"tasks": {loaded.config.task: loaded}, "groups": {}, "group_map": {}},
        limit=GRADED,
        bootstrap_iters=0,
        log_samples=True,
    )
    (samples,) = results["samples"].values()
    return list(samples)


def right_answers(family: Family, task: Task, loaded: Any) -> list[Callable[[Row], str]]:
    """Ways to write an item's gold answer; a task without a printable target has solutions beside its stand-ins."""
    if loaded.config.output_type == "loglikelihood":
        return [lambda doc: "the text that is given, word for word"]
    if loaded.config.output_type == "generate_until" and loaded.config.doc_to_target == "":
        solutions = importlib.import_module(f"benchmarks.{family.name}.stand_ins").SOLUTIONS[task.split]
        return [lambda doc: f"```python\n{solutions[doc['id']]}\n```"]
    return [lambda doc, form=form: form.format(loaded.doc_to_target(doc)) for form in FORMS]


@pytest.mark.parametrize(("family", "task"), TASKS, ids=[f"{family.name}/{task.name}" for family, task in TASKS])
def test_a_task_gives_the_gold_answer_everything_and_an_empty_one_nothing(
    family: Family, task: Task, made: Callable[[Family, int], Path]
) -> None:
    """A likelihood in nats is 0 where the given text is certain, and 1 where each token, or byte, costs one nat."""
    loaded = load_task(family.folder(ROOT) / task.yaml, made(family, 0) / f"{task.split}.jsonl")
    chooses = loaded.config.output_type == "multiple_choice"
    by_byte = any(metric.unit == "nats/byte" for metric in task.metrics)

    def gold(doc: Row) -> int:
        return int(loaded.doc_to_target(doc)) if chooses else -1

    def wrong(doc: Row) -> int:
        return int(gold(doc) == 0)

    def means(records: list[Row]) -> dict[str, float]:
        return {metric.name: sum(float(r[metric.name]) for r in records) / len(records) for metric in task.metrics}

    best = {metric.name: float(metric.direction == "greater") for metric in task.metrics}
    tried = [
        means(grades(loaded, text, gold)) for text in right_answers(family, task, loaded)[: 1 if chooses else None]
    ]
    assert best in tried, f"no form of the gold answer scores {best}; the scores: {tried}"
    nothing = means(grades(loaded, lambda doc: "", wrong, by_byte))
    assert nothing == {name: 1 - value for name, value in best.items()}


@pytest.mark.parametrize(("family", "task"), TASKS, ids=[f"{family.name}/{task.name}" for family, task in TASKS])
def test_a_tasks_file_says_what_its_declaration_says(family: Family, task: Task) -> None:
    written = load_yaml(family.folder(ROOT) / task.yaml)
    assert written["metadata"]["version"] == task.version
    listed = {entry["metric"]: entry["higher_is_better"] for entry in written["metric_list"]}
    assert listed == {metric.name: metric.direction == "greater" for metric in task.metrics}
    assert 0 <= task.chance < 1
    assert task.metrics and len(listed) == len(task.metrics)
    if written["output_type"] == "generate_until":
        settings = written["generation_kwargs"]
        assert settings["max_gen_toks"] >= 1 and "until" in settings, "lm-eval's own defaults are 256 tokens and stops"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_task_file_is_declared(family: Family) -> None:
    """And once: two tasks of one name would overwrite each other's scores."""
    files = {file.relative_to(family.folder(ROOT)).as_posix() for file in family.folder(ROOT).rglob("tasks/*.yaml")}
    assert {task.yaml for task in family.tasks} == files
    names = [load_yaml(family.folder(ROOT) / file)["task"] for file in sorted(files)]
    assert len(set(names)) == len(names) and len({task.name for task in family.tasks}) == len(family.tasks)
