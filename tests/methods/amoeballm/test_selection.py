"""The searches against brute force, their number of evaluations, ties, and what they refuse (invariant 4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from random import Random

import pytest

from methods.amoeballm.selection import (
    Metric,
    contiguous,
    dynamic,
    exhaustive,
    greedy,
    ranking,
    steps,
    subsets,
)

LAYERS = 8


def additive(seed: int) -> Metric:
    """Every layer costs what it costs; multiples of 1/1024, so that sums are exact in any order."""
    rng = Random(seed)
    costs = [rng.randrange(1024) / 1024 for _ in range(LAYERS)]
    return lambda removed: -sum(costs[layer] for layer in removed)


def table(seed: int) -> Metric:
    """Any set function."""
    return lambda removed: Random(f"{seed} {removed}").random()


class Counted:
    """A metric that remembers what it was asked."""

    def __init__(self, metric: Metric) -> None:
        self.metric, self.asked = metric, list[tuple[int, ...]]()

    def __call__(self, removed: tuple[int, ...]) -> float:
        assert removed == tuple(sorted(set(removed)))
        self.asked.append(removed)
        return self.metric(removed)


@pytest.mark.parametrize("order", [range(LAYERS), range(LAYERS - 1, -1, -1)], ids=["shallow", "deep"])
@pytest.mark.parametrize("search", [dynamic, greedy])
def test_additive_metrics_are_solved_exactly(search: Callable[..., object], order: range) -> None:
    """Invariant 4: for every number of layers, against brute force written out here."""
    for seed in range(20):
        metric = additive(seed)
        removed, values = search(metric, list(order), LAYERS)  # type: ignore[misc]
        for count in range(1, LAYERS + 1):
            best = max(metric(chosen) for chosen in combinations(range(LAYERS), count))
            assert values[count] == best == metric(removed[count])
            assert len(removed[count]) == count


def test_of_other_metrics_no_search_beats_the_exhaustive_one() -> None:
    """It must miss some optimum, too, or the programme would not be the paper's heuristic."""
    missed = 0
    for seed in range(30):
        metric = table(seed)
        _, best = exhaustive(metric, range(6), 3)
        for search in (dynamic, greedy):
            removed, values = search(metric, range(6), 3)
            assert all(values[count] == metric(removed[count]) <= best[count] for count in best)
            missed += values[3] < best[3]
    assert missed > 10


@pytest.mark.parametrize(("candidates", "most", "evaluations"), [(31, 12, 306), (29, 10, 245), (5, 5, 15), (4, 0, 0)])
@pytest.mark.parametrize("search", [dynamic, greedy])
def test_the_number_of_evaluations(search: Callable[..., object], candidates: int, most: int, evaluations: int) -> None:
    """Sheet 2.1: 306 for LLaMA-2-7B, 245 for SmolLM2-135M; no set twice."""
    metric = Counted(table(0))
    search(metric, range(candidates), most)
    assert len(metric.asked) == len(set(metric.asked)) == evaluations == steps(candidates, most)


def test_the_programme_starts_at_the_first_candidate() -> None:
    """All layers after the one looked at run: what lets a prefix of the model be computed once."""
    metric = Counted(table(0))
    dynamic(metric, [3, 2, 1, 0], 2)
    assert metric.asked == [(3,), (2,), (2, 3), *metric.asked[3:]]
    assert [min(asked) for asked in metric.asked] == [3, 2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize("search", [dynamic, exhaustive, greedy])
def test_ties_keep_what_was_found_first(search: Callable[..., object]) -> None:
    removed, _ = search(lambda _: 0.0, [4, 3, 2, 1], 3)  # type: ignore[misc]
    assert removed == {0: (), 1: (4,), 2: (3, 4), 3: (2, 3, 4)}


def test_layers_that_are_no_candidates_stay() -> None:
    """The uppermost would be the best to remove."""
    metric = lambda removed: float(sum(removed))  # noqa: E731
    for search in (dynamic, exhaustive, greedy):
        removed, _ = search(metric, [2, 1, 0], 3)
        assert removed[1] == (2,) and removed[3] == (0, 1, 2)


def test_infinitely_bad_sets_can_still_be_forced() -> None:
    removed, values = dynamic(lambda _: -math.inf, [1, 0], 2)
    assert removed == {0: (), 1: (1,), 2: (0, 1)} and values[2] == -math.inf


def test_blocks_that_move_least() -> None:
    """Distances of places on a line: layer 3 moves by 1, layers 1 and 2 there and back, the last hardly at all."""
    places = [0.0, 4.0, 9.0, 4.0, 5.0, 5.125]
    removed, values = contiguous(lambda start, stop: abs(places[stop] - places[start]), 5, 3, keep_last=1)
    assert removed == {0: (), 1: (3,), 2: (1, 2), 3: (1, 2, 3)}
    assert values == {1: -1.0, 2: 0.0, 3: -1.0}
    removed, _ = contiguous(lambda start, stop: abs(places[stop] - places[start]), 5, 1, keep_last=0)
    assert removed[1] == (4,)
    removed, _ = contiguous(lambda *_: 1.0, 5, 2, keep_last=1)
    assert removed[2] == (2, 3)  # of equal ones the deepest


def test_a_ranking_can_put_layers_behind_all_others() -> None:
    scores = [0.0, 2.0, 1.0, 1.0]
    assert ranking(scores, [3, 2, 1, 0]) == [0, 3, 2, 1]
    assert ranking(scores, [3, 2, 1, 0], last=(0, 3)) == [2, 1, 0, 3]
    with pytest.raises(ValueError, match="without layers \\[1\\] is not a number"):
        ranking([0.0, math.nan], [0, 1])


def test_what_is_refused() -> None:
    for search in (dynamic, exhaustive, greedy):
        with pytest.raises(ValueError, match="4 layers are to go, and 3 may"):
            search(table(0), range(3), 4)
        with pytest.raises(ValueError, match="without layers \\[0\\] is not a number"):
            search(lambda _: math.nan, range(3), 1)
    assert subsets(29, 10) > 200_000 > subsets(17, 17)
    metric = Counted(table(0))
    with pytest.raises(ValueError, match="sets of up to 10 of 29 layers, allowed: 200000"):
        exhaustive(metric, range(29), 10)
    assert not metric.asked
