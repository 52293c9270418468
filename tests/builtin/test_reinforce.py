"""GRPO and RLOO as transforms: from a checkpoint's folder to another."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from methodbench.builtin import METHODS
from methodbench.checkpoint import Checkpoint, digest_folder
from methodbench.config import parse
from methodbench.joblog import Log, read_curves
from methodbench.reinforcement_config import ReinforceConfig
from tests import pico

SETTINGS: dict[str, Any] = {
    "questions": 4,
    "samples": 4,
    "updates": 1,
    "micro_batch": 16,
    "max_new_tokens": 6,
    "learning_rate": 3e-3,
    "steps": 2,
    "answer": {"rule": "marker", "marker": "="},
}
METHOD = {method.name: method for method in METHODS}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent") / "pico"
    pico.model().save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"{a}+1", "answer": str(a + 1)}) + "\n" for a in range(8)))
    return file


def run(name: str, parent: Path, prompts: Path, work: Path, **own: Any) -> Path:
    method, out = METHOD[name], work / "out"
    work.mkdir()
    config = parse(ReinforceConfig, SETTINGS | own, "test")
    log = Log("test", work / "curves.jsonl", stream=io.StringIO())
    method.load()([Checkpoint(parent)], {"prompts": prompts}, config, 1, out, log, **method.keywords)
    return out


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_a_checkpoint_comes_out(name: str, parent: Path, prompts: Path, tmp_path: Path) -> None:
    before = digest_folder(parent)
    out = run(name, parent, prompts, tmp_path / "job")
    assert digest_folder(parent) == before
    Checkpoint(out).check()
    loaded, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert any(not torch.equal(a, b) for a, b in zip(loaded.parameters(), pico.model().parameters(), strict=True))
    assert AutoTokenizer.from_pretrained(out)("1+1")["input_ids"] == pico.tokenizer()("1+1")["input_ids"]
    points = read_curves(tmp_path / "job" / "curves.jsonl")
    assert [point["step"] for point in points] == [1, 2]
    assert all({"loss", "reward", "tokens"} <= point.keys() for point in points)


def test_no_step_gives_the_parent_back(parent: Path, prompts: Path, tmp_path: Path) -> None:
    out = run("grpo", parent, prompts, tmp_path / "job", steps=0, questions=128)  # even with too few rows
    assert torch.equal(torch.cat(flat(out)), torch.cat(flat(parent)))


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_the_divergence_from_the_parent_counts(name: str, parent: Path, prompts: Path, tmp_path: Path) -> None:
    free, held = (run(name, parent, prompts, tmp_path / f"{kl}", kl=kl) for kl in (0.0, 1.0))
    assert not torch.equal(torch.cat(flat(free)), torch.cat(flat(held)))


def flat(folder: Path) -> list[torch.Tensor]:
    return [weight.detach().flatten() for weight in AutoModelForCausalLM.from_pretrained(folder).parameters()]
