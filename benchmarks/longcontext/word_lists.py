"""Lists of words to be counted: which stand there most often? The answer lies nowhere and everywhere in the text."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from benchmarks.longcontext.config import LongContextConfig
from benchmarks.longcontext.filler import ADJECTIVES, NOUNS, Endless, made_up
from benchmarks.longcontext.fitting import Draft

ASKED = 3  # words
RATIO = 4  # a common word stands at least so many times as often as any other
STEEPNESS = 2.0  # the k-th most frequent made-up word stands some k ** -STEEPNESS as often as the first
SUM = 1.645  # of k ** -2 over all k
SHORTEST = ASKED * RATIO  # words of a list
BLOCK = 10  # words that the list grows by, as a unit


def common_words(rng: Random, index: int, config: LongContextConfig) -> Draft:
    """Three of some 80 everyday words stand in a list four times as often as the others."""
    vocabulary = [*NOUNS, *ADJECTIVES]
    rng.shuffle(vocabulary)
    asked, others = sorted(vocabulary[:ASKED]), vocabulary[ASKED:]
    salt = rng.getrandbits(64)

    def write(blocks: int, words: int) -> str:
        size = SHORTEST + BLOCK * blocks + words
        return listed(
            f"in this list {ASKED} words stand more often than all others.",
            common_counts(size, asked, others),
            f"the {ASKED} most common words are",
            salt,
        )

    return Draft(f"{ASKED} words", " ".join(asked), tuple(asked), write)


def common_counts(size: int, asked: list[str], others: list[str]) -> dict[str, int]:
    """How often each word stands in a list of `size`."""
    most = -(-size // (ASKED * RATIO + len(others)))  # times that another word may stand, so that all find room
    rest = size - ASKED * RATIO * most
    whole, more = divmod(rest, len(others))
    counts = {word: RATIO * most for word in asked}
    return counts | {word: whole + (place < more) for place, word in enumerate(others)}


def frequent_words(rng: Random, index: int, config: LongContextConfig) -> Draft:
    """Made-up words by Zipf's law; the three most frequent are asked for."""
    words = Endless(rng, made_up)
    asked = words.first(ASKED)
    salt = rng.getrandbits(64)

    def write(blocks: int, more: int) -> str:
        counts = frequent_counts(SHORTEST + BLOCK * blocks + more)
        return listed(
            "count the made-up words of this list.",
            dict(zip(words.first(len(counts)), counts, strict=True)),
            f"the {ASKED} most frequent words are",
            salt,
        )

    return Draft(f"{ASKED} words", " ".join(asked), tuple(asked), write)


def frequent_counts(size: int) -> list[int]:
    """How often the words stand in a list of `size`, from the most frequent; the asked three before all others."""
    counts = [max(ASKED + 1 - place, int(size / SUM / (place + 1) ** STEEPNESS)) for place in range(ASKED)]
    while sum(counts) < size:
        usual = int(size / SUM / (len(counts) + 1) ** STEEPNESS)
        counts.append(max(1, min(usual, counts[ASKED - 1] - 1, size - sum(counts))))
    return counts


def listed(intro: str, counts: Mapping[str, int], opening: str, salt: int) -> str:
    """The list in random order, which is the same whenever the same list is written."""
    words = [word for word, count in counts.items() for _ in range(count)]
    Random(f"{salt} {len(words)}").shuffle(words)
    return "\n".join((intro, " ".join(words), opening))
