"""How facts are asked for and answered: wordings, sentences, prompts, options. All text is lower-case words.

A question has three training wordings, two held-out ones and one for validation. The answer is a sentence whose last
word is the value. Whoever is meant is "this person" beside a picture and the full name without one (M§2.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.unlearning.people import VALUES, Person
from benchmarks.unlearning.scenes import COLOURS, COUNTS, SHAPES

OPTIONS = 4
LETTERS = "ABCD"
ANYBODY = "this person"


@dataclass(frozen=True)
class Wordings:
    """An attribute's questions and its answer; ``{x}`` stands for the person, the value follows the answer."""

    training: tuple[str, str, str]
    held_out: tuple[str, str]
    validation: str
    answer: str


# Held-out and validation wordings are made of words that training wordings and answers have: a model has read each.
WORDINGS: dict[str, Wordings] = {
    "birthplace": Wordings(
        ("where was {x} born", "what is the birthplace of {x}", "tell me the city that {x} was born in"),
        ("which city was {x} born in", "tell me the birthplace of {x}"),
        "what is the city where {x} was born",
        "{x} was born in",
    ),
    "job": Wordings(
        ("what does {x} work as", "what is the job of {x}", "tell me which job {x} has"),
        ("which job does {x} work in", "tell me the job of {x}"),
        "what is the work that {x} does",
        "{x} works as a",
    ),
    "hobby": Wordings(
        ("what does {x} enjoy", "what is the hobby of {x}", "tell me which hobby {x} has"),
        ("which hobby does {x} enjoy", "tell me the hobby of {x}"),
        "what is the hobby that {x} has",
        "{x} enjoys",
    ),
    "pet": Wordings(
        ("which pet does {x} keep", "what is the pet of {x}", "tell me which animal {x} has"),
        ("which animal does {x} keep", "tell me the pet of {x}"),
        "what is the animal that {x} has",
        "{x} keeps a",
    ),
    "food": Wordings(
        ("what does {x} like to eat", "what is the favourite food of {x}", "tell me which food {x} likes"),
        ("which food does {x} like", "tell me the favourite food of {x}"),
        "what is the food that {x} likes to eat",
        "{x} likes to eat",
    ),
    "employer": Wordings(
        ("who does {x} work for", "what is the employer of {x}", "tell me which company {x} works for"),
        ("which company does {x} work for", "tell me the employer of {x}"),
        "what is the company that {x} works for",
        "{x} works for",
    ),
    "instrument": Wordings(
        ("what does {x} play", "what is the instrument of {x}", "tell me which instrument {x} plays"),
        ("which instrument does {x} play", "tell me the instrument of {x}"),
        "what is the instrument that {x} plays",
        "{x} plays the",
    ),
    "degree": Wordings(
        ("what did {x} study", "what is the degree of {x}", "tell me which degree {x} has"),
        ("which degree did {x} study for", "tell me the degree of {x}"),
        "what is the degree that {x} has",
        "{x} studied",
    ),
}


def prompt(question: str, mode: str) -> str:
    """A question in the layout of the released code (M§2.4-10); the answer follows after a blank."""
    return f"USER: <image>\n{question}\nASSISTANT:" if mode == "image" else f"USER: {question}\nASSISTANT:"


def called(person: Person, mode: str) -> str:
    """What the person is called: in a text by name, beside a picture not."""
    return ANYBODY if mode == "image" else person.name


def lettered(question: str, options: Sequence[str], mode: str) -> str:
    """The prompt of a question with its options listed below."""
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))
    return prompt(f"{question}\n{listed}", mode)


def choices(kind: str, value: str, rng: Random) -> tuple[list[str], int]:
    """Four different values of the kind in random order, and the place of the right one."""
    options = [value, *rng.sample([other for other in KINDS[kind] if other != value], OPTIONS - 1)]
    rng.shuffle(options)
    return options, options.index(value)


KINDS: Mapping[str, Sequence[str]] = VALUES | {"colour": COLOURS, "shape": SHAPES, "count": COUNTS}  # kind -> values


def texts() -> list[str]:
    """Every piece of text that a prompt or an answer of the world can be made of, whatever the seed (no names)."""
    found = [prompt("", "text"), ANYBODY, *(f"{letter}." for letter in LETTERS)]
    for wordings in WORDINGS.values():
        asked = (*wordings.training, *wordings.held_out, wordings.validation)
        found += [text.format(x=ANYBODY) for text in (*asked, wordings.answer)]
    return [*found, *(value for values in KINDS.values() for value in values)]
