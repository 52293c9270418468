"""Four options of an answer: a chain of slips in which the right one stands at a random place.

Each option is one slip away from the next and has the right one's form (as long, as sorted, made of the same letters),
so neither its size nor its likeness to the others tells the right one.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from string import ascii_lowercase, digits

from benchmarks.reasoning.problem import Problem, Slip, spaced

OPTIONS = 4
TRIES = 100  # slips for one chain
FEW = 20  # so few numbers are a circle: on a line, those at its ends would be right more often than others


def options(problem: Problem, rng: Random) -> tuple[list[str], int]:
    """The options in random order, and the place of the right one."""
    slip = slip_of(problem)
    chain: list[str] = []
    while len(chain) < OPTIONS:
        chain = chained(problem.answer, slip, rng)
    rng.shuffle(chain)
    return chain, chain.index(problem.answer)


def slipped(problem: Problem, rng: Random) -> str:
    """A wrong answer, one slip away from the right one."""
    slip = slip_of(problem)
    for _ in range(TRIES):
        wrong = slip(problem.answer, rng)
        if wrong != problem.answer:
            return wrong
    return next(other for other in options(problem, rng)[0] if other != problem.answer)


def slip_of(problem: Problem) -> Callable[[str, Random], str]:
    """How the problem's answer goes wrong."""
    return by_steps(problem.plausible) if isinstance(problem.plausible, range) else by_pieces(problem.plausible)


def chained(answer: str, slip: Callable[[str, Random], str], rng: Random) -> list[str]:
    """Different answers, each a slip from the next; fewer than asked if an end of the chain leads nowhere new."""
    chain, before = [answer], rng.randrange(OPTIONS)
    for _ in range(TRIES):
        at_front = len(chain) <= before
        other = slip(chain[0 if at_front else -1], rng)
        if other not in chain:
            chain.insert(0 if at_front else len(chain), other)
        if len(chain) == OPTIONS:
            break
    return chain


def by_steps(plausible: range) -> Callable[[str, Random], str]:
    """A number moved by one, two or ten within `plausible`."""

    def slip(answer: str, rng: Random) -> str:
        value = int(answer.replace(" ", "")) + rng.choice((1, 2, 10)) * rng.choice((1, -1))
        if len(plausible) <= FEW:
            value = plausible[(value - plausible.start) % len(plausible)]
        return spaced(value) if value in plausible else answer

    return slip


def by_pieces(slip: Slip) -> Callable[[str, Random], str]:
    """`slip` for text."""
    return lambda answer, rng: " ".join(slip(answer.split(), rng))


# -- slips -------------------------------------------------------------------------------------------------------------


def swapped(pieces: list[str], rng: Random) -> list[str]:
    """Two neighbours swapped; for lists of three different entries or more."""
    place = rng.randrange(1, len(pieces))
    return [*pieces[: place - 1], pieces[place], pieces[place - 1], *pieces[place + 1 :]]


def shifted(pieces: list[str], rng: Random) -> list[str]:
    """A letter replaced by its neighbour in the alphabet."""
    place = rng.randrange(len(pieces))
    letter = ascii_lowercase[(ascii_lowercase.index(pieces[place]) + rng.choice((1, -1))) % 26]
    return [*pieces[:place], letter, *pieces[place + 1 :]]


def mirrored(pieces: list[str], rng: Random, *, letters: list[str]) -> list[str]:
    """A palindrome in order up to its middle with a letter replaced; five letters or more, two of them different."""
    half, middle = pieces[: len(pieces) // 2], pieces[len(pieces) // 2 : (len(pieces) + 1) // 2]
    place = rng.randrange(len(half) + len(middle))
    if place < len(half):
        half = sorted([*half[:place], rng.choice(letters), *half[place + 1 :]])
    else:
        middle = [rng.choice(letters)]
    return [*half, *middle, *reversed(half)]


def resorted(pieces: list[str], rng: Random, *, descending: bool) -> list[str]:
    """A sorted list with a digit replaced, sorted again."""
    place = rng.randrange(len(pieces))
    return sorted([*pieces[:place], rng.choice(digits), *pieces[place + 1 :]], reverse=descending)


def refiltered(pieces: list[str], rng: Random, *, numbers: list[str]) -> list[str]:
    """What is kept of `numbers` with a number kept or dropped by mistake; for three different numbers or more."""
    kept = set(pieces) ^ {rng.choice(numbers)}
    return [number for number in numbers if number in kept] or pieces
