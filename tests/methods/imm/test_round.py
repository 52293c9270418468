"""Rounds on a pico model: what is sampled, what is learned from, what is merged, and that a killed round goes on."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from methodbench.checkpoint import Checkpoint, digest_folder
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.imm import rationales
from methods.imm.config import HeadroomConfig, IMMConfig, MatchConfig, SelfImproveConfig
from methods.imm.headroom import imm_headroom
from methods.imm.improve import self_improve
from methods.imm.match import imm_match
from methods.imm.rationales import FILE, Sample, mean_entropy, read_questions, sample, worked_examples
from methods.imm.round import imm
from tests import pico

ASKING = {"template": "plain", "stop": "none", "max_new_tokens": 12, "slots": 16}
TRAINING = {"samples": 6, "temperature": 3.0, "epochs": 2, "batch_size": 4, "micro_batch": 2, "learning_rate": 1e-2}
IMPROVE: dict[str, Any] = {**ASKING, **TRAINING, "max_length": 32, "save_every": 3}


@pytest.fixture
def log() -> Log:
    return Log("test", stream=io.StringIO())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return written(tmp_path_factory.mktemp("base"), 0)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions that a random model answers right now and then: any last digit will do for one of them."""
    path = tmp_path_factory.mktemp("data") / "questions.jsonl"
    rows = [{"prompt": f"{number}+{number}=", "answer": str(number % 10)} for number in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def written(folder: Path, seed: int) -> Checkpoint:
    pico.model(seed=seed).save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    return Checkpoint(folder, folder.name)


def improve(**changes: Any) -> SelfImproveConfig:
    return parse(SelfImproveConfig, IMPROVE | changes, "test")


def weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return dict(checkpoint.load(dtype=torch.float32)[0].state_dict())


def learned(folder: Path) -> list[Sample]:
    return [Sample(**json.loads(line)) for line in (folder / FILE).read_text().splitlines()]


def test_every_sample_has_a_seed_of_its_own(base: Checkpoint, questions: Path, tmp_path: Path, log: Log) -> None:
    model, tokenizer = base.load()
    rows = read_questions(questions, None)
    made = sample(model, tokenizer, rows, improve(), 0, tmp_path / "a", log)
    assert [one.question for one in made] == [number for number in range(20) for _ in range(6)]
    assert len({one.completion for one in made}) > 60
    assert made == sample(model, tokenizer, rows, improve(slots=3), 0, tmp_path / "b", log)
    assert made[:30] == sample(model, tokenizer, rows[:5], improve(), 0, tmp_path / "c", log)
    for other in (
        sample(model, tokenizer, rows, improve(round=2), 0, tmp_path / "d", log),
        sample(model, tokenizer, rows, improve(), 1, tmp_path / "e", log),
    ):
        assert [one.completion for one in other] != [one.completion for one in made]


def test_a_greedy_model_says_the_same_every_time(base: Checkpoint, questions: Path, tmp_path: Path, log: Log) -> None:
    """The released code's temperature of 0 makes K copies of one rationale."""
    model, tokenizer = base.load()
    made = sample(model, tokenizer, read_questions(questions, 4), improve(temperature=0), 0, tmp_path, log)
    assert all(len({one.completion for one in made if one.question == number}) == 1 for number in range(4))


def test_a_round_learns_from_right_rationales_only(base: Checkpoint, questions: Path, tmp_path: Path, log: Log) -> None:
    self_improve([base], {"questions": questions}, improve(), 0, tmp_path / "out", log)
    kept = learned(tmp_path / "out")
    assert kept and all(one.right for one in kept)
    gold = [str(number % 10) for number in range(20)]
    assert all(one.answer == gold[one.question] for one in kept)
    with (tmp_path / "out" / "measures.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["kept"]) == pytest.approx(len(kept) / 120)
    assert float(row["covered"]) == len({one.question for one in kept}) / 20
    moved = weights(Checkpoint(tmp_path / "out"))
    assert any(not torch.equal(moved[name], value) for name, value in weights(base).items())


def test_a_student_learns_what_another_model_said(base: Checkpoint, questions: Path, tmp_path: Path, log: Log) -> None:
    teacher = written(tmp_path / "teacher", 5)
    for name, parents in (("alone", [teacher]), ("taught", [teacher, base])):
        (tmp_path / name).mkdir()
        self_improve(parents, {"questions": questions}, improve(), 0, tmp_path / name / "out", log)
    assert learned(tmp_path / "alone" / "out") == learned(tmp_path / "taught" / "out")
    start, made = weights(base), weights(Checkpoint(tmp_path / "taught" / "out"))
    distance = sum(float((made[name] - start[name]).norm()) for name in start)
    other = weights(teacher)
    assert distance < 0.5 * sum(float((made[name] - other[name]).norm()) for name in start)


def test_accumulating_adds_what_the_parents_learned_from(
    base: Checkpoint, questions: Path, tmp_path: Path, log: Log
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = tmp_path / "one" / "out"
    self_improve([base], {"questions": questions}, improve(), 0, first, log)
    again = improve(round=2, accumulate=True)
    self_improve([Checkpoint(first), base], {"questions": questions}, again, 0, tmp_path / "two" / "out", log)
    assert learned(tmp_path / "two" / "out")[: len(learned(first))] == learned(first)
    assert len(learned(tmp_path / "two" / "out")) > len(learned(first))


@pytest.mark.parametrize("own", [{"anchor_l2": 10.0}, {"lora_rank": 2}], ids=["anchored", "lora"])
def test_a_held_model_moves_less(
    own: dict[str, Any], base: Checkpoint, questions: Path, tmp_path: Path, log: Log
) -> None:
    start = weights(base)
    moved = {}
    for name, changes in (("free", {}), ("held", own)):
        (tmp_path / name).mkdir()
        config = improve(samples=20, epochs=6, **changes)
        self_improve([base], {"questions": questions}, config, 0, tmp_path / name / "out", log)
        made = weights(Checkpoint(tmp_path / name / "out"))
        assert made.keys() == start.keys()
        moved[name] = sum(float(((made[key] - start[key]) ** 2).sum()) for key in start)
    assert 0 < moved["held"] < 0.5 * moved["free"]


def test_a_merged_round_is_half_way_between_the_original_and_what_learned(
    base: Checkpoint, questions: Path, tmp_path: Path, log: Log
) -> None:
    """phi_1 = theta_0 + alpha (th_1 - theta_0); alpha 0 gives the original, alpha 1 self-improvement, to the bit."""
    (tmp_path / "self").mkdir()
    self_improve([base], {"questions": questions}, improve(), 0, tmp_path / "self" / "out", log)
    start, tuned = weights(base), weights(Checkpoint(tmp_path / "self" / "out"))
    for alpha in (0.0, 0.5, 1.0):
        (tmp_path / f"{alpha}").mkdir()
        config = parse(IMMConfig, {"improve": IMPROVE, "merge": {"weights": [alpha]}}, "test")
        imm([base, base], {"questions": questions}, config, 0, tmp_path / f"{alpha}" / "out", log)
        made = weights(Checkpoint(tmp_path / f"{alpha}" / "out"))
        for name, value in start.items():
            wanted = (1 - alpha) * value.double() + alpha * tuned[name].double()
            assert torch.equal(made[name], wanted.float()), (alpha, name)


def test_rounds_forget_old_updates_at_the_rate_of_the_merge_weight(
    base: Checkpoint, questions: Path, tmp_path: Path, log: Log
) -> None:
    """phi_2 - theta_0 = alpha (phi_1 - theta_0) + alpha u_2 with u_2 the second round's update."""
    start = weights(base)
    (tmp_path / "1").mkdir()
    config = parse(IMMConfig, {"improve": IMPROVE}, "test")
    imm([base, base], {"questions": questions}, config, 0, tmp_path / "1" / "out", log)
    phi1 = Checkpoint(tmp_path / "1" / "out")
    (tmp_path / "2").mkdir()
    second = replace(config, improve=replace(config.improve, round=2))
    imm([phi1, base], {"questions": questions}, second, 0, tmp_path / "2" / "out", log)
    made, before = weights(Checkpoint(tmp_path / "2" / "out")), weights(phi1)
    tuned = weights(Checkpoint(tmp_path / "2" / "tuned"))
    for name, value in start.items():
        wanted = 0.5 * (before[name] - value).double() + 0.5 * (tuned[name] - before[name]).double()
        assert torch.allclose((made[name] - value).double(), wanted, atol=1e-6)


def test_a_round_that_was_stopped_before_its_merge_goes_on(
    base: Checkpoint, questions: Path, tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse(IMMConfig, {"improve": IMPROVE}, "test")
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    imm([base, base], {"questions": questions}, config, 0, tmp_path / "whole" / "out", log)

    def broken(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("methods.imm.round.merge", broken)
        with pytest.raises(KeyboardInterrupt):
            imm([base, base], {"questions": questions}, config, 0, tmp_path / "stopped" / "out", log)
    with monkeypatch.context() as patch:
        patch.setattr("methods.imm.round.improve", broken)  # must not be asked again
        imm([base, base], {"questions": questions}, config, 0, tmp_path / "stopped" / "out", log)
    assert digest_folder(tmp_path / "stopped" / "out") == digest_folder(tmp_path / "whole" / "out")


def test_the_nearest_in_accuracy_is_taken_whatever_else_it_does(
    base: Checkpoint, questions: Path, tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.2, 0.55, 0.65, 0.6])
    monkeypatch.setattr("methods.imm.match.accuracy", lambda *_: next(shares))
    candidates = [written(tmp_path / f"c{seed}", seed) for seed in (1, 2, 3)]
    config = parse(MatchConfig, ASKING, "test")
    imm_match([*candidates, base], {"questions": questions}, config, 0, tmp_path / "out", log)
    made, wanted = weights(Checkpoint(tmp_path / "out")), weights(candidates[1])  # of two equally near, the first
    assert all(torch.equal(made[name], wanted[name]) for name in wanted)
    assert (tmp_path / "out" / "measures.csv").read_text().splitlines()[1:] == [
        "c1,0.2,0",
        "c2,0.55,1",
        "c3,0.65,0",
        "base0,0.6,0",
    ]


def test_a_model_without_headroom_is_refused(base: Checkpoint, questions: Path, tmp_path: Path, log: Log) -> None:
    data = {"in_domain": questions, "out_of_domain": questions}
    with pytest.raises(UserError, match=r"answers .* right, key 'in_domain' wants 40% to 85%"):
        imm_headroom([base], data, parse(HeadroomConfig, ASKING, "test"), 0, tmp_path / "no", log)
    open_wide = parse(HeadroomConfig, ASKING | {"in_domain": [0.0, 1.0], "out_of_domain": [0.0, 1.0]}, "test")
    imm_headroom([base], data, open_wide, 0, tmp_path / "yes", log)
    assert weights(Checkpoint(tmp_path / "yes")).keys() == weights(base).keys()


def test_a_round_without_a_right_answer_is_refused(base: Checkpoint, tmp_path: Path, log: Log) -> None:
    path = tmp_path / "hard.jsonl"
    path.write_text(json.dumps({"prompt": "x=", "answer": "123456789"}) + "\n")
    with pytest.raises(UserError, match="none of 6 sampled answers is right"):
        self_improve([base], {"questions": path}, improve(), 0, tmp_path / "out", log)
    path.write_text(json.dumps({"prompt": "x="}) + "\n")
    with pytest.raises(UserError, match="line 1: key 'answer' is missing"):
        read_questions(path, None)


def test_worked_examples_are_questions_of_the_training_set() -> None:
    rows = [
        {"prompt": "Ann has 2.", "answer": "4", "answer_detail": "She doubles 2*2=<<2*2=4>>4.\n#### 4"},
        {"prompt": "Bob has 3.", "answer": "3", "answer_detail": "Three.\n#### 3"},
    ]
    assert worked_examples(rows, ["Bob"]).endswith("Three.\nThe answer is 3")
    assert "2*2=4." in worked_examples(rows, ["Ann"]) and "<<" not in worked_examples(rows, ["Ann"])
    with pytest.raises(UserError, match=r"key 'shots': no question .* begins with 'Cid'"):
        worked_examples(rows, ["Cid"])


def test_entropy_is_that_of_the_sampling_distribution(base: Checkpoint) -> None:
    model, tokenizer = base.load()
    one = Sample(0, "2+2=", "4.", "4", True)
    ids = tokenizer("2+2=4.")["input_ids"]
    with torch.inference_mode():
        p = (model(torch.tensor([ids])).logits[0].double() / 3).softmax(-1)
    wanted = float((-(p * p.log()).sum(-1))[3:5].mean())
    assert mean_entropy(model, tokenizer, [one], improve()) == pytest.approx(wanted, rel=1e-6)
    assert mean_entropy(model, tokenizer, [one], improve(temperature=0)) == 0
    assert rationales.ENTROPY_OF >= 1
