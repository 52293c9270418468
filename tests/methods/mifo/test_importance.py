"""The importance map by hand, and masks against a full stable sort."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from methods.mifo import importance
from methods.mifo.importance import (
    Shards,
    bottom_masks,
    concentration,
    distance,
    jaccard,
    keep_selected,
    ones_of,
    random_masks,
    top_masks,
    update_change,
)


def scores(seed: int, kinds: int = 0) -> list[Tensor]:
    """Three tensors of several shapes; with `kinds`, of so many different values."""
    generator = torch.Generator().manual_seed(seed)
    made = [torch.rand(shape, generator=generator) ** 8 for shape in ((7, 11), (5,), (3, 4, 6))]
    return [(one * kinds).floor() / kinds for one in made] if kinds else made


def sorted_masks(tensors: Sequence[Tensor], share: float, descending: bool = True) -> Tensor:
    """M, flat, by a stable sort of everything."""
    flat = torch.cat([one.flatten() for one in tensors])
    mask = torch.zeros_like(flat, dtype=torch.bool)
    order = flat.sort(descending=descending, stable=True).indices
    mask[order[: math.floor(Fraction(str(share)) * len(flat))]] = True
    return mask


def flat(masks: Sequence[Tensor]) -> Tensor:
    return torch.cat([mask.flatten() for mask in masks])


@pytest.fixture(params=[4, importance.CHUNK], ids=["small chunks", "chunks"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "CHUNK", request.param)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.29, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("kinds", [0, 1, 3, 50])
def test_masks_are_those_of_a_stable_sort(share: float, kinds: int, chunk: None) -> None:
    for seed in range(3):
        tensors = scores(seed, kinds)
        top, bottom = top_masks(tensors, share), bottom_masks(tensors, share)
        assert torch.equal(flat(top), sorted_masks(tensors, share))
        assert torch.equal(flat(bottom), sorted_masks(tensors, share, descending=False))
        assert [mask.shape for mask in top] == [one.shape for one in tensors]


def test_masks_within_each_tensor() -> None:
    tensors = scores(0, 20)
    for one, mask in zip(tensors, top_masks(tensors, 0.3, "tensor"), strict=True):
        assert torch.equal(mask.flatten(), sorted_masks([one], 0.3))


def test_numbers_that_differ_in_their_last_bit_or_hugely() -> None:
    one = torch.tensor(1e-6)
    near = torch.stack([one, torch.nextafter(one, torch.tensor(1.0)), one, torch.tensor(0.0), torch.tensor(1e-45)])
    assert top_masks([near], 0.2)[0].tolist() == [False, True, False, False, False]
    assert top_masks([near], 0.4)[0].tolist() == [True, True, False, False, False]
    assert top_masks([near], 0.8)[0].tolist() == [True, True, True, False, True]
    assert bottom_masks([near], 0.2)[0].tolist() == [False, False, False, True, False]


def test_equal_changes_give_exactly_the_share_and_the_same_mask_again() -> None:
    """Invariant 5: of equal entries the first."""
    tensors = [torch.full((3, 5), 1e-6), torch.full((6,), 1e-6)]
    first = top_masks(tensors, 0.5)
    assert flat(first).tolist() == [True] * 10 + [False] * 11
    assert torch.equal(flat(first), flat(top_masks(tensors, 0.5)))


def test_a_share_is_the_decimal_number_that_it_is_written_as() -> None:
    assert 0.29 * 100 < 29, "the product of floats is below"
    assert [ones_of(0.29, 100), ones_of(0.5, 7), ones_of(1.0, 7), ones_of(0.0, 7)] == [29, 3, 7, 0]


def test_two_intervals_by_hand() -> None:
    """Invariant 4: what was not selected starts again from 0."""
    start = [torch.tensor([0.0, 1.0]), torch.tensor([2.0, -4.0])]
    end = [torch.tensor([0.5, 0.75]), torch.tensor([2.125, -5.0])]  # moved by .5, .25, .125, 1
    history = [torch.zeros(2), torch.zeros(2)]
    update_change(history, end, start, 0.5)
    assert flat(history).tolist() == [0.25, 0.125, 0.0625, 0.5]
    masks = top_masks(history, 0.5)
    assert flat(masks).tolist() == [True, False, False, True]
    keep_selected(history, masks)
    assert flat(history).tolist() == [0.25, 0, 0, 0.5]

    later = [torch.tensor([0.5, 1.75]), torch.tensor([2.625, -5.125])]  # by 0, 1, .5, .125
    update_change(history, later, end, 0.5)
    assert flat(history).tolist() == [0.125, 0.5, 0.25, 0.3125]
    assert flat(top_masks(history, 0.5)).tolist() == [False, True, False, True]

    without = [torch.tensor([0.25, 0]), torch.tensor([0, 0.5])]
    update_change(without, later, end, 0.0)
    assert flat(without).tolist() == [0, 1, 0.5, 0.125]


def test_the_history_does_not_matter_in_the_first_interval() -> None:
    """Invariant 11: the paper's variant without history is the same there."""
    start, end = scores(0), scores(1)
    masks = []
    for alpha in (0.0, 0.5):
        history = [torch.zeros_like(one) for one in start]
        update_change(history, end, start, alpha)
        masks.append(flat(top_masks(history, 0.5)))
    assert torch.equal(*masks)


