"""The calibration's arithmetic: invariants 6, 7, 8 and 10 of the sheet's section 7.3, and its 2.4 as a loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from methods.longmamba import calibration
from methods.longmamba.config import OFFICIAL_GRID, CalibrateConfig
from methods.longmamba.filtering import above_threshold, by_rank

L = 64
GRID = CalibrateConfig(train_len=L).grid()


def random_steps(channels: int = 5, length: int = L, seed: int = 0) -> Tensor:
    """Step sizes over three decades."""
    return torch.randn(channels, length, generator=torch.Generator().manual_seed(seed)).mul(2).exp()


def ramp(length: int) -> Tensor:
    """Quantile function 1 - u at the middle of each of `length` steps, shuffled: [1, L]."""
    steps = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    return steps[torch.randperm(length, generator=torch.Generator().manual_seed(0))][None]


def by_hand(steps: list[float], clamp: float, length: int) -> tuple[float, float]:
    """Sheet 2.4, steps 1 to 3, with one value at a time: threshold and kept share."""
    trained = len(steps)
    if length <= trained:
        return 0.0, 1.0
    cap = sorted(steps, reverse=True)[max(1, math.floor(trained * clamp)) - 1]
    cut = sorted((min(step, cap) for step in steps), reverse=True)
    total = math.fsum(cut)

    def stretched(place: int) -> float:
        if place == length:
            return 0.0
        source = max(0.0, (place + 0.5) * trained / length - 0.5)
        low = math.floor(source)
        return cut[low] + (source - low) * (cut[min(low + 1, trained - 1)] - cut[low])

    summed, kept = 0.0, 0
    while summed <= total:
        summed += stretched(kept)
        kept += 1
    return stretched(kept), kept / length


@pytest.mark.parametrize("clamp", [0.0, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("length", [L // 2, L, L + 1, 100, 2 * L, 1000, 96 * L])
def test_thresholds_are_those_of_the_released_rule_written_as_a_loop(clamp: float, length: int) -> None:
    steps = random_steps()
    found, shares = calibration.threshold(calibration.clamped(steps, clamp), length)
    if clamp == 1.0:  # all are equal: L + 1 tokens are kept, and where there are no more, none is left out
        assert torch.allclose(found, steps.amin(-1).double() * (length > L + 1))
        return
    for channel, row in enumerate(steps.double().tolist()):
        threshold, share = by_hand(row, clamp, length)
        assert float(found[channel]) == pytest.approx(threshold, rel=1e-9)
        assert float(shares[channel]) == share


def test_the_official_grid() -> None:
    assert CalibrateConfig().grid() == tuple(1000 * unit for unit in OFFICIAL_GRID)
    assert CalibrateConfig().grid()[:5] == (1000, 2000, 3000, 4000, 5000) and CalibrateConfig().grid()[-1] == 192_000
    assert CalibrateConfig(train_len=128).grid()[:3] == (64, 128, 192)
    assert CalibrateConfig(train_len=128, grid_step=10).grid()[:3] == (10, 20, 30)


# -- invariant 6: closed forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2 * L, 4 * L, 8 * L])
@pytest.mark.parametrize("value", [0.1, 0.125, 3.0])
def test_of_a_constant_step_size_one_token_more_than_in_training_is_kept(value: float, length: int) -> None:
    """Invariant 6: r = L + 1 of S, and the threshold is the constant."""
    steps = torch.full((2, L), value)
    threshold, share = calibration.threshold(steps, length)
    assert torch.equal(threshold.float(), steps[:, 0])
    assert torch.equal(share, torch.full((2,), (L + 1) / length, dtype=torch.float64))


@pytest.mark.parametrize("length", [2 * L, 4 * L])
def test_the_tie_trap_of_a_constant_step_size(length: int) -> None:
    """Invariant 6: strictly above the threshold is no token, at least it is every one, and by rank exactly r."""
    threshold, share = calibration.threshold(torch.full((2, L), 0.1), length)
    prompt, real = torch.full((1, length, 2), 0.1), torch.ones(1, length, dtype=torch.bool)
    thresholds = threshold.float()[None]
    assert not above_threshold(prompt, thresholds, "drop").any()
    assert above_threshold(prompt, thresholds, "keep").all()
    counts = (share * length).round().long()[None]
    assert by_rank(prompt, counts, real).sum(1).tolist() == [[L + 1, L + 1]]


@pytest.mark.parametrize("stretch", [1.5, 2, 4, 10, 64])
def test_the_kept_share_of_a_linear_ramp(stretch: float) -> None:
    """Invariant 6: with q(u) = 1 - u, S (a - a^2 / 2) = L / 2; the threshold is q(a)."""
    trained = 400
    length = int(trained * stretch)
    threshold, share = calibration.threshold(ramp(trained), length)
    kept = 1 - math.sqrt(1 - 1 / stretch)
    assert float(share[0]) == pytest.approx(kept, abs=2 / length)
    assert float(threshold[0]) == pytest.approx(1 - kept, abs=3 / length)


@pytest.mark.parametrize("clamp", [0.1, 0.3])
def test_the_kept_share_of_a_clamped_ramp(clamp: float) -> None:
    """Invariant 6: with q(u) = 1 - max(u, C); capping the largest lets more and smaller tokens fit the budget."""
    trained, stretch = 1000, 2
    cut = calibration.clamped(ramp(trained), clamp)
    threshold, share = calibration.threshold(cut, trained * stretch)

    def area(u: float) -> float:
        return (1 - clamp) * clamp + ((1 - clamp) ** 2 - (1 - u) ** 2) / 2

    kept = 1 - math.sqrt((1 - clamp) ** 2 - 2 * (area(1) / stretch - (1 - clamp) * clamp))
    assert float(share[0]) == pytest.approx(kept, abs=3 / trained)
    plain_threshold, plain_share = calibration.threshold(ramp(trained), trained * stretch)
    assert share > plain_share and threshold < plain_threshold


def test_clamping_nothing_and_clamping_all() -> None:
    """Invariant 6: C = 0 changes no bit; C = 1 leaves one value, the smallest."""
    steps = random_steps()
    assert torch.equal(calibration.clamped(steps, 0.0), steps)
    assert torch.equal(calibration.clamped(steps, 1.0), steps.amin(-1, keepdim=True).expand_as(steps))
    cut = calibration.clamped(steps, 0.25)
    ordered = steps.sort(-1, descending=True).values
    assert torch.equal(cut.amax(-1), ordered[:, L // 4 - 1])
    assert ((cut == steps) | (steps > ordered[:, L // 4 - 1 : L // 4])).all()


# -- invariants 7 and 8 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clamp", [0.0, 0.2])
@pytest.mark.parametrize("length", [L + 1, 3 * L, 20 * L])
def test_the_kept_sum_passes_the_budget_by_less_than_its_last_token(clamp: float, length: int) -> None:
    """Invariant 7: on the stretched step sizes the sum of those kept lies in (U, U + Q[r - 1]]."""
    cut = calibration.clamped(random_steps(), clamp)
    _, share = calibration.threshold(cut, length)
    kept = (share * length).round().long()
    stretched, budget = calibration.quantiles(cut, length), calibration.budget(cut)
    for row, count, most in zip(stretched, kept.tolist(), budget, strict=True):
        total = row.cumsum(0)[count - 1]
        assert most < total <= most + row[count - 1]


@pytest.mark.parametrize("clamp", [0.0, 0.05, 0.2])
def test_longer_prompts_have_higher_thresholds_and_keep_a_smaller_share(clamp: float) -> None:
    """Invariant 8; up to the training length nothing is filtered."""
    cut = calibration.clamped(random_steps(20), clamp)
    pairs = [calibration.threshold(cut, length) for length in GRID]
    thresholds, shares = (torch.stack(column) for column in zip(*pairs, strict=True))
    assert (thresholds.diff(dim=0) >= -1e-6 * thresholds[:-1]).all()
    assert (shares.diff(dim=0) <= 1e-6).all()
    assert GRID[1] == L and (thresholds[:2] == 0).all() and (shares[:2] == 1).all() and (thresholds[3:] > 0).all()


# -- invariant 10 ------------------------------------------------------------------------------------------------------


def test_the_decay_of_a_head_is_the_product_of_its_steps() -> None:
    """Invariant 10, Mamba-2."""
    steps, rates = random_steps().double(), -torch.tensor([0.01, 0.1, 0.5, 1.0, 1e-4], dtype=torch.float64)
    want = (rates[:, None] * steps).exp().prod(-1)
    assert torch.allclose(calibration.log_decay(steps, rates).exp(), want, rtol=1e-9, atol=0)


def test_the_decay_of_a_channel_is_the_product_of_its_states_means() -> None:
    """Invariant 10, Mamba-1; with one state entry it is the other form. More channels than are taken at once."""
    steps = random_steps(300).double() / 100
    rates = -torch.rand(300, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    want = (rates[:, None] * steps[..., None]).exp().mean(-1).prod(-1)
    assert torch.allclose(calibration.log_decay(steps, rates).exp(), want, rtol=1e-9, atol=0)
    one = rates[:, :1]
    assert torch.allclose(
        calibration.log_decay(steps, one), calibration.log_decay(steps, one[:, 0]), rtol=1e-9, atol=1e-12
    )


def test_a_decay_never_underflows_and_never_exceeds_one() -> None:
    huge = torch.full((2, L), 1e3)
    assert torch.isfinite(calibration.log_decay(huge, torch.tensor([-1.0, -16.0]))).all()
    assert torch.isfinite(calibration.log_decay(huge, -torch.arange(1.0, 9.0).expand(2, 8))).all()
    for rates in (-torch.rand(7), -torch.rand(7, 3), -torch.rand(7, 16)):
        assert (calibration.log_decay(torch.zeros(7, L), rates) <= 0).all()


def test_reductions_over_sequences() -> None:
    """Thresholds: largest or mean. Decays: the same of P, in logarithms."""
    values = torch.tensor([[1.0, 5.0], [3.0, 1.0]], dtype=torch.float64)
    assert calibration.reduced(values, "max").tolist() == [3.0, 5.0]
    assert calibration.reduced(values, "avg").tolist() == [2.0, 3.0]
    assert torch.equal(calibration.reduced_log_decay(-values, "max"), torch.tensor([-1.0, -1.0], dtype=torch.float64))
    assert torch.allclose(calibration.reduced_log_decay(-values, "avg"), (-values).exp().mean(0).log())
    assert torch.isfinite(calibration.reduced_log_decay(-1e6 * values, "avg")).all()
