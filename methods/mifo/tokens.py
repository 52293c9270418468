"""Which tokens of a demonstration are learned from, and at what loss (MIFO, arXiv 2510.04454, section 3.2; sheet 2.4).

s        one demonstration's tokens, the end token included; n = |s|
H_t      -sum_j p_tj ln p_tj over the whole vocabulary, in nats, at temperature 1; no gradient passes through the choice
choice   the max(1, ceil(rho n)) tokens of an example with the largest H_t, of equal ones the first; none if rho = 0
nll      -ln p(s_t);    dft: -sg[p(s_t)] ln p(s_t)
loss     sequence: mean over examples of (1/n) sum of chosen losses, the divisor being all of n (the paper's);
         token: sum of chosen losses of the batch over all its n

Rows of several examples lie one behind the other: logits [N, V] with `lengths` n_1, n_2, ... that add up to N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 512  # whose distributions are in memory at once

Choice = Literal["entropy", "random", "all"]
Reduction = Literal["sequence", "token"]


@torch.no_grad()
def uncertainty(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """H_t and -ln p(s_t), both [N] in float32, of logits [N, V] and targets [N]."""
    entropies, losses = [], []
    for rows, wanted in zip(logits.split(ROWS), targets.split(ROWS), strict=True):
        logp = rows.float().log_softmax(-1)
        entropies.append(entropy(logp))
        losses.append(-logp.gather(-1, wanted[:, None])[:, 0])
    return torch.cat(entropies), torch.cat(losses)


def entropy(logp: Tensor) -> Tensor:
    """H [N] of log-probabilities [N, V]; a token that cannot come (-inf) adds nothing."""
    return -(logp.exp() * logp.clamp(min=torch.finfo(logp.dtype).min)).sum(-1)


def chosen_of(share: float, length: int) -> int:
    """max(1, ceil(share * length)), the share read as the decimal number it is written as; 0 of share 0."""
    return max(1, math.ceil(Fraction(str(share)) * length)) if share else 0


def most_uncertain(entropies: Tensor, lengths: Sequence[int], share: float) -> Tensor:
    """The choice, bool [N]."""
    chosen = torch.zeros_like(entropies, dtype=torch.bool)
    for row, mask in zip(entropies.split(list(lengths)), chosen.split(list(lengths)), strict=True):
        order = row.sort(descending=True, stable=True).indices
        mask[order[: chosen_of(share, len(row))]] = True
    return chosen


def anywhere(lengths: Sequence[int], share: float, generator: torch.Generator) -> Tensor:
    """As many tokens of each example, drawn at random (a control); bool [N] on the CPU."""
    rows = [torch.rand(length, generator=generator, dtype=torch.float64) for length in lengths]
    return most_uncertain(torch.cat(rows), lengths, share)


def weights(lengths: Sequence[int], reduction: Reduction, examples: int, tokens: int) -> Tensor:
    """What each token's loss is multiplied by, [N], in a batch of so many examples and tokens."""
    if reduction == "token":
        return torch.full((sum(lengths),), 1 / tokens)
    return torch.cat([torch.full((length,), 1 / (length * examples)) for length in lengths])


def token_losses(logits: Tensor, targets: Tensor, loss: Literal["nll", "dft"], bonus: float = 0.0) -> Tensor:
    """nll or dft, less `bonus` times H, each token's: [N] of logits [N, V] and targets [N]."""
    logits = logits.float()
    losses = F.cross_entropy(logits, targets, reduction="none")
    if loss == "dft":
        losses = losses * torch.exp(-losses.detach())
    return losses - bonus * entropy(logits.log_softmax(-1)) if bonus else losses


def divergence(logits: Tensor, reference: Tensor) -> Tensor:
    """KL(pi || reference) [N] in nats, of two rows of logits [N, V]."""
    logp, other = logits.float().log_softmax(-1), reference.float().log_softmax(-1)
    return (logp.exp() * (logp - other)).sum(-1)
