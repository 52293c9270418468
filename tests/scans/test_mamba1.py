"""The selective scan of Mamba-1 beside a plain loop over the steps, and beside transformers' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.mamba.modeling_mamba import mamba_selective_scan

from methodbench.scans import mamba1
from methodbench.scans.mamba1 import selective_scan

ROWS, CHANNELS, STATES = 2, 5, 3
LENGTHS = [1, 2, 7, 33, 257]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.fixture(params=[64, mamba1.BLOCK], ids=["many blocks", "one block"], autouse=True)
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """64 elements are two steps of these shapes, so that blocks meet, and an odd length ends in half a block."""
    monkeypatch.setattr(mamba1, "BLOCK", request.param)
    elements: int = request.param
    return elements


def series(length: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Random arguments of the scan; memories from a step to hundreds of steps."""
    draw = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    return {
        "hidden_states": normal(ROWS, CHANNELS, length),
        "dt": normal(ROWS, CHANNELS, length) - 2,
        "A": -(normal(CHANNELS, STATES).exp()),
        "B": normal(ROWS, STATES, length),
        "C": normal(ROWS, STATES, length),
        "D": normal(CHANNELS),
        "z": normal(ROWS, CHANNELS, length),
        "delta_bias": normal(CHANNELS),
        "initial_state": normal(ROWS, CHANNELS, STATES),
    }


def loop(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor,
    delta_bias: Tensor,
    initial_state: Tensor,
) -> tuple[Tensor, Tensor]:
    """The recurrence, one step at a time, as the paper writes it."""
    state, outputs = initial_state, []
    for t in range(dt.shape[2]):
        step = F.softplus(dt[:, :, t] + delta_bias)
        state = torch.exp(step[..., None] * A) * state + (step * hidden_states[:, :, t])[..., None] * B[:, None, :, t]
        y = torch.einsum("bdn,bn->bd", state, C[:, :, t]) + D * hidden_states[:, :, t]
        outputs.append(y * F.silu(z[:, :, t]))
    return torch.stack(outputs, -1), state


def scan(**given: Any) -> tuple[Tensor, Tensor]:
    y, last = selective_scan(**given, delta_softplus=True, return_last_state=True)
    return y, last


def near(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    """Within `tolerance` of the largest entry."""
    assert ours.shape == theirs.shape
    return bool((ours - theirs).abs().max() <= tolerance * theirs.abs().max().clamp(min=1))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("length", LENGTHS)
def test_it_is_the_loop(length: int, dtype: torch.dtype) -> None:
    given = series(length, dtype)
    exact = loop(**{name: value.double() for name, value in given.items()})
    for ours, theirs in zip(scan(**given), exact, strict=True):
        assert ours.dtype == dtype
        assert near(ours.double(), theirs, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("length", LENGTHS)
def test_so_are_its_gradients(length: int, dtype: torch.dtype) -> None:
    given = {name: value.requires_grad_() for name, value in series(length, dtype).items()}
    exact = {name: value.detach().double().requires_grad_() for name, value in given.items()}
    y, last = scan(**given)
    y_exact, last_exact = loop(**exact)
    draw = torch.Generator().manual_seed(0)  # not the global one, which earlier tests move
    weight, weight_last = (torch.randn(part.shape, generator=draw, dtype=dtype) for part in (y, last))
    ours = torch.autograd.grad((y * weight).sum() + (last * weight_last).sum(), list(given.values()))
    theirs = torch.autograd.grad(
        (y_exact * weight.double()).sum() + (last_exact * weight_last.double()).sum(), list(exact.values())
    )
    for name, mine, other in zip(given, ours, theirs, strict=True):
        assert near(mine.double(), other, TOLERANCE[dtype]), name


def test_gradcheck() -> None:
    given = {name: value.requires_grad_() for name, value in series(5).items()}
    names = list(given)
    assert torch.autograd.gradcheck(
        lambda *values: scan(**dict(zip(names, values, strict=True))), list(given.values()), fast_mode=False
    )


@pytest.mark.parametrize("cut", [1, 16, 32])
def test_two_halves_are_the_whole(cut: int) -> None:
    given = series(33)
    y, last = scan(**given)
    timed = {name for name, value in given.items() if value.dim() == 3 and name != "initial_state"}
    first = {name: value[..., :cut] if name in timed else value for name, value in given.items()}
    second = {name: value[..., cut:] if name in timed else value for name, value in given.items()}
    y_first, second["initial_state"] = scan(**first)
    y_second, last_second = scan(**second)
    assert near(torch.cat([y_first, y_second], -1), y, 1e-12)
    assert near(last_second, last, 1e-12)


def test_a_step_of_zero_hands_the_state_on_unchanged() -> None:
    """Bit for bit; and the kept steps see what they would see alone."""
    given = series(33, torch.float32)
    kept = torch.arange(33) % 3 == 1
    dt = F.softplus(given["dt"] + given["delta_bias"][:, None])
    bare = {name: given[name] for name in ("hidden_states", "A", "B", "C", "initial_state")}
    masked, last = selective_scan(**bare, dt=dt * kept, return_last_state=True)
    alone = {name: value[..., kept] if value.shape[-1] == 33 else value for name, value in bare.items()}
    short, last_short = selective_scan(**alone, dt=dt[..., kept], return_last_state=True)
    assert near(masked[..., kept], short, 1e-6) and near(last, last_short, 1e-6)
    y, last = selective_scan(**bare, dt=torch.zeros_like(dt), return_last_state=True)
    assert torch.equal(last, bare["initial_state"])
    assert near(y, torch.einsum("bdn,bnl->bdl", bare["initial_state"], bare["C"]), 1e-6)


def test_memories_too_short_for_a_float_are_no_overflow() -> None:
    given = series(33, torch.float32)
    given["A"] = given["A"] * 1e4
    assert all(bool(value.isfinite().all()) for value in scan(**given))


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_it_drops_in_for_transformers_own(dtype: torch.dtype, gated: bool) -> None:
    """Same shapes and dtypes, and the same values as far as transformers' own float32 (or half) arithmetic goes."""
    given = series(33, dtype)
    del given["initial_state"]
    given |= {name: given[name].float() for name in ("A", "D", "delta_bias")}  # the mixer hands these over so
    if not gated:
        del given["z"], given["D"]
    ours, last = selective_scan(**given, delta_softplus=True, return_last_state=True, use_mambapy=False)
    theirs, last_theirs = mamba_selective_scan(**given, delta_softplus=True, return_last_state=True)
    assert (ours.dtype, last.dtype) == (theirs.dtype, last_theirs.dtype)
    tolerance = 2e-6 if dtype.itemsize >= 4 else 16 * torch.finfo(dtype).eps
    assert near(ours, theirs, tolerance) and near(last, last_theirs, tolerance)
    alone = selective_scan(**given, delta_softplus=True)
    assert isinstance(alone, Tensor) and torch.equal(alone, ours)
