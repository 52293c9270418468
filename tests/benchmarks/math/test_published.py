"""Published sets: schema, repeats, and what happens without a hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.math.config import SCORED, MathConfig
from benchmarks.math.grading_math_verify import parse_gold
from benchmarks.math.prepare import prepare
from benchmarks.math.published import SOURCES, published_rows
from benchmarks.math.templates import render
from methodbench.errors import UserError


def test_every_published_set_has_a_source_and_stand_ins_that_can_be_graded() -> None:
    assert set(SOURCES) == set(SCORED)
    for name in SCORED:
        rows, source = published_rows(name, "main", stand_in=True)
        assert source["stand_in"] is True
        assert [row["id"] for row in rows] == list(range(len(rows)))
        for row in rows:
            assert set(row) == {"id", "kind", "question", "answer", "repeat"}
            assert parse_gold(row["kind"], row["answer"])


def test_an_aime_item_stands_in_eight_rows() -> None:
    rows, source = published_rows("aime24", "main", stand_in=True)
    assert source["repeats"] == 8
    assert [row["repeat"] for row in rows[:9]] == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    assert len({row["question"] for row in rows[:8]}) == 1


def test_tries_are_a_choice_and_change_nothing_but_the_repeats() -> None:
    eight, _ = published_rows("aime25", "main", stand_in=True)
    more, source = published_rows("aime25", "main", stand_in=True, tries=32)
    assert source["repeats"] == 32 and len(more) == 160
    assert [row["id"] for row in more] == list(range(160))
    assert [row for row in more if row["id"] % 32 == 0] == [
        row | {"id": row["id"] * 4} for row in eight if not row["repeat"]
    ]
    assert published_rows("amc", "main", stand_in=True)[1]["repeats"] == 32
    assert published_rows("math500", "main", stand_in=True, tries=2)[1]["repeats"] == 2


def test_a_template_adds_the_whole_prompt_and_changes_nothing_else() -> None:
    plain, _ = published_rows("olympiadbench", "main", stand_in=True)
    asked, _ = published_rows("olympiadbench", "main", stand_in=True, template="thought")
    assert all("prompt" not in row for row in plain)
    for before, after in zip(plain, asked, strict=True):
        assert after == before | {"prompt": render("thought", before["question"])}


def test_where_the_rows_come_from_is_written_beside_them(tmp_path: Path) -> None:
    sizes = {"train": 0, "validation": 0, "test": 0, "arithmetic": 0}
    prepare(tmp_path, MathConfig(**sizes, published=("gsm8k",), stand_in=True), 0)
    assert json.loads((tmp_path / "gsm8k.source.json").read_text()) == {"n": 5, "repeats": 1, "stand_in": True}


def test_without_the_hub_one_sentence_says_what_to_do() -> None:
    with pytest.raises(UserError) as error:
        published_rows("gsm8k", "main", stand_in=False)
    said = str(error.value)
    assert said.startswith("math: set 'gsm8k': openai/gsm8k at revision 'main' cannot be fetched (")
    assert said.endswith("allowed offline: 'stand_in: true'")
    assert "\n" not in said


def test_fetched_rows_take_the_gold_field_and_the_count_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[object, ...]] = []

    def load(hub: str, subset: str | None, *, split: str, revision: str) -> datasets.Dataset:
        asked.append((hub, subset, split, revision))
        return datasets.Dataset.from_list([{"question": " How many? ", "answer": "6 * 7 = 42\n#### 42"}] * rows)

    monkeypatch.setattr(datasets, "load_dataset", load)
    rows = 1319
    fetched, source = published_rows("gsm8k", "abc123", stand_in=False)
    assert asked == [("openai/gsm8k", "main", "test", "abc123")]
    assert fetched[0] == {"id": 0, "kind": "gsm8k", "question": "How many?", "answer": "42", "repeat": 0}
    assert (source["revision"], source["n"]) == ("abc123", 1319)
    assert source["fingerprint"]
    rows = 3
    with pytest.raises(UserError, match="given 3 rows, expected 1319"):
        published_rows("gsm8k", "abc123", stand_in=False)


@pytest.mark.parametrize(
    ("name", "given", "question", "answer"),
    [
        ("amc", {"problem": " How many? ", "answer": 142.0}, "How many?", "142"),
        ("amc", {"problem": "How much?", "answer": 1281000000.0}, "How much?", "1281000000"),
        ("olympiadbench", {"question": "Find x.", "final_answer": ["$\\frac{1}{2}$"]}, "Find x.", "\\frac{1}{2}"),
        ("olympiadbench", {"question": "Find all.", "final_answer": ["$1$", "3"]}, "Find all.", "1, 3"),
        ("mmlu_pro", {"question": "Which? ", "options": ["3", "4"], "answer": "B"}, "Which?\nA. 3\nB. 4", "B"),
    ],
)
def test_columns_of_the_hub_become_question_and_answer(
    name: str, given: dict[str, object], question: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(where: str, hub: str, subset: str | None, split: str, revision: str) -> tuple[list[object], str]:
        return [given] * SOURCES[name].n, "fingerprint"

    monkeypatch.setattr("benchmarks.math.published.fetch_rows", fetched)
    rows, source = published_rows(name, "abc", stand_in=False)
    assert (rows[0]["question"], rows[0]["answer"], source["n"]) == (question, answer, SOURCES[name].n)
    assert parse_gold(name, answer)


def test_sizes_are_the_papers() -> None:
    assert {name: (SOURCES[name].n, SOURCES[name].repeats) for name in ("amc", "olympiadbench", "mmlu_pro")} == {
        "amc": (83, 32),
        "olympiadbench": (674, 1),
        "mmlu_pro": (12_102, 1),
    }
    assert SOURCES["mmlu_pro"].split == "test+validation"
