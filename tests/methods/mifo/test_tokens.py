"""Entropies and choices by hand, losses against plain ones."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from methods.mifo import tokens
from methods.mifo.tokens import anywhere, chosen_of, divergence, most_uncertain, token_losses, uncertainty, weights


def logits(rows: int, vocabulary: int = 11, seed: int = 0) -> Tensor:
    return 3 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))


def test_entropies_of_known_distributions() -> None:
    """Uniform over V: ln V; over two of them: ln 2; certain: 0, also where the others cannot come at all."""
    never = -math.inf
    rows = torch.tensor(
        [[1.0, 1, 1, 1], [5, 5, never, never], [never, 0, never, never], [0, math.log(3), never, never]]
    )
    found, losses = uncertainty(rows, torch.tensor([2, 0, 1, 1]))
    three = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert found.tolist() == pytest.approx([math.log(4), math.log(2), 0, three], abs=1e-6)
    assert losses.tolist() == pytest.approx([math.log(4), math.log(2), 0, -math.log(0.75)], abs=1e-6)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, targets = logits(23), torch.arange(23) % 11
    whole = uncertainty(rows, targets)
    monkeypatch.setattr(tokens, "ROWS", 4)
    parts = uncertainty(rows, targets)
    assert torch.equal(whole[0], parts[0]) and torch.equal(whole[1], parts[1])
    p = rows.double().softmax(-1)
    assert torch.allclose(whole[0].double(), -(p * p.log()).sum(-1), atol=1e-6)


def test_the_most_uncertain_tokens_of_each_example() -> None:
    """Invariant 9: counts are max(1, ceil(rho n)), of equal entropies the first is chosen."""
    entropies = torch.tensor([0.1, 0.9, 0.5, 0.9, 0.2, 0.3, 0.3, 0.3])  # examples of 5, 2 and 1
    assert most_uncertain(entropies, [5, 2, 1], 0.2).nonzero().flatten().tolist() == [1, 5, 7]
    assert most_uncertain(entropies, [5, 2, 1], 0.4).nonzero().flatten().tolist() == [1, 3, 5, 7]
    assert most_uncertain(entropies, [5, 2, 1], 0.5).nonzero().flatten().tolist() == [1, 2, 3, 5, 7]
    assert most_uncertain(entropies, [5, 2, 1], 1.0).all()
    assert not most_uncertain(entropies, [5, 2, 1], 0.0).any()


@pytest.mark.parametrize(
    ("share", "length", "count"), [(0.2, 1, 1), (0.2, 5, 1), (0.2, 6, 2), (0.07, 100, 7), (1.0, 3, 3), (0.0, 9, 0)]
)
def test_counts(share: float, length: int, count: int) -> None:
    assert chosen_of(share, length) == count


def test_random_tokens_are_as_many_and_spread() -> None:
    def drawn(seed: int) -> Tensor:
        return anywhere([10, 3], 0.3, torch.Generator().manual_seed(seed))

    assert [int(part.sum()) for part in drawn(0).split([10, 3])] == [3, 1]
    assert torch.equal(drawn(0), drawn(0))
    often = torch.stack([drawn(seed) for seed in range(600)]).double().mean(0)
    assert torch.allclose(often, torch.tensor([0.3] * 10 + [1 / 3] * 3).double(), atol=0.09)


def test_the_divisor_is_the_whole_length() -> None:
    """Invariant 10: one chosen token of five adds a fifth of its loss, and that is averaged over examples."""
    losses = torch.tensor([1.0, 2, 4, 8, 16, 32, 64])  # examples of 5 and 2
    chosen = torch.tensor([0, 0, 1, 0, 0, 0, 1]).bool()
    by_sequence, by_token = (weights([5, 2], kind, 2, 7) for kind in ("sequence", "token"))  # type: ignore[arg-type]
    assert float((losses * by_sequence)[chosen].sum()) == pytest.approx((4 / 5 + 64 / 2) / 2)
    assert float((losses * by_token)[chosen].sum()) == pytest.approx((4 + 64) / 7)


def test_losses_and_their_gradients_by_hand() -> None:
    """dft weighs -ln p by p without a gradient through the weight."""
    for kind in ("nll", "dft"):
        rows = logits(6).requires_grad_()
        targets = torch.tensor([0, 3, 5, 10, 2, 2])
        token_losses(rows, targets, kind).sum().backward()  # type: ignore[arg-type]
        p = rows.detach().softmax(-1)
        scale = p.gather(1, targets[:, None]) if kind == "dft" else torch.ones(6, 1)
        assert rows.grad is not None
        assert torch.allclose(rows.grad, scale * (p - F.one_hot(targets, 11)), atol=1e-6)


def test_the_bonus_raises_entropy() -> None:
    rows = logits(4).requires_grad_()
    targets = torch.tensor([1, 2, 3, 4])
    plain, with_bonus = (token_losses(rows, targets, "nll", bonus) for bonus in (0.0, 0.5))
    entropies, _ = uncertainty(rows.detach(), targets)
    assert torch.allclose(plain - with_bonus, 0.5 * entropies, atol=1e-6)
    (gradient,) = torch.autograd.grad((with_bonus - plain).sum(), rows)
    assert (uncertainty(rows.detach() - 0.1 * gradient, targets)[0] > entropies).all()


def test_divergence() -> None:
    one, other = logits(5), logits(5, seed=1)
    p, q = one.double().softmax(-1), other.double().softmax(-1)
    assert torch.allclose(divergence(one, other).double(), (p * (p / q).log()).sum(-1), atol=1e-5)
    assert torch.equal(divergence(one, one), torch.zeros(5))
