"""Something said once in a long text and asked for at its end: a pass key, numbers of things, values of variables."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from benchmarks.longcontext.config import LongContextConfig
from benchmarks.longcontext.filler import Endless, Haystack, made_up, object_name
from benchmarks.longcontext.fitting import Draft

OTHERS = 3  # needles of a `multi_needle` text that are not asked for
VALUES = 3  # numbers of the one thing of a `multi_value` text
HOPS = (1, 2, 3)  # assignments from one variable to the next, in turn


def passkey(rng: Random, index: int, config: LongContextConfig) -> Draft:
    """A pass key, told twice in a row in a text that has nothing to do with it; the text is announced before it."""
    depth, key, hay = config.depths[index % len(config.depths)], number(rng), Haystack(rng)
    told = f"the pass key is {key}. do not forget that {key} is the pass key."

    def write(sentences: int, words: int) -> str:
        return page("a pass key is hidden in this text.", hay.of(sentences, words), [(depth, told)], "the pass key is")

    return Draft(f"depth {depth:g}", key, (key,), write)


def needle(rng: Random, index: int, config: LongContextConfig) -> Draft:
    """The number of one thing among the numbers of others: every sentence looks like the one asked for."""
    depth, thing, value = config.depths[index % len(config.depths)], object_name(rng), number(rng)
    things = Endless(rng, object_name, besides=frozenset({thing}))
    numbers = Endless(rng, number, besides=frozenset({value}))  # some 90 000: more than any text has sentences
    told = {thing: value}

    def numbered(other: str) -> str:
        if other not in told:
            told[other] = numbers.first(len(told))[-1]
        return has_number(other, told[other])

    hay = Haystack(rng, numbered, about=things)

    def write(sentences: int, words: int) -> str:
        needles = [(depth, has_number(thing, value))]
        return page("every thing has a number.", hay.of(sentences, words), needles, has_number(thing, ""))

    return Draft(f"depth {depth:g}", f"{thing} {value}", (value,), write)


def multi_needle(rng: Random, index: int, config: LongContextConfig) -> Draft:
    """The numbers of four things in a text about others; one of them is asked for."""
    depth, hay = config.depths[index % len(config.depths)], Haystack(rng)
    things = Endless(rng, object_name).first(1 + OTHERS)
    values = Endless(rng, number).first(1 + OTHERS)
    depths = [depth, *(rng.random() for _ in range(OTHERS))]
    needles = sorted((depth, has_number(*told)) for depth, *told in zip(depths, things, values, strict=True))

    def write(sentences: int, words: int) -> str:
        intro = "the numbers of some things are hidden in this text."
        return page(intro, hay.of(sentences, words), needles, has_number(things[0], ""))

    return Draft(f"depth {depth:g}", f"{things[0]} {values[0]}", (values[0],), write)


def multi_value(rng: Random, index: int, config: LongContextConfig) -> Draft:
    """Three numbers of one thing, far from each other; all are asked for."""
    thing, hay = object_name(rng), Haystack(rng)
    values = Endless(rng, number).first(VALUES)
    needles = [
        (depth, f"one number of the {thing} is {value}.") for depth, value in zip(spread(rng), values, strict=True)
    ]

    def write(sentences: int, words: int) -> str:
        intro = "the numbers of one thing are hidden in this text."
        return page(intro, hay.of(sentences, words), needles, f"the {VALUES} numbers of the {thing} are")

    return Draft(f"{VALUES} values", f"{thing} {values}", tuple(values), write)


def variable_tracking(rng: Random, index: int, config: LongContextConfig) -> Draft:
    """A variable is given a number and others are given the variable, in a chain; which of all hold the number?

    A second chain, as long and with another number, leads astray.
    """
    hops, hay = HOPS[index % len(HOPS)], Haystack(rng)
    names = Endless(rng, made_up).first(2 * (hops + 1))
    chain, other = names[: hops + 1], names[hops + 1 :]
    value, another = Endless(rng, number).first(2)
    needles = []
    for variables, start in ((chain, value), (other, another)):
        sources = [start, *variables[:-1]]
        told = [f"let {name} be {source}." for name, source in zip(variables, sources, strict=True)]
        needles += list(zip(spread(rng, hops + 1), told, strict=True))
    needles.sort()

    def write(sentences: int, words: int) -> str:
        intro = "some variables are set in this text."
        return page(intro, hay.of(sentences, words), needles, f"the {hops + 1} variables that are {value} are")

    return Draft(f"{hops} hop{'s' * (hops > 1)}", f"{chain} {value}", tuple(chain), write)


def number(rng: Random) -> str:
    """Five digits."""
    return str(rng.randint(10_000, 99_999))


def has_number(thing: str, value: str) -> str:
    """The sentence that is hidden, or, without a value, its opening for the model to go on."""
    return f"the number of the {thing} is {value}." if value else f"the number of the {thing} is"


def spread(rng: Random, count: int = VALUES) -> list[float]:
    """`count` depths from early to late, one in each part of the text."""
    return [(part + rng.random()) / count for part in range(count)]


def page(intro: str, sentences: Sequence[str], needles: Sequence[tuple[float, str]], opening: str) -> str:
    """Announcement, text with the needles at their depths (in rising order), and the opening of the answer."""
    text: list[str] = []
    done = 0
    for depth, told in needles:
        place = round(depth * len(sentences))
        text += [*sentences[done:place], told]
        done = place
    return "\n".join((intro, " ".join([*text, *sentences[done:]]), opening))
