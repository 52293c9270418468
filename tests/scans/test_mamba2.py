"""The chunked scan of Mamba-2 beside a plain loop over the steps, transformers' own, and the scan of Mamba-1."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

from methodbench.scans import mamba2
from methodbench.scans.mamba1 import selective_scan
from methodbench.scans.mamba2 import chunk_scan

ROWS, HEADS, SIZE, STATES = 2, 4, 3, 5
LENGTHS = [1, 2, 7, 33, 257]
GROUPS = [1, 2, 4]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
LIMIT = (0.05, 0.9)


@pytest.fixture(params=[1, mamba2.SEGMENT], ids=["many segments", "one segment"], autouse=True)
def segment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A segment is never less than a chunk, so that 1 makes each chunk a segment."""
    monkeypatch.setattr(mamba2, "SEGMENT", request.param)
    elements: int = request.param
    return elements


def series(length: int, groups: int = 1, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Random arguments of the scan; memories from a step to hundreds of steps."""
    draw = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    return {
        "hidden_states": normal(ROWS, length, HEADS, SIZE),
        "dt": normal(ROWS, length, HEADS) - 2,
        "A": -(normal(HEADS).exp()),
        "B": normal(ROWS, length, groups, STATES),
        "C": normal(ROWS, length, groups, STATES),
        "D": normal(HEADS),
        "dt_bias": normal(HEADS),
        "initial_states": normal(ROWS, HEADS, SIZE, STATES),
    }


def loop(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    initial_states: Tensor,
    limit: tuple[float, float] = LIMIT,
) -> tuple[Tensor, Tensor]:
    """The recurrence, one step and one head at a time, as the paper writes it."""
    share = HEADS // B.shape[2]
    outputs, last = [], []
    for head in range(HEADS):
        state, column = initial_states[:, head], []
        for t in range(dt.shape[1]):
            step = F.softplus(dt[:, t, head] + dt_bias[head]).clamp(*limit)[:, None]
            x, b, c = hidden_states[:, t, head], B[:, t, head // share], C[:, t, head // share]
            state = torch.exp(step * A[head])[..., None] * state + (step * x)[..., None] * b[:, None]
            column.append((state @ c[..., None])[..., 0] + D[head] * x)
        outputs.append(torch.stack(column, 1))
        last.append(state)
    return torch.stack(outputs, 2), torch.stack(last, 1)


def scan(limit: tuple[float, float] = LIMIT, **given: Any) -> tuple[Tensor, Tensor]:
    y, last = chunk_scan(**given, chunk_size=256, dt_softplus=True, dt_limit=limit, return_final_states=True)
    return y, last


def near(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    """Within `tolerance` of the largest entry."""
    assert ours.shape == theirs.shape
    return bool((ours - theirs).abs().max() <= tolerance * theirs.abs().max().clamp(min=1))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("length", LENGTHS)
def test_it_is_the_loop(length: int, groups: int, dtype: torch.dtype) -> None:
    given = series(length, groups, dtype)
    exact = loop(**{name: value.double() for name, value in given.items()})
    for ours, theirs in zip(scan(**given), exact, strict=True):
        assert ours.dtype == dtype
        assert near(ours.double(), theirs, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("length", LENGTHS[1:])
def test_so_are_its_gradients(length: int, groups: int, dtype: torch.dtype) -> None:
    given = {name: value.requires_grad_() for name, value in series(length, groups, dtype).items()}
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


def test_gradcheck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mamba2, "CHUNK", 2)
    given = {name: value.requires_grad_() for name, value in series(5, 2).items()}
    names = list(given)
    assert torch.autograd.gradcheck(
        lambda *values: scan((0.0, 10.0), **dict(zip(names, values, strict=True))), list(given.values())
    )


@pytest.mark.parametrize("cut", [1, 32, 50])
def test_two_halves_are_the_whole(cut: int) -> None:
    given = series(65, 2)
    y, last = scan(**given)
    timed = ("hidden_states", "dt", "B", "C")
    first = {name: value[:, :cut] if name in timed else value for name, value in given.items()}
    second = {name: value[:, cut:] if name in timed else value for name, value in given.items()}
    y_first, second["initial_states"] = scan(**first)
    y_second, last_second = scan(**second)
    assert near(torch.cat([y_first, y_second], 1), y, 1e-12)
    assert near(last_second, last, 1e-12)


def test_a_step_of_zero_hands_the_state_on_unchanged() -> None:
    """Bit for bit; and the kept steps see what they would see alone."""
    given = series(65, 2, torch.float32)
    kept = torch.arange(65) % 3 == 1
    dt = F.softplus(given["dt"] + given["dt_bias"])
    bare = {name: given[name] for name in ("hidden_states", "A", "B", "C", "initial_states")}
    options: dict[str, Any] = dict(chunk_size=256, return_final_states=True)
    masked, last = chunk_scan(**bare, dt=dt * kept[:, None], **options)
    alone = {name: value[:, kept] if value.shape[1:2] == (65,) else value for name, value in bare.items()}
    short, last_short = chunk_scan(**alone, dt=dt[:, kept], **options)
    assert near(masked[:, kept], short, 1e-6) and near(last, last_short, 1e-6)
    y, last = chunk_scan(**bare, dt=torch.zeros_like(dt), **options)
    assert torch.equal(last, bare["initial_states"])
    by_head = bare["C"].repeat_interleave(2, 2)
    assert near(y, torch.einsum("bhpn,blhn->blhp", bare["initial_states"], by_head), 1e-6)


def test_memories_too_short_for_a_float_are_no_overflow() -> None:
    given = series(65, 1, torch.float32)
    given["A"] = given["A"] * 1e4
    values = {name: value.requires_grad_() for name, value in given.items()}
    y, last = scan(**values)
    gradients = torch.autograd.grad(y.sum() + last.sum(), list(values.values()))
    assert all(bool(value.isfinite().all()) for value in (y, last, *gradients))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_it_drops_in_for_transformers_own(dtype: torch.dtype) -> None:
    """Same shapes and dtypes, and the same values as far as transformers' own float32 (or half) steps go."""
    given = series(65, 2, dtype)
    given["A"] = given["A"].float()  # the mixer hands it over so
    ours, last = scan(**given)
    theirs, last_theirs = mamba2_chunk_scan(
        **given, chunk_size=16, dt_softplus=True, dt_limit=LIMIT, return_final_states=True
    )
    assert ours.dtype == theirs.dtype
    assert last.dtype == torch.promote_types(dtype, last_theirs.dtype)
    tolerance = 2e-6 if dtype.itemsize >= 4 else 16 * torch.finfo(dtype).eps
    assert near(ours, theirs, tolerance) and near(last, last_theirs, tolerance)
    alone = chunk_scan(**given, chunk_size=16, dt_softplus=True, dt_limit=LIMIT)
    assert isinstance(alone, Tensor) and torch.equal(alone, ours)


@pytest.mark.parametrize("length", LENGTHS)
def test_three_scans_agree(length: int) -> None:
    """A head of Mamba-2 is a block of Mamba-1 channels that share one step, and one decay over all states."""
    given = series(length, 1, torch.float32)
    y_loop, last_loop = loop(**given, limit=(0.0, float("inf")))
    y_chunked, last_chunked = scan((0.0, float("inf")), **given)
    wide = {name: given[name].repeat_interleave(SIZE, 0) for name in ("A", "D", "dt_bias")}
    y_blocks, last_blocks = selective_scan(
        given["hidden_states"].flatten(2).transpose(1, 2),
        given["dt"].repeat_interleave(SIZE, 2).transpose(1, 2),
        wide["A"][:, None].expand(-1, STATES),
        given["B"][:, :, 0].transpose(1, 2),
        given["C"][:, :, 0].transpose(1, 2),
        D=wide["D"],
        delta_bias=wide["dt_bias"],
        delta_softplus=True,
        return_last_state=True,
        initial_state=given["initial_states"].flatten(1, 2),
    )
    for y, last in [
        (y_chunked, last_chunked),
        (y_blocks.transpose(1, 2).unflatten(2, (HEADS, SIZE)), last_blocks.unflatten(1, (HEADS, SIZE))),
    ]:
        assert near(y, y_loop, 1e-5) and near(last, last_loop, 1e-5)
