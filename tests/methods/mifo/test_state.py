"""What is kept beside a checkpoint, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from methodbench.errors import UserError
from methods.mifo.state import FACTS, TENSORS, load_state, save_state
from tests import pico
from tests.methods.mifo.weaving import Planted, config, correct, interleaving, steps

CPU = torch.device("cpu")


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    model, own = pico.model("llama"), interleaving(config(accuracy=1.0))
    own.begin(model)
    steps(Planted(model), own, 1, 3)
    save_state(tmp_path, own.tensors(), own.facts(), own.identity)
    assert {file.name for file in tmp_path.iterdir()} == {TENSORS, FACTS}, "safetensors and JSON, nothing else"
    tensors, facts = load_state(tmp_path, own.identity, CPU)
    assert tensors.keys() == own.tensors().keys()
    assert all(torch.equal(value, tensors[name]) for name, value in own.tensors().items())
    assert {name.split(".")[0] for name in tensors} == {"start", "change", "mask", "exp_avg", "exp_avg_sq", "step"}
    assert repr(facts) == repr(json.loads(json.dumps(own.facts())))


def test_another_config_seed_or_set_of_prompts_is_refused(tmp_path: Path) -> None:
    own = interleaving(config())
    save_state(tmp_path, {"a": torch.zeros(1)}, {}, own.identity)
    load_state(tmp_path, interleaving(config()).identity, CPU)
    others = [interleaving(config(frozen=0.25)), interleaving(config({"passes": 2})), interleaving(config(), seed=1)]
    fewer = type(own)(config(), pico.tokenizer(), [{"prompt": "?", "answer": "a"}], correct, 0)
    for other in [*others, fewer]:
        with pytest.raises(UserError, match="another config, seed or set of prompts; remove the folder"):
            load_state(tmp_path, other.identity, CPU)


def test_a_checkpoint_without_a_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"has no '{FACTS}'"):
        load_state(tmp_path, "", CPU)
    (tmp_path / FACTS).write_text('{"version": 0, "identity": ""}')
    with pytest.raises(UserError, match="another version"):
        load_state(tmp_path, "", CPU)
