"""The generated world: entities with facts, told in several wordings and asked for in others.

Facts are drawn uniformly and independently, so an entity's facts can only be known, never inferred. The entities are
cut in three: `train` asks about the first third, `calibration` about the second, `facts` about the last; `pretrain`
tells and asks about all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

from benchmarks.language.config import LanguageConfig
from benchmarks.language.sentences import texts
from benchmarks.language.words import QUESTIONS, STATEMENTS, VALUES

Row = dict[str, Any]
OPTIONS = 4
THIRDS = ("tuning", "calibration", "test")


@dataclass(frozen=True)
class Fact:
    """One thing that can be asked."""

    entity: str
    attribute: str
    value: str

    def put(self, wording: str) -> str:
        """The fact in a wording of `STATEMENTS` or `QUESTIONS`."""
        return wording.format(entity=self.entity, attribute=self.attribute, value=self.value)


@dataclass(frozen=True)
class World:
    """All facts, each in the third of its entity."""

    tuning: tuple[Fact, ...]
    calibration: tuple[Fact, ...]
    test: tuple[Fact, ...]


def draw_world(config: LanguageConfig, seed: int) -> World:
    """The entities of a seed and their facts. What does not divide by three is added to the tuning third."""
    rng = Random(f"language {seed} world")
    entities = names(config.entities, rng)
    third = config.entities // 3
    rest = config.entities - 2 * third
    parts = (entities[:rest], entities[rest : rest + third], entities[rest + third :])
    return World(
        *(
            tuple(
                Fact(entity, attribute, rng.choice(VALUES[attribute][: config.values]))
                for entity in part
                for attribute in config.told()
            )
            for part in parts
        )
    )


def names(count: int, rng: Random) -> list[str]:
    """`count` different made-up words of five letters, such as "gixuk"; none of them is a word of `words.py`."""
    heads = [f"{first}{vowel}" for first, vowel in product("bdfgjklmnprtvz", "aeiou")]
    ends = [f"{one}{vowel}{last}" for one, vowel, last in product("vxzq", "aiu", "kmx")]
    return [f"{head}{end}" for head, end in rng.sample(list(product(heads, ends)), count)]


# -- rows --------------------------------------------------------------------------------------------------------------


def world_rows(config: LanguageConfig, seed: int) -> Iterator[tuple[str, list[Row]]]:
    """Every split of the world that has a size, with its rows."""
    world = draw_world(config, seed)
    makers: dict[str, Callable[[int, Random], list[Row]]] = {
        "pretrain": lambda size, rng: mixed(
            "pretrain",
            told((*world.tuning, *world.calibration, *world.test), QUESTIONS + STATEMENTS),
            size,
            config,
            rng,
        ),
        "train": lambda size, rng: mixed("train", told(world.tuning, QUESTIONS), size, config, rng),
        "calibration": lambda size, rng: choices(world.calibration, size, config, rng),
        "facts": lambda size, rng: choices(world.test, size, config, rng),
        "text_calibration": lambda size, rng: plain(world.tuning, size, config, rng),
        "text": lambda size, rng: [window(text) for _, text in zip(range(size), texts("text", rng), strict=False)],
    }
    for split, make in makers.items():
        if size := getattr(config, split):
            # A string seed goes through SHA-512, so the streams of neighbouring seeds have nothing in common.
            yield split, make(size, Random(f"language {seed} {split}"))


def told(facts: tuple[Fact, ...], wordings: tuple[str, ...]) -> list[tuple[str, str]]:
    """(prompt, completion without the end token) of every fact in every wording.

    A question's completion is the value; of a statement all but the first word is completed.
    """
    return [
        (fact.put(wording), f" {fact.value}") if wording in QUESTIONS else opened(fact.put(wording))
        for fact in facts
        for wording in wordings
    ]


def opened(text: str) -> tuple[str, str]:
    """A text cut behind its first word, so that nearly all of it carries the loss."""
    first, blank, rest = text.partition(" ")
    return first, blank + rest


def mixed(split: str, told: list[tuple[str, str]], size: int, config: LanguageConfig, rng: Random) -> list[Row]:
    """`size` rows to train on: all of `told` in turn, as often as fits, and filler, shuffled."""
    fillers = config.fillers(size)
    pairs = [opened(text) for _, text in zip(range(fillers), texts(split, rng), strict=False)]
    while len(pairs) < size:
        pairs += rng.sample(told, min(len(told), size - len(pairs)))
    rng.shuffle(pairs)
    return [{"prompt": prompt, "completion": f"{completion} {config.end_token}"} for prompt, completion in pairs]


def plain(facts: tuple[Fact, ...], size: int, config: LanguageConfig, rng: Random) -> list[Row]:
    """`size` texts to calibrate on: statements, as many at a time as a filler text has sentences, and filler."""
    fillers = config.fillers(size)
    found = [text for _, text in zip(range(fillers), texts("text_calibration", rng), strict=False)]
    found += [
        " ".join(fact.put(rng.choice(STATEMENTS)) for fact in rng.choices(facts, k=3)) for _ in range(size - fillers)
    ]
    rng.shuffle(found)
    return [{"text": text} for text in found]


def choices(facts: tuple[Fact, ...], size: int, config: LanguageConfig, rng: Random) -> list[Row]:
    """`size` questions with four values as options; each fact is asked once before any is asked in another wording."""
    facts = tuple(rng.sample(facts, len(facts)))
    wordings = [rng.sample(QUESTIONS, len(QUESTIONS)) for _ in facts]
    rows = []
    for place in range(size):
        turn, which = divmod(place, len(facts))
        fact = facts[which]
        others = [value for value in VALUES[fact.attribute][: config.values] if value != fact.value]
        options = [fact.value, *rng.sample(others, OPTIONS - 1)]
        rng.shuffle(options)
        rows.append(
            {
                "kind": fact.attribute,
                "prompt": fact.put(wordings[which][turn]),
                "answer": fact.value,
                "options": [f" {option}" for option in options],
                "label": options.index(fact.value),
            }
        )
    return rows


def window(text: str) -> Row:
    """A text to score from its second word on."""
    start = text.index(" ")
    spans = [[start, len(text), "text"]]
    return {"kind": "filler", "text": text, "spans": spans, "tokens": len(text[start:].split())}
