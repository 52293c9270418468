"""Candidates of every family, found by structure, and what the language model never sees."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlavaConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from methodbench.config import parse
from methodbench.errors import UserError
from methods.manu.config import ScoresConfig, settled
from methods.manu.neurons import Part, candidates, every, seen_layers, tower
from methods.manu.pruning import prune
from tests import pico, pico_vision
from tests.methods.manu import world


def found(kind: str, **keys: object) -> list[Part]:
    config = parse(ScoresConfig, keys, "test")
    return candidates(pico_vision.model(kind), config, settled(config))


@pytest.mark.parametrize(
    ("kind", "vision"),
    [
        ("llava", [f"model.vision_tower.encoder.layers.{layer}.mlp" for layer in (0, 1)]),
        ("idefics2", [f"model.vision_model.encoder.layers.{layer}.mlp" for layer in (0, 1, 2)]),
        ("idefics3", [f"model.vision_model.encoder.layers.{layer}.mlp" for layer in (0, 1, 2)]),
        ("qwen2_vl", [f"model.visual.blocks.{layer}.mlp" for layer in (0, 1)]),
    ],
)
def test_the_mlps_of_both_towers_of_every_family(kind: str, vision: list[str]) -> None:
    """M§7.1; invariant 13 for LLaVA: the last CLIP layer is no candidate at feature layer -2."""
    parts = found(kind)
    assert [part.path for part in parts if part.tower == "vision"] == vision
    text = "text_model" if kind.startswith("idefics") else "language_model"
    language = [part for part in parts if part.tower == "language"]
    assert [part.path for part in language] == [f"model.{text}.layers.{layer}.mlp" for layer in (0, 1)]
    assert {part.width for part in parts} == {64} and {part.name for part in parts} == {"hidden"}
    assert [part.layer for part in parts] == [*range(len(vision)), 0, 1]


def test_rows_are_outputs_of_every_linear_map() -> None:
    parts = found("llava", units="rows")
    assert [(part.tower, part.layer, part.name, part.width) for part in parts] == [
        *(("vision", layer, name, width) for layer in (0, 1) for name, width in (("fc1", 64), ("fc2", 32))),
        *(
            ("language", layer, name, width)
            for layer in (0, 1)
            for name, width in (("gate_proj", 64), ("up_proj", 64), ("down_proj", 32))
        ),
    ]
    assert len({part.key for part in parts}) == len(parts)
    assert {part.name for part in found("llava", mode="code", fc2_rows=False) if part.tower == "vision"} == {"fc1"}


def test_qwen_2_5_s_vision_mlps_are_gated_and_have_biases() -> None:
    text = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, vocab_size=50)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2]}
    model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            vision_config={
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 40,
                "num_heads": 4,
                "out_hidden_size": 32,
            },
            text_config={**text, "num_key_value_heads": 2, "rope_parameters": rope},
        )
    )
    config = ScoresConfig()
    parts = candidates(model, config, settled(config))
    assert [(part.tower, part.layer, part.width) for part in parts] == [
        ("vision", 0, 40),
        ("vision", 1, 40),
        ("language", 0, 48),
    ]
    assert parts[0].mlp.gate_proj.bias is not None
    prune(parts[0], torch.tensor([3]))
    z: list[torch.Tensor] = []
    parts[0].linear.register_forward_pre_hook(lambda module, given: z.append(given[0]))
    parts[0].mlp(torch.randn(5, 32))
    assert not z[0][:, 3].any() and z[0][:, :3].any()


def test_connectors_only_when_asked_for() -> None:
    assert tower("model.connector.modality_projection") == "connector"
    parts = found("idefics2", towers=["connector"])
    assert parts and all("connector" in part.path for part in parts)
    assert any("perceiver" in part.path for part in parts)
    with pytest.raises(UserError, match="'connector' of this llava model has no MLP"):
        found("llava", towers=["connector"])


@pytest.mark.parametrize(
    ("taken", "seen"), [(-2, 23), (-1, 24), (22, 22), (24, 24), ([-2, -8], 23), ([3, 22], 22), ([-1, 3], 24)]
)
def test_how_many_vision_layers_are_seen(taken: int | list[int], seen: int) -> None:
    """M§6.2: hidden state 0 is the embedding, so that LLaVA-1.5's -2 of 24 layers leaves layer 23 unseen."""
    config = LlavaConfig(vision_config={"model_type": "clip_vision_model", "num_hidden_layers": 24})
    config.vision_feature_layer = taken
    assert seen_layers(config) == seen


@pytest.mark.parametrize(("taken", "seen"), [(-2, 2), (-1, 3), (-3, 1), (1, 1)])
def test_the_layers_left_out_change_no_logit_and_the_last_one_kept_does(taken: int, seen: int, tmp_path: Path) -> None:
    """Invariant 13, against the model itself."""
    encoder, sets = world.opened(world.write(tmp_path))
    batch = encoder.collate([encoder.encode(row) for row in sets["forget"] if row.mode == "image"])
    del batch["labels"]

    def logits(layer: int | None) -> torch.Tensor:
        model = pico_vision.model("llava")
        model.config.vision_feature_layer = taken
        assert seen_layers(model.config) == seen
        for part in every(model, "hidden"):
            if part.tower == "vision" and part.layer == layer:
                prune(part, torch.arange(part.width))
        with torch.no_grad():
            return model(**batch).logits

    whole = logits(None)
    for layer in range(seen, 3):
        assert torch.equal(logits(layer), whole)
    assert not torch.equal(logits(seen - 1), whole)


def test_inert_layers_are_there_when_asked_for_and_the_buggy_mode_asks() -> None:
    assert {part.layer for part in found("llava", inert=True) if part.tower == "vision"} == {0, 1, 2}
    buggy = found("llava", mode="code_buggy")
    assert {part.layer for part in buggy if part.tower == "vision"} == {0, 1, 2}


def test_layers_by_number() -> None:
    parts = found("llava", layers={"vision": [1]})
    assert [(part.tower, part.layer) for part in parts] == [("vision", 1), ("language", 0), ("language", 1)]
    with pytest.raises(UserError, match=r"'layers.language': given \[7\], allowed: layers 0 to 1"):
        found("llava", layers={"language": [7]})


def test_a_text_model_has_no_vision_tower() -> None:
    config = ScoresConfig()
    with pytest.raises(UserError, match="'vision' of this qwen3 model has no MLP"):
        candidates(pico.model(), config, settled(config))
