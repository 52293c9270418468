"""Which questions wait, in which order, and what a session takes."""

from __future__ import annotations

import pytest

from methods.mifo.buffer import Buffer


@pytest.mark.parametrize(
    ("overflow", "taken", "left"),
    [
        ("consume_all", [1, 2, 3, 4, 5, 6], []),
        ("take_keep", [1, 2, 3, 4], [5, 6]),
        ("take_drop", [1, 2, 3, 4], []),
    ],
)
def test_the_second_batch_fills_it(overflow: str, taken: list[int], left: list[int]) -> None:
    """Invariant 3: S = 4, arrivals of 3 and 3."""
    buffer = Buffer(4, overflow)  # type: ignore[arg-type]
    buffer.add([1, 2, 3])
    assert not buffer.full
    buffer.add([4, 5, 6])
    assert buffer.full
    assert buffer.take() == taken and buffer.waiting == left and not buffer.full


def test_the_newest_batch_first_in_its_own_order() -> None:
    buffer = Buffer(4, "take_keep", "lifo")
    for batch in ([1, 2, 3], [4, 5, 6]):
        buffer.add(batch)
    assert buffer.take() == [4, 5, 6, 1]
    buffer.add([7, 8])
    assert buffer.waiting == [7, 8, 2, 3]


@pytest.mark.parametrize(
    ("dedup", "waiting"), [("none", [1, 2, 2, 3, 1, 2]), ("epoch", [1, 2, 3, 1, 2]), ("run", [1, 2, 3])]
)
def test_a_question_that_comes_back(dedup: str, waiting: list[int]) -> None:
    buffer = Buffer(9, dedup=dedup)  # type: ignore[arg-type]
    buffer.add([1, 2], 0)
    buffer.add([2, 3], 0)
    buffer.add([1, 2], 1)
    assert buffer.waiting == waiting


def test_what_a_session_took_is_still_known() -> None:
    buffer = Buffer(2, dedup="run")
    buffer.add([1, 2])
    buffer.take()
    buffer.add([2, 1])
    assert buffer.waiting == []
