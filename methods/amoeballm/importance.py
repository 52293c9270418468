"""Scores of heads and neurons, and which of them each width keeps (FLAP's structure AL-AM; arXiv 2411.10606, code).

C       input channels of o_proj (heads x head dimension) or of down_proj (neurons)
F, mu   fluctuation and mean of a channel (statistics.py)
unit    what goes or stays: a group of g query heads with their key and value head, or a neuron
rho     ratio that remains

    WIFV            s_c = F_c sum_out W[out, c]^2
    IFV             s_c = F_c
    WIFN, wanda_sp  s_c = mean_out |W[out, c]| ||X_c||; Wanda-sp makes up for nothing that it removes

Scores of o_proj's channels are squared once more, as in FLAP. Adaptive widths (AL-AM): scores are standardised in each
layer, a group has the mean of its channels, and *one* threshold over all units of all layers keeps rho of the weight.
A neuron weighs 1 (it has 3 x hidden parameters), a group (2g+2) d_h / 3, which at g=1, d_h=128 is the code's 512/3. The
threshold is the score at which the cumulated weight is nearest to rho of the total, and a unit stays if its score is
*strictly* above. The unit at the threshold goes: what stays is at most half a group above the target, and at most one
and a half below. A layer may lose all its groups or all its neurons.

Departures: groups of g > 1 heads (the code knows g=1 alone); rho = 1 removes nothing, where the code still removes the
worst unit; a layer whose scores are all equal has z = 0, where the code divides by 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

COLUMNS = ("o_proj", "down_proj")  # their units are columns of the weight; of the others rows, and entries of the bias


def channel_scores(
    score: Literal["WIFV", "IFV", "WIFN", "wanda_sp"], weight: Tensor, fluctuation: Tensor, squares: Tensor
) -> Tensor:
    """Score of each input channel of a linear, [C] float64.

    Args:
        score: how.
        weight: [out, C].
        fluctuation: F, [C].
        squares: squared norms of the channels' inputs, [C].
    """
    if score == "IFV":
        return fluctuation.double()
    if score == "WIFV":
        return fluctuation.double() * weight.double().square().sum(0)
    return weight.double().abs().mean(0) * squares.double().sqrt()


def standardised(scores: Tensor) -> Tensor:
    """(s - mean) / std over the last axis, with the sample's standard deviation; 0 where all scores are equal."""
    constant = scores.amax(-1, keepdim=True) == scores.amin(-1, keepdim=True)
    spread = scores.std(-1, keepdim=True) if scores.shape[-1] > 1 else torch.ones_like(scores)
    centred = scores - scores.mean(-1, keepdim=True)
    return torch.where(constant, torch.zeros_like(centred), centred / spread.masked_fill(constant, 1))


def pooled(scores: Tensor, units: int) -> Tensor:
    """Mean score of each unit's neighbouring channels: [..., C] -> [..., units]."""
    return scores.reshape(*scores.shape[:-1], units, -1).mean(-1)


def group_weight(per_group: int, head_dim: int) -> float:
    """What a group of `per_group` query heads weighs where a neuron weighs 1: (2g+2) d_h / 3."""
    return (2 * per_group + 2) * head_dim / 3


def adaptive(group_scores: Tensor, neuron_scores: Tensor, ratio: float, weight: float) -> tuple[Tensor, Tensor]:
    """Units above one threshold over all layers (AL-AM): kept groups [L, G] and neurons [L, I], bool.

    Args:
        group_scores: [L, G].
        neuron_scores: [L, I].
        ratio: rho, of the weight of all units.
        weight: of a group; `group_weight`.

    Raises:
        ValueError: a ratio that is not above 0 and at most 1.
    """
    _check(ratio)
    if ratio == 1:
        return torch.ones_like(group_scores, dtype=torch.bool), torch.ones_like(neuron_scores, dtype=torch.bool)
    scores = torch.cat([group_scores.flatten(), neuron_scores.flatten()])
    weights = torch.ones_like(scores, dtype=torch.float64)
    weights[: group_scores.numel()] = weight
    ranked, order = scores.sort(descending=True, stable=True)
    cumulated = weights[order].cumsum(0)
    threshold = ranked[(cumulated - ratio * weights.sum()).abs().argmin()]
    return group_scores > threshold, neuron_scores > threshold


def uniform(scores: Tensor, ratio: float, rounding: Literal["up", "nearest"]) -> Tensor:
    """The best `ratio` of each layer's units, equally many in every layer, at least one: [L, n] bool.

    "nearest" rounds a half to the even count; of equal scores the first stays.

    Raises:
        ValueError: a ratio that is not above 0 and at most 1.
    """
    _check(ratio)
    wanted = round(ratio * scores.shape[1], 9)  # 0.55 * 100 is above 55 in floating point
    count = math.ceil(wanted) if rounding == "up" else max(1, round(wanted))
    best = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, best, True)


def _check(ratio: float) -> None:
    if not 0 < ratio <= 1:
        raise ValueError(f"a ratio of {ratio}; allowed: above 0, at most 1")


def compensation(weight: Tensor, mean: Tensor, kept: Tensor) -> Tensor:
    """W (mu * (1 - mask)), what the removed channels gave on average: [out] float64.

    Args:
        weight: [out, C].
        mean: mu, [C].
        kept: units that stay, [n] bool; each has C / n neighbouring channels.
    """
    gone = ~kept.repeat_interleave(len(mean) // len(kept))
    return weight.double() @ (mean.double() * gone)


def unit_sums(parts: Mapping[str, Tensor], units: int) -> Tensor:
    """Sum over all that goes with a unit, [units] float64.

    Args:
        parts: by name of the linear, values shaped as its weight [out, in], or as its bias [out] under "q_proj.bias"
            and so on. Query heads that share a key and value head are neighbours, so that every unit is a slice.
        units: how many groups, or neurons.
    """
    sums = [(part.T if name in COLUMNS else part).double().reshape(units, -1).sum(1) for name, part in parts.items()]
    return torch.stack(sums).sum(0)


def taylor(weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor], units: int) -> Tensor:
    """LLM-Pruner's first-order score, element by element: sum of |w dL/dw| over a unit's coupled weights, [units]."""
    products = {name: (weight.double() * gradients[name].double()).abs() for name, weight in weights.items()}
    return unit_sums(products, units)


def magnitude(weights: Mapping[str, Tensor], units: int) -> Tensor:
    """L2 norm of a unit's coupled weights, [units]."""
    return unit_sums({name: weight.double().square() for name, weight in weights.items()}, units).sqrt()


def random(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Scores that mean nothing, uniform in [0, 1): [L, n] float64."""
    return torch.rand(shape, generator=generator, dtype=torch.float64)
