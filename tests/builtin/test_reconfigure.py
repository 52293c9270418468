"""Other values in config.json: what is written, what is refused, and that all else is linked."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from methodbench.builtin import METHODS
from methodbench.builtin.reconfigure import reconfigure
from methodbench.builtin.reconfigure_config import ReconfigureConfig
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from tests import pico

LONGER = {"max_position_embeddings": 4096, "rope_parameters.rope_theta": 244140.625}


def run(parent: Path, out: Path, **values: Any) -> Checkpoint:
    log = Log("test", stream=io.StringIO())
    reconfigure([Checkpoint(parent)], {}, ReconfigureConfig(values=values), 0, out, log)
    return Checkpoint(out)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A hybrid with rotary positions, a table beside its weights, and files that are its own."""
    folder = tmp_path / "parent"
    model = pico.model("zamba2")
    model.config.use_mem_rope = True
    model.save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    (folder / "tables").mkdir()
    (folder / "tables" / "one.json").write_text("{}")
    for name in ("checkpoint.json", "curves.jsonl", ".times.json"):
        (folder / name).write_text("{}")
    return folder


def test_values_are_written_and_everything_else_is_linked(parent: Path, tmp_path: Path) -> None:
    made = run(parent, tmp_path / "out", **LONGER)
    settings = AutoConfig.from_pretrained(made.path)
    assert (settings.max_position_embeddings, settings.rope_parameters["rope_theta"]) == (4096, 244140.625)
    before = AutoConfig.from_pretrained(parent).to_dict()
    changed = {key for key, value in settings.to_dict().items() if value != before[key]}
    assert changed - {"_name_or_path"} == {"max_position_embeddings", "rope_parameters"}
    for name in ("model.safetensors", "tokenizer.json", "tables/one.json"):
        assert (made.path / name).samefile(parent / name)
    assert not {"checkpoint.json", "curves.jsonl", ".times.json"} & {file.name for file in made.path.iterdir()}
    assert not (made.path / "config.json").samefile(parent / "config.json")


def test_it_changes_what_the_model_says_and_nothing_else(parent: Path, tmp_path: Path) -> None:
    ids = torch.tensor([[5, 9, 14, 8, 60, 21]])
    same, other = run(parent, tmp_path / "same"), run(parent, tmp_path / "other", **LONGER)
    with torch.inference_mode():
        logits = [checkpoint.load()[0](ids).logits for checkpoint in (Checkpoint(parent), same, other)]
    assert torch.equal(logits[0], logits[1]) and not torch.allclose(logits[0], logits[2])


def test_the_name_of_old_files_is_understood(parent: Path, tmp_path: Path) -> None:
    """Published checkpoints have rope_theta at the top level."""
    file = parent / "config.json"
    old = json.loads(file.read_text())
    del old["rope_parameters"]
    file.write_text(json.dumps({**old, "rope_theta": 10000}))
    made = run(parent, tmp_path / "out", **LONGER)
    assert AutoConfig.from_pretrained(made.path).rope_parameters["rope_theta"] == 244140.625


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("max_positions", 9, r"unknown key 'max_positions'; .*did you mean 'max_position_embeddings'"),
        ("rope_parameters.theta", 1.0, r"unknown key 'theta'; allowed: rope_theta, rope_type"),
        ("max_position_embeddings.x", 1, r"unknown key 'x'; allowed: none"),
        ("max_position_embeddings", 9.5, r"given 9.5, allowed: a value like 512"),
        ("max_position_embeddings", True, r"given True, allowed: a value like 512"),
        ("rope_parameters.rope_theta", "1e5", r"given '1e5', allowed: a value like 10000.0"),
        ("hidden_act", 1, r"given 1, allowed: a value like 'gelu'"),
        ("model_type", "mamba2", r"'values.model_type': says what the weights are"),
    ],
)
def test_mistakes_are_said_in_one_sentence(key: str, value: Any, said: str, parent: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^reconfigure: key 'values.{key}': ") as caught:
        run(parent, tmp_path / "out", **{key: value})
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=said):
        raise caught.value


def test_a_value_that_the_models_own_code_overrules_is_named(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"max_position_embeddings': given 4096, but the model's config makes 16384"):
        run(parent, tmp_path / "out", use_long_context=True, **LONGER)


def test_traits_of_the_parent_pass_through() -> None:
    (method,) = (method for method in METHODS if method.name == "reconfigure")
    assert (method.parents, method.data, method.seeded, method.traits) == ((1, 1), (), False, None)
