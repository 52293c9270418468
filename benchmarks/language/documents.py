"""Passages of CPython's documentation, which every Python carries: ``pydoc_data.topics``.

Whole topics are dealt by the hash of their name to three parts, for tuning, calibration and test. Topics repeat each
other's paragraphs: one that two parts would have stays in the test part, or else in the calibration part, alone. Only
prose is kept. The text is another in every version of Python, so the version stands beside the rows.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pydoc_data.topics import topics
from random import Random
from typing import Any

from benchmarks.language.config import LanguageConfig
from benchmarks.language.passages import cut, window

Row = dict[str, Any]
PARTS = {"test": range(0, 3), "calibration": range(3, 5), "train": range(5, 10)}  # of ten; in the order of claims
DEALT = 10
SALT = "documentation3"  # among a few the one that spreads the long topics best: about 30, 20 and 50 % of the text
PASSAGE = 500  # characters of a row of text, about
PROMPT, OPTION = 200, 80  # characters of a choice's prompt and options, about
OPTIONS = 4
SHORTEST = 60  # characters of a paragraph of prose
LETTERS = 0.95  # least share of letters, blanks and ordinary signs in prose
BULLET = re.compile(r"^\s*(\*|\d+\.)\s+")
# Examples, grammar, lists inside lists, tables, underlined headings, signatures.
MARKS = re.compile(r">>>|::=|^\s*([+|#-]|\*\s|\.\.)|\*\*\*|===|---|~~~|\A\s*(class|async|def|object)\b|\\n", re.M)
PLAIN = re.compile(r"[A-Za-z ,.;:!?'’“”\"()_*-]")
BLANKS = re.compile(r"\s+")


def document_rows(name: str, config: LanguageConfig) -> tuple[list[Row], dict[str, Any]]:
    """The rows of one of `DOCUMENTS`, in a fixed random order, and where they come from."""
    part = {"docs_train": "train", "docs": "test", "docs_choice": "test"}.get(name, "calibration")
    texts = parts()[part]
    if name.endswith("_choice"):
        rows = list(choices(texts))
    else:
        size = config.docs_characters if name == "docs" else PASSAGE
        passages = ((topic, passage) for topic, text in texts.items() for passage in cut(text, size))
        rows = [
            window(passage) | {"kind": topic} if name == "docs" else {"text": passage} for topic, passage in passages
        ]
    Random(f"language: order of {name}").shuffle(rows)
    version = ".".join(str(number) for number in sys.version_info[:3])
    source = {"text": "pydoc_data.topics", "python": version, "part": part, "topics": len(texts)}
    return rows, source | {"topics_sha256": hashlib.sha256("\n".join(texts).encode()).hexdigest()}


@cache
def parts() -> Mapping[str, Mapping[str, str]]:
    """Part -> topic -> its prose, no paragraph twice."""
    seen: set[str] = set()
    found: dict[str, dict[str, str]] = {}
    for part, buckets in PARTS.items():
        found[part] = {}
        for topic in sorted(topics):
            if dealt(topic) not in buckets:
                continue
            new = [paragraph for paragraph in prose(topics[topic]) if paragraph not in seen]
            seen.update(new)
            if new:
                found[part][topic] = " ".join(dict.fromkeys(new))
    return found


def dealt(topic: str) -> int:
    """Which of ten a topic is in."""
    return int.from_bytes(hashlib.sha256(f"{SALT} {topic}".encode()).digest()[:8], "big") % DEALT


def prose(text: str) -> Iterator[str]:
    """The paragraphs of running text, each on one line: no headings, tables, code or grammar; no bullets."""
    for raw in re.split(r"\n\s*\n", text):
        block = BULLET.sub("", raw)
        paragraph = BLANKS.sub(" ", block).strip()
        if (
            len(paragraph) >= SHORTEST
            and paragraph[0].isupper()
            and paragraph[-1] in ".:!?"
            and not MARKS.search(block)
            and len(PLAIN.findall(paragraph)) >= LETTERS * len(paragraph)
        ):
            yield paragraph


def choices(texts: Mapping[str, str]) -> Iterator[Row]:
    """Which of four passages goes on? The wrong ones go on in other topics, so that each is right somewhere."""
    rng = Random("language: choices of the documentation")
    pairs = [(topic, *pair) for topic, text in texts.items() for pair in halves(text)]
    for topic, prompt, rest in pairs:
        others = rng.sample([other for elsewhere, _, other in pairs if elsewhere != topic], OPTIONS - 1)
        options = [rest, *others]
        rng.shuffle(options)
        yield {
            "kind": topic,
            "prompt": prompt,
            "options": [f" {option}" for option in options],
            "label": options.index(rest),
        }


def halves(text: str) -> Iterator[tuple[str, str]]:
    """Consecutive pairs of a prompt and what goes on after it, neither with a blank at its ends."""
    for piece in cut(text, PROMPT + 1 + OPTION):
        end = piece.rfind(" ", 1, PROMPT + 1)
        if end > 0 and len(piece) - end > OPTION * 3 // 4:
            yield piece[:end], piece[end + 1 :]
