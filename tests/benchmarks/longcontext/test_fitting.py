"""The search for the longest text finds it from any guess, in few calls."""

from __future__ import annotations

import pytest

from benchmarks.longcontext.fitting import Draft, fitted, largest
from benchmarks.longcontext.tokens import Tokens


@pytest.mark.parametrize("limit", [0, 1, 2, 7, 100, 999])
@pytest.mark.parametrize("guess", [0, 1, 5, 100, 5000])
def test_the_largest_that_fits(limit: int, guess: int) -> None:
    calls: list[int] = []

    def fits(number: int) -> bool:
        calls.append(number)
        return number <= limit

    assert largest(fits, guess) == limit
    assert min(calls) >= 0
    assert len(calls) <= 4 + 2 * abs(limit - guess).bit_length()


def test_a_draft_is_filled_by_units_and_then_by_words() -> None:
    draft = Draft("", "", (), lambda units, words: "a " + "b c d e " * units + "f " * words)
    told = fitted(draft, Tokens(), 12)
    assert told == "a b c d e b c d e f f f "
    assert fitted(draft, Tokens(), 1) == "a "
    assert fitted(draft, Tokens(), 0) is None
