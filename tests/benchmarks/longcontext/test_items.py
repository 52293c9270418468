"""Every answer is read from the prompt by other means; prompts are as long as may be, needles where they should."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.longcontext.config import LongContextConfig
from benchmarks.longcontext.filler import COLOURS, OBJECTS, SIZES
from benchmarks.longcontext.fitting import Draft
from benchmarks.longcontext.prepare import ITEMS, belongs, item_rows
from benchmarks.longcontext.tokens import Tokens
from methodbench.errors import UserError
from tests.benchmarks.longcontext.tokenizers import trained

DEEP = ("passkey", "needle", "multi_needle", "document_retrieval")
Row = dict[str, Any]


def made(split: str, length: int = 512, size: int = 25, seed: int = 0, tokens: Tokens | None = None) -> list[Row]:
    return list(item_rows(split, size, LongContextConfig(length=length, recall=0), seed, tokens or Tokens()))


def read_passkey(prompt: str) -> list[str]:
    """The only number that is called a pass key twice."""
    told = Counter(re.findall(r"pass key is (\d+)|(\d+) is the pass key", prompt))
    assert len(told) == 2
    return [number for number in {one or two for one, two in told}]


def read_number(prompt: str) -> list[str]:
    """The sentence that goes on as the prompt's last line begins."""
    *before, opening = prompt.split("\n")
    return re.findall(rf"{opening} (\d+)\.", "\n".join(before))


def read_values(prompt: str) -> list[str]:
    """All numbers in the text belong to the one thing."""
    text, opening = prompt.rsplit("\n", 1)
    thing = re.fullmatch(r"the \d numbers of the (.+) are", opening)
    assert thing is not None
    assert text.count(thing[1]) == 3
    return re.findall(r"\d{5}", text)


def read_variables(prompt: str) -> list[str]:
    """Assignments are carried out as they come; nothing is used before it is set."""
    text, opening = prompt.rsplit("\n", 1)
    values: dict[str, str] = {}
    for name, source in re.findall(r"let (\w+) be (\w+)\.", text):
        values[name] = source if source.isdigit() else values[source]
    asked = re.fullmatch(r"the (\d) variables that are (\d+) are", opening)
    assert asked is not None
    found = [name for name, value in values.items() if value == asked[2]]
    assert len(found) == int(asked[1])
    assert len(values) == 2 * len(found) and len(set(values.values())) == 2, "no second chain leads astray"
    return found


def read_frequent(prompt: str) -> list[str]:
    """Counted; the third stands before the fourth."""
    counts = Counter(prompt.split("\n")[1].split()).most_common(4)
    assert counts[2][1] > counts[3][1]
    return [word for word, _ in counts[:3]]


def read_common(prompt: str) -> list[str]:
    counts = Counter(prompt.split("\n")[1].split()).most_common(4)
    assert counts[0][1] == counts[2][1] >= 4 * counts[3][1]
    return sorted(word for word, _ in counts[:3])


def read_document(prompt: str) -> list[str]:
    *documents, opening = prompt.split("\n")
    asked = opening.removesuffix(": this is told in document")
    numbers = [re.match(r"document (\d{3}): ", document) for document in documents]
    assert len({number[1] for number in numbers if number}) == len(documents) > 1
    return [number[1] for number, text in zip(numbers, documents, strict=True) if number and asked in text]


READERS: dict[str, Callable[[str], list[str]]] = {
    "passkey": read_passkey,
    "needle": read_number,
    "multi_needle": read_number,
    "multi_value": read_values,
    "variable_tracking": read_variables,
    "common_words": read_common,
    "frequent_words": read_frequent,
    "document_retrieval": read_document,
}


@pytest.mark.parametrize("split", ITEMS)
@pytest.mark.parametrize("length", [256, 2048])
def test_the_answer_can_be_read_from_the_prompt_and_from_nowhere_else(split: str, length: int) -> None:
    assert set(READERS) == set(ITEMS)
    for row in made(split, length):
        assert READERS[split](row["prompt"]) == row["answers"], row["prompt"]
        assert row["answer"] == ", ".join(row["answers"])


@pytest.mark.parametrize("split", ITEMS)
@pytest.mark.parametrize("length", [256, 1024, 4096])
@pytest.mark.parametrize("tokenizer", ["pieces", "byte pairs"])
def test_a_prompt_is_as_long_as_it_may_be(split: str, length: int, tokenizer: str) -> None:
    tokens = Tokens(None if tokenizer == "pieces" else trained())
    room = length - ITEMS[split][1]
    for row in made(split, length, 6, tokens=tokens):
        assert 0.95 * room <= tokens.count(row["prompt"]) <= room
        assert tokens.count(" " + row["answer"]) <= ITEMS[split][1], "the answer has no room"


@pytest.mark.parametrize("split", DEEP)
def test_a_needle_lies_at_its_depth(split: str) -> None:
    rows = made(split, 8192, 10)
    assert [row["kind"] for row in rows[:5]] == ["depth 0", "depth 0.25", "depth 0.5", "depth 0.75", "depth 1"]
    for row in rows:
        *lines, opening = row["prompt"].split("\n")
        text = "\n".join(lines)
        wanted = {"passkey": f"pass key is {row['answer']}", "document_retrieval": f"document {row['answer']}:"}
        place = text.index(wanted.get(split, f"{opening} {row['answer']}")) / len(text)
        assert abs(place - float(row["kind"].removeprefix("depth "))) < 0.05


@pytest.mark.parametrize("split", ITEMS)
def test_nothing_is_said_twice(split: str) -> None:
    """No sentence of the filler repeats, so a text cannot be learned from a part of it."""
    for row in made(split, 4096, 3):
        if "words" not in split:
            sentences = re.findall(r"[^.:\n]+\.", row["prompt"])
            assert len(sentences) == len(set(sentences)) > 100


def test_the_hidden_sentences_and_the_filler_share_no_telling_word() -> None:
    for row in made("passkey", 4096, 3):
        *_, text, _ = row["prompt"].split("\n")
        filler = set(re.findall(r"\w+", re.sub(r"the pass key is.*?is the pass key\.", "", text)))
        assert not filler & {"pass", "key", "number", "let", "document", "found", "forget", *SIZES, *COLOURS, *OBJECTS}
        assert not any(word.isdigit() for word in filler)


def test_the_facts_of_neighbouring_seeds_differ_and_none_is_asked_twice() -> None:
    for split in ITEMS:
        asked = [
            {(tuple(row["answers"]), row["prompt"].rsplit("\n", 1)[-1]) for row in made(split, 256, 60, seed)}
            for seed in (0, 1, 2)
        ]
        assert all(len(one) == 60 for one in asked)
        assert not asked[0] & asked[1] and not asked[1] & asked[2]


def test_pass_keys_of_even_and_odd_seeds_have_nothing_in_common() -> None:
    even, odd = (
        {row["answer"] for seed in (first, first + 2) for row in made("passkey", 64, 500, seed)} for first in (0, 1)
    )
    assert len(even) > 900 and not even & odd


def test_a_text_that_is_too_short_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="key 'length': given 64, too short for an item of 'variable_tracking'"):
        made("variable_tracking", 64)


def test_too_many_items_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Draft("", "the one fact", ("1",), lambda units, words: "a " * (units + words))
    monkeypatch.setitem(ITEMS, "passkey", (lambda *_: only, 8))
    seed = next(seed for seed in (0, 1) if belongs(only.fact, seed))
    assert len(made("passkey", size=1, seed=seed)) == 1
    with pytest.raises(UserError, match="key 'passkey': given 2, but there are too few different items"):
        made("passkey", size=2, seed=seed)
