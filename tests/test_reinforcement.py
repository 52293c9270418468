"""Reinforcement: what a trainer is told, what is drawn and shown, and that a kill changes no byte."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from methodbench.checkpoint import digest_folder
from methodbench.config import parse
from methodbench.correctness import AnswerConfig
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from methodbench.reinforcement import GRPO, RLOO, TRAINERS, UNCLIPPED, arguments, prompt_ids, read_rows, reinforce
from methodbench.reinforcement_config import ReinforceConfig
from tests import pico

ROWS: list[dict[str, Any]] = [{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a in range(6) for b in range(6)]
SETTINGS: dict[str, Any] = dict(
    questions=4, samples=4, updates=2, micro_batch=4, max_new_tokens=6, learning_rate=3e-3, steps=4, slots=8
)
JOB = """
import sys
from pathlib import Path
from tests.test_reinforcement import whole_job
whole_job(Path(sys.argv[1]), sys.argv[2])
"""


def letter(completion: str, row: Mapping[str, Any]) -> bool:
    """A rule that a random model meets now and then: begin with a small letter."""
    return completion[:1].islower()


def log() -> Log:
    return Log("test", stream=io.StringIO())


def settings(**own: Any) -> ReinforceConfig:
    return ReinforceConfig(**SETTINGS | own)


class Seen:
    """A watcher that keeps what it sees."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[Mapping[str, Any]], list[str], list[bool | None]]] = []

    def __call__(self, rows: list[Mapping[str, Any]], completions: list[str], right: list[bool | None]) -> None:
        self.batches.append((rows, completions, right))


def train(work: Path, config: ReinforceConfig, **named: Any) -> tuple[dict[str, torch.Tensor], Seen]:
    seen = Seen()
    named = {"seed": 3, "watch": seen, "rows": ROWS, "correct": letter} | named
    rows, correct = named.pop("rows"), named.pop("correct")
    model = reinforce(pico.model("llama"), pico.tokenizer(), rows, correct, work, log(), config, **named)
    return model.state_dict(), seen


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def whole_job(work: Path, algorithm: str) -> None:
    """A training that is long enough to be killed in between."""
    torch.set_num_threads(1)
    config = settings(steps=16, save_every=1)
    place, told = work / "training", Log("test", work / "curves.jsonl", stream=io.StringIO())
    start, kind = pico.model("llama"), TRAINERS[algorithm]
    model = reinforce(start, pico.tokenizer(), ROWS, letter, place, told, config, seed=3, trainer_class=kind)
    model.save_pretrained(work / "out")


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_a_killed_training_ends_with_the_same_bytes(algorithm: str, tmp_path: Path) -> None:
    digests = {}
    threads = torch.get_num_threads()
    for name in ("whole", "killed"):
        work = tmp_path / name
        work.mkdir()
        if name == "killed":
            command = [sys.executable, "-c", JOB, str(work), algorithm]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
                deadline = time.monotonic() + 120
                while not list(work.glob("training/checkpoint-*/whole")) and time.monotonic() < deadline:
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL)
            assert not (work / "out").exists()
            assert list(work.glob("training/checkpoint-*/whole")), "the kill must fall between a state and the end"
        whole_job(work, algorithm)
        digests[name] = digest_folder(work / "out"), read_curves(work / "curves.jsonl")
    torch.set_num_threads(threads)
    assert digests["killed"] == digests["whole"]
    assert {"reward", "tokens", "entropy", "truncated"} <= {key for point in digests["whole"][1] for key in point}


def test_what_is_right_is_reinforced(tmp_path: Path) -> None:
    _, seen = train(tmp_path, settings(questions=16, samples=8, updates=1, micro_batch=128, steps=12, entropy=0.0))
    shares = [sum(map(bool, right)) / len(right) for *_, right in seen.batches]
    assert shares[-1] > shares[0] + 0.2


def test_a_watcher_is_shown_groups_of_each_question(tmp_path: Path) -> None:
    _, seen = train(tmp_path, settings())
    assert len(seen.batches) == 2  # two updates on each
    for rows, completions, right in seen.batches:
        assert len(rows) == len(completions) == len(right) == 16
        groups = [rows[begin : begin + 4] for begin in range(0, 16, 4)]
        assert all(row is group[0] for group in groups for row in group)
        assert len({group[0]["prompt"] for group in groups}) == 4
        assert right == [letter(text, {}) for text in completions]
        assert len(set(completions)) > 8  # samples of one question differ


def test_neither_slots_nor_the_global_random_state_decide_a_completion(tmp_path: Path) -> None:
    drawn = []
    for number, slots in enumerate((3, 16)):
        torch.manual_seed(number)
        drawn.append(train(tmp_path / str(slots), settings(slots=slots, steps=1))[1].batches[0][1])
    assert drawn[0] == drawn[1]
    assert train(tmp_path / "other", settings(steps=1), seed=4)[1].batches[0][1] != drawn[0]


