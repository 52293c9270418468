"""The selective scan of Mamba-1 on the CPU, with the signature of transformers' `mamba_selective_scan`.

    h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t        y_t = C_t . h_t        (all of it per channel d and state n)

Mamba: Gu and Dao, arXiv 2312.00752, section 3.

Symbols: b rows of the batch, L steps, D channels, N states a channel; x, dt [L, b, D]; A [N, D], negative; B, C
[L, b, N]; h [b, N, D]. Inside, time comes first and channels last, so that every slice is contiguous and the innermost
loop is long.

Two levels. A block of T steps that fits the cache gets its decays exp(dt A), its inputs and its readouts as three
whole-block operations; between them one fused multiply-add a step carries the state. So each exponential is taken once,
its argument is never positive, nothing is ever divided, [b, D, L, N] never exists, and a step with dt = 0 hands the
state on bit for bit. Splitting L into about sqrt(L) chunks that advance side by side, and adding what they carry over
afterwards, takes fewer steps but every exponential twice: measured beside this at six shapes, it took 1.2 to 1.8 times
as long from b N D = 4,096 on, as long at 768, and less only below that.

The gradient is the same recurrence read from the end. With r_t the gradient of the readout y_t and g_t that of h_t,

    g_t = C_t r_t + exp(dt_{t+1} A) g_{t+1}         and     q_t = g_t exp(dt_t A) h_{t-1}

is the gradient of the exponent dt_t A. Only the state at the start of each block is kept for it; the block's states are
made again in the cache, which takes less time than reading them back from memory.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**18  # elements b N D T of one block: its few buffers fit the cache, and T is long enough to amortise
LOG2_E = math.log2(math.e)


def selective_scan(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    initial_state: Tensor | None = None,
    **ignored: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """y [b, D, L], or y and the last state [b, D, N], of the scan, with the skip `D` and the gate silu(`z`).

    hidden_states, dt, z [b, D, L]; A [D, N]; B, C [b, N, L]; D, delta_bias [D]; initial_state [b, D, N], zero if None.
    The step is dt, or softplus(dt + delta_bias). Half precision is computed in float32; y has the dtype that
    transformers' function gives it. Other keywords (choices between transformers' own implementations) are ignored.
    """
    working = torch.promote_types(hidden_states.dtype, torch.float32)
    steps = dt.to(working)
    if delta_bias is not None:
        steps = steps + delta_bias.to(working)[:, None]
    if delta_softplus:
        steps = F.softplus(steps)
    x = hidden_states.to(working)
    state = x.new_zeros(*x.shape[:2], A.shape[1]) if initial_state is None else initial_state.to(working)
    readout, last = _Scan.apply(
        _time_first(steps),
        _time_first(steps * x),
        A.to(working).T.contiguous(),
        _time_first(B.to(working)),
        _time_first(C.to(working)),
        state.transpose(1, 2).contiguous(),
    )
    y: Tensor = readout.permute(1, 2, 0)
    promoted = hidden_states.dtype
    if D is not None:
        y = y + x * D.to(working)[:, None]
        promoted = torch.promote_types(promoted, D.dtype)
    if z is not None:
        y = y * F.silu(z.to(working))
        promoted = torch.promote_types(promoted, z.dtype)
    y = y.to(promoted)
    return (y, last.transpose(1, 2).contiguous()) if return_last_state else y


def _time_first(series: Tensor) -> Tensor:
    """[b, D, L] -> contiguous [L, b, D]."""
    return series.permute(2, 0, 1).contiguous()


def _block_length(steps: Tensor, states: int) -> int:
    length, rows, channels = steps.shape
    return max(1, min(length, BLOCK // max(1, rows * channels * states)))


def _advance(steps: Tensor, inputs: Tensor, A: Tensor, B: Tensor, decays: Tensor, states: Tensor) -> None:
    """Fill `decays` [T, b, N, D] and `states`[1:] [T + 1, b, N, D] of one block; `states`[0] is given.

    `steps` and `inputs` = steps * x are [T, b, D], B is [T, b, N].
    """
    torch.mul(steps[:, :, None], A * LOG2_E, out=decays)
    torch.exp2(decays, out=decays)  # three times as fast as exp here, and as exact
    torch.mul(inputs[:, :, None], B[..., None], out=states[1:])
    state, *following = states.unbind()
    for decay, after in zip(decays.unbind(), following, strict=True):
        state = after.addcmul_(decay, state)


def _products(vectors: Tensor, matrices: Tensor, out: Tensor) -> None:
    """Row vector times matrix for each step and row: [T, b, n] and [T, b, n, m] -> `out` [T, b, m].

    In this order: matrices times column vectors take eight times as long.
    """
    torch.bmm(vectors.flatten(0, 1)[:, None], matrices.flatten(0, 1), out=out.flatten(0, 1)[:, None])


class _Scan(torch.autograd.Function):
    """(steps, inputs [L, b, D], A [N, D], B, C [L, b, N], state [b, N, D]) -> readout [L, b, D], state [b, N, D]."""

    @staticmethod
    def forward(
        ctx: Any, steps: Tensor, inputs: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        (length, rows, channels), count = steps.shape, len(A)
        block = _block_length(steps, count)
        decays = steps.new_empty(block, rows, count, channels)
        states = steps.new_empty(block + 1, rows, count, channels)
        starts = steps.new_empty(-(-length // block), rows, count, channels)
        readout = torch.empty_like(steps)
        states[0] = state
        last = 0
        for place, start in enumerate(range(0, length, block)):
            now = slice(start, min(start + block, length))
            size = now.stop - start
            if place:
                states[0] = states[last]
            starts[place] = states[0]
            last = size
            _advance(steps[now], inputs[now], A, B[now], decays[:size], states[: size + 1])
            _products(C[now], states[1 : size + 1], out=readout[now])
        ctx.save_for_backward(steps, inputs, A, B, C, starts)
        return readout, states[last].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        steps, inputs, A, B, C, starts = ctx.saved_tensors
        of_readout, carry = gradients[0].contiguous(), gradients[1]
        (length, rows, channels), count = steps.shape, len(A)
        block = _block_length(steps, count)
        decays = steps.new_empty(block, rows, count, channels)
        states = steps.new_empty(block + 1, rows, count, channels)
        adjoints = steps.new_empty(block, rows, count, channels)
        of_steps, of_inputs, of_A = torch.empty_like(steps), torch.empty_like(inputs), torch.zeros_like(A)
        of_B, of_C = torch.empty_like(B), torch.empty_like(C)
        for place in reversed(range(len(starts))):
            now = slice(place * block, min((place + 1) * block, length))
            size = now.stop - now.start
            decay, state, adjoint = decays[:size], states[: size + 1], adjoints[:size]
            state[0] = starts[place]
            _advance(steps[now], inputs[now], A, B[now], decay, state)
            torch.mul(of_readout[now][:, :, None], C[now][..., None], out=adjoint)
            carry = _return(decay, adjoint, carry)
            _products(of_readout[now], state[1:].mT, out=of_C[now])
            _products(inputs[now], adjoint.mT, out=of_B[now])
            _products(B[now], adjoint, out=of_inputs[now])
            of_exponent = adjoint.mul_(decay).mul_(state[:-1])
            torch.sum(torch.mul(of_exponent, A, out=decay), 2, out=of_steps[now])
            of_A += of_exponent.mul_(steps[now][:, :, None]).sum((0, 1))
        return of_steps, of_inputs, of_A, of_B, of_C, carry


def _return(decays: Tensor, adjoints: Tensor, carry: Tensor) -> Tensor:
    """Turn `adjoints` [T, b, N, D], which hold C_t r_t, into g_t, given exp(dt A) g of the step after the block.

    Returns the same for the block's first step: what the block before it is given.
    """
    backwards = list(zip(decays.unbind(), adjoints.unbind(), strict=True))[::-1]
    later_decay, later = backwards[0]
    later += carry
    for decay, adjoint in backwards[1:]:
        adjoint.addcmul_(later_decay, later)
        later_decay, later = decay, adjoint
    return later_decay * later
