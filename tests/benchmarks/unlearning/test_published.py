"""Published sets: from rows with the hub's columns to ours, names put in, scores of answers, tasks through lm-eval."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import lm_eval.evaluator
import pytest
from lm_eval.api.model import LM
from PIL import Image

from benchmarks.unlearning import published, published_clear, published_mllmu
from benchmarks.unlearning.config import PublishedSet, UnlearningConfig
from benchmarks.unlearning.grading_published import (
    process_caption,
    process_cloze,
    process_letter,
    process_qa,
    process_sentence,
)
from benchmarks.unlearning.published import published_files
from benchmarks.unlearning.published_rows import named, picture
from benchmarks.unlearning.published_tasks import MLLMU, PUBLISHED, TASKS, published_splits
from benchmarks.unlearning.stand_ins import KNOWN, PEOPLE, STAND_INS, portrait
from methodbench.benchmark import Task
from methodbench.errors import UserError
from methodbench.evaluate import load_task
from methodbench.visual import decode_picture, encode_picture, read_rows
from tests.conftest import ROOT

FOLDER = ROOT / "benchmarks" / "unlearning"
Rows = list[dict[str, Any]]


@dataclass
class Settings:
    """What of the family's config is read."""

    sets: tuple[str, ...] = PUBLISHED
    revisions: dict[str, str] = field(default_factory=dict)
    stand_in: bool = True
    picture_side: int = 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published")
    published_files(out, Settings())
    return out


