"""Masks of real, tiny models: the statistics at their place, the constants that make up, seeds, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.amoeballm import importance, texts
from methods.amoeballm.blocks import blocks, geometry, linear
from methods.amoeballm.config import UnitsConfig, WidthConfig
from methods.amoeballm.subnets import Mask, Subnets, read, write
from methods.amoeballm.widths import fluctuation_masks, observed, taylor_scores, unit_masks
from tests import pico

TOKENIZER = pico.tokenizer()
WIDTH = WidthConfig(ratios=(0.75, 0.5), windows=6, window=16, batch_size=2)
UNITS = UnitsConfig(ratios=(0.75, 0.5), windows=4, window=16, batch_size=4)


def quiet() -> Log:
    return Log("test", stream=io.StringIO())


def qwen2() -> PreTrainedModel:
    """Six query heads of four channels, three to a group; q, k and v with biases that are not 0."""
    shape = dict(vocab_size=pico.VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = Qwen2Config(**shape, num_attention_heads=6, num_key_value_heads=2, initializer_range=0.4)
        model = Qwen2ForCausalLM(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter)
    return model


def made(kind: str) -> PreTrainedModel:
    """In double precision, so that sums in another order are the same to 1e-9 (RMSNorm rounds to float32 inside)."""
    return (qwen2() if kind == "qwen2" else pico.model(kind)).double()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "texts.jsonl"
    rows = [{"text": f"The {n}th row has {n * n} words & more, {n % 7 * 'so '}it says."} for n in range(20)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@contextmanager
def inputs_of(model: PreTrainedModel, name: str) -> Iterator[list[list[Tensor]]]:
    """All that a linear of each block reads within the context, [T, C] a window."""
    read: list[list[Tensor]] = [[] for _ in blocks(model)]

    def hook(layer: int) -> Any:
        return lambda _, args: read[layer].extend(args[0].detach())

    handles = [linear(block, name).register_forward_pre_hook(hook(at)) for at, block in enumerate(blocks(model))]
    yield read
    for handle in handles:
        handle.remove()


def run(model: PreTrainedModel, windows: Tensor, name: str) -> Tensor:
    """Inputs [L, N, T, C] of a linear, with one window at a time."""
    with inputs_of(model, name) as read, torch.no_grad():
        for window in windows:
            model(input_ids=window[None], use_cache=False)
    return torch.stack([torch.stack(layer) for layer in read])


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral"])
@pytest.mark.parametrize("name", ["o_proj", "down_proj"])
def test_statistics_are_those_of_the_unpruned_models_inputs(kind: str, name: str, path: Path) -> None:
    model = made(kind)
    windows = texts.windows(TOKENIZER, path, 5, 16, 0)
    inputs = run(model, windows, name)
    found = observed(model, windows, 2, quiet())[name]
    assert torch.allclose(torch.stack([one.mean for one in found]), inputs.mean((1, 2)), atol=1e-6)
    means = torch.stack([inputs[:, : at + 1].mean((1, 2)) for at in range(5)], 1)  # [L, N, C]
    spread = (inputs - means[:, :, None]).square().sum(2)
    weights = torch.tensor([0.0, 1 / 2, 2 / 3, 3 / 4, 4 / 5]).double()[:, None]
    assert torch.allclose(torch.stack([one.fluctuation for one in found]), (spread * weights).sum(1) / 4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("mode", ["adaptive", "uniform"])
def test_the_bias_restores_the_mean_output_of_a_layer(kind: str, mode: Any, path: Path) -> None:
    """Invariant 9: over the calibration windows, for the inputs that the layer had."""
    model = made(kind)
    sizes = geometry(model)
    masks, _ = fluctuation_masks(model, TOKENIZER, path, replace(WIDTH, mode=mode, ratios=(0.5, 0.3)), 3, quiet())
    windows = texts.windows(TOKENIZER, path, WIDTH.windows, WIDTH.window, 3)
    for name, units, biases in (
        ("o_proj", "groups", "attention_bias"),
        ("down_proj", "neurons", "mlp_bias"),
    ):
        inputs = run(model, windows, name)
        for mask in masks.values():
            kept = getattr(mask, units)
            assert not kept.all() and kept.any()
            channels = kept.repeat_interleave(sizes.per_group * sizes.head_dim, 1) if units == "groups" else kept
            bias = getattr(mask, biases)
            assert bias.dtype == torch.float32 and bias.shape == (sizes.layers, sizes.hidden)
            for layer, block in enumerate(blocks(model)):
                part = linear(block, name)
                with torch.no_grad():
                    whole = part(inputs[layer]).mean((0, 1))
                    masked = part(inputs[layer] * channels[layer]).mean((0, 1))
                assert torch.allclose(masked + bias[layer], whole, atol=1e-5)
                assert channels[layer].all() or not torch.allclose(masked, whole, atol=1e-3)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("squared", [True, False])
def test_scores_and_masks_from_first_principles(kind: str, squared: bool, path: Path) -> None:
    """WIFV and the threshold over all layers, with loops over heads."""
    model = made(kind)
    sizes = geometry(model)
    config = replace(WIDTH, square_attention=squared)
    masks, scores = fluctuation_masks(model, TOKENIZER, path, config, 0, quiet())
    seen = observed(model, texts.windows(TOKENIZER, path, 6, 16, 0), 2, quiet())
    units: list[tuple[float, float]] = []
    for layer, block in enumerate(blocks(model)):
        ranked = {}
        for name in ("o_proj", "down_proj"):
            norm = linear(block, name).weight.detach().square().sum(0)
            s = seen[name][layer].fluctuation * norm
            s = s * s if name == "o_proj" and squared else s
            ranked[name] = ((s - s.mean()) / s.std()).tolist()
        width, wide = sizes.head_dim, sizes.per_group
        heads = [sum(ranked["o_proj"][width * head : width * head + width]) / width for head in range(sizes.heads)]
        groups = [sum(heads[wide * group : wide * group + wide]) / wide for group in range(sizes.groups)]
        assert scores["groups"][layer].tolist() == pytest.approx(groups, abs=1e-9)
        assert scores["neurons"][layer].tolist() == pytest.approx(ranked["down_proj"], abs=1e-9)
        units += [(score, (2 * wide + 2) * width / 3) for score in groups] + [(s, 1.0) for s in ranked["down_proj"]]
    units.sort(reverse=True)
    total = sum(cost for _, cost in units)
    for ratio, mask in masks.items():
        cumulated, distances = 0.0, []
        for score, cost in units:
            cumulated += cost
            distances.append((abs(cumulated - ratio * total), score))
        threshold = min(distances, key=lambda pair: pair[0])[1]
        kept = sum(score > threshold + 1e-9 for score, _ in units)
        assert int(mask.groups.sum() + mask.neurons.sum()) == kept


def test_uniform_widths_keep_the_same_counts_in_every_layer(path: Path) -> None:
    """Invariant 9: groups are rounded up, ceil(0.6 * 2) and ceil(0.5 * 2); of 64 neurons 38.4 and 32 to the nearest."""
    config = replace(WIDTH, mode="uniform", ratios=(0.6, 0.5))
    masks, scores = fluctuation_masks(made("llama"), TOKENIZER, path, config, 0, quiet())
    assert {ratio: mask.groups.sum(1).tolist() for ratio, mask in masks.items()} == {0.6: [2, 2], 0.5: [1, 1]}
    assert {ratio: mask.neurons.sum(1).tolist() for ratio, mask in masks.items()} == {0.6: [38, 38], 0.5: [32, 32]}
    assert scores["groups"].shape == (2, 2) and scores["neurons"].shape == (2, 64)


def same(
    first: tuple[dict[float, Mask], dict[str, Tensor]], second: tuple[dict[float, Mask], dict[str, Tensor]]
) -> bool:
    pairs = [(first[1][kind], second[1][kind]) for kind in first[1]]
    for ratio, mask in first[0].items():
        pairs += [(part, getattr(second[0][ratio], name)) for name, part in vars(mask).items() if part is not None]
    return all(torch.equal(one, other) for one, other in pairs)


def test_the_seed_decides_to_the_last_bit(path: Path) -> None:
    """In float32, as jobs run."""
    model = pico.model("llama")
    first, again, other = (fluctuation_masks(model, TOKENIZER, path, WIDTH, seed, quiet()) for seed in (1, 1, 2))
    assert same(first, again) and not same(first, other)
    drawn = [unit_masks("random", model, None, None, UNITS, seed, quiet()) for seed in (1, 1, 2)]
    assert same(drawn[0], drawn[1]) and not same(drawn[0], drawn[2])


def test_how_many_windows_go_at_once_hardly_matters(path: Path) -> None:
    """Not to the bit: matrix products of other shapes round otherwise, and then the model's RMSNorm in float32."""
    model = made("llama")
    found = [
        fluctuation_masks(model, TOKENIZER, path, replace(WIDTH, batch_size=size), 0, quiet()) for size in (1, 4, 6)
    ]
    for masks, scores in found[1:]:
        for kind, values in scores.items():
            assert torch.allclose(values, found[0][1][kind], atol=1e-4)
        for ratio, mask in masks.items():
            assert torch.equal(mask.groups, found[0][0][ratio].groups)
            assert torch.equal(mask.neurons, found[0][0][ratio].neurons)


