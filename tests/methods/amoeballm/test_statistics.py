"""Streaming statistics of channels against the code's recursion written out, and against plain formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.amoeballm.statistics import Fluctuation

# six windows of seven positions, five channels: large, small, far from 0, and one that is always 0
X = torch.randn(6, 7, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.01, 30.0, 1.0, 0.0])
X = X + torch.tensor([0.0, 0.0, 0.0, 1000.0, 0.0])


def seen(parts: list[Tensor]) -> Fluctuation:
    found = Fluctuation(5)
    for part in parts:
        found.add(part)
    return found


def slow(windows: Tensor) -> tuple[list[float], list[float]]:
    """mu and F of the sheet, a channel and a position at a time: both factors use the new mean."""
    means, fluctuations = [], []
    for channel in range(windows.shape[2]):
        mu = fluctuation = 0.0
        for n, window in enumerate(windows[:, :, channel].double().tolist()):
            mu = mu * n / (n + 1) + sum(window) / len(window) / (n + 1)
            if n:
                spread = sum((x - mu) * (x - mu) for x in window)
                fluctuation = fluctuation * (n - 1) / n + spread / (n + 1)
        means.append(mu)
        fluctuations.append(fluctuation)
    return means, fluctuations


def test_the_recursion_is_the_codes() -> None:
    means, fluctuations = slow(X)
    found = seen([X])
    assert found.mean.tolist() == pytest.approx(means, rel=1e-12)
    assert found.fluctuation.tolist() == pytest.approx(fluctuations, rel=1e-12)


def test_the_mean_is_the_plain_mean() -> None:
    """Invariant 9."""
    assert torch.allclose(seen([X]).mean, X.double().mean((0, 1)), rtol=1e-13, atol=1e-15)


def test_fluctuation_in_closed_form() -> None:
    wide = X.double()
    means = [wide[: count + 1].mean((0, 1)) for count in range(6)]
    terms = [(count / (count + 1)) * (wide[count] - means[count]).square().sum(0) for count in range(1, 6)]
    assert torch.allclose(seen([X]).fluctuation, torch.stack(terms).sum(0) / 5, rtol=1e-11)


def test_squares_are_the_windows_mean_squared_norm() -> None:
    assert torch.allclose(seen([X]).squares, X.double().square().sum(1).mean(0), rtol=1e-13)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_how_many_windows_come_at_once_changes_no_bit(size: int) -> None:
    whole, parts = seen([X]), seen(list(X.split(size)))
    alone = seen(list(X))  # [T, C], without the axis of windows
    for name in ("mean", "fluctuation", "squares"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))
        assert torch.equal(getattr(whole, name), getattr(alone, name))
    assert whole.count == parts.count == alone.count == 6


def test_the_first_window_counts_nothing() -> None:
    assert torch.equal(seen([X[:1]]).fluctuation, torch.zeros(5).double())
    first = X.clone()
    first[0] = first[0].mean(0)  # the same mean, no spread of its own
    assert torch.allclose(seen([first]).fluctuation, seen([X]).fluctuation, rtol=1e-5)


def test_a_channel_that_never_changes_has_no_fluctuation() -> None:
    found = seen([torch.full((4, 7, 5), 0.1)])
    assert torch.equal(found.fluctuation, torch.zeros(5).double())
    assert torch.equal(found.mean, torch.full((5,), 0.1).double())


def test_half_precision_squares_do_not_overflow() -> None:
    """1000 squared is above float16's largest number."""
    half = X.half()
    found = seen([half])
    assert torch.allclose(found.squares, half.double().square().sum(1).mean(0), rtol=1e-12)
    assert found.fluctuation.isfinite().all()


def test_windows_of_another_length_are_refused() -> None:
    found = seen([X])
    with pytest.raises(ValueError, match="6 positions after windows of 7"):
        found.add(X[:, :6])
