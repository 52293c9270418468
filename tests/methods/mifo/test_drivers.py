"""The transforms of the folder: no session is plain reinforcement, a kill changes no byte, defaults stay together."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from methodbench.builtin import METHODS as BUILTIN
from methodbench.checkpoint import Checkpoint, digest_folder
from methodbench.config import parse
from methodbench.joblog import Log, read_curves
from methodbench.measures import read_measures
from methodbench.supervised import fine_tune
from methods.mifo import METHODS as OWN
from methods.mifo.config import LuffyConfig, ReliftConfig
from tests import pico

ROWS: list[dict[str, Any]] = [
    {"prompt": f"{a}+{b}:", "answer": str(a + b), "demonstration": f"{a}+{b}={a + b}"}
    for a in range(5)
    for b in range(5)
]
ANSWER = {"rule": "marker", "marker": "="}
RL: dict[str, Any] = dict(
    questions=4, samples=4, updates=2, micro_batch=8, max_new_tokens=8, learning_rate=1e-3, steps=6, save_every=1
)
RL["answer"] = ANSWER
SESSION = {"learning_rate": 1e-3, "max_length": 32}
WOVEN: dict[str, Any] = {"accuracy": 0.25, "trigger": 2, "session": SESSION}
METHODS = {method.name: method for method in (*BUILTIN, *OWN)}
JOB = """
import json, sys
from pathlib import Path
from tests.methods.mifo.test_drivers import run
run(sys.argv[1], json.loads(sys.argv[4]), Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the jobs: sums are then in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is right now and then."""
    place = tmp_path_factory.mktemp("parent")
    rows = [{"prompt": row["prompt"], "completion": row["demonstration"]} for row in ROWS]
    model, tokenizer = pico.model("llama"), pico.tokenizer()
    fine_tune(
        model.train(),
        tokenizer,
        rows,
        place / "work",
        Log("test", stream=io.StringIO()),
        max_steps=25,
        per_device_train_batch_size=25,
        learning_rate=5e-3,
        seed=0,
    )
    model.save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    return place / "model"


def run(name: str, config: Mapping[str, Any], parent: Path, work: Path) -> Path:
    """The job of one method; returns its checkpoint's folder."""
    torch.set_num_threads(1)
    method, out = METHODS[name], work / "out"
    work.mkdir(exist_ok=True)
    data = work / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    inputs = {key: data for key in method.data}
    log = Log("test", work / "curves.jsonl", stream=io.StringIO())
    settings = parse(method.config, config, "test")
    method.load()([Checkpoint(parent)], inputs, settings, 1, out, log, **method.keywords)
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    return found


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def plain(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """GRPO's and RLOO's checkpoints."""
    return {name: run(name, RL, parent, tmp_path_factory.mktemp(name) / "job") for name in ("grpo", "rloo")}


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_without_a_session_it_is_plain_reinforcement(
    algorithm: str, parent: Path, plain: dict[str, Path], tmp_path: Path
) -> None:
    never = {"algorithm": algorithm, "rl": RL, "interleave": {**WOVEN, "trigger": 10**6}}
    out = run("mifo", never, parent, tmp_path / "never")
    assert same(out, plain[algorithm])
    assert read_measures(out / "measures.csv").columns["session"] == []


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_sessions_come_and_are_reported(algorithm: str, parent: Path, plain: dict[str, Path], tmp_path: Path) -> None:
    out = run("mifo", {"algorithm": algorithm, "rl": RL, "interleave": WOVEN}, parent, tmp_path / "job")
    assert not same(out, plain[algorithm])
    table = read_measures(out / "measures.csv")
    assert table.numbers("frozen_max_diff", "test") == [0.0] * len(table.columns["session"])
    assert all(step % 2 == 0 for step in table.numbers("step", "test"))  # between rollout batches
    loaded, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert all(torch.isfinite(weight).all() for weight in loaded.parameters())
    names = {key for point in read_curves(tmp_path / "job" / "curves.jsonl") for key in point}
    assert {"reward", "session_loss", "session_buffered"} <= names


def test_a_killed_run_ends_with_the_same_bytes(parent: Path, tmp_path: Path) -> None:
    config = {"rl": {**RL, "steps": 20}, "interleave": WOVEN}
    digests = {}
    for name in ("whole", "killed"):
        work = tmp_path / name
        if name == "killed":
            command = [sys.executable, "-c", JOB, "mifo", str(parent), str(work), json.dumps(config)]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
                deadline = time.monotonic() + 120
                while not list(work.glob("training/checkpoint-*/whole")) and time.monotonic() < deadline:
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL)
            assert not (work / "out").exists()
            assert list(work.glob("training/checkpoint-*/whole")), "the kill must fall between a state and the end"
        out = run("mifo", config, parent, work)
        digests[name] = digest_folder(out), read_curves(work / "curves.jsonl")
    assert digests["killed"] == digests["whole"]
    assert len(read_measures(tmp_path / "whole" / "out" / "measures.csv").columns["session"]) > 2


@pytest.mark.parametrize("name", ["mifo", "relift", "luffy", "mifo_drop_rl", "mifo_drop_sft"])
def test_no_step_gives_the_parent_back(name: str, parent: Path, tmp_path: Path) -> None:
    assert same(run(name, METHODS[name].neutral or {}, parent, tmp_path / "job"), parent)


def test_a_drop_of_nothing_is_plain(parent: Path, plain: dict[str, Path], tmp_path: Path) -> None:
    assert same(run("mifo_drop_rl", {"rl": RL, "drop": 0.0}, parent, tmp_path / "none"), plain["grpo"])
    assert not same(run("mifo_drop_rl", {"rl": RL, "drop": 0.5}, parent, tmp_path / "half"), plain["grpo"])
    sft = {"batch_size": 5, "micro_batch": 5, "steps": 3, "learning_rate": 1e-3}
    usual = run("sft", sft, parent, tmp_path / "sft")
    assert same(run("mifo_drop_sft", {"sft": sft, "drop": 0.0}, parent, tmp_path / "sft_none"), usual)
    assert not same(run("mifo_drop_sft", {"sft": sft, "drop": 0.5}, parent, tmp_path / "sft_half"), usual)


def test_luffy_and_relift_run(parent: Path, plain: dict[str, Path], tmp_path: Path) -> None:
    assert not same(run("luffy", {"rl": RL}, parent, tmp_path / "luffy"), plain["grpo"])
    relift = run("relift", {"rl": RL, "interleave": {"trigger": 1, "session": SESSION}}, parent, tmp_path / "relift")
    frozen = read_measures(relift / "measures.csv").columns["frozen"]
    assert frozen and set(frozen) == {"0"}


def test_a_baseline_keeps_its_own_defaults_beside_what_a_study_changes() -> None:
    given = {"rl": {"steps": 3}, "interleave": {"trigger": 8, "session": {"max_length": 64}}}
    config = parse(ReliftConfig, given, "test")
    assert (config.rl.clip, config.rl.max_grad_norm) == (False, 0.7)
    woven = config.interleave
    assert (woven.accuracy, woven.tokens, woven.mask, woven.order, woven.overflow) == (
        *(0.0, "all", "none"),
        *("lifo", "take_keep"),
    )
    assert (woven.session.entropy, woven.session.reduction) == (0.001, "token")
    assert parse(LuffyConfig, {}, "test").rl.clip is False
