"""Published sets: columns, sizes, sources, and that lm-eval's own tasks ask the same, letter for letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from benchmarks.language import published
from benchmarks.language.config import LanguageConfig
from benchmarks.language.published import SOURCES, published_rows
from benchmarks.language.published_tasks import CHOICES, HUB, PUBLISHED, TASKS
from benchmarks.language.stand_ins import DEV, STAND_INS
from methodbench.errors import UserError
from methodbench.evaluate import load_task
from methodbench.hub import write_rows
from tests.conftest import ROOT

FOLDER = ROOT / "benchmarks" / "language"
STAND_IN = LanguageConfig(entities=0, published=PUBLISHED, stand_in=True)
LM_EVAL = {  # our task -> lm-eval's
    "mmlu": "mmlu/default/mmlu_astronomy.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "piqa": "piqa/piqa.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "winogrande": "winogrande/default.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
}


def lm_eval_config(name: str) -> dict[str, Any]:
    return load_yaml(Path(lm_eval.__file__).parent / "tasks" / LM_EVAL[name])


def requests(task: Any) -> list[list[tuple[str, str]]]:
    """(context, continuation) of the options of every item."""
    task.build_all_requests(rank=0, world_size=1)
    found: dict[int, dict[int, tuple[str, str]]] = {}
    for request in task.instances:
        found.setdefault(request.doc_id, {})[request.idx] = request.args
    return [[options[place] for place in sorted(options)] for _, options in sorted(found.items())]


def test_every_set_has_a_source_and_stand_ins_and_every_task_a_set() -> None:
    assert set(SOURCES) == set(HUB) == set(STAND_INS)
    assert {task.split for task in TASKS} <= set(PUBLISHED) and len(set(PUBLISHED)) == len(PUBLISHED)
    assert set(LM_EVAL) == set(CHOICES)


@pytest.mark.parametrize("name", CHOICES)
def test_lm_evals_own_task_asks_the_same(name: str, tmp_path: Path) -> None:
    given = [row for row in STAND_INS[name] if row.get("subject", "astronomy") == "astronomy"]
    write_rows(tmp_path / "given.jsonl", given)
    write_rows(tmp_path / "dev.jsonl", [row for row in DEV if row["subject"] == "astronomy"])
    theirs = lm_eval_config(name) | {
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {"test": str(tmp_path / "given.jsonl")}
            | ({"dev": str(tmp_path / "dev.jsonl")} if name == "mmlu" else {}),
        },
        "training_split": None,
        "validation_split": None,
        "test_split": "test",
        "num_fewshot": 2 if name == "mmlu" else 0,  # as many as there are stand-ins; MMLU has five
    }
    for key in ("tag", "group", "task_alias"):
        theirs.pop(key, None)
    (their,) = TaskManager(include_defaults=False).load([theirs])["tasks"].values()
    rows, _ = published_rows(name, STAND_IN)
    write_rows(tmp_path / "rows.jsonl", [{"id": place, **row} for place, row in enumerate(rows)])
    our = load_task(FOLDER / "tasks" / f"{name}.yaml", tmp_path / "rows.jsonl")
    assert requests(our)[: len(given)] == requests(their)
    metrics = {entry["metric"] for entry in lm_eval_config(name)["metric_list"]}
    assert {metric.name for metric in CHOICES[name][0]} == metrics


@pytest.mark.parametrize("name", CHOICES)
def test_sources_are_lm_evals(name: str) -> None:
    theirs, source = lm_eval_config(name), SOURCES[name]
    assert source.hub == theirs["dataset_path"]
    assert source.subset == ("all" if name == "mmlu" else theirs.get("dataset_name"))
    assert source.split == (theirs.get("test_split") or theirs["validation_split"])


@pytest.mark.parametrize("name", HUB)
def test_stand_ins_have_the_columns_that_tasks_and_transforms_read(name: str) -> None:
    rows, origin = published_rows(name, STAND_IN)
    assert origin == {"stand_in": True} and len(rows) >= 4
    for row in rows:
        assert row["kind"]
        if name in (*CHOICES, "mmlu_validation"):
            assert 0 <= row["label"] < len(row["options"])
        if name == "alpaca_gpt4":
            assert row["completion"] and row["prompt"].endswith("### Response: ")
            assert ("### Input:\n" in row["prompt"]) == ("paired with an input" in row["prompt"])
    if name in (*CHOICES, "mmlu_validation"):
        assert len({row["label"] for row in rows}) == len(rows[0]["options"]), "every place is right once"


def test_the_splits_of_mmlu_share_no_question() -> None:
    test, validation = (published_rows(name, STAND_IN)[0] for name in ("mmlu", "mmlu_validation"))
    assert {row["kind"] for row in test} == {"astronomy", "us_foreign_policy"}
    assert not {row["prompt"] for row in test} & {row["prompt"] for row in validation}


def test_mmlu_has_five_solved_questions_of_its_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fetched(*given: Any) -> tuple[list[dict[str, Any]], str]:
        asked.append(given[1:])
        n = {"test": 14_042, "dev": 285}[given[3]]
        subjects = ("law", "art")
        choices = {"choices": ["w", "x", "y", "z"], "answer": 1}
        return [
            {"subject": subjects[place % 2], "question": f"{given[3]} {place}?", **choices} for place in range(n)
        ], "print"

    monkeypatch.setattr(published, "fetch_rows", fetched)
    rows, origin = published_rows("mmlu", LanguageConfig(entities=0, revisions={"mmlu": "abc"}))
    assert asked == [("cais/mmlu", "all", "test", "abc"), ("cais/mmlu", "all", "dev", "abc")]
    assert origin["fingerprint"] == "print" and len(rows) == 14_042
    assert rows[1]["prompt"].startswith(
        "The following are multiple choice questions (with answers) about art.\n\ndev 1?"
    )
    assert [f"dev {place}?" in rows[1]["prompt"] for place in (0, 1, 2, 3, 5, 7, 9, 11)] == [
        *(False, True, False, True, True, True, True, False)
    ]
    assert rows[1]["prompt"].endswith("test 1?\nA. w\nB. x\nC. y\nD. z\nAnswer:") and rows[1]["options"][1] == " B"


def test_a_set_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "fetch_rows", lambda *given: ([{}] * 3, "print"))
    with pytest.raises(UserError, match="set 'piqa', revision 'main': given 3 rows of 'validation', expected 1838"):
        published_rows("piqa", LanguageConfig())


def test_without_the_hub_one_sentence_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"set 'piqa': baber/piqa .* cannot be fetched .*'stand_in: true'"):
        published_rows("piqa", LanguageConfig())


def test_wikitext_is_one_text_in_windows() -> None:
    rows, _ = published_rows("wikitext2", STAND_IN)
    whole = "".join(row["text"] for row in STAND_INS["wikitext2"])
    assert all(row["text"] in whole and len(row["text"]) <= 8_000 for row in rows)
    train, _ = published_rows("wikitext2_train", STAND_IN)
    assert all(set(row) == {"kind", "text"} for row in train)
