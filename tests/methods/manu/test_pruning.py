"""A zeroed unit is silent for every input, and says so in the weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from methods.manu.neurons import Part, every
from methods.manu.pruning import prune
from tests import pico_vision

UNITS = torch.tensor([2, 40, 63])


def parts(units: str = "hidden") -> list[Part]:
    return every(pico_vision.model("llava"), units)  # type: ignore[arg-type]


def of(tower: str, units: str = "hidden", name: str = "hidden") -> Part:
    return next(part for part in parts(units) if (part.tower, part.name) == (tower, name))


def hidden(part: Part, x: torch.Tensor) -> torch.Tensor:
    """z of an input."""
    found: list[torch.Tensor] = []
    last = part.mlp.fc2 if hasattr(part.mlp, "fc2") else part.mlp.down_proj
    handle = last.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    with torch.no_grad():
        part.mlp(x)
    handle.remove()
    return found[0]


def inputs() -> torch.Tensor:
    return 20 * torch.randn(50, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tower", ["vision", "language"])
def test_a_pruned_unit_is_exactly_zero_for_every_input(tower: str) -> None:
    """Invariant 2."""
    part, x = of(tower), inputs()
    before = hidden(part, x)
    assert before[:, UNITS].abs().max(0).values.min() > 0.1
    prune(part, UNITS)
    after = hidden(part, x)
    assert not after[:, UNITS].any()
    others = [unit for unit in range(64) if unit not in UNITS]
    assert torch.equal(after[:, others], before[:, others])


@pytest.mark.parametrize("act", ["gelu", "quick_gelu", "gelu_pytorch_tanh", "silu", "relu"])
def test_the_activations_of_these_models_are_zero_at_zero(act: str) -> None:
    assert ACT2FN[act](torch.zeros(1)).item() == 0


def test_a_bias_left_in_place_would_keep_the_unit_alive() -> None:
    """Invariant 2: without the bias of fc1 zeroed, the unit is act(b) for every input."""
    part, x = of("vision"), inputs()
    with torch.no_grad():
        part.mlp.fc1.bias.copy_(torch.linspace(0.5, 2, 64))
        part.mlp.fc1.weight[2] = 0
    expected = part.mlp.activation_fn(part.mlp.fc1.bias[2]).item()
    assert expected != 0 and torch.allclose(hidden(part, x)[:, 2], torch.tensor(expected))
    prune(part, torch.tensor([2]))
    assert not hidden(part, x)[:, 2].any()


def _zero_row(name: str) -> Callable[[Part], None]:
    def zero(part: Part) -> None:
        getattr(part.mlp, name).weight.data[UNITS] = 0

    return zero


def _zero_column(part: Part) -> None:
    part.mlp.down_proj.weight.data[:, UNITS] = 0


def test_gate_row_up_row_and_down_column_are_one_cut() -> None:
    """Invariant 3: any one of them, and all of them, give the same outputs."""
    ways: list[Callable[[Part], None]] = [_zero_row("gate_proj"), _zero_row("up_proj"), _zero_column]
    outputs = []
    for way in [*ways, lambda part: prune(part, UNITS)]:
        part = of("language")
        way(part)
        with torch.no_grad():
            outputs.append(part.mlp(inputs()))
    with torch.no_grad():
        whole = of("language").mlp(inputs())
    for output in outputs:
        assert torch.allclose(output, outputs[0], atol=1e-4, rtol=1e-5)
        assert not torch.allclose(output, whole, atol=1e-2)


@pytest.mark.parametrize(("tower", "name"), [("vision", "fc1"), ("language", "gate_proj"), ("language", "up_proj")])
def test_a_row_in_front_kills_its_hidden_unit(tower: str, name: str) -> None:
    """M§2.4-9."""
    part = of(tower, "rows", name)
    prune(part, UNITS)
    assert not hidden(part, inputs())[:, UNITS].any()


@pytest.mark.parametrize(("tower", "name"), [("vision", "fc2"), ("language", "down_proj")])
def test_a_row_behind_is_a_channel_that_the_block_no_longer_writes(tower: str, name: str) -> None:
    """M§2.4-9."""
    part = of(tower, "rows", name)
    if part.linear.bias is not None:
        nn.init.constant_(part.linear.bias, 0.3)
    with torch.no_grad():
        before = part.mlp(inputs())
        prune(part, torch.tensor([5]))
        after = part.mlp(inputs())
    assert not after[:, 5].any() and before[:, 5].any()
    others = [channel for channel in range(32) if channel != 5]
    assert torch.equal(after[:, others], before[:, others])
