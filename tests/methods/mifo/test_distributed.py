"""Two gloo processes hold the same buffer, maps and weights, and those that one process would."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from methods.mifo.interleave import run
from tests import pico
from tests.methods.mifo.two_processes import KINDS
from tests.methods.mifo.weaving import ROWS, Planted, config, interleaving

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.methods.mifo.two_processes", str(folder)]
    launched = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}  # what accelerate looks for
    both = [
        subprocess.Popen(
            [*command, str(rank)],
            cwd=ROOT,
            env=environment | launched | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [one.communicate(timeout=120)[0] for one in both]
    finally:
        for one in both:
            one.kill()
    assert [one.returncode for one in both] == [0, 0], "\n".join(said)
    return folder


@pytest.mark.parametrize("kind", [*KINDS, "trl"])
def test_both_hold_the_same(kind: str, folder: Path) -> None:
    first, second = (load_file(folder / f"{kind}{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []
    assert (folder / f"{kind}0.json").read_bytes() == (folder / f"{kind}1.json").read_bytes()
    facts = json.loads((folder / f"{kind}0.json").read_text())
    assert len(facts["measures"]) >= 2
    assert facts["questions"] == {"trl": 4 * 3}.get(kind, 6 * 4), "the rollouts of one process alone"


@pytest.mark.parametrize("kind", KINDS)
def test_one_process_does_the_same(kind: str, folder: Path) -> None:
    """Gradients are the mean over what both processes rolled out, and over what both learned from."""
    model, own = pico.model("llama"), interleaving(config(**KINDS[kind]))
    planted, optimizer = Planted(model), torch.optim.AdamW(model.parameters(), lr=1e-3)

    def update() -> Any:
        asked = planted.questions()
        planted.call += 1
        ids = torch.tensor([[7 + rank, 8, 9, 10 + planted.call] for rank in (0, 1)])
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        rows = [ROWS[number] for number, verdicts in asked for _ in verdicts]
        return rows, [verdict for _, verdicts in asked for verdict in verdicts]

    run(update, model, 6, own)
    facts = json.loads((folder / f"{kind}0.json").read_text())
    mine = json.loads(json.dumps(own.facts()))
    measures, wanted = facts.pop("measures"), mine.pop("measures")
    assert facts == mine, "another buffer"
    assert len(measures) >= 2
    for one, other in zip(measures, wanted, strict=True):
        exact = ("step", "buffered", "tokens", "selected", "frozen", "frozen_max_diff")
        assert [one[name] for name in exact] == [other[name] for name in exact]
        assert all(math.isclose(one[name], other[name], rel_tol=1e-3) for name in ("loss", "nll", "delta_sft"))
    found = load_file(folder / f"{kind}0.safetensors")
    distance = sum(float((found[name] - value.detach()).square().sum()) for name, value in model.named_parameters())
    moved = sum(
        float((after - before).detach().square().sum())
        for after, before in zip(model.parameters(), pico.model("llama").parameters(), strict=True)
    )
    # Rounding decides near the border of the mask, and Adam enlarges it where a gradient is about 0.
    assert distance < 0.01 * moved
