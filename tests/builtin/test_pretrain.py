"""Pretraining: what it writes, that a seed repeats it, and that a kill changes no byte."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from methodbench.builtin.pretrain import encode, encode_weighted, pad, pretrain, word_tokenizer
from methodbench.builtin.pretrain_config import PretrainConfig, pretrain_traits
from methodbench.checkpoint import Checkpoint, digest_folder
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from methodbench.method import Traits

SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 32,
}
SETTINGS = {"shape": SHAPE, "steps": 40, "batch_size": 8, "save_every": 5, "max_length": 32}
JOB = """
import json, sys, torch
from pathlib import Path
torch.set_num_threads(1)
from methodbench.builtin.pretrain import pretrain
from methodbench.builtin.pretrain_config import PretrainConfig, pretrain_traits
from methodbench.joblog import Log
work = Path(sys.argv[1])
log = Log("test", work / "curves.jsonl")
pretrain([], {"train": Path(sys.argv[2])}, PretrainConfig(**json.loads(sys.argv[3])), 3, work / "out", log)
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "train.jsonl"
    problems = [(a, b) for a in range(10) for b in range(10)]
    lines = [
        {
            "prompt": f"sum {a} + {b} <think>",
            "completion": f"{a} + {b} = {(a + b) % 10} </think> A {(a + b) % 10} <|end|>",
        }
        for a, b in problems
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


@pytest.mark.parametrize(
    "own",
    [{}, {"optimizer": "muon", "batches": "mixed"}, {"batches": "random"}],
    ids=["adamw", "muon", "random"],
)
def test_a_killed_training_ends_with_the_same_bytes(own: dict[str, str], rows: Path, tmp_path: Path) -> None:
    digests = {}
    for name in ("whole", "killed"):
        work = tmp_path / name
        work.mkdir()
        command = [sys.executable, "-c", JOB, str(work), str(rows), json.dumps(SETTINGS | own)]
        if name == "killed":
            with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
                deadline = time.monotonic() + 120
                while not list(work.glob("training/checkpoint-*/whole")) and time.monotonic() < deadline:
                    time.sleep(0.02)
                process.send_signal(signal.SIGKILL)
            assert not (work / "out").exists()
            states = list(work.glob("training/checkpoint-*/whole"))
            assert states, "the kill must fall between the first saved state and the end"
            # A state torn by the kill: it must be left aside, not loaded.
            (work / "training" / "checkpoint-39").mkdir()
        subprocess.run(command, check=True, capture_output=True)
        digests[name] = digest_folder(work / "out"), read_curves(work / "curves.jsonl")
    assert digests["killed"] == digests["whole"]


def test_the_result_opens_and_stays_finite(rows: Path, tmp_path: Path) -> None:
    log = Log("test", tmp_path / "curves.jsonl", stream=io.StringIO())
    pretrain([], {"train": rows}, PretrainConfig(**SETTINGS), 0, tmp_path / "out", log)
    model, tokenizer = Checkpoint(tmp_path / "out").load()
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    assert tokenizer.convert_tokens_to_ids("<think>") != tokenizer.unk_token_id
    assert tokenizer("</think>", add_special_tokens=False)["input_ids"] == [tokenizer.convert_tokens_to_ids("</think>")]
    curves = read_curves(tmp_path / "curves.jsonl")
    assert curves[-1]["loss"] < curves[0]["loss"]


def test_text_goes_through_the_tokenizer_and_back() -> None:
    text = "Ann has 12 a>b ; <think> 1 2 </think> A 7 <|end|>"
    tokenizer = word_tokenizer([text], PretrainConfig())
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == "Ann has 1 2 a > b ; <think> 1 2 </think> A 7 <|end|>"


def test_the_prompt_carries_no_loss_and_padding_neither() -> None:
    tokenizer = word_tokenizer(["a b c <|end|>"], PretrainConfig())
    batch = pad([encode(tokenizer, "a b", "c <|end|>"), encode(tokenizer, "a", "c")], tokenizer.pad_token_id)
    assert batch["labels"].tolist()[0][:2] == [-100, -100]
    assert batch["labels"].tolist()[1][2:] == [-100, -100]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_weights_of_characters_become_weights_of_the_tokens_that_begin_there() -> None:
    """A word takes the weight of its first letter, whatever stretch the blank before it is in; the rest weighs 0."""
    text = "store kob mit . ask kob is mit"
    tokenizer = word_tokenizer([text], PretrainConfig())
    example = encode_weighted(tokenizer, text, [[0, 14, 0.5], [26, 30, 2.0], [17, 18, 9.0]])
    assert example["labels"] == example["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert example["weights"] == [0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 2.0]
    short = encode_weighted(tokenizer, "ask kob", [[0, 3, 1]])
    batch = pad([example, short], tokenizer.pad_token_id)
    assert batch["weights"].tolist()[1] == [1.0] + [0.0] * 7
    assert batch["labels"].tolist()[1][2:] == [-100] * 6
    assert batch["input_ids"].tolist()[1][2:] == [tokenizer.pad_token_id] * 6
    assert "weights" not in pad([encode(tokenizer, "ask", "kob")], tokenizer.pad_token_id)


def test_training_on_weighted_rows_learns_what_carries_weight(tmp_path: Path) -> None:
    """The word after "ask" follows from it; the words before it are noise that weighs nothing."""
    noise = ["bab", "dad", "gag", "kak"]
    rows = [
        {
            "text": f"{noise[i % 4]} {noise[i // 4 % 4]} ask {noise[i % 3]} mit",
            "weights": [[len("bab dad ask bab"), 19, 1.0]],
        }
        for i in range(48)
    ]
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    log = Log("test", tmp_path / "curves.jsonl", stream=io.StringIO())
    settings = {**SETTINGS, "steps": 40, "learning_rate": 0.01}
    pretrain([], {"train": file}, PretrainConfig(**settings), 0, tmp_path / "out", log)
    losses = [line["loss"] for line in read_curves(tmp_path / "curves.jsonl") if "loss" in line]
    assert losses[-1] < 0.1 < losses[0], "noise alone costs ln 4 a word"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "qwen33"}, "no model type 'qwen33'"),
        ({"shape": {"hiden_size": 8}}, "key 'shape.hiden_size': qwen3 has no such setting"),
    ],
)
def test_a_shape_that_does_not_exist(rows: Path, tmp_path: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        pretrain([], {"train": rows}, PretrainConfig(**settings), 0, tmp_path / "out", Log("x", stream=io.StringIO()))


def test_a_parent_is_trained_on_with_its_own_words(rows: Path, tmp_path: Path) -> None:
    def run(name: str, parents: list[Checkpoint], **own: object) -> Checkpoint:
        work = tmp_path / name
        work.mkdir()
        log = Log("test", work / "curves.jsonl")
        pretrain(parents, {"train": rows}, PretrainConfig(**(SETTINGS | own)), 3, work / "out", log)
        return Checkpoint(work / "out")

    first = run("first", [])
    on = run("on", [first], shape={}, special_tokens=(), steps=5)  # its vocabulary would differ from scratch
    before, words = first.load()
    after, its_words = on.load()
    assert its_words.get_vocab() == words.get_vocab()
    moved = [not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert all(moved)
    losses = [read_curves(tmp_path / name / "curves.jsonl")[0]["loss"] for name in ("first", "on")]
    assert losses[1] < losses[0]  # it begins where the parent ended


def test_a_parent_keeps_its_shape() -> None:
    parent = Traits("mamba2", frozenset({"<think>"}))
    assert pretrain_traits(PretrainConfig(), (parent,)) == parent
    with pytest.raises(UserError, match="key 'shape': given"):
        pretrain_traits(PretrainConfig(shape=SHAPE), (parent,))
