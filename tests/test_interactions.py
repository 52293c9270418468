"""Interactions: the numbers add up, the intervals cover, and every word is reached from planted effects."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from methodbench.benchmark import Metric, Task
from methodbench.compare import Comparison, compare, compare_sum
from methodbench.interactions import WORDS, Stacked, decide, interactions
from methodbench.results import Results
from methodbench.stats import Estimate, contrast, difference, ratio_difference
from tests.stacked_study import METRIC, OTHER, PAIRS, TASK, stacked_results

SIGNS = (1, -1, -1, 1)  # both, first, second, base


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return stacked_results(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="module")
def found(results: Results) -> dict[str, Stacked]:
    return {one.id: one for one in interactions(results)}


def estimate_of(value: float, se: float) -> Estimate:
    p = math.erfc(abs(value) / se / math.sqrt(2))
    return Estimate(value, value - 1.96 * se, value + 1.96 * se, se, 0.0, 1e6, p, 300, 3, (value,), 2.8 * se)


@pytest.mark.parametrize(("seeds", "sd_seeds"), [(3, 0.0), (3, 0.4), (1, 0.0)])
def test_the_interval_of_an_interaction_covers_the_truth(seeds: int, sd_seeds: float) -> None:
    """Arms share their items' difficulty and each seed's luck; the methods' own effects differ from item to item."""
    rng = np.random.default_rng(41)
    hits = 0
    for _ in range(300):
        shared = rng.normal(0, 1, (1, 50)) + rng.normal(0, 1, (seeds, 1))
        arms = [
            level + shared + rng.normal(0, 0.4, (1, 50)) + rng.normal(0, sd_seeds, (seeds, 1)) + noise
            for level, noise in zip((0.9, 0.3, 0.5, 0.0), rng.normal(0, 0.4, (4, seeds, 50)), strict=True)
        ]
        made = contrast([[arm] for arm in arms], SIGNS)
        hits += made.low <= 0.9 - 0.3 - 0.5 <= made.high
    assert 0.91 <= hits / 300 <= 0.99


def test_a_contrast_of_two_arms_is_a_difference_to_the_bit() -> None:
    rng = np.random.default_rng(42)
    one, two, above, below = rng.random((4, 3, 70)) + 0.5
    assert contrast([[one], [two]], (1, -1)) == difference(one, two)
    assert contrast([[one, below], [two, above]], (1, -1)) == ratio_difference((one, below), (two, above))


@pytest.mark.parametrize("metric", [METRIC, f"{TASK}/tokens", f"{TASK}/exact_match:tokens"])
def test_a_sum_of_two_arms_is_what_a_claim_compares(results: Results, metric: str) -> None:
    claimed = compare(results, "ab", "b", metric)
    assert dataclasses.replace(claimed, items=()) == compare_sum(results, {"ab": 1, "b": -1}, metric, "b")


def test_the_numbers_of_a_pair_add_up(results: Results, found: dict[str, Stacked]) -> None:
    for one in found.values():
        if one.id == "lost":
            continue
        parts = [part.effect.value for part in (one.both, one.first_alone, one.second_alone) if part.effect]
        effect = one.interaction.effect
        assert effect and effect.value == pytest.approx(parts[0] - parts[1] - parts[2], abs=1e-12)
    forth, back, order = found["a_b"], found["a_b_reverse"], found["a_b"].order
    assert forth.interaction.effect and back.interaction.effect and order and order.effect
    apart = forth.interaction.effect.value - back.interaction.effect.value
    assert order.effect.value == pytest.approx(apart, abs=1e-12) and back.order is None
    assert (back.first, back.second, back.first_alone) == ("Beta", "Alpha", forth.second_alone)


@pytest.mark.parametrize(
    ("pair", "truth", "word", "said"),
    [
        ("a_b", 0.15, "helps more together", "after correction for 5 tests)."),
        ("a_b_reverse", 0.0, "unclear", "and 1.0 points would count."),
        ("a_c", -0.15, "helps less together", "after correction for 5 tests)."),
        ("b_c", 0.0, "adds up", "any interaction is smaller than the 10.0 points that would count"),
    ],
)
def test_words_are_as_planted(found: dict[str, Stacked], pair: str, truth: float, word: str, said: str) -> None:
    effect = found[pair].interaction.effect
    assert effect is not None and effect.low < truth < effect.high
    assert found[pair].word == word and said in found[pair].why
    assert found[pair].significant == (truth != 0)


def test_a_missing_arm_is_told_and_the_others_stand(found: dict[str, Stacked]) -> None:
    lost = found["lost"]
    assert (lost.word, lost.why) == ("not comparable", "`cb@plain` has no score on math/test.")
    assert lost.first_alone.effect and lost.second_alone.effect and lost.both.effect is None
    assert lost.p == 1 and not lost.significant


def test_the_claims_do_not_change_the_correction(tmp_path: Path, found: dict[str, Stacked]) -> None:
    claim = {"id": "C", "says": "x", "left": "a", "right": "base", "metric": METRIC}
    again = interactions(stacked_results(tmp_path, claims=[claim]))
    assert [one.p for one in again] == [one.p for one in found.values()]
    alone = interactions(stacked_results(tmp_path, pairs=PAIRS[1:2]))
    assert alone[0].p == pytest.approx(alone[0].interaction.effect.p if alone[0].interaction.effect else 0)
    assert alone[0].p < found["a_c"].p


@pytest.mark.parametrize(("direction", "forget"), [(None, True), ("less", False), ("less", True)])
def test_better_may_be_less(tmp_path: Path, direction: str | None, forget: bool) -> None:
    pairs = [{**PAIRS[0], "direction": direction}]
    results = stacked_results(tmp_path, pairs=pairs)
    tasks = {TASK: Task("test", "test.yaml", "test", (Metric("exact_match"),), to_forget=forget)}
    one = interactions(dataclasses.replace(results, tasks=tasks))[0]
    assert (one.better, one.word) == (-1, "helps less together")


def test_smoke_makes_no_statement(tmp_path: Path) -> None:
    made = interactions(stacked_results(tmp_path, items=20, scale="smoke"))
    assert len(made) == 5 and {one.word for one in made} == {"not comparable"}
    assert all(one.interaction.effect is None and "no claims" in one.why for one in made)


def test_rules_leave_no_gap_and_never_contradict_the_interval() -> None:
    seen = set()
    for step in range(-40, 41):
        for se in (0.001, 0.01, 0.017, 0.05, 0.2):
            effect = estimate_of(step / 200, se)
            for better in (1, -1):
                word, why = decide(0.05, Comparison("ab", "b", METRIC, effect, "share"), effect.p, 1, better)
                seen.add(word)
                assert why
                if word.startswith("helps"):
                    assert effect.p < 0.05 and (word == "helps more together") == (better * effect.value > 0)
                    assert max(abs(effect.low), abs(effect.high)) >= 0.05
                if word == "unclear":
                    assert effect.p >= 0.05 and effect.minimum_detectable > 0.05
    assert seen == set(WORDS) - {"not comparable"}


def test_one_seed_is_said(tmp_path: Path) -> None:
    made: list[Any] = interactions(stacked_results(tmp_path, items=60, seeds=[0], pairs=PAIRS[2:3]))
    assert "one seed" in made[0].why and OTHER not in made[0].metric
