"""The importance functions at their closed forms (M§7.3)."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from methods.manu.importance import Importances, code_score, contrast, distribution, ratio
from methods.manu.statistics import Moments, Summary

EQUAL = (1.0, 1.0, 1.0, 1.0)
CODE = (2.0, 0.0, 2.0, 2.0)
TINY = 1e-12


def summary(values: tuple[float, ...] | torch.Tensor, tau: float = 2.0, variance: str = "population") -> Summary:
    z = torch.as_tensor(values)
    moments = Moments(1 if z.dim() == 1 else z.shape[1], tau)
    moments.add(z[:, None] if z.dim() == 1 else z)
    return moments.summary(variance)


def noise(seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(40, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("variance", "spread", "total"), [("population", 1.0, 3.14983), ("sample", 2**0.5, 3.56404)])
def test_closed_form_of_one_neuron(variance: str, spread: float, total: float) -> None:
    """Invariant 4: z_m = (3, 1), z_t = (1, 1), tau = 2."""
    found = contrast(summary((3.0, 1.0), variance=variance), summary((1.0, 1.0), variance=variance), TINY)
    assert found.stacked().flatten().tolist() == pytest.approx([1 / 3, 1, spread, math.sqrt(8 / 12)], abs=1e-6)
    assert found.weighted(EQUAL).item() == pytest.approx(total, abs=1e-5)


def test_constant_against_nothing_is_three() -> None:
    """Invariant 4, second part: z_m = c > tau, z_t = 0."""
    found = contrast(summary((5.0, 5.0)), summary((0.0, 0.0)), TINY)
    assert found.stacked().flatten().tolist() == pytest.approx([1, 1, 0, 1], abs=1e-6)


def test_equal_sets_give_scores_of_almost_one() -> None:
    """Invariant 5, paper: S lies in (1 - eps/I, 1) when D_f = D_r."""
    total = contrast(summary(noise(0), 0.1), summary(noise(1), 0.1), 1e-6).weighted(EQUAL)
    score = ratio(total, total, 1e-6)
    assert (score < 1).all() and (score > 1 - 1e-6 / total - 1e-15).all()


def test_equal_sets_give_code_scores_of_almost_zero() -> None:
    """Invariant 5, code: S = sum_k w_k (-1e-5 / (I_k + 1e-5))."""
    found = distribution(summary(noise(0), 0.1))
    expected = sum(w * (-1e-5 / (part + 1e-5)) for w, part in zip(CODE, found.stacked(), strict=True))
    score = code_score(found, found, CODE, 1e-5)
    assert torch.allclose(score, torch.as_tensor(expected), atol=1e-12)
    assert (score < 0).all() and (score > -1e-3).all()


def test_twice_the_retain_statistics_give_a_code_score_of_six() -> None:
    """Invariant 5, code: 2 x 1 x 3, since the frequency has weight 0."""
    retain = distribution(summary(noise(0), 0.1))
    forget = Importances(*(2 * part for part in retain.stacked()))
    assert code_score(forget, retain, CODE, 1e-12).tolist() == pytest.approx([6.0] * 6, abs=1e-9)


def test_dead_neurons_score_zero_and_neurons_of_the_forget_set_highest() -> None:
    """Invariant 6."""
    z = {name: noise(seed) for seed, name in enumerate(("fm", "ft", "rm", "rt"))}
    for name in z:
        z[name][:, 0] = 0
    for name in ("rm", "rt"):
        z[name][:, 5] = 0
    forget, retain = (
        contrast(summary(z[first], 0.1), summary(z[second], 0.1), 1e-6).weighted(EQUAL)
        for first, second in (("fm", "ft"), ("rm", "rt"))
    )
    score = ratio(forget, retain, 1e-6)
    assert score[0] == 0 and (score[1:] > 0).all()
    assert score.argmax() == 5 and score[5] > 1e5


def test_scale_moves_the_spread_alone() -> None:
    """Invariant 8: c z leaves I_abs and I_rms, multiplies I_var, and leaves I_freq if tau is multiplied too."""
    base, scaled = (
        contrast(summary(noise(0, c), 0.1 * c), summary(noise(1, c), 0.1 * c), 1e-15).stacked() for c in (1.0, 8.0)
    )
    assert torch.allclose(scaled[[0, 1, 3]], base[[0, 1, 3]], rtol=1e-6)
    assert torch.allclose(scaled[2], 8 * base[2], rtol=1e-6)
    other_tau = contrast(summary(noise(0, 8.0), 0.1), summary(noise(1, 8.0), 0.1), 1e-15)
    assert not torch.equal(other_tau.freq, base[1])


def test_modes_may_be_swapped() -> None:
    """Invariant 11: the importance is symmetric in them."""
    one, other = summary(noise(0), 0.1), summary(noise(1), 0.1)
    forward, backward = contrast(one, other, 1e-6), contrast(other, one, 1e-6)
    assert all(torch.equal(getattr(forward, each.name), getattr(backward, each.name)) for each in fields(forward))


def test_a_vision_neuron_is_ranked_by_its_spread_alone() -> None:
    """Invariant 11: nothing in the text mode makes three importances 1, within eps, for units that live."""
    nothing = Moments(6, 0.1).summary()
    seen = summary(noise(0), 0.1)
    found = contrast(seen, nothing, 1e-6)
    for part in (found.abs, found.freq, found.rms):
        assert (part <= 1).all() and (part > 1 - 1e-4).all()
    assert torch.equal(found.var, seen.var.sqrt())


def test_magnitudes_keep_three_importances_between_zero_and_one() -> None:
    found = contrast(summary(noise(3, 50.0), 0.1), summary(noise(4, 0.001), 0.1), 1e-6)
    for part in (found.abs, found.freq, found.rms):
        assert ((part >= 0) & (part <= 1)).all()


def test_the_code_s_importances_are_of_one_distribution() -> None:
    z = noise(0)
    found = distribution(summary(z, 0.1, "sample")).stacked()
    wide = z.double()
    expected = [wide.abs().mean(0), (wide.abs() > 0.1).double().mean(0), wide.std(0), wide.square().mean(0).sqrt()]
    assert torch.allclose(found, torch.stack(expected), rtol=1e-11)
