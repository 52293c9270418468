"""Importance of blocks: 0 for a block that does nothing, right against other ways to compute it, and no trace left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from methods.imm.importance import (
    all_right,
    completion_losses,
    distances,
    first_order,
    influence_sums,
    skip_effects,
    skipped,
)
from tests import pico

KINDS = ("llama", "qwen2", "qwen3")
IDS = torch.randint(4, pico.VOCABULARY, (3, 11), generator=torch.Generator().manual_seed(3))
REAL = torch.arange(11) < torch.tensor([11, 7, 9])[:, None]
WANTED = REAL & (torch.arange(11) >= 4)


def model(kind: str) -> PreTrainedModel:
    if kind != "qwen2":
        return pico.model(kind)
    shape = dict(vocab_size=pico.VOCABULARY, hidden_size=32, num_hidden_layers=2, intermediate_size=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Qwen2Config(**shape, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.4)
        return Qwen2ForCausalLM(config).eval()


def blocks(lm: PreTrainedModel) -> list[Any]:
    return list(lm.get_decoder().layers)


def logits(lm: PreTrainedModel, **kwargs: Any) -> Tensor:
    found: Tensor = lm(input_ids=IDS, attention_mask=REAL.long(), **{"use_cache": False, **kwargs}).logits
    return found


def measure_of(lm: PreTrainedModel) -> Callable[[], Tensor]:
    def measure() -> Tensor:
        losses, right = completion_losses(logits(lm), IDS, WANTED)
        return torch.stack([losses.double().mean(), all_right(right, WANTED).double().mean()])

    return measure


def silence(block: Any) -> None:
    """Both residual branches add 0: the block returns what it is given."""
    with torch.no_grad():
        block.self_attn.o_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()


class Pair(nn.Module):
    """A block that returns a tuple, and takes its hidden states by name."""

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, str]:
        return hidden_states + 1, "more"


# -- skipping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_skipped_block_is_a_silenced_one(kind: str, cache: bool) -> None:
    lm = model(kind)
    with skipped(blocks(lm)[1]):
        found = logits(lm, use_cache=cache)
    whole = logits(lm)
    silence(blocks(lm)[1])
    assert torch.equal(found, logits(lm))
    assert not torch.equal(found, whole)


def test_what_a_block_returns_beside_its_hidden_states_stays() -> None:
    block, given = Pair(), torch.zeros(2)
    with skipped(block):
        hidden, more = block(hidden_states=given)
    assert hidden is given and more == "more"
    assert torch.equal(block(hidden_states=given)[0], torch.ones(2))


def test_the_hook_goes_even_if_the_pass_fails() -> None:
    block = nn.Linear(2, 2)
    with pytest.raises(RuntimeError), skipped(block):
        block(torch.zeros(3))
    assert not block._forward_hooks


@pytest.mark.parametrize("kind", KINDS)
def test_effects_are_those_of_models_that_lack_the_block(kind: str) -> None:
    lm = model(kind)
    whole, effects = skip_effects(blocks(lm), measure_of(lm))
    assert torch.equal(whole, measure_of(lm)())
    for layer in range(2):
        lacking = model(kind)
        del lacking.get_decoder().layers[layer]
        lacking.config.num_hidden_layers = 1
        assert torch.equal(effects[layer], measure_of(lacking)() - whole)
    assert effects[:, 0].abs().min() > 0.01


# -- losses and hits ---------------------------------------------------------------------------------------------------


def test_losses_of_wanted_tokens_one_by_one() -> None:
    found = logits(model("llama"))
    losses, right = completion_losses(found, IDS, WANTED)
    expected = [
        (-torch.log_softmax(found[row, at - 1].double(), -1)[IDS[row, at]], found[row, at - 1].argmax() == IDS[row, at])
        for row in range(3)
        for at in range(11)
        if WANTED[row, at]
    ]
    assert torch.allclose(losses.double(), torch.stack([loss for loss, _ in expected]), rtol=1e-5)
    assert right.tolist() == [bool(hit) for _, hit in expected]


def test_a_row_is_right_if_all_of_it_is() -> None:
    wanted = torch.tensor([[False, True, True], [False, True, False], [False, False, True]])
    assert all_right(torch.tensor([True, False, True, True]), wanted).tolist() == [False, True, True]


# -- identity blocks and traces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_that_does_nothing_matters_nothing(kind: str) -> None:
    lm = model(kind)
    silence(blocks(lm)[0])
    _, effects = skip_effects(blocks(lm), measure_of(lm))
    assert effects[0].tolist() == [0, 0] and effects[1, 0] != 0
    with torch.no_grad():
        influence = influence_sums(blocks(lm), lambda: logits(lm), REAL)
    assert influence[0] == 0 < influence[1]
    gradient = first_order(blocks(lm), [completion_losses(logits(lm), IDS, WANTED)[0].mean()])
    assert gradient[0] == 0 < gradient[1]


@pytest.mark.parametrize("kind", KINDS)
def test_measuring_leaves_no_trace(kind: str) -> None:
    lm = model(kind)
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    output = logits(lm)
    skip_effects(blocks(lm), measure_of(lm))
    influence_sums(blocks(lm), lambda: logits(lm), REAL)
    first_order(blocks(lm), [completion_losses(logits(lm), IDS, WANTED)[0].mean()])
    assert torch.equal(logits(lm), output)
    assert all(torch.equal(value, before[name]) for name, value in lm.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in lm.parameters())
    assert not any(module._forward_hooks for module in lm.modules())


# -- block influence ---------------------------------------------------------------------------------------------------


def test_influence_is_that_of_the_hidden_states() -> None:
    """transformers' own hidden states; its last one is normalised, so only the first block can be compared."""
    lm = model("qwen3")
    with torch.no_grad():
        states = lm(input_ids=IDS, attention_mask=REAL.long(), use_cache=False, output_hidden_states=True).hidden_states
        found = influence_sums(blocks(lm), lambda: logits(lm), REAL)
    cosine = torch.cosine_similarity(states[0].double(), states[1].double(), dim=-1)
    assert float(found[0]) == pytest.approx(float((1 - cosine)[REAL].sum()), rel=1e-6)


