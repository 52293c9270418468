"""Every shape of the supernet against a model that is changed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methods.amoeballm.blocks import LINEARS, blocks, linear
from methods.amoeballm.mixture import Mix
from methods.amoeballm.supernet import Supernet
from tests.methods.amoeballm.tuning_world import GROUPS, KINDS, LAYERS, ids, masks, model, shaken, supernet

ALL = (True,) * LAYERS
SHAPES = [(ALL, 0.5), ((True, False, True), 0.75), ((False, True, False), 0.5), ((False, False, True), 1.0)]


@torch.no_grad()
def by_hand(kind: str, net: Supernet, active: Sequence[bool], width: float) -> Tensor:
    """Logits of a model with updated weights, zeroed columns of o and down, added biases, and fewer layers."""
    other: Any = model(kind)
    adapters = net.adapters()
    for layer, block in enumerate(blocks(other)):
        for name in LINEARS:
            linear(block, name).weight += adapters.delta(layer, name, active, width)
        if width == 1:
            continue
        mask = masks()[width]
        for name, kept, shift in (
            ("o_proj", mask.groups[layer].repeat_interleave(32 // GROUPS), mask.attention_bias),
            ("down_proj", mask.neurons[layer], mask.mlp_bias),
        ):
            last = linear(block, name)
            last.weight *= kept
            assert shift is not None
            last.bias = nn.Parameter(shift[layer].double())
    other.model.layers = nn.ModuleList(block for block, keep in zip(blocks(other), active, strict=True) if keep)
    for index, block in enumerate(other.model.layers):
        block.self_attn.layer_idx = index
    other.config.num_hidden_layers = sum(active)
    logits: Tensor = other(ids(), use_cache=False).logits
    return logits


@pytest.mark.parametrize("kind", KINDS)
def test_untrained_experts_leave_the_full_model_as_it_is_to_the_bit(kind: str) -> None:
    before = model(kind)(ids(), use_cache=False).logits
    net = supernet(kind)
    for noise in (None, torch.randn(5)):
        net.set_shape(ALL, 1.0, noise)
        assert torch.equal(net(ids()).logits, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mix", ["factors", "products"])
def test_a_shape_is_the_model_cut_by_hand(kind: str, mix: Mix) -> None:
    """To 1e-6: norms round to float32 inside, where float64 noise can flip the last place."""
    net = shaken(supernet(kind, mix=mix))
    whole = net(ids()).logits
    for active, width in SHAPES:
        net.set_shape(active, width)
        logits = net(ids()).logits
        assert torch.allclose(logits, by_hand(kind, net, active, width), atol=1e-6)
        assert not torch.allclose(logits, whole, atol=1e-2)
    net.set_shape(ALL, 1.0)
    assert torch.equal(net(ids()).logits, whole)


def test_removed_units_are_zero_behind_their_biases() -> None:
    """Qwen2 has biases at q, k and v, which the mask must take, too."""
    net = shaken(supernet("qwen2"))
    net.set_shape(ALL, 0.5)
    seen: dict[str, Tensor] = {}
    for name in ("q_proj", "k_proj", "v_proj", "gate_proj"):
        linear(blocks(net.model)[0], name).register_forward_hook(
            lambda _module, _inputs, out, name=name: seen.__setitem__(name, out)
        )
    net(ids())
    for name, size in (("q_proj", 16), ("k_proj", 8), ("v_proj", 8)):
        assert bool((seen[name][..., size:] == 0).all()) and bool((seen[name][..., :size] != 0).all())
    assert torch.equal((seen["gate_proj"] != 0).all(0).all(0), masks()[0.5].neurons[0])


def test_gates_depend_on_the_shape_alone_and_are_shared() -> None:
    net = shaken(supernet())
    once = net.set_shape(ALL, 0.5).clone()
    other = net.set_shape((True, False, True), 0.5).clone()
    assert not torch.equal(once, other)
    assert torch.equal(net.set_shape(ALL, 0.5), once)
    assert all(linear(block, name).state is net.state for block in blocks(net.model) for name in LINEARS)


def gradients(net: Supernet, noise: Tensor | None = None) -> dict[str, Tensor | None]:
    net.train()
    net.zero_grad()
    for active, width in [(ALL, 1.0), *SHAPES]:
        net.set_shape(active, width, noise)
        net(ids()).logits.square().mean().backward()
    return {name: parameter.grad for name, parameter in net.trained().items()}


def test_only_experts_and_router_get_gradients_and_of_experts_the_chosen() -> None:
    net = shaken(supernet())
    net.train()
    gates = net.set_shape(ALL, 0.5, torch.randn(5))
    net(ids()).logits.square().mean().backward()
    for name, parameter in net.named_parameters():
        if "base" in name or "norm" in name or "embed" in name or "lm_head" in name:
            assert parameter.grad is None and not parameter.requires_grad
        elif name.endswith((".a", ".b")) and ".1.self_attn." not in name:  # layer 1 has no groups at this width
            assert parameter.grad is not None
            moved = parameter.grad.flatten(1).abs().amax(1) > 0
            assert not bool((moved & (gates == 0)).any()) and bool(moved.any())
        elif name.startswith("router"):
            assert parameter.grad is not None


@pytest.mark.parametrize("experts", [1, 5])
def test_computing_activations_twice_changes_no_gradient(experts: int) -> None:
    noise = torch.randn(experts)
    plain = gradients(shaken(supernet(experts=experts)), noise)
    net = shaken(supernet(experts=experts))
    net.recompute(True)
    calls = []
    linear(blocks(net.model)[0], "q_proj").register_forward_hook(lambda *_: calls.append(1))
    twice = gradients(net, noise)
    assert len(calls) == 2 * 3  # three of the five shapes run layer 0, each of them twice
    assert plain.keys() == twice.keys()
    for name, one in plain.items():
        two = twice[name]
        assert (one is None and two is None) or (one is not None and two is not None and torch.equal(one, two))


def test_a_single_expert_has_no_router_and_is_a_low_rank_update() -> None:
    net = shaken(supernet(experts=1))
    assert net.router is None and net.set_shape(ALL, 0.5).tolist() == [1.0]
    assert torch.allclose(net(ids()).logits, by_hand("llama", net, ALL, 0.5), atol=1e-6)


def test_widths_without_compensation_and_models_without_widths() -> None:
    net = Supernet(model(), masks(bias=False), rank=2)
    assert linear(blocks(net.model)[0], "o_proj").shift is None
    assert Supernet(model(), {}, rank=2).widths == (1.0,)


def test_frozen_is_the_model_before_and_restored_gives_it_back() -> None:
    before = model()(ids(), use_cache=False).logits
    net = shaken(supernet())
    net.train()
    net.set_shape((True, False, True), 0.5)
    with net.frozen():
        logits = net(ids()).logits
    assert torch.equal(logits, before) and not logits.requires_grad and net.training
    net.set_shape((False, False, True), 0.5)
    back = net.restored()
    assert torch.equal(back(ids()).logits, before)
    assert back.state_dict().keys() == model().state_dict().keys()


def test_unknown_widths_and_too_few_layers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"width 0\.6 is none of 1, 0\.75, 0\.5"):
        supernet().set_shape(ALL, 0.6)
    with pytest.raises(ValueError, match="shorter"):
        supernet().set_shape((True, True), 0.5)
