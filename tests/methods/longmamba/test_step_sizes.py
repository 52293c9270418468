"""Where step sizes are seen and changed: nothing else changes, and all is put back. Invariants 2, 3 and 11."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.scans.mamba1 import selective_scan
from methodbench.scans.mamba2 import chunk_scan
from methods.longmamba.config import TokenDroppingConfig
from methods.longmamba.dropping import Dropping
from methods.longmamba.step_sizes import SCANS, UPDATES, StepSizes, mixers, rates
from tests import pico
from tests.methods.longmamba.models import KINDS, Noted, cache_of, filtering, logits, model, padded, tokens

T = 50


def module_of(kind: str) -> ModuleType:
    return sys.modules[type(mixers(model(kind))[0]).__module__]


def functions(kind: str) -> list[Any]:
    return [getattr(module_of(kind), name, None) for name in SCANS + UPDATES]


def hooks(of: PreTrainedModel) -> int:
    return sum(len(found) for m in of.modules() for name, found in vars(m).items() if name.endswith("_hooks"))


@torch.no_grad()
def passes(of: PreTrainedModel, cached: bool) -> Tensor:
    """Logits of a padded batch; or of a prompt and of two cached tokens."""
    if not cached:
        ids, mask = padded([tokens(T), tokens(T - 9, 1)])
        return logits(of, ids, attention_mask=mask)
    ids = tokens(T, rows=2)
    output = of(input_ids=ids[:, :-2], use_cache=True)
    found = [output.logits]
    for place in (T - 2, T - 1):
        output = of(input_ids=ids[:, place : place + 1], **cache_of(output))
        found.append(output.logits)
    return torch.cat(found, 1)


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_to_look_on_changes_no_bit(kind: str, cached: bool, bounded: bool) -> None:
    """Also where transformers bounds the step sizes of a prefill."""
    of = pico.model(kind) if bounded else model(kind)
    want = passes(of, cached)
    noted = Noted()
    with StepSizes(of, noted):
        found = passes(of, cached)
    assert torch.equal(found, want)
    assert set(noted.prompt) == set(mixers(of)) == {0, 1}
    assert set(noted.decoded) == ({0, 1} if cached else set())
    for layer, mixer in mixers(of).items():
        assert noted.prompt[layer].shape == (2, T - 2 * cached, rates(mixer).shape[0])
        assert (noted.prompt[layer] > 0).all()
        assert not cached or noted.decoded[layer].shape == (2, 1, rates(mixer).shape[0])


def test_a_bound_of_the_model_does_not_lift_what_was_filtered() -> None:
    """Zamba2's step sizes are at least time_step_min before they are edited, and 0 afterwards."""
    bounded, free, noted = pico.model("zamba2"), model("zamba2"), Noted()
    for mixer in mixers(bounded).values():
        mixer.time_step_limit = (1.0, 2.0)  # type: ignore[assignment]
    with StepSizes(bounded, noted):
        logits(bounded, tokens(T))
    assert all(delta.min() >= 1 and delta.max() <= 2 for delta in noted.prompt.values())

    def silence(layer: int, delta: Tensor, decoding: bool) -> Tensor:
        return torch.zeros_like(delta)

    with StepSizes(bounded, silence), StepSizes(free, silence):
        assert torch.equal(logits(bounded, tokens(T)), logits(free, tokens(T)))


@pytest.mark.parametrize("kind", KINDS)
def test_rates_are_those_of_the_states(kind: str) -> None:
    for mixer in mixers(model(kind)).values():
        assert (rates(mixer) < 0).all()
        assert rates(mixer).shape == ((64, 8) if kind in ("mamba", "falcon_mamba") else (4,))
    assert mixers(pico.model("qwen3")) == {}


# -- invariants 2, 3 and 11: what a step size of 0 does to a channel ---------------------------------------------------


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def holes(channels: int) -> Tensor:
    """Step sizes [T, C] of which a third are 0, other ones in every channel."""
    delta = F.softplus(random(T, channels, seed=1))
    return delta * (torch.rand(T, channels, generator=torch.Generator().manual_seed(2)) > 0.35)


