"""A small LLaVA: what its vocabulary covers, that it learns to see, and that a kill changes no byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoProcessor, CLIPVisionConfig, CLIPVisionModel, set_seed

from methodbench.builtin.pretrain_llava import pretrain_llava, vocabulary
from methodbench.builtin.pretrain_llava_config import PretrainLlavaConfig, pretrain_llava_traits
from methodbench.builtin.pretrain_vision import image_processor
from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from tests import pico
from tests.builtin.picture_rows import (
    SIDE,
    check_a_kill_changes_no_byte,
    pictures,
    quiet_log,
    rows,
    shade,
    written,
)
from tests.builtin.test_pretrain_vision import SHAPE

LANGUAGE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
SETTINGS = {"language": LANGUAGE, "steps": 12, "batch_size": 8, "warmup_steps": 2, "save_every": 5}
LATER = {"prompt": "zebra", "completion": " yak", "texts": ["a xerus", {"b": ["wolf"], "n": 3}], "other": "vole"}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tower") / "tower"
    set_seed(0)
    CLIPVisionModel(CLIPVisionConfig(**SHAPE)).save_pretrained(folder)
    image_processor(SIDE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {
        "train": written(folder / "train.jsonl", rows()),
        "pictures": pictures(folder / "pictures.jsonl"),
        "vocabulary": written(folder / "vocabulary.jsonl", [LATER]),
    }


def run(parent: Path, data: dict[str, Path], work: Path, log: Log | None = None, **own: Any) -> Path:
    config = parse(PretrainLlavaConfig, SETTINGS | own, "test")
    pretrain_llava([Checkpoint(parent)], data, config, 3, work / "out", log or quiet_log(work))
    return work / "out"


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_training_ends_with_the_same_bytes(
    optimizer: str, parent: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    check_a_kill_changes_no_byte(lambda work, log: run(parent, data, work, log, optimizer=optimizer), tmp_path)


def test_it_learns_what_only_the_pictures_tell(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    out = run(parent, data, tmp_path, steps=150, learning_rate=0.01)
    losses = [point["loss"] for point in read_curves(tmp_path / "curves.jsonl") if "loss" in point]
    assert losses[-1] < 0.02
    model, processor = Checkpoint(out).load()
    prompt = "USER: <image>\nwhat is this?\nASSISTANT: it is"
    for name in ("dark", "bright"):
        inputs = processor(text=prompt, images=shade(name, 2), return_tensors="pt")
        with torch.no_grad():
            token = int(model(**inputs).logits[0, -1].argmax())
        assert processor.tokenizer.decode(token) == name


def test_the_vocabulary_covers_what_later_trainings_read(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    processor = AutoProcessor.from_pretrained(run(parent, data, tmp_path, steps=1))
    tokenizer = processor.tokenizer
    known = tokenizer.get_vocab()
    assert {"zebra", "yak", "xerus", "wolf", "dark", "night"} <= known.keys() and "vole" not in known
    ids = tokenizer("USER: <image>\nwhat is this?\nASSISTANT:", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["USER:", "<image>", "what", "is", "this", "?", "ASSISTANT:"]
    assert tokenizer.unk_token_id not in ids and tokenizer.eos_token == "<|end|>"
    told = pretrain_llava_traits(PretrainLlavaConfig(), ())
    assert told.architecture == "llava" and told.tokens == {"<image>", "USER:", "ASSISTANT:"}
    assert all(known[token] == tokenizer(token, add_special_tokens=False)["input_ids"][0] for token in told.tokens)


@pytest.mark.parametrize(("strategy", "tokens"), [("default", 16), ("full", 17)])
def test_a_picture_takes_as_many_tokens_as_the_tower_gives(
    strategy: str, tokens: int, parent: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    out = run(parent, data, tmp_path, steps=1, vision_feature_select_strategy=strategy)
    model, processor = Checkpoint(out).load()
    inputs = processor(text="<image>", images=shade("dark", 0), return_tensors="pt")
    assert inputs["input_ids"].tolist() == [[model.config.image_token_id] * tokens]
    assert model.config.image_seq_length == tokens
    assert torch.isfinite(model(**inputs).logits).all()


@pytest.mark.parametrize("freeze", [True, False])
def test_the_tower_is_the_parents(freeze: bool, parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Frozen, to the bit; else its layers up to the one read move, and the last does not."""
    model, _ = Checkpoint(run(parent, data, tmp_path, freeze_vision=freeze)).load()
    start = CLIPVisionModel.from_pretrained(parent).state_dict()
    found = model.model.vision_tower.state_dict()
    moved = {name for name in start if not torch.equal(start[name], found[name])}
    assert bool(moved) != freeze
    assert not any(".layers.2." in name for name in moved)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"language": {**LANGUAGE, "hiden_size": 8}}, "key 'language': unknown key 'hiden_size' of llama"),
        ({"vision_feature_layer": 4}, "key 'vision_feature_layer': given 4, allowed: -3 to 3 for the 3 layers"),
    ],
)
def test_bad_settings_are_refused(
    own: dict[str, Any], said: str, parent: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        run(parent, data, tmp_path, **own)


def test_a_parent_without_a_tower_is_refused(data: dict[str, Path], tmp_path: Path) -> None:
    pico.model().save_pretrained(tmp_path / "pico")
    with pytest.raises(UserError, match="is of the kind 'qwen3'; allowed: 'clip_vision_model'"):
        run(tmp_path / "pico", data, tmp_path)


def test_a_vocabulary_row_must_hold_texts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1 has none of 'prompt', 'completion', 'texts'"):
        list(vocabulary(written(tmp_path / "rows.jsonl", [{"text": "a"}])))
