"""Supervised fine-tuning as a transform: what it learns from, and that a batch's tokens all weigh the same."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from methodbench.builtin.sft import arguments, read_solutions, sft
from methodbench.builtin.sft_config import SftConfig
from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from tests import pico

# Completions of very different lengths: a mean of micro-batches' means would weigh their tokens differently.
ROWS = [{"prompt": f"{n}:", "completion": "ab" * n} for n in range(1, 9)]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent") / "pico"
    pico.model().save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    return folder


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(parent: Path, work: Path, rows: list[dict[str, Any]] | None = None, **own: Any) -> dict[str, torch.Tensor]:
    work.mkdir()
    data = {"train": written(work / "train.jsonl", rows or ROWS)}
    config = parse(SftConfig, {"batch_size": 8, "micro_batch": 8, "warmup": 0, "steps": 1, **own}, "test")
    sft([Checkpoint(parent)], data, config, 1, work / "out", Log("test", work / "curves.jsonl", stream=io.StringIO()))
    weights: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(work / "out").state_dict()
    return weights


def nll() -> float:
    """Sum of the completions' losses over the number of their tokens, end tokens included."""
    model, tokenizer = pico.model(), pico.tokenizer()
    losses = []
    for row in ROWS:
        prompt, completion = (tokenizer(row[key])["input_ids"] for key in ("prompt", "completion"))
        ids = torch.tensor([[*prompt, *completion, tokenizer.eos_token_id]])
        logits = model(ids).logits[0, len(prompt) - 1 : -1]
        losses += F.cross_entropy(logits, ids[0, len(prompt) :], reduction="none").tolist()
    return sum(losses) / len(losses)


def test_the_loss_is_exact_to_the_token_however_a_batch_is_cut(parent: Path, tmp_path: Path) -> None:
    whole = run(parent, tmp_path / "whole")
    cut = run(parent, tmp_path / "cut", micro_batch=1)
    for name in ("whole", "cut"):
        (loss,) = [point["loss"] for point in read_curves(tmp_path / name / "curves.jsonl") if "loss" in point]
        assert loss == pytest.approx(nll(), abs=1e-4)
    # Adam's first step is the gradient's sign: where gradients are not tiny, equal gradients move weights alike.
    moved = torch.cat([(whole[name] - cut[name]).abs().flatten() for name in whole])
    assert moved.quantile(0.99) < 1e-6


def test_a_demonstration_is_a_completion(parent: Path, tmp_path: Path) -> None:
    renamed = [{"prompt": row["prompt"], "demonstration": row["completion"]} for row in ROWS]
    one, other = run(parent, tmp_path / "one"), run(parent, tmp_path / "other", renamed)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_no_step_gives_the_parent_back(parent: Path, tmp_path: Path) -> None:
    weights = run(parent, tmp_path / "job", steps=0)
    assert all(torch.equal(weight, weights[name]) for name, weight in pico.model().state_dict().items())


def test_options_change_the_training(parent: Path, tmp_path: Path) -> None:
    plain = run(parent, tmp_path / "plain", steps=2)
    for name, own in {"dft": {"loss": "dft"}, "anchor": {"anchor_l2": 10.0}, "lora": {"lora_rank": 2}}.items():
        other = run(parent, tmp_path / name, steps=2, **own)
        assert plain.keys() == other.keys() and any(not torch.equal(plain[key], other[key]) for key in plain)


def test_rows_without_a_solution_are_left_out(tmp_path: Path) -> None:
    rows = [{"prompt": "a"}, {"prompt": "b", "demonstration": "c"}, {"prompt": "d", "demonstration": None}]
    found = read_solutions(written(tmp_path / "rows.jsonl", rows), pico.tokenizer())
    assert found == [{"prompt": "b", "completion": "c"}]


def test_a_chat_is_written_out_and_begins_once(tmp_path: Path) -> None:
    tokenizer = pico.tokenizer()
    tokenizer.chat_template = (
        "^{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    path = written(tmp_path / "rows.jsonl", [{"messages": [{"role": "user", "content": "1+1"}], "completion": "2"}])
    assert read_solutions(path, tokenizer) == [{"prompt": "^1+1>", "completion": "2"}]
    tokenizer.bos_token = "^"
    tokenizer.add_bos_token = True
    assert tokenizer("1")["input_ids"] == [tokenizer.bos_token_id, *pico.tokenizer()("1")["input_ids"]]
    assert read_solutions(path, tokenizer) == [{"prompt": "1+1>", "completion": "2"}]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"prompt": "a"}], "none of 1 rows has a 'completion' or a 'demonstration'"),
        ([{"prompt": "a", "completion": "b"}, {"completion": "b"}], "line 2 has neither 'prompt' nor 'messages'"),
    ],
)
def test_bad_rows_are_refused(rows: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        read_solutions(written(tmp_path / "rows.jsonl", rows), pico.tokenizer())


@pytest.mark.parametrize(("steps", "save_every"), [(10, 4), (1000, 200), (1000, 7), (901, 15)])
def test_states_lie_at_points_of_the_curve(steps: int, save_every: int) -> None:
    told = arguments(SftConfig(steps=steps, save_every=save_every), 8, 1)
    assert told["save_steps"] % told["logging_steps"] == 0 and told["logging_steps"] <= max(1, steps // 50)
    assert arguments(SftConfig(epochs=2, batch_size=4), 9, 1)["max_steps"] == 6


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UserError, match="key 'micro_batch': given 5, allowed: a divisor of batch_size 64"):
        parse(SftConfig, {"micro_batch": 5}, "test")