def rows(out: Path, split: str) -> Rows:
    return [json.loads(line) for line in (out / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


# -- files -------------------------------------------------------------------------------------------------------------


def test_every_file_that_is_announced_is_made_and_every_task_has_its(made: Path) -> None:
    announced = published_splits(PUBLISHED)
    assert {path.stem for path in made.glob("*.jsonl")} == set(announced)
    assert len(set(announced)) == len(announced)
    assert {task.split for task in TASKS} <= set(announced)
    assert len({task.name for task in TASKS}) == len(TASKS)
    for name in PUBLISHED:
        assert json.loads((made / f"{name}.source.json").read_text())["stand_in"] is True


def test_files_do_not_depend_on_what_else_is_asked_for(made: Path, tmp_path: Path) -> None:
    for name in ("mllmu_15", "clear_10"):
        alone = tmp_path / name
        alone.mkdir()
        published_files(alone, Settings(sets=(name,)))
        for split in published_splits((name,)):
            assert (alone / f"{split}.jsonl").read_bytes() == (made / f"{split}.jsonl").read_bytes()


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_to_learn_from_have_the_layout_and_no_person_is_both_forgotten_and_kept(name: str, made: Path) -> None:
    shared = name.partition("_")[0]
    known = {row["picture"] for row in rows(made, f"{shared}_pictures")}
    persons = {}
    for part in ("forget", "keep", "retain"):
        read = read_rows(made / f"{name}_{part}.jsonl")
        persons[part] = {row.person for row in read}
        for row in read:
            assert row.prompt.startswith("USER: ") and row.prompt.endswith("\nASSISTANT:")
            assert row.completion.startswith(" ") and row.completion.strip()
            assert row.prompt.count("<image>") == len(row.pictures) == (row.mode == "image")
            assert set(row.pictures) <= known
        modes = {row.mode for row in read}
        assert modes == ({"image"} if (shared, part) == ("mllmu", "retain") else {"image", "text"})
    assert persons["keep"] == persons["retain"] and not persons["forget"] & persons["keep"]
    everyone = {row.person for row in read_rows(made / f"{shared}_all.jsonl")}
    assert persons["forget"] | persons["keep"] == everyone


def test_every_sort_of_row_that_is_asked_about_the_person_is_asked_with_and_without_a_picture(made: Path) -> None:
    for name in MLLMU:
        forgotten = {row["person"] for row in rows(made, f"{name}_forget")}
        for part in ("forget", "test", "retain"):
            for mode in ("image", "text"):
                for form in ("classification", "cloze", "generation"):
                    found = rows(made, f"{name}_{part}_{mode}_{form}")
                    assert [row["id"] for row in found] == list(range(len(found))) and found
                    assert ({row["person"] for row in found} <= forgotten) == (part != "retain")
                    for row in found:
                        assert ("<image>" in row["prompt"]) == bool(row["image"]) == (mode == "image")
    names = {row["answer"] for row in rows(made, "mllmu_real_image_cloze")}
    assert names == {value for _, city, job, _ in KNOWN for value in (city, job)}


def test_tests_show_other_pictures_than_were_learnt(made: Path) -> None:
    learnt = {row["png"] for row in rows(made, "mllmu_pictures")}
    shown = [row["image"] for row in rows(made, "mllmu_15_test_image_classification")]
    assert not learnt & set(shown)
    assert len(set(shown)) == 2, "one picture a person"
    assert set(shown) <= {encode_picture(portrait(number, variant)) for number in (0, 1) for variant in (1, 2, 3)}
    assert {row["image"] for row in rows(made, "mllmu_15_forget_image_cloze")} <= learnt


def test_an_item_whose_answer_is_no_option_is_left_out_and_an_answer_in_words_is_found() -> None:
    item = {"Question": "Who?", "Options": {"A": "x", "B": "y", "C": "z", "D": None}, "Correct_Answer": "z"}
    row = published_mllmu.options(item, "text", "classification")
    assert row is not None and (row["answer"], row["label"], row["options"]) == ("C", 2, ["x", "y", "z"])
    assert published_mllmu.options(item | {"Correct_Answer": "E"}, "text", "classification") is None
    profile = STAND_INS["mllmu", "forget_5"][0] | {
        "Classification_Task": {"Pure_Text_Questions": [item | {"Correct_Answer": "E"}, item]}
    }
    kept, left_out = published_mllmu.scored([profile], "text", "classification", "forget", 0)
    assert (len(kept), left_out) == (1, 1)


def test_the_prompt_of_each_form() -> None:
    item = {"Question": "Where was this person born?", "Options": dict(A="Lund", B="Bern", C="Graz", D="Nice")}
    row = published_mllmu.options(item | {"Correct_Answer": "A"}, "image", "classification")
    assert row is not None
    assert row["prompt"] == (
        "USER: <image>\nWhere was this person born?\nA: Lund\nB: Bern\nC: Graz\nD: Nice\n"
        "Answer with one letter: A, B, C or D.\nASSISTANT:"
    )
    assert row["ask"] == "USER: <image>\nWhere was this person born?\nASSISTANT:"
    blank = published_mllmu.open_ended({"Question": "Born in ____.", "Ground_Truth": " Lund"}, "text", "cloze")
    asked = "USER: Born in [Blank].\nGive only the words that fill the [Blank].\nASSISTANT:"
    assert blank == {"prompt": asked, "answer": "Lund"}


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "answer", "found"),
    [
        (
            "Where was this person's father born?",
            "This person's father was born in Lund.",
            ("Where was Anna Kort's father born?", "Anna Kort's father was born in Lund."),
        ),
        ("Is the person in the image a pilot?", "No.", ("Is Anna Kort a pilot?", "No.")),
        ("What does the individual in this image do?", "Bakes.", ("What does Anna Kort do?", "Bakes.")),
        ("What is the name of this person?", "It is Anna Kort.", None),
        ("Who is this individual?", "Anna Kort", None),
        ("What is the name of this person's pet?", "Rex.", ("What is the name of Anna Kort's pet?", "Rex.")),
        ("Which hobby is shown?", "Chess.", None),  # names nobody
        ("What are the personal habits?", "None.", None),  # no phrase inside a word
        ("Where does Anna Kort live?", "Here.", ("Where does Anna Kort live?", "Here.")),
    ],
)
def test_names_are_put_in_and_questions_after_the_name_dropped(
    question: str, answer: str, found: tuple[str, str] | None
) -> None:
    assert named(question, answer, "Anna Kort") == found
    assert named(question, answer, "") is None


@pytest.mark.parametrize(
    ("biography", "name"),
    [
        ('{"Name": " Anna Kort", "Born": "Lund"}', "Anna Kort"),
        ({"name": "Anna Kort"}, "Anna Kort"),
        ("{'Name': 'Anna Kort', 'Born': \"Lund\"}", "Anna Kort"),  # Python's quotes are no JSON
        ("born in Lund", ""),
        (None, ""),
    ],
)
def test_names_are_read_from_the_profile(biography: Any, name: str) -> None:
    assert published_mllmu.name_of({"biography": biography}) == name


# -- CLEAR -------------------------------------------------------------------------------------------------------------


def test_an_authors_portraits_and_questions_stay_together() -> None:
    learnt = published_clear.learnt(STAND_INS["clear", "full+tofu"])
    by_person = {name: [row for _, row in learnt if row["person"] == name] for name, *_ in PEOPLE[:4]}
    assert sum(map(len, by_person.values())) == len(learnt)
    for found in by_person.values():
        assert [row["mode"] for row in found] == ["image", "image", "text", "text"]
    shown = [row["pictures"] for _, row in learnt if row["pictures"]]
    assert len({name for (name,) in shown}) == len(shown) == 8


