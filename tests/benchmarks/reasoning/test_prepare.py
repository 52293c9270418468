"""Files as the graph gets them: splits apart, seeds apart, kinds in equal shares."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reasoning.config import FAR, KINDS, NEAR, SIZES, ReasoningConfig
from benchmarks.reasoning.prepare import CHOICES, WORKED, prepare, rows
from methodbench.benchmark import discover_families
from methodbench.config import parse
from methodbench.errors import UserError
from tests.conftest import ROOT

FEW: tuple[Any, ...] = ("spell_backward", "spiral_matrix")
SMALL = ReasoningConfig(
    near=("difference",), far=FEW, train=800, questions=60, validation=60, probe_id=30, probe_ood=30,
    in_domain=60, near_domain=60, far_domain=60, passk_in=20, passk_far=20,
)  # fmt: skip


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folders = {seed: tmp_path_factory.mktemp(f"reasoning{seed}") for seed in (0, 1, 2)}
    for seed, folder in folders.items():
        prepare(folder, SMALL, seed)
    return folders


def test_every_split_has_its_size_kinds_and_columns(made: dict[int, Path]) -> None:
    assert {path.stem for path in made[0].glob("*.jsonl")} == set(SMALL.splits()) == set(SIZES)
    for split in SIZES:
        found = read(made[0] / f"{split}.jsonl")
        assert [row["id"] for row in found] == list(range(getattr(SMALL, split)))
        columns = {"id", "kind", "prompt", "answer"} | ({"completion"} if split in WORKED else set())
        assert set(found[0]) == columns | ({"options", "label"} if split in CHOICES else set())
        counts = Counter(row["kind"] for row in found)
        assert set(counts) == set(SMALL.kinds(split)) and len(set(counts.values())) == 1
        if split != "train":
            assert len({row["prompt"] for row in found}) == len(found)


def test_default_sizes_hold_as_many_of_each_kind() -> None:
    config = ReasoningConfig()
    assert (*config.id, *NEAR, *FAR) == KINDS and len(FAR) >= 12
    assert all(getattr(config, split) % len(config.kinds(split)) == 0 for split in SIZES if split != "train")


def test_no_prompt_stands_in_two_splits_nor_in_a_neighbouring_seed(made: dict[int, Path]) -> None:
    prompts = {
        (split, seed): {row["prompt"] for row in read(folder / f"{split}.jsonl")}
        for seed, folder in made.items()
        for split in SIZES
    }
    for (one, seed), (two, other) in combinations(prompts, 2):
        if one != two or (one != "train" and abs(seed - other) == 1):
            assert not prompts[one, seed] & prompts[two, other], (one, two)


def test_the_same_seed_gives_the_same_bytes(made: dict[int, Path], tmp_path: Path) -> None:
    prepare(tmp_path, SMALL, 1)
    for split in SIZES:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (made[1] / f"{split}.jsonl").read_bytes()


def test_a_worked_row_ends_in_its_answer(made: dict[int, Path]) -> None:
    for split in WORKED:
        for row in read(made[0] / f"{split}.jsonl"):
            assert row["completion"].endswith(f" . The answer is {row['answer']} <|end|>")


def test_shares_weigh_the_kinds_of_train() -> None:
    config = ReasoningConfig(
        near=("modulo",), far=("spell_backward",), train=1000, shares={"sum": 0.5, "modulo": 1.5, "spell_backward": 0}
    )
    assert Counter(row["kind"] for row in rows("train", config, 0)) == {"sum": 250, "modulo": 750}


def test_a_share_of_a_kind_has_a_slip_in_its_answer_and_nothing_else_changes() -> None:
    sizes = nothing("probe_ood") | {"probe_ood": 60, "near": (), "far": ("spell_backward",), "train": 1000}
    worked = ReasoningConfig(**sizes)
    mixed = ReasoningConfig(**sizes, slips={"spell_backward": 0.25})
    assert list(rows("probe_ood", mixed, 0)) == list(rows("probe_ood", worked, 0))
    pairs = list(zip(rows("train", worked, 0), rows("train", mixed, 0), strict=True))
    wrong = [(one, two) for one, two in pairs if two != one]
    assert {two["kind"] for _, two in wrong} == {"spell_backward"} and 95 <= len(wrong) <= 155
    for one, two in wrong:
        (work, answer), (same, slip) = (row["completion"].split(" . The answer is ") for row in (one, two))
        assert work == same and slip != answer and sorted(slip) == sorted(answer)
        assert {**two, "completion": one["completion"]} == one


def test_train_holds_a_problem_twice_only_where_its_kind_has_no_more() -> None:
    config = ReasoningConfig(sum_terms=(2, 2), near=(), far=("spell_backward",), train=600, **nothing())
    found = list(rows("train", config, 0))
    sums = [row["prompt"] for row in found if row["kind"] == "sum"]
    assert len(sums) == 300 and 40 <= len(set(sums)) <= 70  # 11 of 20 of a hundred problems
    assert len({row["prompt"] for row in found if row["kind"] != "sum"}) == 300


def test_a_problem_space_that_is_too_small_is_said_in_a_sentence(tmp_path: Path) -> None:
    config = ReasoningConfig(sum_terms=(2, 2), near=(), far=(), train=0, questions=200, **nothing("questions"))
    with pytest.raises(UserError, match="key 'questions': given 200, but kind 'sum' has too few different problems"):
        prepare(tmp_path, config, 0)


def nothing(*but: str) -> dict[str, Any]:
    """Size 0 for every split that is drawn, but for these and `train`."""
    return {split: 0 for split in SIZES if split not in (*but, "train")}


def test_published_sets_stand_beside_the_drawn_ones(tmp_path: Path) -> None:
    config = ReasoningConfig(train=0, published=("gsm8k",), stand_in=True, **nothing())
    prepare(tmp_path, config, 0)
    assert config.splits() == ("gsm8k",)
    assert {path.name for path in tmp_path.iterdir()} == {"gsm8k.jsonl", "gsm8k.source.json"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sum_terms": [5, 3]}, r"key 'sum_terms': given \[5, 3\], allowed: 2 <= first <= second <= 8"),
        ({"far": ["sum"]}, "key 'id': given 'sum', allowed: a kind once, in one group"),
        ({"near": ["modulo", "modulo"]}, "key 'near': given 'modulo', allowed: a kind once"),
        ({"far": []}, "key 'far_domain': given 720, allowed: 0, as no kind is in far"),
        ({"shares": {"sum": -1}}, "key 'shares.sum': given -1.*allowed: 0 or more"),
        ({"near": ["modulo"], "shares": {"products": 2}}, "key 'shares.products'.*of a kind in id, near or far"),
        ({"slips": {"sum": 1.5}}, "key 'slips.sum': given 1.5, allowed: 0 to 1, of a kind in id, near or far"),
        ({"near": ["modulo"], "slips": {"products": 0.5}}, "key 'slips.products'.*of a kind in id, near or far"),
        ({"published": ["gsm8"]}, "unknown set 'gsm8'; allowed: .*did you mean 'gsm8k'"),
        ({"id": ["summ"]}, "id"),
    ],
)
def test_mistakes_in_the_config_are_said_in_a_sentence(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(ReasoningConfig, values, "study.yaml: datasets.reasoning.config")


def test_the_declared_chance_is_what_the_most_frequent_answers_score() -> None:
    config = ReasoningConfig(in_domain=200, near_domain=600, far_domain=1800)
    for split in ("in_domain", "near_domain", "far_domain"):
        task = discover_families(ROOT)["reasoning"].task(split)
        assert task is not None
        found = [row for seed in range(4) for row in rows(split, config, seed)]
        by_kind = {kind: Counter(row["answer"] for row in found if row["kind"] == kind) for kind in config.kinds(split)}
        guessed = sum(answers.most_common(1)[0][1] for answers in by_kind.values()) / len(found)
        assert abs(guessed - task.chance) < 0.02
