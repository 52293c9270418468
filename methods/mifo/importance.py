"""Which parameters reinforcement moved most, and masks over them (MIFO, arXiv 2510.04454, section 3.3; sheet 2.5).

d        number of all trainable parameters; a vector of d is a list of tensors, tied ones once, in the model's order
C~       alpha C + (1 - alpha) |theta_end - theta_start|, C = 0 at first
M        exactly floor(k d) ones, at the largest entries of C~; of equal ones the first in the list's flat order
C        M * C~: what is not selected is forgotten

The bits of floats >= 0, read as integers, are in the floats' order. The k d-th largest is therefore found exactly by
two histograms, of the upper and then of the lower 16 bits, without sorting; over shards on many processes the
histograms add up. Scores must be >= 0 and float32, tensors contiguous.

Not the paper's: bottom and random masks (controls), the choice within each tensor, `concentration` (sheet 6.1, A16).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

CHUNK = 1 << 18  # entries that are looked at together; they fit a processor's cache
BLOCK = 1 << 26  # the same on other devices, which want to be asked seldom
LOW = 16  # bits of the second histogram
LARGEST = (1 << 31) - 1  # of an int32

Scope = Literal["global", "tensor"]
Keys = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Shards:
    """How processes that hold parts of the same tensors see each other; the parts of a tensor lie in rank order."""

    rank: int
    gather: Callable[[Tensor], Tensor]  # [...] of this process -> [R, ...] of all, in rank order


ALONE = Shards(0, lambda own: own[None])


def update_change(history: Sequence[Tensor], end: Sequence[Tensor], start: Sequence[Tensor], alpha: float) -> None:
    """C~ in the place of C (`history`)."""
    for change, new, old in zip(history, end, start, strict=True):
        change.mul_(alpha).add_((new - old).abs_(), alpha=1 - alpha)


def keep_selected(history: Sequence[Tensor], masks: Sequence[Tensor]) -> None:
    """C in the place of C~."""
    for change, mask in zip(history, masks, strict=True):
        change.mul_(mask)


def ones_of(share: float, size: int) -> int:
    """floor(share * size), the share read as the decimal number it is written as: 0.29 of 100 is 29."""
    return math.floor(Fraction(str(share)) * size)


def top_masks(scores: Sequence[Tensor], share: float, scope: Scope = "global", shards: Shards = ALONE) -> list[Tensor]:
    """M: the largest `share` of all entries, or of each tensor's; bool, of the scores' shapes."""
    return _masks(scores, share, scope, shards, _bits)


def bottom_masks(
    scores: Sequence[Tensor], share: float, scope: Scope = "global", shards: Shards = ALONE
) -> list[Tensor]:
    """The smallest `share`, of equal entries the first."""
    return _masks(scores, share, scope, shards, lambda part: LARGEST - _bits(part))


def random_masks(
    like: Sequence[Tensor], share: float, generator: torch.Generator, scope: Scope = "global"
) -> list[Tensor]:
    """As many ones as `top_masks` has, anywhere; `generator` is on the CPU, so that every device draws the same."""
    drawn = [torch.randint(LARGEST, one.shape, generator=generator, dtype=torch.int32) for one in like]
    keys = [key.to(one.device) for key, one in zip(drawn, like, strict=True)]
    return _masks(keys, share, scope, ALONE, lambda part: part)


def size(masks: Sequence[Tensor]) -> int:
    """Number of ones."""
    return sum(int(mask.count_nonzero()) for mask in masks)


def jaccard(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Size of the intersection of two masks over that of their union; 1 of two empty ones."""
    both = size([a & b for a, b in zip(one, other, strict=True)])
    either = size(one) + size(other) - both
    return both / either if either else 1.0


def concentration(scores: Sequence[Tensor], masks: Sequence[Tensor]) -> float:
    """Mean score inside the mask over the mean outside: about 1 where the choice is arbitrary; nan without both."""
    inside = total = 0.0
    for score, mask in zip(scores, masks, strict=True):
        for part, chosen in zip(_parts(score), _parts(mask), strict=True):
            inside += float((part * chosen).sum())
            total += float(part.sum())
    ones, every = size(masks), sum(map(torch.numel, masks))
    if not 0 < ones < every:
        return math.nan
    rest = (total - inside) / (every - ones)
    return inside / ones / rest if rest else math.inf


def distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """L2 norm of the difference of two vectors, summed in float64."""
    pairs = ((a, b) for new, old in zip(one, other, strict=True) for a, b in zip(_parts(new), _parts(old), strict=True))
    return math.sqrt(sum(float((a - b).norm(dtype=torch.float64)) ** 2 for a, b in pairs))


def _bits(part: Tensor) -> Tensor:
    return part.view(torch.int32)


def _masks(tensors: Sequence[Tensor], share: float, scope: Scope, shards: Shards, keys: Keys) -> list[Tensor]:
    if scope == "tensor":
        return [mask for one in tensors for mask in _masks([one], share, "global", shards, keys)]
    sizes = torch.tensor(sum(one.numel() for one in tensors))
    return _largest(tensors, ones_of(share, int(shards.gather(sizes).sum())), shards, keys)


def _largest(tensors: Sequence[Tensor], count: int, shards: Shards, keys: Keys) -> list[Tensor]:
    """The `count` entries with the largest keys, int32 >= 0; of equal ones the first."""
    masks = [torch.zeros(one.shape, dtype=torch.bool, device=one.device) for one in tensors]
    if not count:
        return masks
    upper, rest, _ = _bin_of(_histogram(tensors, keys, None), count, shards)
    lower, wanted, tied = _bin_of(_histogram(tensors, keys, upper), rest, shards)
    threshold = (upper << LOW) | lower
    for one, mask in zip(tensors, masks, strict=True):
        for part, chosen in zip(_parts(one), _parts(mask), strict=True):
            torch.ge(keys(part), threshold, out=chosen)
    if wanted < tied:
        _drop(tensors, masks, threshold, wanted, shards, keys)
    return masks


def _drop(
    tensors: Sequence[Tensor], masks: Sequence[Tensor], threshold: int, wanted: int, shards: Shards, keys: Keys
) -> None:
    """Leave only the first `wanted` entries at the threshold: tensor by tensor, and rank by rank in each."""
    ties = [[(keys(part) == threshold).nonzero()[:, 0] for part in _parts(one)] for one in tensors]
    counts = torch.tensor([sum(map(len, parts)) for parts in ties])
    everyone = shards.gather(counts)  # [R, tensors]
    before = everyone.T.flatten().cumsum(0).view(len(ties), -1)[:, shards.rank] - counts
    for mask, parts, earlier in zip(masks, ties, before.tolist(), strict=True):
        left = max(0, wanted - earlier)
        for places, chosen in zip(parts, _parts(mask), strict=True):
            chosen[places[left:]] = False
            left = max(0, left - len(places))


def _histogram(tensors: Sequence[Tensor], keys: Keys, upper: int | None) -> Tensor:
    """Counts of the keys' upper bits; with `upper`, of the lower bits of those keys that have these upper ones."""
    counts = torch.zeros(1 << LOW, dtype=torch.int64)
    for one in tensors:
        for part in _parts(one):
            key = keys(part)
            high = key >> LOW
            bins = high if upper is None else key[high == upper] & ((1 << LOW) - 1)
            counts += torch.bincount(bins, minlength=1 << LOW).cpu()
    return counts


def _bin_of(counts: Tensor, rank: int, shards: Shards) -> tuple[int, int, int]:
    """The bin that the `rank`-th largest lies in, counted from 1, its rank within the bin, and the bin's size."""
    descending = shards.gather(counts).sum(0).flip(0)
    reached = descending.cumsum(0)
    place = int((reached < rank).sum())
    above = int(reached[place] - descending[place])
    return len(counts) - 1 - place, rank - above, int(descending[place])


def _parts(tensor: Tensor) -> Iterator[Tensor]:
    yield from tensor.detach().view(-1).split(CHUNK if tensor.device.type == "cpu" else BLOCK)
