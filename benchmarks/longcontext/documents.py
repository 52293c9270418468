"""Numbered documents, each of which says where one thing was found: which of them says it of the thing asked for?"""

from __future__ import annotations

from random import Random

from benchmarks.longcontext.config import LongContextConfig
from benchmarks.longcontext.filler import Endless, Haystack, made_up, object_name, sentence
from benchmarks.longcontext.fitting import Draft

LARGEST = 1 / 80  # share of the text that a document takes, so that there are never more documents than numbers
SENTENCE = 10  # words of one, roughly
NUMBERS = range(100, 1000)


def document_retrieval(rng: Random, index: int, config: LongContextConfig) -> Draft:
    """The number of the document that tells where a thing was found; the numbers are in no order."""
    depth = config.depths[index % len(config.depths)]
    size = max(1, round(config.length * LARGEST / SENTENCE))  # filler sentences of a document
    things, places = Endless(rng, object_name), Endless(rng, made_up)
    texts, rest = Endless(rng, sentence), Haystack(rng)
    numbers = rng.sample(NUMBERS, len(NUMBERS))
    thing = things.first(1)[0]

    def document(place: int) -> str:
        told = f"the {things.first(place + 1)[place]} was found in {places.first(place + 1)[place]}."
        filler = texts.first((place + 1) * size)[place * size :]
        return " ".join([f"document {numbers[place]}:", *filler[: size // 2], told, *filler[size // 2 :]])

    def write(others: int, words: int) -> str:
        # The document asked for is the first one drawn, so that more documents change neither it nor its number.
        texts = [document(place) for place in range(1, others + 1)]
        texts.insert(round(depth * others), document(0))
        if words:
            texts[-1] += f" {rest.cut(words)}"
        return "\n".join([*texts, f"the {thing} was found: this is told in document"])

    return Draft(f"depth {depth:g}", f"{thing} {numbers[0]}", (str(numbers[0]),), write)
