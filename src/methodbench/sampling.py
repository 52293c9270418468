"""From logits to one token a row: the filters of ordinary sampling, and draws that belong to a row alone.

Symbols: B rows, V vocabulary, K candidates that survive (K = V without top-k), l logits, tau temperature,
u uniform in [0, 1).

Filters in this order: l / tau; top-k (everything >= the k-th value stays, ties too); top-p (most probable first, the
token that crosses p stays); min-p (relative to the most probable token as in transformers, or absolute); softmax.
A draw is the inverse of the cumulative distribution in order of token ids: token = min{v : F(v) > u F(V)}. It depends
on the row's logits and on the row's u, never on the rows beside it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import torch
from torch import Tensor

from methodbench.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen. Without `do_sample` it is the most probable one and the rest is ignored.

    Raises:
        UserError: a value outside its range.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0  # 0: off
    top_p: float = 1.0  # 1: off
    min_p: float = 0.0  # 0: off
    absolute_min_p: bool = False  # min_p is a probability by itself, not a share of the greatest one

    def __post_init__(self) -> None:
        allowed = {
            "temperature": (self.temperature > 0, "a number above 0 (greedy is do_sample: false)"),
            "top_k": (self.top_k >= 0, "a whole number, 0 for off"),
            "top_p": (0 <= self.top_p <= 1, "a number from 0 to 1, 1 for off"),
            "min_p": (0 <= self.min_p <= 1, "a number from 0 to 1, 0 for off"),
        }
        for name, (fits, wanted) in allowed.items():
            if self.do_sample and not fits:
                raise UserError(f"sampling: key '{name}': given {getattr(self, name)!r}, allowed: {wanted}")


def greedy(logits: Tensor) -> Tensor:
    """The most probable token of each row: [B, V] -> [B] int64."""
    return logits.argmax(dim=-1)


def candidates(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor | None]:
    """The filtered distribution of each row, over few tokens where top-k allows it.

    Args:
        logits: [B, V] float32.

    Returns:
        probabilities [B, K], summing to 1, and their token ids [B, K], ascending; None for 0 … V-1.
    """
    scores = logits if sampling.temperature == 1 else logits / sampling.temperature
    ids: Tensor | None = None
    if 0 < sampling.top_k < scores.shape[-1]:
        scores, ids = _top_k(scores, sampling.top_k)
    if sampling.top_p < 1:
        scores = scores.masked_fill(_beyond_top_p(scores, sampling.top_p), -torch.inf)
    if sampling.min_p > 0:
        p = scores.softmax(-1)
        greatest = p.amax(-1, keepdim=True)
        floor = torch.full_like(greatest, sampling.min_p) if sampling.absolute_min_p else sampling.min_p * greatest
        scores = scores.masked_fill((p < floor) & (p < greatest), -torch.inf)
    return scores.softmax(-1), ids


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """The filtered distribution over the whole vocabulary: [B, V] -> [B, V]."""
    p, ids = candidates(logits, sampling)
    return p if ids is None else torch.zeros_like(logits).scatter_(-1, ids, p)


def draw(p: Tensor, ids: Tensor | None, uniforms: Tensor) -> Tensor:
    """One token a row by inversion.

    Args:
        p: [B, K] probabilities; ids: [B, K] or None, both as `candidates` gives them.
        uniforms: [B] float64 with 24 random bits, in [0, 1): u F(V) then stays below F(V) whatever is rounded, so
            a token of probability 0 is never drawn.

    Returns:
        [B] int64 token ids.
    """
    cumulative = p.cumsum(-1, dtype=torch.float64)
    place = torch.searchsorted(cumulative, (uniforms * cumulative[:, -1]).unsqueeze(-1), right=True)
    return (place if ids is None else ids.gather(-1, place)).squeeze(-1)


def row_uniforms(seed: int, count: int) -> Tensor:
    """The first `count` uniforms of a row's own stream: [count] float64 on the CPU, the same on every device."""
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)).double()


def stable_seed(*parts: object) -> int:
    """A 63-bit seed of the parts, the same in every process: rows of different items never share a stream."""
    digest = hashlib.sha256(json.dumps(parts, default=str).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Scores and ids of the k greatest, ids ascending; tokens tied with the k-th stay, as in transformers."""
    values, ids = scores.topk(k, dim=-1)
    kth = values[:, -1:]
    most = int((scores >= kth).sum(-1).max())
    if most > k:  # common with logits that were rounded to bfloat16
        values, ids = scores.topk(most, dim=-1)
        values = values.masked_fill(values < kth, -torch.inf)
    ids, order = ids.sort(dim=-1)
    return values.gather(-1, order), ids


def _beyond_top_p(scores: Tensor, top_p: float) -> Tensor:
    """[B, K] bool: tokens before which the more probable ones already hold `top_p` (ties: the lower id first)."""
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    p = ordered.softmax(-1)
    beyond = p.cumsum(-1) - p >= top_p
    beyond[:, 0] = False
    return torch.zeros_like(beyond).scatter_(-1, order, beyond)
