"""Published sets: columns, sizes, what is held out, and that prompts of lm-eval's own tasks come out the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml
from lm_eval.tasks.mathqa.utils import doc_to_choice as mathqa_choices

from benchmarks.reasoning import published, published_columns
from benchmarks.reasoning.published import HELD_OUT, SOURCES, fetch, published_rows
from benchmarks.reasoning.published_tasks import CHANCE, PUBLISHED, QUESTIONS, TASKS
from benchmarks.reasoning.stand_ins import STAND_INS
from methodbench.errors import UserError
from methodbench.evaluate import load_task
from methodbench.hub import write_rows
from tests.benchmarks.scripted import run
from tests.conftest import ROOT

FOLDER = ROOT / "benchmarks" / "reasoning"
LM_EVAL = {  # our likelihood task -> lm-eval's
    "mathqa": "mathqa/mathqa.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "mmlu_stem": "mmlu/default/mmlu_abstract_algebra.yaml",
    "commonsense_qa": "commonsense_qa/default.yaml",
    "agieval_aqua_rat": "agieval/aqua-rat.yaml",
    "agieval_logiqa_en": "agieval/logiqa-en.yaml",
    "agieval_sat_math": "agieval/sat-math.yaml",
}


def lm_eval_config(file: str) -> dict[str, Any]:
    return load_yaml(Path(lm_eval.__file__).parent / "tasks" / file)


def stand_in_file(name: str, folder: Path) -> Path:
    rows, _ = published_rows(name, "main", stand_in=True)
    write_rows(folder / f"{name}.jsonl", rows)
    return folder / f"{name}.jsonl"


# -- rows --------------------------------------------------------------------------------------------------------------


def test_every_set_has_a_source_and_stand_ins_and_every_task_a_set() -> None:
    assert set(SOURCES) == set(PUBLISHED) == set(STAND_INS)
    assert len(set(PUBLISHED)) == len(PUBLISHED)
    assert {task.split for task in TASKS} == set(PUBLISHED) - set(QUESTIONS)
    for task in TASKS:
        assert task.chance == CHANCE.get(task.split, 0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_stand_ins_have_the_columns_that_tasks_and_transforms_read(name: str) -> None:
    rows, origin = published_rows(name, "main", stand_in=True)
    assert origin["stand_in"] is True
    assert origin["n"] == len(rows) == len(STAND_INS[name]) - origin["left_out"] >= 2
    assert [row["id"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert row["prompt"] and row["kind"]
        if name in CHANCE:
            assert len(row["options"]) == len(row["labels"])
            assert (row["labels"][row["label"]] == row["answer"]) if row["labels"] else row["label"] == -1
        elif name.endswith("_probe"):
            assert "answer" not in row and row["completion"].startswith("\n") and "<<" not in row["completion"]
        else:
            assert row["answer"]


def test_what_has_no_number_is_left_out_where_numbers_are_graded() -> None:
    for name, answers in (("gsm_plus_mini", ["35", "12.5"]), ("asdiv", ["24", "12"])):
        rows, origin = published_rows(name, "main", stand_in=True)
        assert [row["answer"] for row in rows] == answers and origin["left_out"] == 1


def test_bbh_reads_options_words_and_numbers() -> None:
    rows, _ = published_rows("bbh", "main", stand_in=True)
    told = [(row["labels"], row["label"], row["answer"]) for row in rows]
    assert told == [
        (["True", "False"], 1, "False"),
        (["Yes", "No"], 0, "Yes"),
        ([], -1, "4"),
        (["A", "B", "C"], 2, "C"),
    ]
    assert rows[3]["options"][2] == "Cy is the shortest"


def test_mathqa_options_are_those_of_lm_eval() -> None:
    for given in STAND_INS["mathqa"]:
        assert published_columns.mathqa(given, "")["options"] == mathqa_choices(given)


def test_arc_options_named_by_digits_become_letters() -> None:
    given = {"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}
    assert published_columns.lettered(given, "")["answer"] == "B"


# -- fetching ----------------------------------------------------------------------------------------------------------


def hub(
    monkeypatch: pytest.MonkeyPatch, rows: Callable[[str | None], list[dict[str, Any]]]
) -> list[tuple[str, str | None, str, str]]:
    """Stands for the hub; what it was asked for."""
    asked: list[tuple[str, str | None, str, str]] = []

    def fetch_rows(where: str, name: str, subset: str | None, split: str, revision: str) -> tuple[list[Any], str]:
        asked.append((name, subset, split, revision))
        return rows(subset), f"fingerprint of {subset}"

    monkeypatch.setattr(published, "fetch_rows", fetch_rows)
    return asked


def test_the_training_set_is_cut_in_two_that_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [{"question": f"q{place}", "answer": f"so\n#### {place:,}"} for place in range(7473)]
    asked = hub(monkeypatch, lambda _: given)
    whole, origin = published_rows("gsm8k_train", "abc", stand_in=False)
    fit, _ = published_rows("gsm8k_fit", "abc", stand_in=False)
    held_out, _ = published_rows("gsm8k_validation", "abc", stand_in=False)
    read, _ = published_rows("gsm8k_probe", "abc", stand_in=False)
    assert set(asked) == {("openai/gsm8k", "main", "train", "abc")}
    assert len(whole) == 7473 and whole[1234]["answer"] == "1234"
    assert origin == {
        "hub": "openai/gsm8k", "split": "train", "revision": "abc", "fingerprints": ["fingerprint of main"],
        "n": 7473, "left_out": 0,
    }  # fmt: skip
    assert len(held_out) == 7473 // HELD_OUT == 498
    one, two = ({row["prompt"] for row in rows} for rows in (fit, held_out))
    assert not one & two and one | two == {row["prompt"] for row in whole}
    assert all(row["prompt"].split("\n")[3] in two for row in read) and len(read) == 498


def test_a_set_in_parts_is_fetched_part_by_part_and_its_size_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {name: 100 for name in published.STEM} | {"anatomy": 3153 - 1800}
    row = {"question": "q", "choices": ["w", "x", "y", "z"], "answer": 3}
    asked = hub(monkeypatch, lambda subset: [row] * sizes[str(subset)])
    rows, _ = published_rows("mmlu_stem", "abc", stand_in=False)
    assert [subset for _, subset, _, _ in asked] == list(published.STEM)
    assert rows[-1]["kind"] == "machine_learning" and rows[-1]["answer"] == "D"
    sizes["anatomy"] -= 1
    with pytest.raises(UserError, match="reasoning: set 'mmlu_stem', revision 'abc': given 3152 rows, expected 3153"):
        fetch("mmlu_stem", SOURCES["mmlu_stem"], "abc")


def test_without_the_hub_one_sentence_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"^reasoning: set 'svamp': ChilleD/SVAMP at .* offline: 'stand_in: true'$"):
        published_rows("svamp", "main", stand_in=False)


# -- prompts -----------------------------------------------------------------------------------------------------------


def prompt(name: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """What is asked first, and how."""
    task = next(task for task in TASKS if task.name == name)
    _, arguments = run(FOLDER / task.yaml, stand_in_file(task.split, folder), lambda doc: "")
    return str(arguments[0][0]), arguments[0][1]


def test_numbers_are_asked_for_as_the_released_code_does(tmp_path: Path) -> None:
    asked, settings = prompt("svamp", tmp_path)
    assert asked == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nPaul has 13 kites and gives 4 away. How many has he?\n\n"
        "### Response: Let's think step by step."
    )
    assert settings["max_gen_toks"] == 512 and settings["do_sample"] is False
    assert all(stop.endswith(":") for stop in settings["until"])
    assert published_columns.ASKING.format(question="Paul has 13 kites and gives 4 away. How many has he?") == asked


def test_options_are_listed_below_the_question(tmp_path: Path) -> None:
    asked, _ = prompt("arc_challenge", tmp_path)
    assert (
        "### Instruction:\nWhich gas do plants take up?\nA. oxygen\nB. carbon dioxide\nC. helium\nD. neon\n\n" in asked
    )
    asked, _ = prompt("bbh", tmp_path)
    assert "### Instruction:\nnot ( True ) and True is\n\n### Response" in asked


def test_pass_at_k_samples_sixteen_answers_to_a_question(tmp_path: Path) -> None:
    file = stand_in_file("math", tmp_path)
    written: dict[int, int] = {}

    def answer(doc: dict[str, Any]) -> str:
        """Right once in sixteen for the first question, always for the second, never for the others."""
        turn = written[doc["id"]] = written.get(doc["id"], 0) + 1
        right = (doc["id"] == 0 and turn == 7) or doc["id"] == 1
        return f"It is $\\boxed{{{doc['answer'] if right else '777'}}}$."

    metrics, arguments = run(FOLDER / "tasks" / "math_passk.yaml", file, answer)
    assert len(arguments) == 16 * 4
    assert arguments[0][1]["temperature"] == 0.7 and arguments[0][1]["do_sample"] is True
    assert metrics == {
        "pass_1": pytest.approx((1 / 16 + 1) / 4),
        "pass_4": pytest.approx((4 / 16 + 1) / 4),
        "pass_8": pytest.approx((8 / 16 + 1) / 4),
        "pass_16": pytest.approx(2 / 4),
        "answered": 1.0,
    }


@pytest.mark.parametrize("name", LM_EVAL)
def test_likelihoods_are_compared_as_lm_eval_does(name: str, tmp_path: Path) -> None:
    """Its task and ours, each over its own columns of the same items, ask and offer the same."""
    theirs = lm_eval_config(LM_EVAL[name])
    raw = tmp_path / "raw.jsonl"
    write_rows(raw, [dict(row) for row in STAND_INS[name]])
    local = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": {"test": str(raw)}}}
    local |= dict.fromkeys(("training_split", "validation_split", "fewshot_split", "description", "tag"))
    local |= {"test_split": "test", "fewshot_config": None}
    description = theirs.get("description", "")
    loaded = TaskManager(include_defaults=False).load([theirs | local])["tasks"]
    (their_task,) = loaded.values()
    ours = load_task(FOLDER / "tasks" / f"{name}_choice.yaml", stand_in_file(name, tmp_path))
    assert SOURCES[name].hub == theirs["dataset_path"]
    assert SOURCES[name].split == (theirs.get("test_split") or theirs.get("validation_split"))
    for their_doc, doc in zip(their_task.test_docs(), ours.test_docs(), strict=True):
        about = description.replace("abstract algebra", doc["kind"].replace("_", " "))
        assert ours.doc_to_text(doc) == about + their_task.doc_to_text(their_doc)
        assert ours.doc_to_choice(doc) == their_task.doc_to_choice(their_doc)


def test_sources_are_those_of_lm_eval() -> None:
    files = {
        "gsm8k": "gsm8k/gsm8k.yaml",
        "gsm_plus_mini": "gsm_plus/gsm_plus_mini.yaml",
        "asdiv": "asdiv/default.yaml",
        "math": "hendrycks_math/hendrycks_math_algebra.yaml",
    }
    for name, file in files.items():
        theirs = lm_eval_config(file)
        assert SOURCES[name].hub == theirs["dataset_path"]
        assert SOURCES[name].split == theirs.get("test_split", theirs.get("validation_split"))
    folder = Path(lm_eval.__file__).parent / "tasks"
    subjects = [load_yaml(file) for file in sorted(folder.glob("hendrycks_math/hendrycks_math_*.yaml"))]
    assert {task["dataset_name"] for task in subjects} - {None, "default"} >= set(published.SUBJECTS)
    stem = [
        task for task in map(load_yaml, folder.glob("mmlu/default/mmlu_*.yaml")) if task["tag"] == "mmlu_stem_tasks"
    ]
    assert {task["dataset_name"] for task in stem} == set(published.STEM)
    for task in stem:
        assert task["description"].strip().endswith(f" about {task['dataset_name'].replace('_', ' ')}.")
    for part in published.BBH:
        assert load_yaml(folder / "bbh" / "zeroshot" / f"{part}.yaml")["dataset_path"] == SOURCES["bbh"].hub
