"""LongMamba's calibration: from step sizes at training length to a threshold for every longer length.

Symbols: c channel (a head of Mamba-2), L training length, S a longer prompt, Delta step size after softplus, A < 0 the
channel's decay rate, C the clamped share, U the decay budget. [REL] etc. are the grades of config.py.

The state of channel c decays over a sequence by P = exp(A sum Delta). A channel whose P over L tokens exceeds theta is
*global*; over S >> L tokens its P goes to 0 and early tokens are lost. The cure keeps only the tokens with the largest
Delta, so many that their sum over S is the sum U over L: A is constant in a channel and cancels.

Departures from the released code: decay in logarithms (nothing underflows to "local"), sums in float64, and the
threshold is 0 for every S <= L (there, the table of a longer L would filter nearly everything between 2000 and L).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

AT_ONCE = 256  # channels whose stretched step sizes, or whose states' decays, are laid out together


def clamped(delta: Tensor, share: float) -> Tensor:
    """Step sizes with the largest `share` of each channel cut down to one value [REL].

    Args:
        delta: [C, L].
        share: C in 0..1; the cap is the k-th largest, k = max(1, floor(L C)), so 0 changes nothing.
    """
    rank = max(1, math.floor(delta.shape[-1] * share))
    cap = delta.topk(rank, dim=-1).values[:, -1:]
    return delta.minimum(cap)


def budget(delta: Tensor) -> Tensor:
    """U, the sum of (clamped) step sizes over the training length: [C, L] -> [C] float64."""
    return delta.double().sum(-1)


def log_decay(delta: Tensor, A: Tensor) -> Tensor:
    """ln P of every channel over the sequence, never underflowing.

    Args:
        delta: [C, L].
        A: [C], one rate a head (Mamba-2: P = exp(A sum Delta) [REL]), or [C, N], one a state entry (Mamba-1: the
            product over tokens of the mean over N of exp(A Delta) [PRE]).

    Returns:
        [C] float64, at most 0.
    """
    delta, A = delta.double(), A.double()
    if A.dim() == 1:
        return A * delta.sum(-1)
    parts = []
    for rates, steps in zip(A.split(AT_ONCE), delta.split(AT_ONCE), strict=True):
        exponents = rates[:, None, :] * steps[:, :, None]
        parts.append((exponents.logsumexp(-1) - math.log(A.shape[1])).sum(-1))
    return torch.cat(parts)


def threshold(delta: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The step size up to which tokens are filtered in a prompt of `length` tokens, and the share that is kept [REL].

    The sorted step sizes of the training length are stretched to `length` values (the same quantile function), and the
    largest are kept until their sum passes U. The threshold is the first value not kept.

    Args:
        delta: [C, L], clamped.

    Returns:
        thresholds [C] and kept shares [C], both float64; 0 and 1 where `length` does not exceed L.
    """
    channels, trained = delta.shape
    if length <= trained:
        return torch.zeros(channels, dtype=torch.float64), torch.ones(channels, dtype=torch.float64)
    parts = [_threshold(part, length) for part in delta.split(AT_ONCE)]
    return torch.cat([thresholds for thresholds, _ in parts]), torch.cat([shares for _, shares in parts])


def _threshold(delta: Tensor, length: int) -> tuple[Tensor, Tensor]:
    stretched = quantiles(delta, length)
    passed = stretched.cumsum(-1) > budget(delta)[:, None]
    # The stretched values sum to about U S / L > U, so some place passes; were it only rounding's, none is filtered.
    first = torch.where(passed.any(-1), passed.int().argmax(-1), length - 1)
    kept = first + 1
    padded = F.pad(stretched, (0, 1))  # nothing is left out where all are kept: threshold 0
    return padded.gather(-1, kept[:, None]).squeeze(-1), kept.double() / length


def quantiles(delta: Tensor, length: int) -> Tensor:
    """The step sizes of each channel in descending order, stretched linearly to `length` values: [C, S] float64."""
    ordered = delta.double().sort(-1, descending=True).values
    return F.interpolate(ordered[:, None], size=length, mode="linear", align_corners=False).squeeze(1)


def reduced(values: Tensor, how: str) -> Tensor:
    """Over calibration sequences, [M, ...] -> [...]: the elementwise "max" or the mean ("avg") [REL]."""
    return values.amax(0) if how == "max" else values.mean(0)


def reduced_log_decay(values: Tensor, how: str) -> Tensor:
    """The same of P, given and returned as ln P: [M, C] -> [C]."""
    return values.amax(0) if how == "max" else values.logsumexp(0) - math.log(len(values))