def test_the_right_name_is_among_the_options(made: Path) -> None:
    for split in ("clear_1_forget_image", "clear_retain_image", "clear_real_faces"):
        for row in rows(made, split):
            assert row["options"][row["label"]] == row["person"] and len(set(row["options"])) == 4
            assert row["ask"].endswith("ASSISTANT: The name of the person in the picture is")


def test_rows_are_spread_evenly() -> None:
    made_up = [{"id": place} for place in range(1000)]
    assert [row["id"] for row in published_clear.spread(made_up, 4)] == [0, 250, 500, 750]
    assert published_clear.spread(made_up[:3], 4) == made_up[:3]
    assert published_clear.spread([], 4) == []


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_pictures_come_decoded_or_as_bytes_and_are_only_scaled_down(tmp_path: Path) -> None:
    drawn = portrait(2)
    drawn.save(tmp_path / "drawn.png")
    content = (tmp_path / "drawn.png").read_bytes()
    assert picture(drawn, 0) == picture(content, 0) == picture({"bytes": content, "path": None}, 0)
    assert decode_picture(picture(drawn, 0)).tobytes() == drawn.tobytes()
    assert picture(drawn, 64) == picture(drawn, 32) == picture(drawn, 0)
    assert decode_picture(picture(Image.new("L", (60, 40)), 20)).size == (30, 20)


# -- fetching ----------------------------------------------------------------------------------------------------------


def hub(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str, str], Rows]) -> list[tuple[str, str | None, str, str]]:
    """Stands for the hub; what it was asked for."""
    asked: list[tuple[str, str | None, str, str]] = []

    def fetch_rows(where: str, name: str, subset: str, split: str, revision: str) -> tuple[Rows, str]:
        asked.append((name, subset, split, revision))
        return answer("mllmu" if name.startswith("MLLMMU") else "clear", subset), f"fingerprint of {subset}"

    monkeypatch.setattr(published, "fetch_rows", fetch_rows)
    return asked


def test_each_subset_is_fetched_once_at_its_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = hub(monkeypatch, lambda benchmark, subset: STAND_INS[benchmark, subset])
    monkeypatch.setattr(published, "SIZES", {})
    published_files(tmp_path, Settings(stand_in=False, revisions={"mllmu": "0" * 40}))
    assert len(set(asked)) == len(asked) == 9 + 10
    assert {(name, revision) for name, _, _, revision in asked} == {
        ("MLLMMU/MLLMU-Bench", "0" * 40),
        ("therem/CLEAR", "main"),
    }
    told = json.loads((tmp_path / "mllmu_15.source.json").read_text())
    assert told["revision"] == "0" * 40 and told["fingerprints"]["forget_15"] == "fingerprint of forget_15"
    assert told["left_out"] == {"forget_by_name": 4, "keep_by_name": 8}  # of four questions two: the name, and nobody


def test_a_set_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub(monkeypatch, lambda benchmark, subset: STAND_INS[benchmark, subset])
    with pytest.raises(UserError, match="set 'mllmu_5', subset 'ft_Data', revision 'main': given 6 rows, expected 500"):
        published_files(tmp_path, Settings(sets=("mllmu_5",), stand_in=False))
    hub(monkeypatch, lambda benchmark, subset: [])
    with pytest.raises(UserError, match=r"subset 'full\+tofu', revision 'main': given 0 rows, expected some"):
        published_files(tmp_path, Settings(sets=("clear_1",), stand_in=False))


@pytest.mark.parametrize(("name", "subset"), [("mllmu_5", "ft_Data"), ("clear_1", "full+tofu")])
def test_who_is_to_be_forgotten_must_have_been_learnt(
    name: str, subset: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub(monkeypatch, lambda benchmark, given: STAND_INS[benchmark, given][2 if given == subset else 0 :])
    monkeypatch.setattr(published, "SIZES", {})
    with pytest.raises(UserError, match=f"set '{name}': . (persons|rows) to forget are not in"):
        published_files(tmp_path, Settings(sets=(name,), stand_in=False))


def test_the_config_knows_the_sets_and_what_is_pinned() -> None:
    config = UnlearningConfig(people=0, sets=("mllmu_5", "clear_1"), revisions={"clear": "0" * 40}, picture_side=336)
    assert config.splits() == published_splits(("mllmu_5", "clear_1"))
    assert set(get_args(PublishedSet)) == set(PUBLISHED)
    with pytest.raises(UserError, match=r"key 'revisions': unknown set 'mllmu_5'; .*mllmu"):
        UnlearningConfig(revisions={"mllmu_5": "0" * 40})


def test_published_sizes_are_those_of_the_data_card() -> None:
    assert [published.SIZES[f"forget_{ratio}"] for ratio in (5, 10, 15)] == [25, 50, 75]
    assert [published.SIZES[f"retain_{100 - ratio}"] for ratio in (5, 10, 15)] == [475, 450, 425]


# -- scores ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "right", "answered"),
    [
        ("B", 1, 1),
        (" b: Lund", 1, 1),
        ("Bern", 1, 1),  # the first character alone decides, as released
        ("The answer is B", 0, 0),
        ("A", 0, 1),
        ("", 0, 0),
    ],
)
def test_letters(told: str, right: int, answered: int) -> None:
    assert process_letter({"answer": "B"}, [told]) == {"acc": right, "answered": answered}


