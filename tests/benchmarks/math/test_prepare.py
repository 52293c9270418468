"""Files as the graph gets them: splits apart, seeds apart, the same seed the same bytes."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.math.config import SCORED, MathConfig
from benchmarks.math.grading import check
from benchmarks.math.prepare import prepare
from methodbench.benchmark import discover_families
from methodbench.config import parse
from methodbench.errors import UserError

ROOT = Path(__file__).parents[3]
SMALL = MathConfig(train=2000, validation=100, test=400, arithmetic=60)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folders = {seed: tmp_path_factory.mktemp(f"math{seed}") for seed in (0, 1, 2)}
    for seed, folder in folders.items():
        prepare(folder, SMALL, seed)
    return folders


def test_it_writes_the_splits_that_the_config_names_and_nothing_of_size_zero(tmp_path: Path) -> None:
    config = MathConfig(train=0, validation=0, test=8, arithmetic=0, published=("aime24",), stand_in=True)
    prepare(tmp_path, config, 0)
    assert config.splits() == ("test", "aime24")
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["aime24.jsonl", "test.jsonl"]


def test_the_family_is_found_and_every_task_has_its_file() -> None:
    family = discover_families(ROOT)["math"]
    config = MathConfig(demonstrated=1, published=SCORED)
    for task in family.tasks:
        assert (family.folder(ROOT) / task.yaml).exists()
        assert task.split in family.splits(config)


def test_sizes_ids_and_equal_shares_of_the_kinds(made: dict[int, Path]) -> None:
    for split, size in (("train", 2000), ("validation", 100), ("test", 400), ("arithmetic", 60)):
        rows = read(made[0] / f"{split}.jsonl")
        assert [row["id"] for row in rows] == list(range(size))
        assert len({row["prompt"] for row in rows}) == size
    kinds = [row["kind"] for row in read(made[0] / "test.jsonl")]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == dict.fromkeys(("chain", "word", "route", "sum"), 100)


def test_no_prompt_stands_in_two_splits_whatever_the_seeds(made: dict[int, Path]) -> None:
    for one in made.values():
        for two in made.values():
            for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
                assert not prompts(one / f"{a}.jsonl") & prompts(two / f"{b}.jsonl")


@pytest.mark.parametrize("split", ["validation", "test", "arithmetic"])
def test_neighbouring_seeds_share_no_item(made: dict[int, Path], split: str) -> None:
    first, second, third = (questions(made[seed] / f"{split}.jsonl") for seed in (0, 1, 2))
    assert not first & second
    assert not second & third


def prompts(path: Path) -> set[str]:
    return {row["prompt"] for row in read(path)}


def questions(path: Path) -> set[str]:
    """Prompts without the worked examples that stand before them."""
    return {prompt.rsplit("Question: ", 1)[-1] for prompt in prompts(path)}


def test_the_same_seed_gives_the_same_bytes(made: dict[int, Path], tmp_path: Path) -> None:
    prepare(tmp_path, SMALL, 1)
    for split in SMALL.splits():
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (made[1] / f"{split}.jsonl").read_bytes()


def test_what_earlier_configs_gave_is_given_byte_for_byte(tmp_path: Path) -> None:
    """Digests of version 1 of the family, taken before `prompts`, `demonstrated` and `template` came."""
    plain = MathConfig(train=600, validation=60, test=60, arithmetic=24, published=("aime24", "gsm8k"), stand_in=True)
    hard = MathConfig(
        train=400,
        validation=0,
        test=40,
        arithmetic=0,
        kinds=("route", "chain", "route"),
        cut=0.4,
        empty=0.3,
        recheck=0.8,
        route_edges=(6, 12),
    )
    for name, config in (("plain", plain), ("hard", hard)):
        prepare(tmp_path / name, config, 3)
    assert digest(tmp_path / "plain") == "5224a07a01b0274acff7b627be8a3911bfb670b55c85782cf2020bbc174f5824"
    assert digest(tmp_path / "hard") == "af2dc728cb817153c578ce2ef99e2492ff1b484cc16097ed9ce8bc86863e9049"


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()


def test_a_training_row_ends_in_a_right_answer_whatever_became_of_its_trace(made: dict[int, Path]) -> None:
    for row in read(made[0] / "train.jsonl"):
        assert row["prompt"].endswith(" <think>")
        assert row["completion"].count("</think>") == 1
        assert row["completion"].endswith(f" </think> A {row['answer']} <|end|>")
        assert check(row, row["completion"])


def test_shares_of_empty_and_cut_traces_are_as_asked(made: dict[int, Path]) -> None:
    thoughts = [row["completion"].split("</think>")[0].split() for row in read(made[0] / "train.jsonl")]
    empty = sum(not thought for thought in thoughts) / len(thoughts)
    assert 0.07 < empty < 0.13
    rows = [row for row in read(made[0] / "train.jsonl") if row["kind"] == "chain"]
    # A whole chain trace has one result for each operation, or twice or three times as many.
    done = [len(re.findall("=", row["completion"])) / row["prompt"].count(" ", 6) * 3 for row in rows]
    cut = sum(done_ > 0 and not whole_trace(row) for row, done_ in zip(rows, done, strict=True)) / len(rows)
    assert 0.19 < cut < 0.31


def whole_trace(row: dict[str, Any]) -> bool:
    operations = len(re.findall(r"[-+*]", row["prompt"]))
    return len(re.findall("=", row["completion"])) % operations == 0


def test_without_cuts_every_trace_ends_in_the_answer(tmp_path: Path) -> None:
    prepare(tmp_path, MathConfig(train=400, validation=0, test=0, arithmetic=0, cut=0, empty=0, recheck=1), 0)
    for row in read(tmp_path / "train.jsonl"):
        thought = row["completion"].split(" </think>")[0]
        assert thought.endswith(f" {row['answer']}")
        if row["kind"] in ("word", "route"):  # the others' traces can be too long for a second re-check
            assert thought.count("again") == 2


def test_a_whole_row_has_at_most_a_hundred_and_thirty_tokens(made: dict[int, Path]) -> None:
    pieces = re.compile(r"<think>|</think>|<\|end\|>|[a-z]+|[A-Z]|\d|[^\sA-Za-z\d]")
    rows = read(made[0] / "train.jsonl")
    assert max(len(pieces.findall(row["completion"])) for row in rows) <= 105
    assert max(len(pieces.findall(row["prompt"] + row["completion"])) for row in rows) <= 130


def test_a_problem_space_that_is_too_small_is_said_in_a_sentence(tmp_path: Path) -> None:
    config = MathConfig(train=0, validation=0, test=500, arithmetic=0, kinds=("sum",), sum_terms=(2, 2))
    with pytest.raises(UserError, match="kind 'sum' has too few different problems for 500 rows of split 'test'"):
        prepare(tmp_path, config, 0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kinds": ["chian"]}, "kinds"),
        ({"chain_operations": [5, 3]}, r"key 'chain_operations': given \[5, 3\], allowed: 1 <= first <= second <= 20"),
        ({"cut": 0.6, "empty": 0.6}, "allowed: a sum of at most 1"),
        ({"empty_by_kind": {"route": 1.5}}, r"key 'empty_by_kind.route': given 1.5, allowed: 0 to 1"),
        ({"prompt_shares": {"sum": -1}}, r"key 'prompt_shares.sum': given -1.*, allowed: 0 or more, of a kind in"),
        ({"kinds": ["sum"], "prompt_shares": {"word": 1}}, "key 'prompt_shares.word': .*of a kind in 'kinds'"),
        ({"kinds": ["sum"], "prompts": 4, "prompt_shares": {"sum": 0}}, "given 0 for every kind"),
        ({"tries": {"aime24": 0}}, r"key 'tries.aime24': given 0, allowed: 1 or more"),
        ({"tries": {"aime42": 8}}, r"key 'tries.aime42': .*did you mean 'aime2"),
        ({"template": "thougt"}, "template"),
        ({"published": ["gsm8"]}, "unknown set 'gsm8'; allowed: .*did you mean 'gsm8k'"),
        ({"trian": 10}, "unknown key 'trian'; allowed: .*did you mean 'train'"),
    ],
)
def test_mistakes_in_the_config_are_said_in_a_sentence(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(MathConfig, values, "study.yaml: datasets.math.config")


def test_the_declared_chance_is_what_the_most_frequent_answers_score(made: dict[int, Path]) -> None:
    task = discover_families(ROOT)["math"].task("test")
    assert task is not None
    rows = [row for folder in made.values() for row in read(folder / "test.jsonl")]
    by_kind = {kind: Counter(row["answer"] for row in rows if row["kind"] == kind) for kind in SMALL.kinds}
    guessed = sum(answers.most_common(1)[0][1] for answers in by_kind.values()) / len(rows)
    assert abs(guessed - task.chance) < 0.02