def test_distances() -> None:
    before = torch.tensor([[1.0, 0], [1, 2], [1, 0], [0, 0]], dtype=torch.float64)
    after = torch.tensor([[0.0, 3], [-2, -4], [1, 1], [1, 0]], dtype=torch.float64)
    assert distances(before, after).tolist() == pytest.approx([1, 2, 1 - 0.5**0.5, 1])
    rows = torch.randn(500, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert (distances(rows, rows) == 0).all()


# -- first order -------------------------------------------------------------------------------------------------------


def test_first_order_is_what_small_changes_of_the_weights_do() -> None:
    """|theta_i dL/dtheta_i| by central differences in theta_i, for every weight of two small blocks."""
    chance = torch.Generator().manual_seed(5)
    layers = [nn.Linear(3, 3).double() for _ in range(2)]
    for layer in layers:
        for weight in layer.parameters():
            weight.data = torch.randn(weight.shape, generator=chance, dtype=torch.float64)
    inputs = torch.randn(4, 3, generator=chance, dtype=torch.float64)

    def loss(rows: Tensor) -> Tensor:
        hidden = rows
        for layer in layers:
            hidden = torch.tanh(layer(hidden))
        return hidden.square().sum() / 4

    found = first_order(layers, (loss(part) for part in inputs.split(3)))
    for layer, value in zip(layers, found, strict=True):
        products = []
        for weight in layer.parameters():
            flat = weight.data.view(-1)
            for at in range(len(flat)):
                kept, step = flat[at].item(), 1e-6
                flat[at] = kept + step
                up = loss(inputs).item()
                flat[at] = kept - step
                down = loss(inputs).item()
                flat[at] = kept
                products.append(abs(kept * (up - down) / (2 * step)))
        assert float(value) == pytest.approx(sum(products) / len(products), rel=1e-7)


def test_frozen_and_unused_weights_count_nothing() -> None:
    used, unused = nn.Linear(2, 2), nn.Linear(2, 2)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    found = first_order([used, unused, frozen], [used(torch.ones(2)).sum()])
    assert found[0] > 0 and found[1:].tolist() == [0, 0]
