"""Problems with demonstrations, to practise on and to score; and traces that are empty more often for one kind."""

from __future__ import annotations

import json
from collections import Counter
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.math.config import MathConfig
from benchmarks.math.grading import check
from benchmarks.math.prepare import by_share, prepare
from benchmarks.math.problems import Problem, route, routes
from methodbench.correctness import AnswerConfig, Correctness

SIZES: dict[str, Any] = {
    "train": 1500,
    "validation": 100,
    "test": 200,
    "arithmetic": 0,
    "demonstrated": 100,
    "prompts": 400,
}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folders = {seed: tmp_path_factory.mktemp(f"prompts{seed}") for seed in (0, 1)}
    for seed, folder in folders.items():
        prepare(folder, MathConfig(**SIZES), seed)
    return folders


@pytest.mark.parametrize("split", ["prompts", "demonstrated"])
def test_its_problems_stand_in_no_other_split_whatever_the_seeds(split: str, made: dict[int, Path]) -> None:
    for one in made.values():
        asked = {row["prompt"] for row in read(one / f"{split}.jsonl")}
        assert len(asked) == SIZES[split]
        for two in made.values():
            for other in {"train", "validation", "test", "prompts", "demonstrated"} - {split}:
                assert not asked & {row["prompt"] for row in read(two / f"{other}.jsonl")}


def test_what_is_demonstrated_is_held_out_from_neighbouring_seeds(made: dict[int, Path]) -> None:
    first, second = ({row["prompt"] for row in read(made[seed] / "demonstrated.jsonl")} for seed in (0, 1))
    assert not first & second


@pytest.mark.parametrize("taken", ["prompts", "demonstrated"])
def test_only_training_rows_depend_on_whether_it_is_asked_for(
    taken: str, made: dict[int, Path], tmp_path: Path
) -> None:
    prepare(tmp_path, MathConfig(**SIZES | {taken: 0}), 1)
    for split in {"validation", "test", "prompts", "demonstrated"} - {taken}:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (made[1] / f"{split}.jsonl").read_bytes()
    assert (tmp_path / "train.jsonl").read_bytes() != (made[1] / "train.jsonl").read_bytes()


@pytest.mark.parametrize("split", ["prompts", "demonstrated"])
def test_a_demonstration_is_one_whole_trace_and_graded_right(split: str, made: dict[int, Path]) -> None:
    rows = read(made[0] / f"{split}.jsonl")
    assert [row["id"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert set(row) - {"answers"} == {"id", "kind", "prompt", "answer", "demonstration"}
        told, ending = row["demonstration"].split(" </think> ")
        assert ending == f"A {row['answer']} <|end|>"
        assert "again" not in told and told.endswith(f" {row['answer']}")
        if row["kind"] != "route":  # a step for every operation, each with its result
            assert check({**row, "edges": ""}, row["demonstration"])
            assert told.count("=") == steps(row)


def test_the_engines_rule_agrees_with_the_grader(made: dict[int, Path]) -> None:
    judge = Correctness(AnswerConfig(rule="marker", marker="A"))
    for row in read(made[0] / "prompts.jsonl"):
        assert judge(row["demonstration"], row) is True
        assert judge(row["demonstration"].replace(" <|end|>", ""), row) is True
        assert judge(f" </think> A {row['answer']} x <|end|>", row) is False
        for answer in row.get("answers", []):
            assert judge(f" </think> A {answer} <|end|>", row) is True


def steps(row: dict[str, Any]) -> int:
    """Operations in a prompt; a story's first quantity is none, and with two owners there is a sum besides."""
    words = row["prompt"].split()
    if row["kind"] == "word":
        return sum(word.isdigit() for word in words) - 1 + ("more" in words)
    return sum(word in "+-*" for word in words)


def test_answers_of_a_route_are_exactly_what_the_grader_accepts(made: dict[int, Path]) -> None:
    rows = [row for row in read(made[0] / "prompts.jsonl") if row["kind"] == "route"]
    several = 0
    for row in rows[:40]:
        pairs = row["prompt"].removesuffix(" <think>").split(" : ")[1].split(" , ")
        edges = " ".join(pair.replace(" ", "") for pair in pairs)
        graded = {**row, "edges": edges}
        start, goal = row["prompt"].split()[1:3]
        between = sorted({node for pair in pairs for node in pair.split()} - {start, goal})
        accepted = {
            walk
            for length in range(len(between) + 1)
            for chosen in permutations(between, length)
            if check(graded, f"A {(walk := ' '.join([start, *chosen, goal]))}")
        }
        assert set(row.get("answers", [row["answer"]])) == accepted
        assert row["answer"] in accepted
        several += len(accepted) > 1
    assert several > 5


def test_routes_by_hand() -> None:
    problem = Problem("route", "route a d : ...", "a b d", lambda _: [], edges="ab bd ac cd bc ce")
    assert routes(problem) == ["a b c d", "a b d", "a c d"]


def test_the_known_route_is_among_all_routes() -> None:
    rng = Random("known route")
    for _ in range(50):
        problem = route(rng, MathConfig())
        assert problem.answer in routes(problem)


def test_a_number_of_two_digits_may_be_told_with_its_digits_apart(tmp_path: Path) -> None:
    config = MathConfig(
        train=0, validation=0, test=0, arithmetic=0, prompts=40, kinds=("sum",), sum_digits=(2, 2), sum_terms=(3, 3)
    )
    prepare(tmp_path, config, 0)
    rows = read(tmp_path / "prompts.jsonl")
    wide = [row for row in rows if len(row["answer"]) > 1]
    assert len(wide) > 20
    for row in wide:
        assert row["answers"] == [row["answer"], " ".join(row["answer"])]
        assert all(check(row, f"A {answer}") for answer in row["answers"])
    assert all("answers" not in row for row in rows if len(row["answer"]) == 1)


def test_shares_are_exact(tmp_path: Path) -> None:
    config = MathConfig(**SIZES | {"train": 0, "prompts": 100, "prompt_shares": {"route": 3, "word": 0}})
    prepare(tmp_path, config, 0)
    kinds = Counter(row["kind"] for row in read(tmp_path / "prompts.jsonl"))
    assert kinds == {"route": 60, "chain": 20, "sum": 20}


def test_shares_are_kept_all_along() -> None:
    order = by_share({"chain": 1.0, "route": 3.0}, 200)
    for done in range(4, 201, 4):
        assert order[:done].count("chain") * 3 == order[:done].count("route")


def test_one_kind_alone_may_be_answered_without_a_step(tmp_path: Path) -> None:
    config = MathConfig(**SIZES | {"prompts": 0, "empty": 0.5, "cut": 0.0, "empty_by_kind": {"route": 1.0, "sum": 0.0}})
    prepare(tmp_path, config, 0)
    rows = read(tmp_path / "train.jsonl")
    empty = Counter(row["kind"] for row in rows if not row["completion"].split("</think>")[0].strip())
    size = len(rows) // 4
    assert (empty["route"], empty["sum"]) == (size, 0)
    assert 0.4 < empty["chain"] / size < 0.6
    assert all(check(row, row["completion"]) for row in rows)


def test_the_kinds_share_of_empty_traces_changes_nothing_else(made: dict[int, Path], tmp_path: Path) -> None:
    prepare(tmp_path, MathConfig(**SIZES, empty_by_kind={"word": 1.0}), 0)
    for before, after in zip(read(made[0] / "train.jsonl"), read(tmp_path / "train.jsonl"), strict=True):
        if before["kind"] != "word":
            assert before == after
    assert (tmp_path / "prompts.jsonl").read_bytes() == (made[0] / "prompts.jsonl").read_bytes()
