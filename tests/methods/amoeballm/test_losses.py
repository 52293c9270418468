"""Losses of one-for-all fine-tuning against their definitions."""

from __future__ import annotations

import pytest
import torch

from methods.amoeballm.losses import IGNORED, balanced, distilled, next_token, soft_cross_entropy


def logits(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_next_token_is_the_mean_over_the_learnt_tokens() -> None:
    z = logits(0, 2, 4, 5)
    labels = torch.tensor([[IGNORED, IGNORED, 3, 1], [2, IGNORED, IGNORED, 4]])  # the 2 at place 0 nothing predicts
    p = z.log_softmax(-1)
    assert next_token(z, labels).item() == pytest.approx(-(p[0, 1, 3] + p[0, 2, 1] + p[1, 2, 4]).item() / 3)


def test_soft_cross_entropy_with_equal_logits_is_the_entropy_with_no_gradient() -> None:
    z, teacher = logits(1, 3, 7).requires_grad_(), logits(1, 3, 7).requires_grad_()
    loss = soft_cross_entropy(z, teacher)
    assert loss.item() == pytest.approx(torch.distributions.Categorical(logits=z).entropy().mean().item())
    loss.backward()
    assert z.grad is not None and z.grad.abs().max() < 1e-15
    assert teacher.grad is None


def test_soft_cross_entropy_exceeds_the_entropy_by_the_divergence() -> None:
    z, teacher = logits(2, 3, 7), logits(3, 3, 7)
    p, q = torch.distributions.Categorical(logits=teacher), torch.distributions.Categorical(logits=z)
    expected = (torch.distributions.kl_divergence(p, q) + p.entropy()).mean()
    assert soft_cross_entropy(z, teacher).item() == pytest.approx(expected.item())


def test_the_mask_chooses_the_places() -> None:
    z, teacher = logits(2, 2, 3, 7), logits(3, 2, 3, 7)
    mask = torch.tensor([[False, True, False], [True, False, False]])
    expected = soft_cross_entropy(torch.stack([z[0, 1], z[1, 0]]), torch.stack([teacher[0, 1], teacher[1, 0]]))
    assert soft_cross_entropy(z, teacher, mask).item() == pytest.approx(expected.item())
    with pytest.raises(ValueError, match="no place is distilled"):
        soft_cross_entropy(z, teacher, torch.zeros(2, 3, dtype=torch.bool))


def test_half_precision_is_summed_in_float32() -> None:
    assert soft_cross_entropy(logits(0, 2, 3).bfloat16(), logits(1, 2, 3).bfloat16()).dtype == torch.float32
    assert next_token(logits(0, 1, 2, 3).bfloat16(), torch.tensor([[0, 1]])).dtype == torch.float32


def test_the_official_mask_lies_one_place_right_of_the_shifted_one() -> None:
    labels = torch.tensor([[IGNORED, IGNORED, 5, 6, IGNORED]])
    assert distilled(labels, shifted=False).tolist() == [[False, False, True, True, False]]
    assert distilled(labels, shifted=True).tolist() == [[False, True, True, False, False]]
    assert distilled(labels, shifted=False, everywhere=True).all()


def test_balancing_gives_the_reference_value_and_scales_the_gradient() -> None:
    z, teacher = logits(2, 3, 7).requires_grad_(), logits(3, 3, 7)
    reference = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    loss = soft_cross_entropy(z, teacher)
    (plain,) = torch.autograd.grad(loss, z, retain_graph=True)
    even = balanced(loss, reference)
    assert even.item() == pytest.approx(0.7, abs=1e-15)
    even.backward()
    assert z.grad is not None and torch.allclose(z.grad, plain * (0.7 / loss.item()), atol=1e-16)
    assert reference.grad is None


def test_balancing_a_loss_of_zero_is_finite() -> None:
    assert balanced(torch.tensor(0.0), torch.tensor(1.0)).item() == 0
