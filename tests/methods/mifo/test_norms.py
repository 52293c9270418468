"""Update norms: planted moves come out, parts add up, the tuned files stay, and bad input is refused."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from methodbench.checkpoint import Checkpoint, digest_file, digest_folder
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.mifo.analysis_config import NormsConfig
from methods.mifo.norms import Moved, moved, place, together
from methods.mifo.norms_driver import mifo_norms
from tests import pico

WEIGHTS = "model.safetensors"
HEAD = ["layer", "update_l2", "update_rel", "update_share", "update_changed"]


def checkpoint(folder: Path, kind: str = "llama", **shifts: float) -> Checkpoint:
    """A pico model, with a number added to all weights whose name begins with a key ("__" for a dot)."""
    pico.model(kind).save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    weights = load_file(folder / WEIGHTS)
    for start, shift in shifts.items():
        for name in weights:
            if name.startswith(start.replace("__", ".")):
                weights[name] += shift
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return Checkpoint(folder)


def measured(out: Path, tuned: Checkpoint, original: Checkpoint) -> tuple[list[dict[str, float]], dict[str, Any]]:
    mifo_norms([tuned, original], {}, NormsConfig(), 0, out, Log("test", stream=io.StringIO()))
    with (out / "measures.csv").open(encoding="utf-8", newline="") as file:
        table = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return table, json.loads((out / "norms.json").read_text(encoding="utf-8"))


# -- the mathematics ---------------------------------------------------------------------------------------------------


def test_a_move_by_hand() -> None:
    part = moved(torch.tensor([[3.0, 0.0], [1.0, 5.0]]), torch.tensor([[0.0, 4.0], [1.0, 5.0]]))
    assert part == Moved(squares=25.0, before=42.0, changed=2, count=4)
    whole = together([part, Moved(squares=75.0, before=3.0, changed=1, count=1)])
    assert whole == Moved(squares=100.0, before=45.0, changed=3, count=5)
    assert part.row(whole) == {"l2": 5.0, "rel": math.sqrt(25 / 42), "share": 0.25, "changed": 0.5}


def test_nothing_moved_and_nothing_there() -> None:
    still = moved(torch.zeros(3), torch.zeros(3))
    assert still.row(still) == dict.fromkeys(("l2", "rel", "share", "changed"), 0.0)
    assert together([]).row(still) == still.row(still)
    assert math.isnan(moved(torch.ones(1), torch.zeros(1)).rel)


def test_small_moves_of_large_weights_are_not_lost() -> None:
    start = torch.full((1000,), 1.0, dtype=torch.bfloat16)
    step = 2.0**-8  # what bfloat16 can just tell from 1, from below
    assert moved(start - step, start).l2 == step * math.sqrt(1000)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("model.layers.12.mlp.up_proj.weight", (12, "mlp.up_proj.weight")),
        ("transformer.h.0.attn.c_attn.bias", (0, "attn.c_attn.bias")),
        ("model.layers.3.mlp.experts.5.up.weight", (3, "mlp.experts.5.up.weight")),
        ("layers.1.norm.weight", (1, "norm.weight")),
        ("model.embed_tokens.weight", (None, "model.embed_tokens.weight")),
        ("model.norm2.weight", (None, "model.norm2.weight")),
    ],
)
def test_the_block_of_a_name(name: str, where: tuple[int | None, str]) -> None:
    assert place(name) == where


# -- what is written ---------------------------------------------------------------------------------------------------


def test_planted_moves_come_out_and_shares_add_up(tmp_path: Path) -> None:
    step = 2.0**-6
    original = checkpoint(tmp_path / "original")
    tuned = checkpoint(tmp_path / "tuned", model__layers__1__mlp__up=step, model__embed=step)
    table, report = measured(tmp_path / "out", tuned, original)
    weights = load_file(original.path / WEIGHTS)
    layer = [value.double() for name, value in weights.items() if name.startswith("model.layers.1.")]
    entries, embedding = 64 * 32, pico.VOCABULARY * 32
    before = math.sqrt(sum(float(value.square().sum()) for value in layer))
    assert [list(row) for row in table] == [HEAD] * 2
    assert list(table[0].values()) == [0.0] * 5
    assert table[1] == pytest.approx(
        {
            "layer": 1,
            "update_l2": step * math.sqrt(entries),
            "update_rel": step * math.sqrt(entries) / before,
            "update_share": entries / (entries + embedding),
            "update_changed": entries / sum(value.numel() for value in layer),
        },
        rel=1e-4,
    )
    assert {name for name, part in report["kinds"].items() if part["l2"]} == {"mlp.up_proj.weight"}
    assert set(report["outside"]) == {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    parts = [row["update_share"] for row in table] + [part["share"] for part in report["outside"].values()]
    assert sum(parts) == pytest.approx(1, abs=1e-5) and report["whole"]["share"] == 1
    assert report["whole"]["l2"] == pytest.approx(step * math.sqrt(entries + embedding), rel=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "mamba2", "zamba2"])
def test_other_architectures(tmp_path: Path, kind: str) -> None:
    """gpt2's head is its embedding, which counts once."""
    original, tuned = (checkpoint(tmp_path / name, kind, **shift) for name, shift in (("a", {}), ("b", {"": 0.01})))
    table, report = measured(tmp_path / "out", tuned, original)
    assert [row["layer"] for row in table] == [0, 1]
    assert all(row["update_changed"] == 1 for row in table)
    total = sum(value.numel() for value in load_file(original.path / WEIGHTS).values())
    assert report["whole"]["l2"] == pytest.approx(0.01 * math.sqrt(total), rel=1e-3)


def test_the_tuned_files_stay_and_the_parents_are_untouched(tmp_path: Path) -> None:
    original, tuned = checkpoint(tmp_path / "original"), checkpoint(tmp_path / "tuned", model__layers__0=0.01)
    for own in ("measures.csv", "norms.json", "curves.jsonl"):  # of an earlier transform
        (tuned.path / own).write_text("old", encoding="utf-8")
    before = [digest_folder(parent.path) for parent in (tuned, original)]
    table, _ = measured(tmp_path / "out", tuned, original)
    assert table[0]["update_l2"] > 0
    assert [digest_folder(parent.path) for parent in (tuned, original)] == before
    for name in (WEIGHTS, "config.json", "tokenizer.json"):
        assert digest_file(tmp_path / "out" / name) == digest_file(tuned.path / name)
    assert not (tmp_path / "out" / "curves.jsonl").exists()
    measured(tmp_path / "again", tuned, original)
    assert digest_folder(tmp_path / "again") == digest_folder(tmp_path / "out")


def test_equal_parents(tmp_path: Path) -> None:
    parent = checkpoint(tmp_path / "parent")
    table, report = measured(tmp_path / "out", parent, parent)
    assert all(row[column] == 0 for row in table for column in HEAD[1:])
    assert report["whole"] == dict.fromkeys(("l2", "rel", "share", "changed"), 0.0)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_refused(tmp_path: Path) -> None:
    llama, qwen = checkpoint(tmp_path / "llama"), checkpoint(tmp_path / "qwen", "qwen3")
    with pytest.raises(UserError, match=r"qwen/config.json: model_type is 'qwen3', but 'llama' in \S+llama$"):
        measured(tmp_path / "out", qwen, llama)
    broken = checkpoint(tmp_path / "broken", model__norm=math.nan)
    with pytest.raises(UserError, match=r"tensor 'model.norm.weight' of \S+broken or \S+llama holds no finite number"):
        measured(tmp_path / "out", broken, llama)
    assert not (tmp_path / "out").exists()
