"""The rules on tensors alone: table lookup, ties, and every way to choose what is kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.longmamba.filtering import above_threshold, by_norm, by_rank, lookup, rescale, within_budget

GRID = torch.tensor([8, 16, 24, 40])
TABLE = torch.tensor([[0.0, 10.0], [1.0, 20.0], [3.0, 30.0], [7.0, 50.0]])
B, T, C = 3, 30, 4


def steps(seed: int = 0) -> Tensor:
    return torch.rand(B, T, C, generator=torch.Generator().manual_seed(seed)) + 0.01


def real() -> Tensor:
    """No padding in the first row, some in the others."""
    return torch.arange(T) >= torch.tensor([[0], [7], [20]])


@pytest.mark.parametrize(
    ("how", "length", "want"),
    [
        ("nearest", 17, 1.0),
        ("nearest", 20, 1.0),  # as near to 24: the first
        ("nearest", 21, 3.0),
        ("nearest", 1, 0.0),
        ("nearest", 10**6, 7.0),
        ("floor", 23, 1.0),
        ("floor", 24, 3.0),
        ("floor", 1, 0.0),
        ("floor", 10**6, 7.0),
        ("interpolate", 20, 2.0),
        ("interpolate", 24, 3.0),
        ("interpolate", 36, 6.0),
        ("interpolate", 1, 0.0),
        ("interpolate", 10**6, 7.0),
    ],
)
def test_a_length_finds_its_row_of_the_table(how: str, length: int, want: float) -> None:
    assert float(lookup(TABLE, GRID, torch.tensor([length]), how)[0, 0]) == want


@pytest.mark.parametrize("how", ["nearest", "floor", "interpolate"])
def test_every_row_of_a_batch_has_its_own_entry(how: str) -> None:
    lengths = torch.tensor([9, 39, 17, 16])
    together = lookup(TABLE, GRID, lengths, how)
    assert torch.equal(together, torch.cat([lookup(TABLE, GRID, length[None], how) for length in lengths]))
    assert together.shape == (4, 2)


def test_a_tie_is_dropped_or_kept() -> None:
    delta = torch.tensor([[[1.0], [2.0], [3.0]]])
    assert above_threshold(delta, torch.tensor([[2.0]]), "drop").flatten().tolist() == [False, False, True]
    assert above_threshold(delta, torch.tensor([[2.0]]), "keep").flatten().tolist() == [False, True, True]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_budget_is_never_exceeded_and_the_next_token_would_exceed_it(share: float) -> None:
    delta, mask = steps(), real()
    budgets = share * delta.double().sum((0, 1)) / B / 2
    kept = within_budget(delta, budgets, mask)
    assert not (kept & ~mask[..., None]).any()
    sums = (delta.double() * kept).sum(1)
    assert (sums <= budgets).all()
    left = delta.masked_fill(kept | ~mask[..., None], -torch.inf).double()
    largest = left.amax(1)
    over = sums + largest > budgets
    assert (over | largest.isinf()).all() and over.any()
    smallest = delta.masked_fill(~kept, torch.inf).amin(1)
    assert (smallest >= largest).all(), "something larger was left out"


def test_by_rank_keeps_exactly_as_many_of_the_largest() -> None:
    delta, mask = steps(), real()
    counts = torch.tensor([[0, 1, 5, 30], [2, 3, 23, 40], [1, 9, 10, 11]])
    kept = by_rank(delta, counts, mask)
    assert torch.equal(kept.sum(1), counts.minimum(mask.sum(1, keepdim=True)))
    for row, channel in [(0, 2), (1, 1), (2, 1)]:
        inside = delta[row, :, channel].masked_fill(~mask[row], -1)
        want = inside.topk(int(counts[row, channel])).indices.sort().values
        assert torch.equal(kept[row, :, channel].nonzero().flatten(), want)


def test_of_equal_step_sizes_the_earlier_tokens_stay() -> None:
    equal, mask = torch.full((B, T, 1), 0.25), real()
    want = torch.arange(T) < torch.tensor([[4], [11], [24]])
    assert torch.equal(by_rank(equal, torch.full((B, 1), 4), mask)[..., 0], want & mask)
    assert torch.equal(within_budget(equal, torch.tensor([1.0]), mask)[..., 0], want & mask)


def test_by_norm_keeps_the_same_tokens_in_all_channels() -> None:
    delta, mask = steps(), real()
    kept = by_norm(delta, 6, mask)
    assert torch.equal(kept, kept[..., :1].expand_as(kept))
    assert kept.sum(1).unique().tolist() == [6]
    norms = delta.norm(dim=-1).masked_fill(~mask, -1)
    assert torch.equal(kept[..., 0].nonzero()[:, 1].view(B, 6), norms.topk(6).indices.sort().values)


def test_rescaling_brings_the_sum_to_the_budget() -> None:
    delta, mask = steps(), real()
    budgets = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    factor = rescale(delta, budgets, mask)
    sums = (delta.double() * factor * mask[..., None]).sum(1)
    assert torch.allclose(sums, budgets.expand(B, C), rtol=1e-12)
    assert torch.equal(factor, factor[:, :1].expand_as(factor))


@pytest.mark.parametrize("rule", ["budget", "rank", "norm", "rescale"])
def test_padding_changes_nothing(rule: str) -> None:
    delta, mask = steps(), real()
    budgets = torch.full((C,), 2.0, dtype=torch.float64)

    def kept(part: Tensor, valid: Tensor) -> Tensor:
        if rule == "budget":
            return within_budget(part, budgets, valid)
        if rule == "rank":
            return by_rank(part, torch.full((len(part), C), 5), valid)
        return by_norm(part, 5, valid) if rule == "norm" else rescale(part, budgets, valid)

    together = kept(delta, mask)
    for row in range(B):
        alone = kept(delta[row : row + 1, mask[row]], torch.ones(1, int(mask[row].sum()), dtype=torch.bool))
        assert torch.allclose(together[row, mask[row]].double(), alone[0].double(), rtol=1e-12)
