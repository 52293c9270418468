"""Passages of the documentation: prose alone, disjoint parts, and choices that only the text before decides."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from benchmarks.language.config import LanguageConfig
from benchmarks.language.documents import OPTION, PROMPT, document_rows, parts, prose
from benchmarks.language.passages import cut, window
from benchmarks.language.prepare import prepare
from benchmarks.language.published_tasks import DOCUMENTS

CONFIG = LanguageConfig(entities=0, published=DOCUMENTS)
PART = {
    "docs_train": "train",
    "docs_calibration": "calibration",
    "docs_calibration_choice": "calibration",
    "docs": "test",
    "docs_choice": "test",
}


def test_parts_share_neither_a_topic_nor_a_paragraph() -> None:
    assert not any(set(one) & set(two) for one, two in combinations(parts().values(), 2))
    paragraphs = {
        part: {p for topic in found for p in prose(topics[topic]) if p in found[topic]}
        for part, found in parts().items()
    }
    assert all(not one & two for one, two in combinations(paragraphs.values(), 2))
    assert all(paragraphs.values())
    sizes = {part: sum(map(len, found.values())) for part, found in parts().items()}
    assert sizes["train"] > sizes["test"] > 20_000 and sizes["calibration"] > 10_000


def test_rows_come_from_their_part() -> None:
    for name in DOCUMENTS:
        rows, source = document_rows(name, CONFIG)
        texts = parts()[PART[name]].values()
        given = {row["prompt"] + row["options"][row["label"]] if "prompt" in row else row["text"] for row in rows}
        assert len(given) == len(rows) > 40
        assert all(any(passage in text for text in texts) for passage in given)
        assert source["part"] == PART[name] and source["topics"] == len(texts)
        assert source["python"] == ".".join(map(str, sys.version_info[:3])) and len(source["topics_sha256"]) == 64


@pytest.mark.parametrize(
    ("block", "kept"),
    [
        ("   A sentence that is wrapped\n   over two lines, and long enough to be kept.", True),
        ("* A point of a list is prose once the bullet is away, if it is long enough.", True),
        ("   >>> A = 1  # An example is none, however much of English stands beside it.", False),
        ("Grammar ::= is not prose, though it looks like it if there are many words.", False),
        ("class Signature(of, a, class) is code, even if it ends in a full stop as here.", False),
        ("a paragraph that begins in the middle of a sentence is the rest of something.", False),
        ("Too short to be kept.", False),
        ("A heading with a line of stars below, so long that only its stars give it away.\n*****", False),
        ("| A table has bars | and cells, and a | bar at the beginning of all of its lines |.", False),
    ],
)
def test_only_prose_is_kept(block: str, kept: bool) -> None:
    assert list(prose(f"\n\n{block}\n\n")) == ([" ".join(block.removeprefix("* ").split())] if kept else [])


def test_a_text_is_cut_at_blanks_and_little_is_lost() -> None:
    assert list(cut("ab cd ef gh", 5)) == ["ab cd", "ef gh"]
    assert list(cut("ab cd ef gh i", 5)) == ["ab cd", "ef gh"]  # the rest is shorter than half a piece
    assert list(cut("abcdefghij kl", 4)) == ["abcd", "efgh", "ij", "kl"]
    assert list(cut("", 4)) == []
    for name, size in (("docs", 600), ("docs_train", 500)):
        rows, _ = document_rows(name, CONFIG)
        assert all(size / 2 <= len(row["text"]) <= size for row in rows)


def test_a_window_is_scored_per_byte_behind_its_first_word() -> None:
    assert window("Größe “ist” da") == {"text": "Größe “ist” da", "spans": [[5, 14, "text"]], "bytes": 13}
    assert window(" = Title = \n")["spans"] == [[2, 12, "text"]]  # a blank at the front is no first word


def test_the_window_is_as_long_as_the_config_says() -> None:
    rows, _ = document_rows("docs", LanguageConfig(entities=0, published=("docs",), docs_characters=150))
    assert min(len(row["text"]) for row in rows) >= 75 and max(len(row["text"]) for row in rows) <= 150


@pytest.mark.parametrize("name", ["docs_choice", "docs_calibration_choice"])
def test_options_are_continuations_of_like_length_and_the_wrong_ones_from_other_topics(name: str) -> None:
    rows, _ = document_rows(name, CONFIG)
    home = {row["options"][row["label"]]: row["kind"] for row in rows}
    for row in rows:
        assert len(set(row["options"])) == 4 and len(row["prompt"]) <= PROMPT
        assert all(option.startswith(" ") and option[1] != " " for option in row["options"])
        assert all(OPTION / 2 < len(option) <= OPTION + 40 for option in row["options"])
        wrong = [option for place, option in enumerate(row["options"]) if place != row["label"]]
        assert all(home[option] != row["kind"] for option in wrong)
    labels = Counter(row["label"] for row in rows)
    assert all(abs(labels[place] - len(rows) / 4) < 4 * (len(rows) * 3 / 16) ** 0.5 for place in range(4))
    longest = sum(max(row["options"], key=len) == row["options"][row["label"]] for row in rows)
    assert abs(longest - len(rows) / 4) < 4 * (len(rows) * 3 / 16) ** 0.5  # length tells nothing


def test_a_sample_of_rows_is_the_same_for_every_seed(tmp_path: Path) -> None:
    config = LanguageConfig(entities=0, published=("docs_choice", "docs"), most={"docs_choice": 7})
    for seed in (0, 1):
        prepare(tmp_path / str(seed), config, seed)
    files = sorted(file.name for file in (tmp_path / "0").iterdir())
    assert files == ["docs.jsonl", "docs.source.json", "docs_choice.jsonl", "docs_choice.source.json"]
    assert all((tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes() for name in files)
    assert len((tmp_path / "0" / "docs_choice.jsonl").read_text(encoding="utf-8").splitlines()) == 7
