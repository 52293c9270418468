"""A subnet that was cut out computes what the masked model computes, in a type that can hold it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from methodbench.errors import UserError
from methods.amoeballm.architecture import target
from methods.amoeballm.blocks import blocks, geometry
from methods.amoeballm.export import checked, extracted, opened, save
from methods.amoeballm.extract_config import CutConfig
from methods.amoeballm.subnets import Mask, Subnets
from methods.amoeballm.supernet import Supernet
from tests import pico
from tests.methods.amoeballm import cut_world

# RMSNorm computes in float32 whatever the weights: a sum in another order may flip a float32 place (sheet 7.4).
TOLERANCE = 1e-5
KINDS = ["llama", "mistral", "qwen2", "qwen3", "seed_oss"]


def cut(base: PreTrainedModel, subnets: Subnets, depth: int, width: float, **settings: Any) -> PreTrainedModel:
    config = CutConfig(**settings)
    made = extracted(base, subnets, None, depth, width, config, "parent")
    checked(made, geometry(base), target(base, subnets, depth, width, config, "parent"))
    return made


def kind_of(base: PreTrainedModel, subnets: Subnets, width: float = 0.5, **settings: Any) -> str:
    return target(base, subnets, cut_world.LAYERS, width, CutConfig(**settings), "parent").architecture


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("layout", ["pad", "zero"])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (8, 8)])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_masked_model(kind: str, heads: int, groups: int, layout: str, adaptive: bool) -> None:
    base = cut_world.model(kind, heads, groups, tied=adaptive).double()
    for bias in (True, False) if kind != "qwen3" else (False,):
        subnets = cut_world.selection(base, adaptive, bias)
        for depth, width in ((4, 1.0), (3, 0.75), (2, 0.5)):
            with cut_world.masked(base, subnets, depth, width):
                expected = cut_world.logits(base)
            made = cut(base, subnets, depth, width, layout=layout)
            assert made.dtype == torch.float64
            torch.testing.assert_close(cut_world.logits(made), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_removed_is_the_same_model_to_the_bit(kind: str) -> None:
    base = cut_world.model(kind)
    made = cut(base, cut_world.selection(base), 4, 1.0)
    assert torch.equal(cut_world.logits(made), cut_world.logits(base))
    assert made.config.model_type == kind


@pytest.mark.parametrize("kind", KINDS)
def test_depth_alone_is_a_shorter_list_of_layers_to_the_bit(kind: str) -> None:
    base = cut_world.model(kind)
    made = cut(base, cut_world.selection(base), 2, 1.0)
    inner: Any = base.get_decoder()
    inner.layers = torch.nn.ModuleList([inner.layers[0], inner.layers[3]])
    base.config.num_hidden_layers = 2
    assert torch.equal(cut_world.logits(made), cut_world.logits(base))


def test_weights_are_copies() -> None:
    base = cut_world.model()
    before = cut_world.logits(base)
    made = cut(base, cut_world.selection(base), 2, 1.0)
    with torch.no_grad():
        for value in made.parameters():
            value.zero_()
    assert torch.equal(cut_world.logits(base), before)


@pytest.mark.parametrize("mix", ["factors", "products"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_equals_the_supernet_with_its_experts(kind: str, mix: Any) -> None:
    base = cut_world.model(kind).double()
    subnets = cut_world.selection(base, bias=kind != "qwen3")
    untouched = cut_world.model(kind).double()
    torch.manual_seed(3)
    supernet = Supernet(base, subnets.masks, experts=3, top_k=2, rank=4, hidden=5, mix=mix).double()
    with torch.no_grad():
        for name, value in supernet.trained().items():
            if name.endswith(".b"):
                value.normal_(std=0.2)
    adapters = supernet.adapters()
    for depth, width in ((4, 1.0), (3, 0.75), (2, 0.5)):
        supernet.set_shape(subnets.active(depth, "test"), width)
        with torch.no_grad():
            expected = supernet(cut_world.ids()).logits
        made = extracted(untouched, subnets, adapters, depth, width, CutConfig(), "parent")
        torch.testing.assert_close(cut_world.logits(made), expected, rtol=0, atol=TOLERANCE)
        without = extracted(untouched, subnets, None, depth, width, CutConfig(), "parent")
        assert (cut_world.logits(without) - expected).abs().max() > 0.01


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_reloads_without_code_and_generates_the_masked_models_tokens(kind: str, tied: bool, tmp_path: Path) -> None:
    base = cut_world.model(kind, tied=tied)
    base.generation_config.max_length = 77
    subnets = cut_world.selection(base, bias=kind != "qwen3")
    save(cut(base, subnets, 3, 0.5), pico.tokenizer(), tmp_path)
    made = AutoModelForCausalLM.from_pretrained(tmp_path, trust_remote_code=False)
    for key in ("head_dim", "rope_parameters", "rms_norm_eps", "tie_word_embeddings", "max_position_embeddings"):
        assert getattr(made.config, key) == getattr(base.config, key)
    assert (made.config.eos_token_id, made.config.pad_token_id) == (pico.EOS, pico.PAD)
    assert made.generation_config.max_length == 77
    found = made.generate(cut_world.ids(), max_new_tokens=8, min_new_tokens=8, do_sample=False, max_length=None)
    expected = cut_world.ids()
    with cut_world.masked(base, subnets, 3, 0.5), torch.no_grad():
        for _ in range(8):
            step: Any = base(input_ids=expected, use_cache=False)
            step.logits[..., pico.EOS] = -torch.inf
            expected = torch.cat([expected, step.logits[:, -1:].argmax(-1)], 1)
    assert torch.equal(found, expected)


def test_zero_layout_keeps_the_full_size() -> None:
    base = cut_world.model()
    made = cut(base, cut_world.selection(base, bias=False), 4, 0.5, layout="zero")
    assert made.config.intermediate_size == base.config.intermediate_size
    assert made.num_parameters() == base.num_parameters()


def test_pad_is_as_wide_as_the_widest_layer_that_stays() -> None:
    base = cut_world.model(groups=4)
    groups = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]], dtype=torch.bool)
    neurons = torch.arange(24)[None] < torch.tensor([[24], [3], [5], [7]])
    subnets = Subnets(4, {0: (), 1: (0,), 2: (0, 2)}, {}, {0.5: Mask(groups, neurons)})
    sizes = [
        (made.config.num_key_value_heads, made.config.intermediate_size)
        for made in (cut(base, subnets, depth, 0.5, architecture="mistral") for depth in (4, 3, 2))
    ]
    assert sizes == [(4, 24), (3, 7), (2, 7)]


def test_a_width_whose_layers_keep_nothing_has_one_zero_unit() -> None:
    base = cut_world.model().double()
    nothing = Mask(torch.zeros(4, 2, dtype=torch.bool), torch.zeros(4, 24, dtype=torch.bool))
    subnets = Subnets(4, {0: ()}, {}, {0.5: nothing})
    made = cut(base, subnets, 4, 0.5)
    assert (made.config.num_key_value_heads, made.config.intermediate_size) == (1, 1)
    with cut_world.masked(base, subnets, 4, 0.5):
        torch.testing.assert_close(cut_world.logits(made), cut_world.logits(base), rtol=0, atol=TOLERANCE)


def test_sums_in_float32_and_keeps_the_type() -> None:
    base = cut_world.model("seed_oss", attention_out_bias=True).bfloat16()
    subnets = cut_world.selection(base)
    made = cut(base, subnets, 4, 0.5)
    old, shift = blocks(base)[2].self_attn.o_proj.bias, subnets.masks[0.5].attention_bias
    assert shift is not None
    assert torch.equal(blocks(made)[2].self_attn.o_proj.bias, (old.float() + shift[2]).bfloat16())


@pytest.mark.parametrize(
    ("kind", "kept", "bias", "expected"),
    [
        ("llama", 4, False, "llama"),
        ("llama", 4, True, "llama"),
        ("llama", 3, False, "mistral"),  # 3 heads do not divide 32
        ("llama", 3, True, "seed_oss"),
        ("mistral", 3, False, "mistral"),
        ("mistral", 4, True, "seed_oss"),
        ("qwen2", 3, False, "qwen2"),
        ("qwen2", 4, True, "seed_oss"),
        ("qwen3", 4, False, "qwen3"),
        ("qwen3", 3, True, "qwen3"),
        ("seed_oss", 3, True, "seed_oss"),
    ],
)
def test_what_auto_chooses(kind: str, kept: int, bias: bool, expected: str) -> None:
    base = cut_world.model(kind, 8, 8)
    subnets = cut_world.selection(base, adaptive=False, bias=bias)
    groups = torch.arange(8)[None].expand(4, 8) < kept
    subnets = replace(subnets, masks={0.5: replace(subnets.masks[0.5], groups=groups)})
    made = cut(base, subnets, 4, 0.5)
    assert made.config.model_type == kind_of(base, subnets) == expected
    if kind != "qwen3":  # it loses a compensation
        with cut_world.masked(base, subnets, 4, 0.5):
            torch.testing.assert_close(cut_world.logits(made), cut_world.logits(base), rtol=0, atol=5e-4)


def test_llama_with_its_own_biases_can_become_a_seed_oss_alone() -> None:
    base = cut_world.model("llama", 8, 8, attention_bias=True)
    groups = torch.arange(8)[None].expand(4, 8) < 3
    subnets = Subnets(4, {0: ()}, {}, {0.5: Mask(groups, torch.ones(4, 24, dtype=torch.bool))})
    assert kind_of(base, subnets) == "seed_oss"
    with cut_world.masked(base, subnets, 4, 0.5):
        torch.testing.assert_close(
            cut_world.logits(cut(base, subnets, 4, 0.5)), cut_world.logits(base), rtol=0, atol=5e-4
        )


def test_qwen3_keeps_the_compensation_of_attention_and_loses_the_mlps() -> None:
    base = cut_world.model("qwen3").double()
    subnets = cut_world.selection(base)
    aim = target(base, subnets, 4, 0.5, CutConfig(), "parent")
    assert aim.dropped == {"down_proj"} and "o_proj" in aim.biases
    mask = subnets.masks[0.5]
    assert mask.mlp_bias is not None
    alone = replace(subnets, masks={0.5: replace(mask, mlp_bias=torch.zeros_like(mask.mlp_bias))})
    with cut_world.masked(base, alone, 4, 0.5):
        expected = cut_world.logits(base)
    torch.testing.assert_close(cut_world.logits(cut(base, subnets, 4, 0.5)), expected, rtol=0, atol=TOLERANCE)


def test_a_sliding_window_stays_and_costs_the_compensation() -> None:
    base = cut_world.model("mistral", sliding_window=5).double()
    subnets = cut_world.selection(base)
    aim = target(base, subnets, 4, 0.5, CutConfig(), "parent")
    assert (aim.architecture, aim.dropped) == ("mistral", {"o_proj", "down_proj"})
    with cut_world.masked(base, subnets, 4, 0.5, bias=False):
        expected = cut_world.logits(base)
    torch.testing.assert_close(cut_world.logits(cut(base, subnets, 4, 0.5)), expected, rtol=0, atol=TOLERANCE)


def test_windowed_layers_keep_their_windows() -> None:
    settings = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}
    base = cut_world.model("qwen2", **settings).double()
    assert base.config.layer_types == ["full_attention"] * 2 + ["sliding_attention"] * 2
    subnets = replace(cut_world.selection(base, bias=False), removed={0: (), 1: (0,), 2: (0, 2)})
    for depth, kinds in ((3, ["full", "sliding", "sliding"]), (2, ["full", "sliding"])):
        made = cut(base, subnets, depth, 0.5)
        assert made.config.layer_types == [f"{kind}_attention" for kind in kinds]
        with cut_world.masked(base, subnets, depth, 0.5):
            torch.testing.assert_close(cut_world.logits(made), cut_world.logits(base), rtol=0, atol=TOLERANCE)


def test_without_bias_nothing_is_added() -> None:
    base = cut_world.model().double()
    subnets = cut_world.selection(base)
    made = cut(base, subnets, 3, 0.5, bias=False)
    assert not any(name.endswith("bias") for name, _ in made.named_parameters())
    with cut_world.masked(base, subnets, 3, 0.5, bias=False):
        torch.testing.assert_close(cut_world.logits(made), cut_world.logits(base), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [("llama", "mistral"), ("llama", "qwen2"), ("llama", "seed_oss"), ("mistral", "llama"), ("qwen2", "llama")],
)
def test_any_type_that_is_asked_for(kind: str, architecture: Any) -> None:
    base = cut_world.model(kind).double()
    subnets = cut_world.selection(base, bias=False)
    made = cut(base, subnets, 3, 0.75, architecture=architecture)
    assert made.config.model_type == architecture
    with cut_world.masked(base, subnets, 3, 0.75):
        torch.testing.assert_close(cut_world.logits(made), cut_world.logits(base), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("kind", "settings", "architecture", "message"),
    [
        ("llama", {}, "mistral", "a mistral has no bias in down_proj, o_proj (key 'bias': false does without); "
         "allowed: auto, llama, seed_oss"),
        ("qwen2", {}, "qwen2", "a qwen2 has no bias in down_proj, o_proj"),
        ("qwen3", {}, "seed_oss", "only a qwen3 normalises queries and keys of each head; allowed: auto$"),
        ("llama", {}, "qwen3", "only a qwen3 normalises"),
        ("mistral", {"sliding_window": 5}, "seed_oss", "only the parent's type, mistral, keeps its sliding window"),
    ],
)  # fmt: skip
def test_types_that_cannot_hold_it_are_refused(
    kind: str, settings: dict[str, Any], architecture: Any, message: str
) -> None:
    base = cut_world.model(kind, **settings)
    with pytest.raises(UserError) as caught:
        cut(base, cut_world.selection(base), 4, 0.5, architecture=architecture)
    text = str(caught.value)
    assert text.startswith(f"parent: key 'architecture': given {architecture}, but ")
    assert text.endswith(message[:-1]) if message.endswith("$") else message in text


def test_a_llama_whose_heads_do_not_divide_is_refused() -> None:
    base = cut_world.model("llama", 8, 8)
    groups = torch.arange(8)[None].expand(4, 8) < 3
    subnets = Subnets(4, {0: ()}, {}, {0.5: Mask(groups, torch.ones(4, 24, dtype=torch.bool))})
    with pytest.raises(UserError, match="3 heads do not divide the hidden size 32, as a llama's must"):
        cut(base, subnets, 4, 0.5, architecture="llama")


def test_depths_widths_and_selections_that_do_not_fit_are_refused() -> None:
    base = cut_world.model()
    subnets = cut_world.selection(base)
    with pytest.raises(UserError, match="parent: key 'depth': given 1, allowed: 2 to 4 layers"):
        cut(base, subnets, 1, 0.5)
    with pytest.raises(UserError, match=r"parent: key 'width': given 0.6, allowed: 1, 0.75, 0.5"):
        cut(base, subnets, 2, 0.6)
    with pytest.raises(UserError, match="the selection is of 9 layers, the model has 4"):
        cut(base, replace(subnets, layers=9), 9, 0.5)


def test_another_number_of_parameters_than_computed_is_an_error() -> None:
    base = cut_world.model()
    subnets = cut_world.selection(base)
    aim = target(base, subnets, 4, 0.5, CutConfig(), "parent")
    made = cut(base, subnets, 4, 0.5)
    assert checked(made, geometry(base), aim) == made.num_parameters()
    with pytest.raises(AssertionError, match=r"parameters, .* were expected"):
        checked(made, geometry(base), replace(aim, neurons=aim.neurons + 1))


def test_opened_takes_the_frozen_base(tmp_path: Path) -> None:
    base = cut_world.model()
    subnets = cut_world.selection(base)
    tuned = cut_world.checkpoint(tmp_path / "tuned", cut_world.model("mistral"), subnets)
    cut_world.checkpoint(tmp_path / "tuned" / "frozen", base, None)
    model, tokenizer, found, adapters = opened(tuned)
    assert torch.equal(cut_world.logits(model), cut_world.logits(base))
    assert adapters is None and found.removed == cut_world.REMOVED and tokenizer.eos_token_id == pico.EOS


def test_opened_refuses_other_models_and_missing_selections(tmp_path: Path) -> None:
    base = cut_world.model()
    with pytest.raises(UserError, match="carries no selection of subnets"):
        opened(cut_world.checkpoint(tmp_path / "bare", base, None))
    other = cut_world.checkpoint(tmp_path / "other", pico.model("gpt2"), cut_world.selection(base))
    with pytest.raises(UserError, match="model type 'gpt2' cannot be cut"):
        opened(other)
    packed = cut_world.checkpoint(tmp_path / "packed", base, cut_world.selection(base))
    config = packed.path / "config.json"
    config.write_text(config.read_text().replace("{", '{"quantization_config": {},', 1))
    with pytest.raises(UserError, match="quantised weights cannot be cut here"):
        opened(packed)