def test_shards_find_the_mask_of_the_whole() -> None:
    """Three processes, one of which holds nothing of a tensor; ties cross their borders."""
    for kinds, share in ((0, 0.5), (2, 0.3), (1, 0.61)):
        tensors = scores(4, kinds)
        cuts = [(10, 50), (0, 5), (70, 71)]
        pieces = [one.flatten().tensor_split(cut) for one, cut in zip(tensors, cuts, strict=True)]
        whole = [mask.flatten().tensor_split(cut) for mask, cut in zip(top_masks(tensors, share), cuts, strict=True)]
        for rank, found in enumerate(on_three([[piece[rank] for piece in pieces] for rank in range(3)], share)):
            assert torch.equal(flat(found), flat([piece[rank] for piece in whole]))


def on_three(shards: list[list[Tensor]], share: float) -> list[list[Tensor]]:
    """Each shard in a thread of its own, meeting where processes would."""
    barrier, table, found = threading.Barrier(3, timeout=20), [torch.empty(0)] * 3, [[torch.empty(0)]] * 3

    def work(rank: int) -> None:
        def gather(own: Tensor) -> Tensor:
            table[rank] = own
            barrier.wait()
            stacked = torch.stack(table)
            barrier.wait()
            return stacked

        found[rank] = top_masks(shards[rank], share, shards=Shards(rank, gather))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_random_mask_has_the_share_and_follows_its_generator() -> None:
    like = [torch.zeros(40, 50), torch.zeros(999)]

    def drawn(seed: int) -> Tensor:
        return flat(random_masks(like, 0.3, torch.Generator().manual_seed(seed)))

    first = drawn(0)
    assert int(first.sum()) == math.floor(0.3 * 2999)
    assert torch.equal(first, drawn(0)) and not torch.equal(first, drawn(1))
    often = torch.stack([drawn(seed) for seed in range(400)]).double().mean(0)
    assert float((often - 0.3).abs().max()) < 5.5 * math.sqrt(0.3 * 0.7 / 400), "some place is preferred"


def test_measures_by_hand() -> None:
    one = [torch.tensor([True, True, False]), torch.tensor([False])]
    other = [torch.tensor([True, False, False]), torch.tensor([True])]
    assert jaccard(one, other) == 1 / 3
    assert jaccard([torch.zeros(2, dtype=torch.bool)], [torch.zeros(2, dtype=torch.bool)]) == 1
    assert concentration([torch.tensor([4.0, 2.0, 1.0]), torch.tensor([0.5])], one) == 3 / 0.75
    assert (
        distance([torch.tensor([3.0, 1.0]), torch.tensor([9.0])], [torch.tensor([0.0, 1.0]), torch.tensor([5.0])]) == 5
    )
    assert math.isnan(concentration([torch.ones(3)], [torch.ones(3, dtype=torch.bool)]))
