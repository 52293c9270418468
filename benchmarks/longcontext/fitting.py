"""Makes a prompt as long as it may be: a draft can be written at any length, and the longest that fits is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from benchmarks.longcontext.tokens import Tokens

PROBE = 8  # units, then words, from which the tokens of one are guessed at first
GUESSES = 3  # each from the length that the one before gave


@dataclass(frozen=True)
class Draft:
    """An item before its length is decided.

    `fact` is what is asked about; it decides by its hash which seeds may ask it. ``write(units, words)`` is the prompt
    with so many units of filler (sentences, documents, …) and so many words besides.
    """

    kind: str
    fact: str
    answers: tuple[str, ...]
    write: Callable[[int, int], str]


def fitted(draft: Draft, tokens: Tokens, budget: int) -> str | None:
    """The longest prompt of at most `budget` tokens; None if the shortest is longer."""
    if tokens.count(draft.write(0, 0)) > budget:
        return None
    units = longest(lambda count: tokens.count(draft.write(count, 0)), budget)
    words = longest(lambda count: tokens.count(draft.write(units, count)), budget)
    return draft.write(units, words)


def longest(size: Callable[[int], int], budget: int) -> int:
    """The largest number whose `size` is within `budget`, where that of 0 is; a text is long, so few are measured."""
    measured = cache(size)
    guess = PROBE
    for _ in range(GUESSES):
        each = max(1.0, (measured(guess) - measured(0)) / guess)
        guess = max(1, int((budget - measured(0)) / each))
    return largest(lambda count: measured(count) <= budget, guess)


def largest(fits: Callable[[int], bool], guess: int) -> int:
    """The largest number that fits, where 0 does and nothing larger than a misfit; few calls if the guess is near."""
    low, high, step = 0, guess, 1
    if guess <= 0 or fits(guess):
        low = max(0, guess)
        while fits(low + step):
            low, step = low + step, 2 * step
        high = low + step
    else:
        while high > step and not fits(high - step):
            high, step = high - step, 2 * step
        low = max(0, high - step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
