"""Training on rows with pictures: what every place of a training sees, and what is kept of it."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig

from methodbench import visual_training
from methodbench.errors import UserError
from methodbench.visual import Encoder, Pictures, VisualRow, draw, encode_picture, read_rows
from methodbench.visual_training import Visits, language_part, muon, places, points, shaped, vision_part
from tests import pico, pico_vision
from tests.builtin import picture_rows


def test_each_pass_takes_every_row_once_and_counts_the_visits() -> None:
    taken = list(places(5, 17, 3))
    assert len(taken) == 17
    for visit in range(3):
        assert sorted(taken[5 * visit : 5 * visit + 5]) == [(row, visit) for row in range(5)]
    assert {visit for _, visit in taken[15:]} == {3}
    orders = {tuple(row for row, _ in taken[5 * visit : 5 * visit + 5]) for visit in range(3)}
    assert len(orders) > 1, "every pass has the same order"
    assert taken != list(places(5, 17, 4))


def test_a_longer_training_begins_like_a_shorter_one() -> None:
    assert list(islice(places(7, 100, 0), 30)) == list(places(7, 30, 0))


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return Encoder(pico_vision.processor(), Pictures(picture_rows.pictures(tmp_path / "pictures.jsonl")))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("kept", [0, 16 * 16 * 3 * 4 * 3, 1 << 30], ids=["none", "a few pictures", "all"])
def test_a_visit_takes_the_picture_drawn_for_it(
    kept: int, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether encoded rows are kept or made anew."""
    monkeypatch.setattr(visual_training, "KEPT_BYTES", kept)
    rows = read_rows(picture_rows.written(tmp_path / "rows.jsonl", picture_rows.rows()))
    visits = Visits(rows, encoder, 40, 2)
    assert len(visits) == 40
    drawn = Counter()
    for place, (row, visit) in enumerate(places(len(rows), 40, 2)):
        picture = draw(rows[row], 2, visit)
        drawn[picture] += 1
        assert same(visits[place], encoder.encode(rows[row], picture))
    assert len(drawn) == 9, "eight pictures and no picture"
    assert all(same(visits[place], visits[place]) for place in range(40))


def test_a_picture_of_another_size_takes_its_own_tokens(tmp_path: Path) -> None:
    """Qwen2-VL's number of image tokens depends on the size."""
    sizes = {"small": (8, 8), "wide": (32, 16), "tall": (16, 32)}
    pictures = (
        {"picture": name, "person": "p", "png": encode_picture(pico_vision.picture(0, size))}
        for name, size in sizes.items()
    )
    encoder = Encoder(
        pico_vision.processor("qwen2_vl"), Pictures(picture_rows.written(tmp_path / "pictures.jsonl", pictures))
    )
    row = VisualRow("p", "image", "USER: <image>\na?\nASSISTANT:", " b", tuple(sizes))
    visits = Visits([row], encoder, 30, 0)
    assert {picture for _, picture in visits.taken[:15]} == set(sizes)
    for place, (_, picture) in enumerate(visits.taken):
        assert same(visits[place], encoder.encode(row, picture))


def test_matrices_go_to_muon_and_filters_do_not() -> None:
    model = pico_vision.model()

    class Settings:
        optimizer, muon_rate, learning_rate, weight_decay = "muon", 0.1, 0.01, 0.0

    found = muon(model, Settings(), (0.9, 0.98))
    assert found is not None
    first, second = ([p for group in part.param_groups for p in group["params"]] for part in found.parts)
    assert len(first) + len(second) == len(list(model.parameters()))
    assert all(p.ndim == 2 for p in first)
    patches = vision_part(model).embeddings.patch_embedding.weight
    assert patches.ndim == 4 and any(p is patches for p in second)
    Settings.optimizer = "adamw"
    assert muon(model, Settings(), (0.9, 0.98)) is None


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_the_two_towers_are_apart_and_hold_all_but_the_bridge_and_the_head(kind: str) -> None:
    model = pico_vision.model(kind)
    vision, language = ({id(p) for p in part.parameters()} for part in (vision_part(model), language_part(model)))
    assert vision and language and not vision & language
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    assert all(id(c.weight) in vision for c in convolutions)
    assert id(model.get_input_embeddings().weight) in language


def test_a_text_model_has_no_vision_tower() -> None:
    with pytest.raises(UserError, match="qwen3: is no known image-text model"):
        vision_part(pico.model())


def test_shapes_are_checked() -> None:
    assert shaped(LlamaConfig, {"hidden_size": 32}, "x", vocab_size=7).vocab_size == 7
    with pytest.raises(UserError, match=r"x: unknown key 'hiden_size' of llama; .*did you mean 'hidden_size'"):
        shaped(LlamaConfig, {"hiden_size": 32}, "x")
    with pytest.raises(UserError, match=r"x: is no shape of clip_vision_model: .*multiple"):
        shaped(CLIPVisionConfig, {"hidden_size": 30, "num_attention_heads": 4}, "x")


@pytest.mark.parametrize(("steps", "save_every"), [(10, 4), (1400, 200), (1000, 7)])
def test_states_lie_at_points_of_the_curve(steps: int, save_every: int) -> None:
    told = points(steps, save_every)
    assert told["save_steps"] % told["logging_steps"] == 0 and told["logging_steps"] <= max(1, steps // 100)