def channels() -> tuple[Callable[..., Any], Tensor, tuple[Tensor, ...]]:
    """Mamba-1: scan of channel c at `places`, its step sizes, and x, A, B, C, D."""
    width, states = 6, 4
    x, A, B, C, D = (
        random(1, width, T, seed=3),
        -random(width, states, seed=4).exp(),
        random(1, states, T, seed=5),
        random(1, states, T, seed=6),
        random(width, seed=7),
    )
    delta = holes(width)

    def scan(c: int, places: Tensor) -> Any:
        one = slice(c, c + 1)
        y, last = selective_scan(
            x[:, one, places],
            delta.T[None, one, places],
            A[one],
            B[..., places],
            C[..., places],
            D[one],
            return_last_state=True,
        )
        return y[0, 0], last

    return scan, delta, (x, A, B, C, D)


def heads() -> tuple[Callable[..., Any], Tensor, tuple[Tensor, ...]]:
    """Mamba-2: the same of head c."""
    count, size, states = 3, 4, 5
    x, A, B, C, D = (
        random(1, T, count, size, seed=3),
        -random(count, seed=4).exp(),
        random(1, T, 1, states, seed=5),
        random(1, T, 1, states, seed=6),
        random(count, seed=7),
    )
    delta = holes(count)

    def scan(c: int, places: Tensor) -> Any:
        one = slice(c, c + 1)
        y, last = chunk_scan(
            x[:, places, one],
            delta[None, places, one],
            A[one],
            B[:, places],
            C[:, places],
            8,
            D[one],
            return_final_states=True,
        )
        return y[0, :, 0], last

    return scan, delta, (x, A, B, C, D)


@pytest.mark.parametrize("family", [channels, heads])
def test_a_step_size_of_0_deletes_the_token_from_the_channel(family: Callable[..., Any]) -> None:
    """Invariant 2: state and outputs at the places kept are those of the sequence without the others."""
    scan, delta, _ = family()
    for c in range(delta.shape[1]):
        kept = delta[:, c].nonzero().flatten()
        assert 5 < len(kept) < T - 5
        y, last = scan(c, torch.arange(T))
        shorter, same = scan(c, kept)
        assert torch.allclose(y[kept], shorter, atol=1e-12)
        assert torch.allclose(last, same, atol=1e-12)


@pytest.mark.parametrize("family", [channels, heads])
def test_a_filtered_token_reads_the_state_before_it(family: Callable[..., Any]) -> None:
    """Invariant 3: y_t = C_t H_{t-1} + D x_t."""
    scan, delta, (x, _, _, C, D) = family()
    for c in range(delta.shape[1]):
        y, _ = scan(c, torch.arange(T))
        for t in (delta[:, c] == 0).nonzero().flatten()[1:].tolist():
            state = scan(c, torch.arange(t))[1][0, 0]
            if family is channels:
                want = C[0, :, t] @ state + D[c] * x[0, c, t]
            else:
                want = state @ C[0, t, 0] + D[c] * x[0, t, c]
            assert torch.allclose(y[t], want, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_into_a_filtered_scan_beside_its_step_sizes_is_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 3: the convolution's output, B and C of the first layer keep every bit."""
    name, filter = next(name for name in SCANS if hasattr(module_of(kind), name)), filtering(kind, channels="all")
    original, seen = getattr(module_of(kind), name), []

    def spy(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, *rest: Any, **named: Any) -> Any:
        seen.append((x, B, C, dt))
        return original(x, dt, A, B, C, *rest, **named)

    monkeypatch.setattr(module_of(kind), name, spy)
    logits(model(kind), tokens(T))
    with filter:
        logits(model(kind), tokens(T))
    plain, filtered = seen[0], seen[2]  # of two layers
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(filtered[:3], plain[:3], strict=True))
    assert (filtered[3] == 0).any()


