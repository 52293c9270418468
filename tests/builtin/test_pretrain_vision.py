"""The vision tower: what its heads read, that it learns to see, and that a kill changes no byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoImageProcessor, CLIPVisionConfig, CLIPVisionModel, set_seed

from methodbench.builtin.pretrain_vision import Labeller, accuracies, pretrain_vision
from methodbench.builtin.pretrain_vision_config import PretrainVisionConfig, pretrain_vision_traits
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from methodbench.measures import read_measures
from methodbench.visual import encode_picture
from tests.builtin.picture_rows import SIDE, check_a_kill_changes_no_byte, quiet_log, weights, written

SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
}
SETTINGS = {"shape": SHAPE, "steps": 12, "batch_size": 8, "warmup_steps": 2, "save_every": 5}


def faces(path: Path) -> Path:
    """Two halves of a picture, each red or blue."""
    colours = [(200, 0, 0), (0, 0, 200)]
    rows = []
    for number in range(60):
        left, right = number % 2, number // 2 % 2
        image = Image.new("RGB", (SIDE, SIDE), colours[left])
        image.paste(tuple(part + number for part in colours[right]), (SIDE // 2, 0, SIDE, SIDE))
        rows.append({"png": encode_picture(image), "labels": {"right": right, "left": ["red", "blue"][left]}})
    return written(path, rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"faces": faces(tmp_path_factory.mktemp("data") / "faces.jsonl")}


def run(data: dict[str, Path], work: Path, log: Log, **own: Any) -> None:
    pretrain_vision([], data, parse(PretrainVisionConfig, SETTINGS | own, "test"), 3, work / "out", log)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_training_ends_with_the_same_bytes(optimizer: str, data: dict[str, Path], tmp_path: Path) -> None:
    check_a_kill_changes_no_byte(lambda work, log: run(data, work, log, optimizer=optimizer), tmp_path)


def test_it_learns_to_see_and_says_how_well(data: dict[str, Path], tmp_path: Path) -> None:
    run(data, tmp_path, quiet_log(tmp_path), steps=80, learning_rate=0.01)
    measures = read_measures(tmp_path / "out" / "measures.csv")
    assert measures.words("label", "test") == ["left", "right"]
    assert measures.numbers("accuracy", "test") == [1.0, 1.0]
    losses = [point["loss"] for point in read_curves(tmp_path / "curves.jsonl") if "loss" in point]
    assert losses[-1] < 0.1 < 1.0 < losses[0], "two labels by chance cost 2 ln 2"


def test_the_result_opens_and_layers_above_the_one_read_stay(data: dict[str, Path], tmp_path: Path) -> None:
    run(data, tmp_path, quiet_log(tmp_path))
    out = tmp_path / "out"
    tower = CLIPVisionModel.from_pretrained(out)
    pixels = AutoImageProcessor.from_pretrained(out)(images=Image.new("RGB", (SIDE, SIDE)), return_tensors="pt")
    assert tower(**pixels).last_hidden_state.shape == (1, 17, 16)
    set_seed(3)
    start = CLIPVisionModel(CLIPVisionConfig(**SHAPE)).state_dict()
    still = {
        name for name, weight in weights(out).items() if torch.equal(weight, start[name.removeprefix("vision_model.")])
    }
    assert still and all(".layers.2." in name or "post_layernorm" in name for name in still)


def test_heads_read_the_patches_of_their_layer() -> None:
    tower = CLIPVisionModel(CLIPVisionConfig(**SHAPE))
    model = Labeller(tower, [3, 2], -2).eval()
    pixels, targets = torch.randn(4, 3, SIDE, SIDE), torch.tensor([[0, 1], [2, 0], [1, 1], [2, 1]])
    states = tower.pre_layrnorm(tower.embeddings(pixels))
    for layer in tower.encoder.layers[:2]:
        states = layer(states, None)
    scores = states[:, 1:].mean(1) @ model.heads.weight.T + model.heads.bias
    loss = F.cross_entropy(scores[:, :3], targets[:, 0]) + F.cross_entropy(scores[:, 3:], targets[:, 1])
    torch.testing.assert_close(model(pixels, targets)["loss"], loss)
    right = [scores[:, :3].argmax(-1) == targets[:, 0], scores[:, 3:].argmax(-1) == targets[:, 1]]
    assert accuracies(model, pixels, targets) == [float(part.float().mean()) for part in right]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"shape": {**SHAPE, "hiden_size": 8}}, "key 'shape': unknown key 'hiden_size' of clip_vision_model"),
        ({"shape": {**SHAPE, "hidden_size": 15}}, "key 'shape': is no shape of clip_vision_model"),
        ({"shape": {**SHAPE, "image_size": [16, 16]}}, "key 'shape.image_size': given .16, 16., allowed: one"),
        ({"feature_layer": -4}, "key 'feature_layer': given -4, allowed: -3 to 3 for a tower of 3 layers"),
    ],
)
def test_bad_settings_are_refused(own: dict[str, Any], said: str, data: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        run(data, tmp_path, quiet_log(tmp_path), **own)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"png": "x", "labels": {"a": 1}}], "holds 1 rows; at least 2"),
        ([{"png": "x", "labels": {"a": 1}}, {"labels": {"a": 1}}], "line 2 has no 'png'"),
        (
            [{"png": "x", "labels": {"a": 1}}, {"png": "x", "labels": {"b": 1}}],
            "line 2: labels b; allowed: .* line 1, a",
        ),
    ],
)
def test_bad_rows_are_refused(rows: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        run({"faces": written(tmp_path / "faces.jsonl", rows)}, tmp_path, quiet_log(tmp_path))


def test_traits_say_what_it_is() -> None:
    assert pretrain_vision_traits(PretrainVisionConfig(), ()).architecture == "clip_vision_model"