@pytest.mark.parametrize(("score", "bias"), [("wanda_sp", True), ("WIFV", False)])
def test_without_compensation(score: Any, bias: bool, path: Path) -> None:
    masks, _ = fluctuation_masks(
        pico.model("llama"), TOKENIZER, path, replace(WIDTH, score=score, bias=bias), 0, quiet()
    )
    assert all(mask.attention_bias is None and mask.mlp_bias is None for mask in masks.values())


def test_the_model_stays_as_it_was(path: Path) -> None:
    model = pico.model("llama").train()
    model.get_decoder().embed_tokens.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    required = [parameter.requires_grad for parameter in model.parameters()]
    fluctuation_masks(model, TOKENIZER, path, WIDTH, 0, quiet())
    unit_masks("taylor", model, TOKENIZER, path, UNITS, 0, quiet())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == required
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_dropout_is_off(path: Path) -> None:
    model = pico.model("llama")
    found = [fluctuation_masks(model, TOKENIZER, path, WIDTH, 0, quiet())]
    found.append(unit_masks("taylor", model, TOKENIZER, path, UNITS, 0, quiet()))
    for block in blocks(model.train()):
        block.self_attn.attention_dropout = 0.5
    assert same(found[0], fluctuation_masks(model, TOKENIZER, path, WIDTH, 0, quiet()))
    assert same(found[1], unit_masks("taylor", model, TOKENIZER, path, UNITS, 0, quiet()))


