"""Published demonstrations: as messages or as text, the solution going on where the prompt stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.math.config import MathConfig
from benchmarks.math.demonstrations import demonstration_rows
from benchmarks.math.grading_templated import process_results
from benchmarks.math.prepare import prepare
from benchmarks.math.stand_ins import DEMONSTRATIONS
from benchmarks.math.templates import OPENING, SYSTEM, Template, render
from methodbench.correctness import AnswerConfig, Correctness
from methodbench.errors import UserError

NAME = "openr1_math_46k"
TEMPLATES: tuple[Template, ...] = ("thought", "thought_plain", "qwen", "prime", "bare")


def test_without_a_template_rows_have_the_published_messages() -> None:
    rows, source = demonstration_rows(NAME, "main", True, "")
    assert source == {"stand_in": True, "n": 5}
    for row, given in zip(rows, DEMONSTRATIONS[NAME], strict=True):
        assert set(row) == {"id", "kind", "messages", "answer", "demonstration"}
        assert row["messages"] == given["prompt"]
        assert row["demonstration"] == given["target"][0]["content"]
        assert row["answer"] == given["reward_model"]["ground_truth"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_prompt_and_demonstration_make_one_text_in_which_the_thinking_is_opened_once(template: Template) -> None:
    rows, _ = demonstration_rows(NAME, "main", True, template)
    for row, given in zip(rows, DEMONSTRATIONS[NAME], strict=True):
        assert set(row) == {"id", "kind", "prompt", "answer", "demonstration"}
        assert row["prompt"] == render(template, given["prompt"][1]["content"])
        whole = row["prompt"].removesuffix(OPENING)
        told = (row["prompt"] + row["demonstration"])[len(whole) :]
        assert told == given["target"][0]["content"]


def test_every_demonstration_is_right_by_what_stands_after_its_thinking() -> None:
    judge = Correctness(AnswerConfig(rule="boxed", think="</think>"))
    for row in demonstration_rows(NAME, "main", True, "thought")[0]:
        doc = {"kind": NAME, "id": row["id"], "answer": row["answer"], "prompt": row["prompt"]}
        assert process_results(doc, [row["demonstration"]]) == {"exact_match": 1, "answered": 1}
        assert judge(row["demonstration"], row) is True
        cut = row["demonstration"].replace("</think>", "")
        assert process_results(doc, [cut])["exact_match"] == 0 and judge(cut, row) is False


def test_it_is_a_split_with_its_source_beside_it(tmp_path: Path) -> None:
    sizes = {"train": 0, "validation": 0, "test": 0, "arithmetic": 0}
    config = MathConfig(**sizes, published=(NAME, "math500"), stand_in=True, template="thought")
    prepare(tmp_path, config, 0)
    assert config.splits() == (NAME, "math500")
    assert json.loads((tmp_path / f"{NAME}.source.json").read_text()) == {"n": 5, "stand_in": True}
    first = json.loads((tmp_path / f"{NAME}.jsonl").read_text().splitlines()[0])
    assert (first["id"], first["kind"], first["answer"]) == (0, NAME, "42")
    asked = json.loads((tmp_path / "math500.jsonl").read_text().splitlines()[0])
    assert asked["prompt"] == render("thought", asked["question"])


def test_fetched_rows_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    size = 45_792

    def fetched(*given: object) -> tuple[list[object], str]:
        asked.append(given)
        return [DEMONSTRATIONS[NAME][0]] * size, "fingerprint"

    monkeypatch.setattr("benchmarks.math.demonstrations.fetch_rows", fetched)
    rows, source = demonstration_rows(NAME, "abc", False, "")
    assert asked == [(f"math: set '{NAME}'", "Elliott/Openr1-Math-46k-8192", None, "train", "abc")]
    assert (len(rows), source["n"], source["revision"]) == (size, size, "abc")
    size = 4_000
    with pytest.raises(UserError, match="given 4000 rows, expected 45750 to 45849"):
        demonstration_rows(NAME, "abc", False, "")


def test_templates_are_the_papers() -> None:
    chat = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n"
    assert render("thought", "Q?") == chat.format(SYSTEM) + "<think>\n"
    assert render("qwen", "Q?") == chat.format(
        "Please reason step by step, and put your final answer within \\boxed{}."
    )
    assert render("bare", "Q?") == "Q?"
    assert render("prime", "Q?").endswith(
        " User: Q?\n\nPresent the answer in LaTex format: \\boxed{Your answer}. Assistant:"
    )
    assert render("thought_plain", "Q?") == f"{SYSTEM}\n\nUser: Q?\n\nAssistant: <think>\n"
    assert SYSTEM.startswith("Your task is to follow") and "<think>\n {thoughts} </think>\n" in SYSTEM
