"""The order of rows in both flavours, known before the first step."""

from __future__ import annotations

from itertools import islice

import pytest

from methods.manu.passes import Step, joint, planned, released


def rows(steps: list[Step], kind: str) -> list[tuple[int, ...]]:
    return [tuple(visit.row for visit in getattr(step, kind)) for step in steps]


def test_released_a_whole_pass_to_forget_then_a_whole_pass_to_retain() -> None:
    plan = planned(released(forget=5, retain=6, size=4, seed=0), steps=None, epochs=2)
    assert [(step.epoch, len(step.forget), len(step.retain)) for step in plan] == [
        *[(0, 4, 0), (0, 1, 0), (0, 0, 4), (0, 0, 2)],
        *[(1, 4, 0), (1, 1, 0), (1, 0, 4), (1, 0, 2)],
    ]
    for kind, count in (("forget", 5), ("retain", 6)):
        for epoch in (0, 1):
            seen = [visit for step in plan if step.epoch == epoch for visit in getattr(step, kind)]
            assert sorted(visit.row for visit in seen) == list(range(count))
            assert {visit.number for visit in seen} == {epoch}


def test_joint_both_in_every_step() -> None:
    """Retain rows come from passes of their own: 10 rows in two epochs of 5 are a pass over 7 and some of the next."""
    plan = planned(joint(forget=5, retain=7, size=4, seed=0), steps=None, epochs=2)
    assert [(step.epoch, len(step.forget), len(step.retain)) for step in plan] == [
        (0, 4, 4),
        (0, 1, 1),
        (1, 4, 4),
        (1, 1, 1),
    ]
    beside = [visit for step in plan for visit in step.retain]
    assert sorted(visit.row for visit in beside[:7]) == list(range(7))
    assert [visit.number for visit in beside] == [0] * 7 + [1] * 3


@pytest.mark.parametrize("passes", [released, joint])
def test_without_rows_to_retain_there_is_one_pass(passes: object) -> None:
    plan = planned(passes(3, 0, 2, 0), steps=None, epochs=2)  # type: ignore[operator]
    assert [(step.epoch, len(step.forget), len(step.retain)) for step in plan] == [
        (0, 2, 0),
        (0, 1, 0),
        (1, 2, 0),
        (1, 1, 0),
    ]


def test_steps_cut_the_order_or_go_on_beyond_an_epoch() -> None:
    order = list(islice(released(3, 4, 2, seed=1), 9))
    for steps in (0, 2, 9):
        assert planned(released(3, 4, 2, seed=1), steps=steps, epochs=1) == order[:steps]
    assert [step.epoch for step in order] == [0, 0, 0, 0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("passes", [released, joint])
def test_the_seed_gives_the_order(passes: object) -> None:
    plans = [planned(passes(40, 40, 4, seed), None, 2) for seed in (0, 0, 1)]  # type: ignore[operator]
    assert plans[0] == plans[1] != plans[2]
    half = len(plans[0]) // 2
    assert rows(plans[0][:half], "forget") != rows(plans[0][half:], "forget"), "each epoch has an order of its own"
