"""Text that says nothing and never says it twice: sentences of a small grammar, in lower-case words.

A lower-case word is one token of a word tokenizer and few of any other, and no word here occurs in the sentences that
the tasks hide. Made-up words are used where a task needs names that no text holds.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

NOUNS = (
    *("farmer", "baker", "sailor", "painter", "teacher", "doctor", "miller", "weaver", "hunter", "singer", "captain"),
    *(
        "horse",
        "goat",
        "dog",
        "cat",
        "crow",
        "hen",
        "fox",
        "owl",
        "bridge",
        "river",
        "garden",
        "market",
        "barn",
        "mill",
    ),
    *("tower", "wall", "road", "hill", "field", "lake", "window", "door", "table", "chair", "letter", "song", "story"),
    *("boat", "cart", "wheel", "rope", "basket", "blanket", "kettle", "candle", "coat", "hat"),
)
ADJECTIVES = (
    *("quiet", "tall", "young", "kind", "proud", "clever", "lazy", "gentle", "brave", "tired", "happy", "wet", "cold"),
    *(
        "warm",
        "bright",
        "heavy",
        "narrow",
        "broken",
        "clean",
        "dusty",
        "empty",
        "strange",
        "famous",
        "lonely",
        "careful",
    ),
    *("crooked", "early", "hungry", "patient", "rich", "shy", "silent"),
)
VERBS = (
    *("carries", "watches", "follows", "paints", "finds", "leaves", "mends", "sells", "buys", "visits", "praises"),
    *("remembers", "draws", "passes", "meets", "likes", "wants", "brings", "knows", "shows", "admires", "forgets"),
)
PREPOSITIONS = ("near", "behind", "beside", "above", "below", "across", "beyond", "around")
ADVERBS = ("slowly", "often", "gladly", "seldom", "again", "always", "never", "today", "quickly", "sometimes")
JOINTS = ("while", "because", "although", "before", "after", "until")

SIZES = ("small", "large", "round", "flat", "long", "short", "thick", "thin", "wide", "deep", "square", "light")
COLOURS = ("red", "blue", "green", "black", "white", "brown", "grey", "pink", "purple", "orange", "yellow", "violet")
MATERIALS = ("tin", "oak", "silver", "glass", "paper", "copper", "wool", "stone", "silk", "clay", "iron", "leather")
OBJECTS = (
    *("lamp", "box", "cup", "bowl", "plate", "spoon", "ring", "bell", "drum", "flute", "clock", "mirror", "comb"),
    *("brush", "key", "lock", "coin", "medal", "statue", "vase", "jug", "bottle", "bag", "belt", "shoe", "glove"),
    *("ball", "kite", "doll", "puzzle", "pen", "book", "map", "flag", "mask", "fan", "needle", "thimble", "button"),
)
SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")


def sentence(rng: Random) -> str:
    """``"the quiet farmer often carries the basket near the old mill."``: 6 to 14 words."""
    subject, verb, thing = noun_phrase(rng), rng.choice(VERBS), noun_phrase(rng)
    form = rng.randrange(4)
    if form == 0:
        return f"{subject} {rng.choice(ADVERBS)} {verb} {thing} {rng.choice(PREPOSITIONS)} {noun_phrase(rng)}."
    if form == 1:
        return f"{rng.choice(PREPOSITIONS)} {noun_phrase(rng)} {subject} {verb} {thing}."
    if form == 2:
        return f"{subject} {verb} {thing} {rng.choice(JOINTS)} {noun_phrase(rng)} {rng.choice(VERBS)} it."
    return f"{subject} {verb} {thing} {rng.choice(PREPOSITIONS)} {noun_phrase(rng)} {rng.choice(ADVERBS)}."


def noun_phrase(rng: Random) -> str:
    """``"the farmer"`` or ``"the quiet farmer"``."""
    return f"the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}" if rng.random() < 0.6 else f"the {rng.choice(NOUNS)}"


def object_name(rng: Random) -> str:
    """One of some 67 000 things: ``"small red tin lamp"``."""
    return " ".join(rng.choice(words) for words in (SIZES, COLOURS, MATERIALS, OBJECTS))


def made_up(rng: Random) -> str:
    """One of 343 000 words of no language: ``"bakemi"``."""
    return "".join(rng.choice(SYLLABLES) for _ in range(3))


class Endless:
    """Different texts in a row without end, made when first asked for, so that a longer row begins with a shorter."""

    def __init__(self, rng: Random, make: Callable[[Random], str], *, besides: frozenset[str] = frozenset()) -> None:
        self.rng, self.make = Random(rng.getrandbits(64)), make  # of its own: others' draws do not depend on its length
        self.made: list[str] = []
        self.seen = set(besides)

    def first(self, count: int) -> list[str]:
        """The first `count` texts."""
        while len(self.made) < count:
            text = self.make(self.rng)
            if text not in self.seen:
                self.seen.add(text)
                self.made.append(text)
        return self.made[:count]


class Haystack:
    """Whole sentences, and filler cut to some words at the end, to meet a length exactly."""

    def __init__(self, rng: Random, make: Callable[[str], str] = str, *, about: Endless | None = None) -> None:
        self.topics, self.make = about or Endless(rng, sentence), make  # a sentence about each topic, or the topic
        self.rest = Endless(rng, sentence)

    def of(self, sentences: int, words: int) -> list[str]:
        """`sentences` sentences, and `words` words more."""
        told = [self.make(topic) for topic in self.topics.first(sentences)]
        return [*told, self.cut(words)] if words else told

    def cut(self, words: int) -> str:
        """Filler of exactly `words` words; its last sentence may stop short."""
        return " ".join(" ".join(self.rest.first(words // 5 + 1)).split()[:words]).rstrip(".") + "."
