"""Windows of books: where they begin, and that a span is the last tokens of its window."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.longcontext import books
from benchmarks.longcontext.books import TEXTS, book_rows, text_rows, windows
from benchmarks.longcontext.config import LongContextConfig
from benchmarks.longcontext.filler import Endless, sentence
from benchmarks.longcontext.tokens import Tokens, load_tokens
from methodbench.errors import UserError
from tests.benchmarks.longcontext.tokenizers import saved, trained


def numbered(count: int) -> str:
    """`count` words of one token each, the tens told apart by where their letters stand."""
    return " ".join("abcdefghij"[place % 10] for place in range(count))


def test_windows_begin_a_tenth_of_the_rest_apart() -> None:
    made = list(windows(numbered(1300), Tokens(), 300, 99))
    assert [len(window["text"].split()) for window in made] == [300] * 10  # 0, 100, …, 900
    assert [window["text"][0] for window in made] == ["a"] * 10
    assert len(list(windows(numbered(1305), Tokens(), 300, 99))) == 11  # 0, 100, …, 1000 < 1005
    assert len(list(windows(numbered(1300), Tokens(), 300, 4))) == 4
    assert len(list(windows(numbered(335), Tokens(), 300, 99))) == 4  # at least ten tokens apart
    assert list(windows(numbered(300), Tokens(), 300, 99)) == []


def test_a_span_is_the_last_hundred_tokens_with_the_blank_before_them() -> None:
    for window in windows(numbered(1300), Tokens(), 300, 3):
        ((start, end, kind),) = window["spans"]
        assert (kind, end, window["tokens"]) == ("last", len(window["text"]), 100)
        assert window["text"][start] == " "
        assert len(window["text"][start:end].split()) == 100
    (window,) = windows(numbered(65), Tokens(), 64, 1)
    assert window["tokens"] == 32


def test_a_window_has_as_many_tokens_of_a_real_tokenizer_too(tmp_path: Path) -> None:
    tokens = load_tokens(LongContextConfig(tokenizer=saved(tmp_path)))
    book = "\n\n".join(Endless(Random(1), sentence).first(300))
    assert sum(len(book[start:end]) > 0 for start, end in tokens.spans(book)) == tokens.count(book)
    for window in windows(book, tokens, 512, 5):
        ((start, _, _),) = window["spans"]
        head, last = window["text"][:start], window["text"][start:]
        assert trained().encode(head) + trained().encode(last) == trained().encode(window["text"])
        assert (len(trained().encode(head)), len(trained().encode(last))) == (412, 100)


def test_books_come_from_the_hub_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fetched(*given: Any) -> tuple[list[dict[str, Any]], str]:
        asked.append(given)
        return [{"text": numbered(400 if place % 2 else 100)} for place in range(count)], "print"

    monkeypatch.setattr(books, "fetch_rows", fetched)
    config = LongContextConfig(books=4, windows=2, revisions={"pg19": "abc"})
    count = 100
    rows, source = book_rows(config, Tokens())
    assert asked == [("longcontext: set 'pg19'", "emozilla/pg19-test", None, "test", "abc")]
    assert [row["book"] for row in rows] == [1, 1, 3, 3], "a book shorter than a window has none"
    assert (source["revision"], source["fingerprint"], source["tokenizer"]) == ("abc", "print", "")
    count = 99
    with pytest.raises(UserError, match="set 'pg19', revision 'abc': given 99 books, expected 100"):
        book_rows(config, Tokens())
    count = 100
    with pytest.raises(UserError, match="key 'length': given 1024, but no book of 'pg19' is longer"):
        book_rows(LongContextConfig(length=1024), Tokens())


def test_without_the_hub_one_sentence_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"set 'pg19': emozilla/pg19-test .* cannot be fetched .*'stand_in: true'"):
        book_rows(LongContextConfig(), Tokens())


@pytest.mark.parametrize("length", [64, 256, 4096])
def test_stand_in_books_have_windows_at_every_length(length: int) -> None:
    rows, source = book_rows(LongContextConfig(length=length, recall=0, stand_in=True), Tokens())
    assert source["stand_in"] is True
    assert {row["book"] for row in rows} == {0, 1}
    assert len({row["text"] for row in rows}) == len(rows) == 20


def test_held_out_books_are_read_or_scored_never_both(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fetched(*given: Any) -> tuple[list[dict[str, Any]], str]:
        asked.append(given)
        return [{"text": f"Z {numbered(400)}"} for _ in range(50)], "print"

    monkeypatch.setattr(books, "fetch_rows", fetched)
    config = LongContextConfig(books=4, windows=2, revisions={"pg19_validation": "abc"})
    rows, source = book_rows(config, Tokens(), "pg19_validation")
    texts, same = text_rows(config)
    given = ("longcontext: set 'pg19_validation'", "emozilla/pg19", None, "validation", "abc", "data/validation-*")
    assert asked == [given, given]
    assert [row["book"] for row in texts] == list(range(TEXTS))
    assert [row["book"] for row in rows] == [place for place in range(TEXTS, TEXTS + 4) for _ in range(2)]
    assert source["hub"] == same["hub"] == "emozilla/pg19"


def test_stand_ins_of_the_splits_share_no_text() -> None:
    config = LongContextConfig(length=320, recall=0, stand_in=True)
    test, _ = book_rows(config, Tokens())
    held_out, _ = book_rows(config, Tokens(), "pg19_validation")
    texts, _ = text_rows(config)
    assert len(texts) == TEXTS and {row["book"] for row in held_out} == {TEXTS, TEXTS + 1}
    sentences = [{part for row in rows for part in row["text"].split(". ")[1:-1]} for rows in (test, held_out, texts)]
    shared = [sentences[one] & sentences[other] for one, other in ((0, 1), (0, 2), (1, 2))]
    assert shared == [set(), set(), set()]
