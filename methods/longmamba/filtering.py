"""LongMamba's filter: which step sizes of a prompt become 0 in which channels.

A step size of 0 passes the channel's state on unchanged and adds nothing to it: exp(0 A) = 1 and 0 B x = 0. The token
still leaves its output in that channel and in all others; nothing is dropped from the sequence.

Symbols: B rows, T tokens of a prompt (or of a part of it), C channels, S the row's whole prompt length, U the decay
budget of a channel. Every rule takes Delta [B, T, C] and returns the share of it to keep: a mask, or a factor.
`real` [B, T] is false for padding, which never counts.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lookup(table: Tensor, grid: Tensor, lengths: Tensor, how: str) -> Tensor:
    """A row's entry of a table by length.

    Args:
        table: [G, C] by the lengths `grid` [G], ascending.
        lengths: [B].
        how: "nearest" (the first of two equally near [REL]), "floor", or "interpolate" (linearly).

    Returns:
        [B, C].
    """
    position = lengths.to(grid.dtype)[:, None]
    if how == "nearest":
        return table[(grid[None] - position).abs().argmin(-1)]
    below = (torch.searchsorted(grid, position, right=True).squeeze(-1) - 1).clamp(min=0)
    if how == "floor":
        return table[below]
    above = (below + 1).clamp(max=len(grid) - 1)
    width = (grid[above] - grid[below]).clamp(min=1)
    weight = ((position.squeeze(-1) - grid[below]) / width).clamp(0, 1).to(table.dtype)
    return torch.lerp(table[below], table[above], weight[:, None])


def above_threshold(delta: Tensor, thresholds: Tensor, ties: str) -> Tensor:
    """Keep what exceeds the row's threshold [B, C]; with ties "keep", what equals it, too. The published rule."""
    return delta >= thresholds[:, None] if ties == "keep" else delta > thresholds[:, None]


def within_budget(delta: Tensor, budgets: Tensor, real: Tensor) -> Tensor:
    """Keep the largest step sizes of the actual input while their sum stays within U [C]. Ties: the earlier token."""
    ordered, order = _descending(delta, real)
    return _back(ordered.cumsum(1) <= budgets, order) & real[..., None]


def by_rank(delta: Tensor, counts: Tensor, real: Tensor) -> Tensor:
    """Keep the `counts` [B, C] largest step sizes of each channel. Ties: the earlier token."""
    ordered, order = _descending(delta, real)
    ranks = torch.arange(ordered.shape[1], device=delta.device)[None, :, None]
    return _back(ranks < counts[:, None], order) & real[..., None]


def by_norm(delta: Tensor, count: int, real: Tensor) -> Tensor:
    """Keep the same `count` tokens in all channels: those whose Delta is longest over them."""
    norms = delta.double().square().sum(-1, keepdim=True)
    counts = torch.full((len(delta), 1), count, device=delta.device)
    return by_rank(norms, counts, real).expand_as(delta)


def rescale(delta: Tensor, budgets: Tensor, real: Tensor) -> Tensor:
    """The factor that brings the sum over the prompt to U [C]: no token is filtered, all are made smaller."""
    sums = (delta.double() * real[..., None]).sum(1, keepdim=True)
    return (budgets / sums.clamp(min=torch.finfo(torch.float64).tiny)).expand_as(delta)


def _descending(delta: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Values along the tokens from the largest, padding last, and where they came from."""
    return delta.double().masked_fill(~real[..., None], 0.0).sort(dim=1, descending=True, stable=True)


def _back(kept: Tensor, order: Tensor) -> Tensor:
    return torch.zeros_like(kept).scatter_(1, order, kept)
