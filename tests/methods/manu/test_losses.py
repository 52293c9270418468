"""The baselines' losses against closed forms on tiny tensors, and invariant 15 of the sheet."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from methods.manu.losses import (
    IGNORED,
    ascent,
    difference,
    kl_batch_mean,
    kl_token_mean,
    npo,
    sequence_sum,
    token_losses,
    token_mean,
)

X = IGNORED
LABELS = torch.tensor([[X, 1, 0, X], [X, X, 1, X]])


def logits_of(p: list[list[float]]) -> Tensor:
    """[B, T, 2] logits whose softmax gives token 1 the probabilities `p` [B, T]."""
    probabilities = torch.tensor(p, dtype=torch.float64)
    return torch.stack([1 - probabilities, probabilities], dim=-1).log() + 3.0  # a shift that softmax removes


# The places 0 and 1 of row 0 predict tokens 1 and 0; place 1 of row 1 predicts token 1.
LOGITS = logits_of([[0.25, 0.5, 0.9, 0.9], [0.1, 0.125, 0.1, 0.1]])


def test_each_token_is_predicted_by_the_place_before_it() -> None:
    expected = [[math.log(4), math.log(2), 0.0], [0.0, math.log(8), 0.0]]
    assert token_losses(LOGITS, LABELS).tolist() == [pytest.approx(row) for row in expected]


def test_the_mean_is_over_tokens_and_the_sum_over_each_row() -> None:
    assert token_mean(LOGITS, LABELS).item() == pytest.approx((math.log(4) + math.log(2) + math.log(8)) / 3)
    assert sequence_sum(LOGITS, LABELS).tolist() == pytest.approx([math.log(8), math.log(8)])


def test_a_batch_without_a_token_to_predict_has_no_loss() -> None:
    nothing = torch.full_like(LABELS, IGNORED)
    assert token_mean(LOGITS, nothing).item() == 0.0
    assert kl_token_mean(LOGITS, LOGITS + torch.tensor([1.0, 0.0]), nothing).item() == 0.0


def test_ascent_and_difference() -> None:
    forget, retain = torch.tensor(2.0), torch.tensor(3.0)
    assert ascent(forget).item() == -2.0
    assert difference(forget, retain).item() == 1.0
    assert difference(forget, retain, forget_weight=0.5, retain_weight=2.0).item() == 5.0


def kl(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def test_the_divergence_in_both_reductions() -> None:
    """Place 3 of each row predicts nothing: only the released sum counts it."""
    reference = logits_of([[0.5, 0.5, 0.9, 0.8], [0.1, 0.25, 0.1, 0.2]])
    counted = kl(0.5, 0.25) + kl(0.25, 0.125)
    rest = kl(0.8, 0.9) + kl(0.2, 0.1)
    assert kl_token_mean(reference, LOGITS, LABELS).item() == pytest.approx(counted / 3)
    assert kl_batch_mean(reference, LOGITS).item() == pytest.approx((counted + rest) / 2)


def test_15_the_divergence_is_zero_at_the_reference_and_so_is_its_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    for loss in (kl_token_mean(LOGITS, logits, LABELS), kl_batch_mean(LOGITS, logits)):
        assert loss.item() == 0.0
        assert torch.autograd.grad(loss, logits)[0].abs().max().item() < 1e-15


def test_npo_of_batch_means_and_of_sequences() -> None:
    beta = 0.5
    one = math.log1p(math.exp(-beta * (3.0 - 1.0)))
    other = math.log1p(math.exp(-beta * (1.0 - 2.0)))
    assert npo(torch.tensor(3.0), torch.tensor(1.0), beta).item() == pytest.approx(2 / beta * one)
    rows = npo(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0]), beta)
    assert rows.item() == pytest.approx(2 / beta * (one + other) / 2)


@pytest.mark.parametrize("beta", [0.1, 0.4])
def test_15_npo_begins_as_gradient_ascent(beta: float) -> None:
    """At theta = reference its value is (2/beta) ln 2 and its gradient that of ascent, times 1."""
    logits = LOGITS.clone().requires_grad_()
    loss = token_mean(logits, LABELS)
    released = npo(loss, loss.detach(), beta)
    assert released.item() == pytest.approx(2 / beta * math.log(2))
    (ours,) = torch.autograd.grad(released, logits, retain_graph=True)
    (theirs,) = torch.autograd.grad(ascent(loss), logits, retain_graph=True)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=0)

    sums = sequence_sum(logits, LABELS)
    original = npo(sums, sums.detach(), beta)
    assert original.item() == pytest.approx(2 / beta * math.log(2))
    (ours,) = torch.autograd.grad(original, logits, retain_graph=True)
    (theirs,) = torch.autograd.grad(ascent(sums.mean()), logits)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=0)


def test_15_one_step_of_ascent_raises_the_loss() -> None:
    logits = LOGITS.clone().requires_grad_()
    before = token_mean(logits, LABELS)
    ascent(before).backward()
    assert logits.grad is not None
    assert token_mean(logits - 0.1 * logits.grad, LABELS) > before


def test_half_precision_is_widened() -> None:
    logits = LOGITS.to(torch.bfloat16)
    assert token_losses(logits, LABELS).dtype == torch.float32
    assert kl_batch_mean(logits, logits).dtype == torch.float32