@pytest.mark.parametrize(
    ("told", "substring", "exact", "answered"),
    [
        (" lund.", 1, 1, 1),
        ("She was born in Lund, Sweden", 1, 0, 1),  # a long answer is rewarded
        ("Bern", 0, 0, 1),
        ("", 0, 0, 0),
    ],
)
def test_cloze(told: str, substring: int, exact: int, answered: int) -> None:
    found = process_cloze({"answer": "Lund"}, [told])
    assert found == {"substring": substring, "exact_match": exact, "answered": answered}


def test_rouge_is_of_stems_and_clears_is_recall() -> None:
    doc = {"answer": "She bakes four breads", "person": "Anna Kort"}
    assert process_sentence(doc, ["she baked bread"]) == {"rouge_l": pytest.approx(6 / 7), "answered": 1}
    assert process_qa(doc, ["she baked bread"]) == {"rouge_l_recall": pytest.approx(3 / 4), "answered": 1}
    assert process_caption(doc, ["ANNA KORT: She bakes four breads"]) == {
        "rouge_l_recall": 1.0,
        "answered": 1,
        "named": 1,
    }
    assert process_caption(doc, [" "]) == {"rouge_l_recall": 0.0, "answered": 0, "named": 0}


# -- tasks -------------------------------------------------------------------------------------------------------------


class Knows(LM):
    """Answers what is right and finds right options likelier; remembers prompts and pictures."""

    def __init__(self, right: bool) -> None:
        super().__init__()
        self.right = right
        self.seen: list[tuple[Any, ...]] = []

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        self.seen += [request.args for request in requests]
        return [f" {request.doc['person']} {request.doc['answer']}"[:: 1 if self.right else -1] for request in requests]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self.seen += [request.args for request in requests]
        return [
            (float((request.args[1] == f" {request.doc['options'][request.doc['label']]}") == self.right), False)
            for request in requests
        ]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        raise AssertionError("no task reads whole texts")


Knows.MULTIMODAL = True  # what lm-eval asks of a model before it shows a picture


def asked(task: Task, made: Path, right: bool) -> tuple[dict[str, float], list[tuple[Any, ...]]]:
    """The task's metrics, and what was asked."""
    loaded = load_task(FOLDER / task.yaml, made / f"{task.split}.jsonl")
    model = Knows(right)
    results = lm_eval.evaluator.evaluate(
        lm=model,
        task_dict={"tasks": {loaded.config.task: loaded}, "groups": {}, "group_map": {}},
        bootstrap_iters=0,
    )
    (scores,) = results["results"].values()
    return {key.removesuffix(",none"): value for key, value in scores.items() if key.endswith(",none")}, model.seen


@pytest.mark.parametrize("task", {task.yaml: task for task in TASKS}.values(), ids=lambda task: Path(task.yaml).stem)
def test_a_task_loads_shows_pictures_and_scores(task: Task, made: Path) -> None:
    found, seen = asked(task, made, right=True)
    assert {metric.name for metric in task.metrics} <= set(found)
    shows = "image" in Path(task.yaml).stem
    for request in seen:
        prompt = request[0]
        assert prompt.startswith("USER: ") and prompt.count("<image>") == shows
        if shows:
            (shown,) = request[-1]["visual"]
            assert isinstance(shown, Image.Image) and shown.size == (32, 32)
        else:
            assert not isinstance(request[-1], dict) or "visual" not in request[-1]
    first = task.metrics[0].name
    if not task.name.endswith("classification"):  # a name before the letter is a wrong answer
        assert found[first] > 0.9 or (first == "rouge_l" and found[first] > 0.5)
        assert asked(task, made, right=False)[0][first] < 0.4
