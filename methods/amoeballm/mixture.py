"""SMoL, the shape-aware mixture of LoRAs: which experts a shape takes, and the update that they form together.

A shape is a vector [L + |W|]: 0 or 1 for each layer, then a one-hot of the width. One router serves all layers.

    h      = W2 (W1 x + b1) + b2                     two linears without an activation between them
    noisy  = h + softplus(Wn x + bn) * noise         noise is standard normal, or absent
    gates  = softmax over the k largest entries, 0 elsewhere
    delta  = scale (sum_e g_e B_e) (sum_e g_e A_e)   "factors", as in the official code: it has cross terms B_i A_j
    delta  = scale sum_e g_e B_e A_e                 "products", as a sum of experts is usually meant

The official code draws the noise in evaluation, too; here whoever calls decides, and extraction draws none.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Mix = Literal["factors", "products"]


class Router(nn.Module):
    """Gates of the experts for one shape.

    Args:
        inputs: length of a shape's vector.
        experts: E.
        hidden: width between the two linears; 16 in the official code.
        top_k: experts that are not 0, at most E.

    Raises:
        ValueError: `top_k` is not in 1..E.
    """

    def __init__(self, inputs: int, experts: int, hidden: int, top_k: int) -> None:
        super().__init__()
        if not 1 <= top_k <= experts:
            raise ValueError(f"top_k {top_k} is not in 1..{experts}")
        self.top_k = top_k
        self.inner = nn.Linear(inputs, hidden)
        self.outer = nn.Linear(hidden, experts)
        self.spread = nn.Linear(inputs, experts)

    def forward(self, shape: Tensor, noise: Tensor | None = None) -> Tensor:
        """[L + |W|] -> gates [E] that sum to 1; `noise` [E] is drawn by the caller."""
        logits = self.outer(self.inner(shape))
        if noise is not None:
            logits = logits + noise * F.softplus(self.spread(shape))
        best, places = logits.topk(self.top_k)
        return torch.full_like(logits, -torch.inf).scatter(-1, places, best).softmax(-1)


def described(active: list[bool] | tuple[bool, ...], widths: tuple[float, ...], width: float) -> Tensor:
    """The vector [L + |W|] of a shape, float32.

    Raises:
        ValueError: `width` is none of `widths`.
    """
    hot = [abs(one - width) < 1e-6 for one in widths]
    if not any(hot):
        raise ValueError(f"width {width:g} is none of {', '.join(f'{one:g}' for one in widths)}")
    return torch.tensor([*active, *hot], dtype=torch.float32)


def mixed(a: Tensor, b: Tensor, gates: Tensor, scale: float, mix: Mix) -> Tensor:
    """The update of a weight [out, in] by experts a [E, r, in] and b [E, out, r]."""
    if mix == "factors":
        return scale * (_gated(gates, b) @ _gated(gates, a))
    return scale * torch.einsum("e,eor,eri->oi", gates, b, a)


def applied(x: Tensor, a: Tensor, b: Tensor, gates: Tensor, scale: float, mix: Mix) -> Tensor:
    """`x` [..., in] times the update's transpose [..., out], without forming the update."""
    if mix == "factors":
        inner = F.linear(x, _gated(gates, a))
        return F.linear(inner * scale, _gated(gates, b))
    experts, rank, wide = a.shape
    inner = F.linear(x, a.reshape(experts * rank, wide))  # of all experts: those with gate 0 end in 0
    weighted = inner.unflatten(-1, (experts, rank)) * gates.to(inner.dtype)[:, None]
    return F.linear(scale * weighted.flatten(-2), b.transpose(0, 1).reshape(-1, experts * rank))


def _gated(gates: Tensor, factors: Tensor) -> Tensor:
    """sum_e g_e F_e of factors [E, m, n]."""
    summed: Tensor = (gates @ factors.flatten(1)).unflatten(0, factors.shape[1:])
    return summed
