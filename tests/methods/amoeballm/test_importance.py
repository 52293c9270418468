"""Scores against loops over single weights, and masks against the budgets that they must keep."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from methods.amoeballm import importance

LAYERS, GROUPS, NEURONS = 4, 6, 50
WEIGHT = 512 / 3


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_channel_scores() -> None:
    weight, fluctuation, squares = drawn(3, 4), drawn(4, seed=1).abs(), drawn(4, seed=2).square()
    expected: dict[str, list[float]] = {"WIFV": [], "IFV": [], "WIFN": [], "wanda_sp": []}
    for channel in range(4):
        column = weight[:, channel].tolist()
        expected["WIFV"].append(float(fluctuation[channel]) * sum(w * w for w in column))
        expected["IFV"].append(float(fluctuation[channel]))
        expected["WIFN"].append(sum(abs(w) for w in column) / 3 * math.sqrt(squares[channel]))
    expected["wanda_sp"] = expected["WIFN"]
    for score, values in expected.items():
        found = importance.channel_scores(score, weight, fluctuation, squares)  # type: ignore[arg-type]
        assert found.tolist() == pytest.approx(values, rel=1e-12), score


def test_standardised_scores_have_mean_0_and_the_samples_deviation_1() -> None:
    found = importance.standardised(1000 * drawn(LAYERS, NEURONS) + 7)
    assert torch.allclose(found.mean(1), torch.zeros(LAYERS).double(), atol=1e-12)
    assert torch.allclose(found.square().sum(1) / (NEURONS - 1), torch.ones(LAYERS).double(), rtol=1e-12)


@pytest.mark.parametrize("scores", [torch.full((2, 5), 0.1).double(), torch.tensor([[3.0], [0.0]])])
def test_equal_scores_become_0(scores: torch.Tensor) -> None:
    """0.1 five times has a standard deviation of a rounding error, which must not be divided by; one score has none."""
    assert torch.equal(importance.standardised(scores), torch.zeros_like(scores))


def test_only_the_constant_layer_becomes_0() -> None:
    scores = torch.stack([torch.ones(5).double(), drawn(5)])
    found = importance.standardised(scores)
    assert torch.equal(found[0], torch.zeros(5).double())
    assert torch.allclose(found[1], importance.standardised(scores[1:])[0])


def test_a_group_has_the_mean_of_its_heads() -> None:
    """Six heads of four channels, three to a group."""
    channels = drawn(2, 24)
    heads = channels.reshape(2, 6, 4).mean(2)
    expected = torch.stack([heads[:, :3].mean(1), heads[:, 3:].mean(1)], 1)
    assert torch.allclose(importance.pooled(channels, 2), expected, rtol=1e-12)


def test_weight_of_a_group() -> None:
    assert importance.group_weight(1, 128) == 512 / 3
    assert importance.group_weight(3, 64) == 8 * 64 / 3  # three query and output heads, a key and a value head


def by_hand(groups: torch.Tensor, neurons: torch.Tensor, ratio: float, weight: float) -> float:
    """The threshold of AL-AM, by a loop over all units from the best down."""
    units = sorted([(s, weight) for s in groups.flatten().tolist()] + [(s, 1.0) for s in neurons.flatten().tolist()])
    total = sum(cost for _, cost in units)
    nearest, threshold, cumulated = math.inf, math.nan, 0.0
    for score, cost in reversed(units):
        cumulated += cost
        if abs(cumulated - ratio * total) < nearest:
            nearest, threshold = abs(cumulated - ratio * total), score
    return threshold


@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.5, 0.625, 0.75, 0.875, 0.99])
@pytest.mark.parametrize("weight", [5.0, WEIGHT])
@pytest.mark.parametrize("seed", range(3))
def test_adaptive_masks_keep_what_is_above_the_threshold(ratio: float, weight: float, seed: int) -> None:
    groups, neurons = drawn(LAYERS, GROUPS, seed=seed), drawn(LAYERS, NEURONS, seed=seed + 9)
    threshold = by_hand(groups, neurons, ratio, weight)
    kept_groups, kept_neurons = importance.adaptive(groups, neurons, ratio, weight)
    assert kept_groups.tolist() == [[score > threshold for score in row] for row in groups.tolist()]
    assert kept_neurons.tolist() == [[score > threshold for score in row] for row in neurons.tolist()]
    # The unit at the threshold goes, too
    kept = weight * kept_groups.sum() + kept_neurons.sum()
    total = LAYERS * (GROUPS * weight + NEURONS)
    assert ratio * total - 1.5 * weight <= kept <= ratio * total + 0.5 * weight


def test_where_all_units_weigh_the_same_the_kept_weight_is_within_one_of_the_target() -> None:
    """Invariant 9; the target of 0.5 is 112 of 224, of which the strict threshold takes one."""
    kept = importance.adaptive(drawn(LAYERS, GROUPS), drawn(LAYERS, NEURONS, seed=9), 0.5, 1.0)
    assert sum(int(mask.sum()) for mask in kept) == 111


def test_ratio_1_removes_nothing() -> None:
    """The code removes the unit with the smallest score."""
    for kept in importance.adaptive(drawn(LAYERS, GROUPS), drawn(LAYERS, NEURONS, seed=9), 1.0, WEIGHT):
        assert kept.all()
    assert importance.uniform(drawn(LAYERS, GROUPS), 1.0, "up").all()
    assert importance.uniform(drawn(LAYERS, NEURONS), 1.0, "nearest").all()


def test_a_layer_may_lose_everything() -> None:
    groups, neurons = drawn(LAYERS, GROUPS), drawn(LAYERS, NEURONS, seed=9)
    groups[2], neurons[1] = -100.0, -100.0
    kept_groups, kept_neurons = importance.adaptive(groups, neurons, 0.5, 10.0)
    assert not kept_groups[2].any() and not kept_neurons[1].any()
    assert kept_groups[0].any() and kept_neurons[0].any()


@pytest.mark.parametrize(
    ("units", "ratio", "rounding", "count"),
    [
        (3, 2 / 3, "up", 2),
        (3, 0.625, "up", 2),
        (3, 0.01, "up", 1),
        (100, 0.55, "up", 55),  # 0.55 * 100 is 55.00000000000001
        (50, 0.625, "nearest", 31),
        (10, 0.25, "nearest", 2),  # half to even
        (50, 0.005, "nearest", 1),  # never none
    ],
)
def test_uniform_masks_keep_the_requested_counts(units: int, ratio: float, rounding: Any, count: int) -> None:
    """Invariant 9."""
    scores = drawn(LAYERS, units)
    kept = importance.uniform(scores, ratio, rounding)
    assert kept.sum(1).tolist() == [count] * LAYERS
    for row, mask in zip(scores, kept, strict=True):
        assert count == units or row[mask].min() > row[~mask].max()


def test_of_equal_scores_the_first_stays() -> None:
    assert importance.uniform(torch.ones(1, 4), 0.5, "up").tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.1, math.nan])
def test_impossible_ratios_are_refused(ratio: float) -> None:
    scores = drawn(LAYERS, GROUPS)
    with pytest.raises(ValueError, match="above 0, at most 1"):
        importance.uniform(scores, ratio, "up")
    with pytest.raises(ValueError, match="above 0, at most 1"):
        importance.adaptive(scores, scores, ratio, 1.0)


def test_compensation_is_what_the_removed_channels_give() -> None:
    """Two units of two channels; the second goes."""
    weight, mean = drawn(3, 4), drawn(4, seed=1)
    found = importance.compensation(weight, mean, torch.tensor([True, False]))
    expected = [float(weight[out, 2] * mean[2] + weight[out, 3] * mean[3]) for out in range(3)]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert torch.equal(importance.compensation(weight, mean, torch.tensor([True, True])), torch.zeros(3).double())


def attention() -> dict[str, torch.Tensor]:
    """Two groups of two heads of three channels, hidden 5, with biases."""
    shapes = {"q_proj": (12, 5), "k_proj": (6, 5), "v_proj": (6, 5), "o_proj": (5, 12), "q_proj.bias": (12,)}
    return {name: drawn(*shape, seed=at) for at, (name, shape) in enumerate(shapes.items())}


def parts_of(tensors: dict[str, torch.Tensor], group: int) -> list[float]:
    """All numbers that go with a group, taken one by one."""
    wide, narrow = range(6 * group, 6 * group + 6), range(3 * group, 3 * group + 3)
    found = [float(tensors["q_proj"][row, at]) for row in wide for at in range(5)]
    found += [float(tensors[name][row, at]) for name in ("k_proj", "v_proj") for row in narrow for at in range(5)]
    found += [float(tensors["o_proj"][at, column]) for column in wide for at in range(5)]
    return found + [float(tensors["q_proj.bias"][row]) for row in wide]


def test_magnitude_is_the_norm_of_all_that_goes_with_a_unit() -> None:
    weights = attention()
    expected = [math.sqrt(sum(w * w for w in parts_of(weights, group))) for group in range(2)]
    assert importance.magnitude(weights, 2).tolist() == pytest.approx(expected, rel=1e-12)


def test_taylor_sums_sizes_of_single_products() -> None:
    weights = attention()
    gradients = {name: drawn(*part.shape, seed=50 + at) for at, (name, part) in enumerate(weights.items())}
    expected = [
        sum(abs(w * g) for w, g in zip(parts_of(weights, group), parts_of(gradients, group), strict=True))
        for group in range(2)
    ]
    assert importance.taylor(weights, gradients, 2).tolist() == pytest.approx(expected, rel=1e-12)


def test_random_scores_follow_the_generator() -> None:
    first, again, other = (importance.random((2, 9), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.min() >= 0 and first.max() < 1 and first.unique().numel() == 18
