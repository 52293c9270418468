"""The mathematics of merging on tensors alone, against plain formulas."""

from __future__ import annotations

import math

import pytest
import torch

from methodbench.merging.masks import Mask
from methodbench.merging.operators import dropped, elect, linear, slerp_weights
from methodbench.merging.selecting import Counting, Trim


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_tensor_averaged_with_itself_stays(dtype: torch.dtype) -> None:
    x = (normal(20_000) * 0.02).to(dtype)
    for percent in range(-50, 151, 7):
        weight = percent / 100
        assert torch.equal(linear([x.double(), x.double()], (weight, 1 - weight)).to(dtype), x), weight


def test_float32_would_not_stay() -> None:
    """Why the sum is taken in float64."""
    x = normal(20_000) * 0.02
    assert not torch.equal(0.1 * x + (1 - 0.1) * x, x)


def test_a_weight_of_one_gives_the_bits_back_whatever_stands_beside_it() -> None:
    x = torch.tensor([-0.0, 1e-300, 3.0], dtype=torch.float64)
    beside = torch.tensor([math.inf, math.nan, 1.0], dtype=torch.float64)
    assert torch.equal(linear([x, beside], (1.0, 0.0)).view(torch.int64), x.view(torch.int64))
    assert torch.equal(linear([x, x], (0.0, 0.0)), torch.zeros(3, dtype=torch.float64))


def test_kept_entries_are_divided_exactly() -> None:
    delta = normal(1000).double()
    kept = torch.arange(1000) % 3 > 0
    expected = torch.where(kept, delta * 0.5 / 0.8, 0.0)
    assert torch.equal(dropped(delta, kept, 0.5, 0.8), expected)


def test_an_election_by_hand() -> None:
    rows = [2.0, -3.0, 1.0, 0.0, 4.0], [-1.0, -1.0, -1.0, 0.0, 0.0]
    deltas = [torch.tensor(row, dtype=torch.float64) for row in rows]
    # totals 1, -4, 0 (counts as positive), 0, 4
    assert elect(deltas, (1.0, 1.0), normalize=False).tolist() == [2.0, -4.0, 1.0, 0.0, 4.0]
    assert elect(deltas, (1.0, 1.0), normalize=True).tolist() == [2.0, -2.0, 1.0, 0.0, 4.0]
    assert elect(deltas, (0.5, 2.0), normalize=True).tolist() == [4.0, -1.6, 2.0, 0.0, 8.0]


def test_slerp_goes_round_the_sphere() -> None:
    first, last = slerp_weights(0.0, 2.0, 3.0, 0.5)  # a right angle, half of the way
    assert first == pytest.approx(math.sqrt(0.5)) and last == pytest.approx(math.sqrt(0.5))
    assert slerp_weights(0.0, 2.0, 3.0, 1.0) == (1.0, 0.0)
    assert slerp_weights(0.0, 2.0, 3.0, 0.0) == (0.0, 1.0)
    for dot in (0.9996, -0.9996):  # nearly parallel: a straight line
        assert slerp_weights(dot, 1.0, 1.0, 0.3) == (0.3, 0.7)
    assert slerp_weights(0.0, 0.0, 0.0, 0.3) == pytest.approx((math.sin(0.15 * math.pi), math.sin(0.35 * math.pi)))


@pytest.mark.parametrize("pieces", [[5000], [1, 999, 4000], [7] * 714 + [2]])
def test_a_mask_is_the_same_in_whatever_pieces_it_is_drawn(pieces: list[int]) -> None:
    mask = Mask("a", 0.3)
    drawn = torch.cat([mask.next(count) for count in pieces])
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(drawn, Mask("a", 0.3).next(5000))
    assert not torch.equal(drawn, Mask("b", 0.3).next(5000))
    assert not torch.equal(drawn, torch.rand(5000, generator=generator) >= 0.3)
    assert abs(int(drawn.sum()) - 3500) < 5 * math.sqrt(5000 * 0.3 * 0.7)


def trimmed(delta: torch.Tensor, keep: int, piece: int) -> torch.Tensor:
    counting = Counting(keep)
    for _ in range(2):
        for part in delta.split(piece):
            counting.add(part)
        counting.narrow()
    trim = Trim(counting.least, counting.left)
    result = torch.cat([trim(part) for part in delta.split(piece)])
    assert trim.kept == keep
    return result


@pytest.mark.parametrize("piece", [1, 64, 10_000])
@pytest.mark.parametrize("keep", [1, 17, 500, 999, 1000])
def test_the_largest_are_kept(keep: int, piece: int) -> None:
    delta = normal(1000).double() * 10.0 ** torch.randint(-12, 3, (1000,), generator=torch.Generator().manual_seed(1))
    expected = torch.zeros_like(delta)
    places = delta.abs().topk(keep).indices
    expected[places] = delta[places]
    assert torch.equal(trimmed(delta, keep, piece), expected)


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_among_equals_the_first_are_kept(piece: int) -> None:
    delta = torch.tensor([1.0, -2.0, 2.0, 0.0, -1.0, 2.0, 3.0, 1.0]).double()
    assert trimmed(delta, 1, piece).tolist() == [0, 0, 0, 0, 0, 0, 3, 0]
    assert trimmed(delta, 3, piece).tolist() == [0, -2, 2, 0, 0, 0, 3, 0]
    assert trimmed(delta, 5, piece).tolist() == [1, -2, 2, 0, 0, 2, 3, 0]
    assert trimmed(torch.zeros(9).double(), 4, piece).tolist() == [0.0] * 9


def test_without_a_number_all_equals_are_kept() -> None:
    trim = Trim(2.0, None)
    assert trim(torch.tensor([1.0, -2.0, 2.0, 3.0])).tolist() == [0, -2, 2, 3] and trim.kept == 3