def loss_of(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Mean negative log-likelihood of the next tokens, without the library's loss."""
    chances = model(input_ids=windows, use_cache=False).logits[:, :-1].log_softmax(-1)
    return -chances.gather(-1, windows[:, 1:, None]).mean()


def slopes(model: PreTrainedModel, windows: Tensor, name: str, units: int) -> Tensor:
    """dL/dm [L, units] at m = 1, of multipliers m on what a linear's units hand to it."""
    masks = torch.ones(len(blocks(model)), units, dtype=torch.float64, requires_grad=True)
    handles = []
    for layer, block in enumerate(blocks(model)):
        part = linear(block, name)

        def multiply(_: Any, args: tuple[Tensor], layer: int = layer, size: int = part.in_features // units) -> Tensor:
            return args[0] * masks[layer].repeat_interleave(size)

        handles.append(part.register_forward_pre_hook(multiply))
    (found,) = torch.autograd.grad(loss_of(model, windows), masks)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_taylor_score_is_made_of_the_slopes_of_a_mask(kind: str, path: Path) -> None:
    """sum w dL/dw over o_proj's columns of a group is dL/dm, and so it is over the rows of v with their biases.

    The score adds up the sizes of the same products, with those of the unit's other linears.
    """
    model = made(kind)
    sizes = geometry(model)
    windows = texts.windows(TOKENIZER, path, 3, 16, 0)
    expected: dict[str, list[Tensor]] = {"groups": [], "neurons": []}
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss_of(model, windows), list(parameters.values()))
    products = {name: (w * g).detach() for (name, w), g in zip(parameters.items(), gradients, strict=True)}
    for reader, writer, units, kind_of in (
        ("self_attn.o_proj", "self_attn.v_proj", sizes.groups, "groups"),
        ("mlp.down_proj", "mlp.up_proj", sizes.neurons, "neurons"),
    ):
        slope = slopes(model, windows, reader.split(".")[1], units)
        for layer in range(sizes.layers):
            place = f"model.layers.{layer}."
            read = products[f"{place}{reader}.weight"].T.reshape(units, -1).sum(1)
            written = products[f"{place}{writer}.weight"].reshape(units, -1).sum(1)
            if f"{place}{writer}.bias" in products:
                written = written + products[f"{place}{writer}.bias"].reshape(units, -1).sum(1)
            assert torch.allclose(read, slope[layer], atol=1e-6) and torch.allclose(written, slope[layer], atol=1e-6)
            part = reader.split(".")[0]
            row = torch.zeros(units).double()
            for name, product in products.items():
                if name.startswith(f"{place}{part}.") and "_norm" not in name:
                    turned = product.T if name == f"{place}{reader}.weight" else product
                    row += turned.abs().reshape(units, -1).sum(1)
            expected[kind_of].append(row)
    for size in (3, 2):  # of unequal batches, too: the loss is that of all windows
        scores = taylor_scores(model, windows, size, quiet())
        for kind_of, rows in expected.items():
            assert torch.allclose(scores[kind_of], torch.stack(rows), rtol=1e-4)


def test_magnitude_ranks_by_the_weights_alone() -> None:
    model = made("qwen2")
    masks, scores = unit_masks("magnitude", model, None, None, UNITS, 0, quiet())
    block = blocks(model)[1]
    parts = [linear(block, "gate_proj").weight[7], linear(block, "up_proj").weight[7]]
    squares = sum(part.square().sum().item() for part in [*parts, linear(block, "down_proj").weight[:, 7]])
    assert float(scores["neurons"][1, 7]) == pytest.approx(squares**0.5, rel=1e-12)
    for mask in masks.values():
        assert mask.attention_bias is None and mask.mlp_bias is None
        for row, kept in zip(scores["neurons"], mask.neurons, strict=True):
            assert row[kept].min() > row[~kept].max()


def test_adaptive_units_are_standardised_in_each_layer_first(path: Path) -> None:
    """A layer with 10 times larger weights is not for that kept whole."""
    model = made("llama")
    with torch.no_grad():
        for name in ("gate_proj", "up_proj", "down_proj"):
            linear(blocks(model)[0], name).weight.mul_(10)
    masks, scores = unit_masks("magnitude", model, None, None, replace(UNITS, mode="adaptive"), 0, quiet())
    assert torch.allclose(scores["neurons"].mean(1), torch.zeros(2).double(), atol=1e-12)
    assert abs(int(masks[0.5].neurons[0].sum()) - int(masks[0.5].neurons[1].sum())) < 20
    weight = importance.group_weight(2, 8)
    kept = weight * float(masks[0.5].groups.sum()) + float(masks[0.5].neurons.sum())
    assert abs(kept - 0.5 * (4 * weight + 128)) <= 1.5 * weight


def test_what_is_found_can_be_written(path: Path, tmp_path: Path) -> None:
    masks, scores = fluctuation_masks(pico.model("llama"), TOKENIZER, path, WIDTH, 0, quiet())
    write(tmp_path, Subnets(layers=2, removed={0: ()}, masks=masks, scores=scores))
    again = read(tmp_path)
    assert same((masks, scores), (dict(again.masks), dict(again.scores)))


def test_one_window_does_not_fluctuate(path: Path) -> None:
    with pytest.raises(UserError, match="key 'windows': given 1, allowed: 2 and more for score WIFV"):
        fluctuation_masks(pico.model("llama"), TOKENIZER, path, replace(WIDTH, windows=1), 0, quiet())
    masks, _ = fluctuation_masks(
        pico.model("llama"), TOKENIZER, path, replace(WIDTH, windows=1, score="WIFN"), 0, quiet()
    )
    assert masks[0.5].neurons.any()


def test_texts_shorter_than_a_window(path: Path) -> None:
    with pytest.raises(UserError, match="fewer than one window of 5000"):
        fluctuation_masks(pico.model("llama"), TOKENIZER, path, replace(WIDTH, window=5000), 0, quiet())
    with pytest.raises(UserError, match="fewer than one window of 5000"):
        unit_masks("taylor", pico.model("llama"), TOKENIZER, path, replace(UNITS, window=5000), 0, quiet())


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_overflow_are_refused(value: float, path: Path) -> None:
    model = pico.model("llama")
    with torch.no_grad():
        linear(blocks(model)[1], "down_proj").weight[0, 0] = value
    with pytest.raises(UserError, match="layer 1's neurons are not finite"):
        unit_masks("magnitude", model, None, None, UNITS, 0, quiet())
    with pytest.raises(UserError, match="layer 1's neurons are not finite"):
        fluctuation_masks(model, TOKENIZER, path, WIDTH, 0, quiet())


def test_taylor_needs_texts() -> None:
    with pytest.raises(ValueError, match="needs texts"):
        unit_masks("taylor", pico.model("llama"), TOKENIZER, None, UNITS, 0, quiet())
