"""pg19: how well the last tokens of a window of a book are predicted, however much of it stands before them.

As in the experiments of arXiv 2504.16053: the test split's hundred books, windows of `length` tokens from the start on,
a tenth of the book apart; the last hundred tokens of each are scored, and a book shorter than a window has none.

pg19_validation: the same of other books, those of the validation split, for choosing a setting without a look at the
test split; pg19_text: the first ten books of that split, whole, which have no windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from benchmarks.longcontext.config import LongContextConfig
from benchmarks.longcontext.filler import Endless, sentence
from benchmarks.longcontext.tokens import Tokens
from methodbench.errors import UserError
from methodbench.hub import fetch_rows

SETS = {  # name -> hub, split, its files where the whole would be large, books
    "pg19": ("emozilla/pg19-test", "test", None, 100),  # the original has a loading script, which nothing runs any more
    "pg19_validation": ("emozilla/pg19", "validation", "data/validation-*", 50),
}
TEXTS = 10  # of the validation split's books, these are texts to calibrate a method on; the others have windows
LAST = 100  # tokens scored of a window, at most half of it
PARTS = 10  # windows of a book are a tenth of it apart, and at least so many tokens
SHORT = 40  # sentences of a stand-in for a text


def book_rows(
    config: LongContextConfig, tokens: Tokens, name: str = "pg19"
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The windows of all books, and where the books come from.

    Raises:
        UserError: the hub cannot be reached, the set has not its published size, or no book is as long as a window.
    """
    books, source = read_books(config, name)
    rows = [
        {"book": place, **window}
        for place, book in list(enumerate(books))[TEXTS if name == "pg19_validation" else 0 :][: config.books]
        for window in windows(book, tokens, config.length, config.windows)
    ]
    if not rows:
        raise UserError(f"longcontext: key 'length': given {config.length}, but no book of '{name}' is longer")
    return rows, source | {"tokenizer": config.tokenizer, "tokenizer_revision": config.tokenizer_revision}


def text_rows(config: LongContextConfig) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Whole books that no task scores: ``{"book", "text"}``."""
    books, source = read_books(config, "pg19_validation")
    return [{"book": place, "text": book} for place, book in enumerate(books[:TEXTS])], source


def read_books(config: LongContextConfig, name: str) -> tuple[list[str], dict[str, Any]]:
    """All books of a set, and where they come from."""
    hub, split, files, size = SETS[name]
    if config.stand_in:
        held_out = name == "pg19_validation"
        return stand_in_books(config.length, name, TEXTS if held_out else 0), {"stand_in": True}
    revision = config.revisions.get(name, "main")
    given, fingerprint = fetch_rows(
        f"longcontext: set '{name}'", hub, None, split, revision, *([files] if files else [])
    )
    if len(given) != size:
        raise UserError(f"longcontext: set '{name}', revision '{revision}': given {len(given)} books, expected {size}")
    source = {"hub": hub, "split": split, "revision": revision, "fingerprint": fingerprint}
    return [str(row["text"]) for row in given], source


def windows(book: str, tokens: Tokens, length: int, most: int) -> Iterator[dict[str, Any]]:
    """The first `most` windows of `length` tokens: text, the one span to score, and its number of tokens."""
    places = tokens.spans(book)
    stride = max(PARTS, (len(places) - length) // PARTS)
    last = min(LAST, length // 2)
    for first in range(0, len(places) - length, stride)[:most]:
        start, end = places[first][0], places[first + length - 1][1]
        # The span begins where the token before ends: a blank belongs to the word behind it, as lm-eval has it.
        border = places[first + length - last - 1][1]
        yield {"text": book[start:end], "spans": [[border - start, end - start, "last"]], "tokens": last}


def stand_in_books(length: int, name: str = "pg19", short: int = 0) -> list[str]:
    """Two books of filler, the longer of some twelve windows, after `short` smaller ones; no published text."""
    # The name keeps the sets apart; of "pg19" it is left out, as it was when there was no other.
    seed = "longcontext: books" if name == "pg19" else f"longcontext: books of {name}"
    sentences = Endless(Random(seed), sentence).first(length + short * SHORT)
    first = [" ".join(sentences[place * SHORT : (place + 1) * SHORT]) for place in range(short)]
    rest = sentences[short * SHORT :]
    return [*first, " ".join(rest[: length // 4]), " ".join(rest[length // 4 :])]
