"""Gates of experts, and the update that they form; PEFT's way to sum adapters is the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from methods.amoeballm.mixture import Mix, Router, applied, described, mixed

E, R, IN, OUT = 5, 3, 7, 6


def experts(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(E, R, IN, generator=generator, dtype=torch.float64)
    return a, torch.randn(E, OUT, R, generator=generator, dtype=torch.float64)


def router(top_k: int = 2) -> Router:
    torch.manual_seed(0)
    return Router(6, E, 16, top_k).double()


SHAPE = described((True, False, True), (1.0, 0.75, 0.5), 0.75).double()


@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_k_gates_are_open_and_sum_to_one(top_k: int) -> None:
    for noise in (None, torch.randn(E, dtype=torch.float64)):
        gates = router(top_k)(SHAPE, noise)
        assert int((gates > 0).sum()) == top_k and gates.sum().item() == pytest.approx(1)


def test_gates_are_a_softmax_over_the_largest_scores_which_noise_moves() -> None:
    one = router()
    scores = one.outer(one.inner(SHAPE))
    best = scores.topk(2)
    assert torch.allclose(one(SHAPE)[best.indices], best.values.softmax(-1))
    push = torch.zeros(E, dtype=torch.float64)
    push[scores.argmin()] = 100
    assert one(SHAPE, push)[scores.argmin()] > 0.99
    expected = (scores + push * nn.functional.softplus(one.spread(SHAPE))).topk(2).values.softmax(-1)
    assert torch.allclose(one(SHAPE, push).sort(descending=True).values[:2], expected)


def test_a_router_of_the_papers_size() -> None:
    assert sum(parameter.numel() for parameter in Router(36, 5, 16, 2).parameters()) == 862


def test_a_router_cannot_take_more_experts_than_there_are() -> None:
    with pytest.raises(ValueError, match=r"top_k 6 is not in 1\.\.5"):
        router(6)


def test_a_shape_is_its_layers_and_its_width() -> None:
    assert SHAPE.tolist() == [1, 0, 1, 0, 1, 0]
    with pytest.raises(ValueError, match=r"width 0\.6 is none of 1, 0\.5"):
        described([True], (1.0, 0.5), 0.6)


@pytest.mark.parametrize("mix", ["factors", "products"])
def test_applying_is_multiplying_with_the_update(mix: Mix) -> None:
    (a, b), gates = experts(), router()(SHAPE).detach()
    x = torch.randn(2, 4, IN, dtype=torch.float64)
    assert torch.allclose(applied(x, a, b, gates, 0.25, mix), x @ mixed(a, b, gates, 0.25, mix).T, atol=1e-12)


def test_factors_have_cross_terms_and_products_have_not() -> None:
    (a, b), gates = experts(), torch.tensor([0.0, 0.7, 0.0, 0.3, 0.0], dtype=torch.float64)
    cross = 0.7 * 0.3 * (b[1] @ a[3] + b[3] @ a[1])
    squares = 0.7**2 * b[1] @ a[1] + 0.3**2 * b[3] @ a[3]
    assert torch.allclose(mixed(a, b, gates, 2.0, "factors"), 2 * (squares + cross))
    assert torch.allclose(mixed(a, b, gates, 2.0, "products"), 2 * (0.7 * b[1] @ a[1] + 0.3 * b[3] @ a[3]))


@pytest.mark.parametrize("mix", ["factors", "products"])
def test_experts_that_are_not_chosen_get_no_gradient(mix: Mix) -> None:
    a, b = (part.requires_grad_() for part in experts())
    one = router()
    gates = one(SHAPE)
    applied(torch.randn(4, IN, dtype=torch.float64), a, b, gates, 1.0, mix).square().sum().backward()
    for grad in (a.grad, b.grad):
        assert grad is not None
        assert [bool((part != 0).any()) for part in grad] == (gates > 0).tolist()
    assert one.inner.weight.grad is not None and bool((one.inner.weight.grad != 0).any())


@pytest.mark.parametrize(("mix", "kind"), [("factors", "linear"), ("products", "cat")])
def test_peft_sums_adapters_to_the_same_update(mix: Mix, kind: str) -> None:
    """PEFT weighs both factors with the root of a weight, so that gates are given squared for the sum of factors."""
    a, b = experts()
    gates = torch.tensor([0.0, 0.7, 0.0, 0.3, 0.0], dtype=torch.float64)
    base = nn.Sequential(nn.Linear(IN, OUT, bias=False).double())
    settings = LoraConfig(r=R, lora_alpha=2 * R, target_modules=["0"])
    model: Any = get_peft_model(base, settings, adapter_name="e0")
    for expert in range(1, E):
        model.add_adapter(f"e{expert}", settings)
    layer = model.base_model.model[0]
    for expert in range(E):
        layer.lora_A[f"e{expert}"].weight.data = a[expert].clone()
        layer.lora_B[f"e{expert}"].weight.data = b[expert].clone()
    weights = [float(gates[expert]) ** (2 if kind == "linear" else 1) for expert in (1, 3)]
    model.add_weighted_adapter(["e1", "e3"], weights, "sum", combination_type=kind)
    assert torch.allclose(layer.get_delta_weight("sum"), mixed(a, b, gates, 2.0, mix), atol=1e-6)
