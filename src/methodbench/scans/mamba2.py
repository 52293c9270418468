"""The chunked scan of Mamba-2 on the CPU, with the signature of transformers' `mamba2_chunk_scan`.

    S_t = exp(dt_t A_h) S_{t-1} + dt_t x_t B_t^T        y_t = S_t C_t        (a head h: S [P, N])

Structured state-space duality: Dao and Gu, arXiv 2405.21060, section 6. With one decay a head, the steps of a chunk
become matrix products; a running state links the chunks.

Symbols: b rows, L steps in K chunks of T, H heads of size P in G groups of J = H / G heads, N states; x [b, L, H, P],
dt [b, L, H], A [H], negative, B, C [b, L, G, N]; a_t = sum of dt A from the chunk's start through t. In a chunk,

    y_t = sum_{s <= t} exp(a_t - a_s) (C_t . B_s) dt_s x_s  +  exp(a_t) C_t . S        S the state before the chunk

Where this gains on transformers' own: C B^T belongs to the group and is computed once for its heads, the chunk length
is chosen for the cache and not for a GPU (whatever the checkpoint says: the result does not depend on it), and the
chunks are linked by a loop, not by a K x K matrix. Differences of sums are taken before the exponential and masked
before it, so no exponent is positive. A step with dt = 0 hands the state on unchanged.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 32  # T
SEGMENT = 2**19  # elements b H L T of the decay matrices held at once
LOG2_E = math.log2(math.e)


def chunk_scan(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    chunk_size: int,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    initial_states: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    return_final_states: bool = False,
    **ignored: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """y [b, L, H, P], or y and the last state [b, H, P, N], of the scan, with the skip `D`.

    hidden_states [b, L, H, P]; dt [b, L, H]; A, dt_bias [H]; B, C [b, L, G, N]; D [H]; initial_states [b, H, P, N],
    zero if None. The step is dt, or softplus(dt + dt_bias), within `dt_limit`; a limit above 0 also lifts a dt of 0.
    Half precision is computed and returned in float32, as by transformers; `chunk_size` and other keywords change
    nothing.
    """
    working = torch.promote_types(hidden_states.dtype, torch.float32)
    steps = dt.to(working)
    if dt_bias is not None:
        steps = steps + dt_bias.to(working)
    if dt_softplus:
        steps = F.softplus(steps)
    steps = steps.clamp(*dt_limit)
    x, B, C = hidden_states.to(working), B.to(working), C.to(working)
    (rows, length, heads, size), (groups, count) = x.shape, B.shape[2:]
    exponents = steps * (A.to(working) * LOG2_E)  # of 2: exp2 takes a third of the time of exp here
    # [b, G, N, J P]: the states of a group's heads side by side, so that C meets all of them in one product.
    state = x.new_zeros(rows, groups, count, heads // groups * size)
    if initial_states is not None:
        grouped = initial_states.to(working).unflatten(1, (groups, -1))
        state = grouped.permute(0, 1, 4, 2, 3).flatten(3)
    chunk = min(CHUNK, length)
    segment = chunk * max(1, SEGMENT // (rows * heads * chunk * chunk))
    parts = []
    for start in range(0, length, segment):
        now = slice(start, start + segment)
        inputs = x[:, now] * steps[:, now, :, None]
        part, state = _segment(inputs, exponents[:, now], B[:, now], C[:, now], state, chunk)
        parts.append(part if D is None else torch.addcmul(part, x[:, now], D.to(working)[:, None]))
    y = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    if not return_final_states:
        return y
    last = state.unflatten(3, (heads // groups, size)).permute(0, 1, 3, 4, 2).flatten(1, 2)
    return y, last.contiguous()


def _segment(
    inputs: Tensor, exponents: Tensor, B: Tensor, C: Tensor, state: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """y [b, L, H, P] and the state after it [b, G, N, J P], from that before it.

    `inputs` dt x [b, L, H, P], `exponents` dt A of 2 [b, L, H]; B, C [b, L, G, N]; `chunk` is T.
    """
    (rows, length, heads, size), groups = inputs.shape, B.shape[2]
    chunks = -(-length // chunk)
    if padding := chunks * chunk - length:
        # Exponent and input 0: these steps leave the state as it is, and what they read out is cut off.
        inputs, B, C = (F.pad(series, (0, 0, 0, 0, 0, padding)) for series in (inputs, B, C))
        exponents = F.pad(exponents, (0, 0, 0, padding))
    # To [b, K, G, ...] with the steps of a chunk next to last.
    B, C = (series.unflatten(1, (chunks, chunk)).transpose(2, 3) for series in (B, C))
    sums = exponents.unflatten(1, (chunks, chunk)).cumsum(2)  # a [b, K, T, H]
    grouped = inputs.view(rows, chunks, chunk, groups, heads // groups, size)

    # What a chunk adds to the state: sum_t exp(a_T - a_t) B_t (dt_t x_t)^T.
    to_end = (sums[:, :, -1:] - sums).exp2().view(*grouped.shape[:-1], 1)
    added = B.transpose(3, 4) @ (grouped * to_end).transpose(2, 3).flatten(4)  # [b, K, G, N, J P]
    kept = sums[:, :, -1].exp2().view(rows, chunks, groups, 1, -1, 1).expand(-1, -1, -1, -1, -1, size).flatten(4)
    states = _Carry.apply(added, kept, state)
    carried = (C @ states[:, :-1]).unflatten(4, (-1, size)).transpose(2, 3)  # [b, K, T, G, J, P]
    y = carried * sums.exp2().view(*grouped.shape[:-1], 1)

    # Inside a chunk: exp(a_t - a_s) (C_t . B_s) for s <= t, [b, K, G, J, T, T].
    by_head = sums.transpose(2, 3)
    later = torch.ones(chunk, chunk, dtype=torch.bool, device=inputs.device).triu(1)
    decays = (by_head[..., None] - by_head[..., None, :]).masked_fill(later, float("-inf")).exp2()
    weights = decays.unflatten(2, (groups, -1)) * (C @ B.transpose(3, 4))[:, :, :, None]
    y = y + (weights @ grouped.permute(0, 1, 3, 4, 2, 5)).permute(0, 1, 4, 2, 3, 5)
    return y.reshape(rows, -1, heads, size)[:, :length], states[:, -1]


class _Carry(torch.autograd.Function):
    """States before each chunk and after the last, [b, K + 1, G, N, J P], each kept_k times the one before + added_k.

    added [b, K, G, N, J P]; kept [b, K, G, 1, J P]; the first state [b, G, N, J P].
    """

    @staticmethod
    def forward(ctx: Any, added: Tensor, kept: Tensor, state: Tensor) -> Tensor:
        rows, chunks, *shape = added.shape
        states = added.new_empty(rows, chunks + 1, *shape)
        states[:, 0] = state
        before, *following = states.unbind(1)
        for gain, share, after in zip(added.unbind(1), kept.unbind(1), following, strict=True):
            before = torch.addcmul(gain, share, before, out=after)
        ctx.save_for_backward(kept, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept, states = ctx.saved_tensors
        adjoints = gradient.clone()
        *earlier, after = adjoints.unbind(1)
        for share, before in zip(reversed(kept.unbind(1)), reversed(earlier), strict=True):
            after = before.addcmul_(share, after)
        of_added = adjoints[:, 1:]
        return of_added, (of_added * states[:, :-1]).sum(3, keepdim=True), adjoints[:, 0]