def test_a_watcher_changes_nothing_and_sees_no_evaluation(tmp_path: Path) -> None:
    class Evaluates(GRPO):
        def training_step(self, *arguments: Any, **named: Any) -> Any:
            state = torch.get_rng_state()
            self.model.eval()
            self._generate_and_score_completions([{"prompt": "1+1=", "row": 0}] * 4)
            self.model.train()
            torch.set_rng_state(state)
            return super().training_step(*arguments, **named)

    watched, seen = train(tmp_path / "watched", settings(), trainer_class=Evaluates)
    alone, _ = train(tmp_path / "alone", settings(), watch=None)
    assert len(seen.batches) == 2
    assert same(watched, alone)


def test_what_cannot_be_judged_teaches_nothing(tmp_path: Path) -> None:
    still = {"entropy": 0.0, "weight_decay": 0.0}
    before = pico.model("llama").state_dict()
    after, seen = train(tmp_path / "none", settings(**still), correct=lambda text, row: None)
    assert seen.batches[0][2] == [None] * 16 and same(before, after)
    assert not same(before, train(tmp_path / "some", settings(**still))[0])


def test_a_special_token_is_seen_by_the_rule(tmp_path: Path) -> None:
    """TRL's own decoding would drop it."""
    _, seen = train(tmp_path, settings(questions=36, samples=8, micro_batch=16, steps=1, max_new_tokens=12))
    text = "".join(seen.batches[0][1])
    assert "</think>" in text and "<pad>" not in text and "<eos>" not in text


@pytest.mark.parametrize("steps", [0, 1])
def test_the_model_is_saved_without_additions(steps: int, tmp_path: Path) -> None:
    weights, _ = train(tmp_path / "work", settings(steps=steps))
    assert same(weights, pico.model("llama").state_dict()) is (steps == 0)
    model = reinforce(
        pico.model("llama"), pico.tokenizer(), ROWS, letter, tmp_path / "more", log(), settings(steps=steps), seed=3
    )
    model.save_pretrained(tmp_path / "out")
    loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert same(weights, loaded.state_dict())
    assert not list((tmp_path / "out").glob("README*"))


def test_chats_are_asked_through_the_template(tmp_path: Path) -> None:
    tokenizer = pico.tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    rows = [{"messages": [{"role": "user", "content": row["prompt"]}], "answer": row["answer"]} for row in ROWS]
    assert prompt_ids(tokenizer, rows[0]) == prompt_ids(tokenizer, {"prompt": "0+0=>"})
    results = [
        reinforce(pico.model("llama"), tokenizer, asked, letter, tmp_path / name, log(), settings(), seed=3)
        for name, asked in {"chat": rows, "text": [{"prompt": row["prompt"] + ">"} for row in ROWS]}.items()
    ]
    assert same(results[0].state_dict(), results[1].state_dict())


def test_settings_reach_the_trainer(tmp_path: Path) -> None:
    config = ReinforceConfig()
    told = arguments(GRPO, config, 100, 7, tmp_path)
    assert told.generation_batch_size == 128 * 8
    assert told.per_device_train_batch_size * told.gradient_accumulation_steps == 64 * 8
    assert (told.beta, told.scale_rewards, told.loss_type, told.entropy_coef) == (0.0, "none", "dr_grpo", 0.001)
    assert (told.weight_decay, told.adam_beta2, told.epsilon, told.num_iterations) == (0.01, 0.999, 0.2, 1)
    assert told.save_steps % told.logging_steps == 0 and told.logging_steps == config.period == 2
    assert arguments(GRPO, settings(clip=False), 100, 7, tmp_path).epsilon == UNCLIPPED
    assert arguments(RLOO, config, 100, 7, tmp_path).num_generations == 8


def test_an_epoch_is_all_whole_batches(tmp_path: Path) -> None:
    _, seen = train(tmp_path, settings(steps=None, epochs=2, questions=16))  # 36 rows: two batches, four left out
    assert len(seen.batches) == 4
    asked = [{id(row) for row in rows} for rows, *_ in seen.batches]
    assert not asked[0] & asked[1]


@pytest.mark.parametrize(
    ("own", "rows", "said"),
    [
        ({"questions": 40}, ROWS, "key 'questions': given 40, allowed: at most the 36 rows"),
        ({"max_new_tokens": 510}, ROWS, "a prompt has 4 tokens and key 'max_new_tokens' is 510; the model has 512"),
        ({}, [*ROWS, {"messages": []}], "row 36 has no 'prompt'"),
    ],
)
def test_bad_input_is_refused(own: dict[str, Any], rows: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        train(tmp_path, settings(**own), rows=rows)


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="key 'micro_batch': given 3"):
        parse(ReinforceConfig, {"micro_batch": 3}, "test")
    with pytest.raises(UserError, match=r"key 'answer\.rule'"):
        parse(ReinforceConfig, {"answer": {"rule": "boxes"}}, "test")
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no questions"):
        read_rows(tmp_path / "none.jsonl")
    (tmp_path / "one.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    assert read_rows(tmp_path / "one.jsonl") == ROWS[:1]
    assert ReinforceConfig(answer=AnswerConfig(rule="marker")).answer.marker