def test_three_scans_agree_on_filtered_step_sizes() -> None:
    """Invariant 11: one step after another, in blocks of channels, and in chunks of heads."""
    _, delta, (x, A, B, C, D) = heads()
    (_, _, count, size), states = x.shape, B.shape[-1]
    state, rows = torch.zeros(count, size, states, dtype=torch.float64), []
    for t in range(T):
        decay = (delta[t] * A).exp()[:, None, None]
        state = decay * state + (delta[t, :, None] * x[0, t])[..., None] * B[0, t, 0]
        rows.append(state @ C[0, t, 0] + D[:, None] * x[0, t])
    chunked = chunk_scan(x, delta[None], A, B, C, 8, D)
    wide = [series.repeat_interleave(size, 0) for series in (delta.T, A, D)]
    blocked = selective_scan(
        x.flatten(2).mT, wide[0][None], wide[1][:, None].expand(-1, states), B[:, :, 0].mT, C[:, :, 0].mT, wide[2]
    )
    assert isinstance(chunked, Tensor) and isinstance(blocked, Tensor)
    want = torch.stack(rows)
    assert torch.allclose(chunked[0], want, atol=1e-10)
    assert torch.allclose(blocked[0].T.unflatten(1, (count, size)), want, atol=1e-10)


# -- all is put back ---------------------------------------------------------------------------------------------------


def contexts(kind: str) -> list[Any]:
    made: list[Any] = [StepSizes(model(kind), Noted()), filtering(kind)]
    if kind != "zamba2":
        made.append(Dropping(model(kind), TokenDroppingConfig(layers=(0,), keep=20)))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_context_leaves_nothing_behind(kind: str) -> None:
    before, hooked, plain = functions(kind), hooks(model(kind)), logits(model(kind), tokens(T))
    for context in contexts(kind):
        with context:
            assert functions(kind) != before and hooks(model(kind)) > hooked
            logits(model(kind), tokens(T))
        assert functions(kind) == before and hooks(model(kind)) == hooked
        with context:  # and can be opened again
            logits(model(kind), tokens(T))
        assert functions(kind) == before and hooks(model(kind)) == hooked
    assert torch.equal(logits(model(kind), tokens(T)), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_behind_by_an_exception_inside(kind: str) -> None:
    before, hooked, plain = functions(kind), hooks(model(kind)), logits(model(kind), tokens(T))

    def breaking(layer: int, delta: Tensor, decoding: bool) -> Tensor:
        if layer == 1:
            raise ZeroDivisionError
        return delta

    for context in contexts(kind):
        with pytest.raises(ZeroDivisionError), context, StepSizes(model(kind), breaking):
            logits(model(kind), tokens(T))
        assert functions(kind) == before and hooks(model(kind)) == hooked
        with context:  # what was under way is forgotten
            logits(model(kind), tokens(T))
    assert torch.equal(logits(model(kind), tokens(T)), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_two_models_of_one_architecture_never_meet(kind: str) -> None:
    """One context after the other, one inside the other, and a model that has none."""
    other, first, second = pico.model(kind, seed=1), Noted(), Noted()
    before, plain = functions(kind), logits(other, tokens(T))
    silenced = {}

    def silence(layer: int, delta: Tensor, decoding: bool) -> Tensor:
        silenced[layer] = delta
        return torch.zeros_like(delta)

    for context, of in ((StepSizes(model(kind), silence), model(kind)), (StepSizes(other, first), other)):
        with context:
            logits(of, tokens(T))
    assert functions(kind) == before
    with StepSizes(model(kind), silence):
        assert torch.equal(logits(other, tokens(T)), plain)
        with StepSizes(other, second):
            assert torch.equal(logits(other, tokens(T)), plain)
            logits(model(kind), tokens(T))
    assert functions(kind) == before
    for layer in mixers(other):
        assert torch.equal(first.prompt[layer], second.prompt[layer])
        assert not torch.equal(first.prompt[layer], silenced[layer])
