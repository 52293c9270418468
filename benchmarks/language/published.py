"""The published sets: fetched from the model hub at a chosen revision, or stood in for by rows of our own making.

lm-eval's own sources, splits and prompts, zero-shot but for MMLU's five solved questions a subject. WikiText-2 is one
text, cut into windows at blanks; where lm-eval scores whole articles, with blanks undone, a window begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.language import published_columns as columns
from benchmarks.language.config import LanguageConfig
from benchmarks.language.passages import cut, window
from benchmarks.language.published_columns import Given, Row
from benchmarks.language.stand_ins import DEV, STAND_INS
from methodbench.errors import UserError
from methodbench.hub import fetch_rows

SHOTS = 5


@dataclass(frozen=True)
class Source:
    """Where a set lies on the hub, how many rows it has there, and how one becomes ours, if it does so alone."""

    hub: str
    subset: str | None
    split: str
    n: int
    row: Callable[[Given], Row] | None = None


MMLU = Source("cais/mmlu", "all", "test", 14_042)
MMLU_DEV = replace(MMLU, split="dev", n=285)
WIKITEXT2 = Source("Salesforce/wikitext", "wikitext-2-raw-v1", "test", 4_358)
SOURCES = {
    "mmlu": MMLU,
    "mmlu_validation": replace(MMLU, split="validation", n=1_531),
    "boolq": Source("aps/super_glue", "boolq", "validation", 3_270, columns.boolq),
    "piqa": Source("baber/piqa", None, "validation", 1_838, columns.piqa),
    "hellaswag": Source("Rowan/hellaswag", None, "validation", 10_042, columns.hellaswag),
    "winogrande": Source("allenai/winogrande", "winogrande_xl", "validation", 1_267, columns.winogrande),
    "arc_easy": Source("allenai/ai2_arc", "ARC-Easy", "test", 2_376, columns.arc),
    "arc_challenge": Source("allenai/ai2_arc", "ARC-Challenge", "test", 1_172, columns.arc),
    "openbookqa": Source("allenai/openbookqa", "main", "test", 500, columns.openbookqa),
    "wikitext2": WIKITEXT2,
    "wikitext2_train": replace(WIKITEXT2, split="train", n=36_718),
    "alpaca_gpt4": Source("vicgalle/alpaca-gpt4", None, "train", 52_002, columns.alpaca),
}


def published_rows(name: str, config: LanguageConfig) -> tuple[list[Row], dict[str, Any]]:
    """The rows of one set, and what to write beside them about where they come from.

    Raises:
        UserError: the hub cannot be reached or has no such revision, or the set has not the published size.
    """
    source = SOURCES[name]
    given, origin = read(name, source, config)
    if source.hub == MMLU.hub:
        dev, _ = read(name, MMLU_DEV, config)
        rows = [columns.mmlu(row, [shot for shot in dev if shot["subject"] == row["subject"]][:SHOTS]) for row in given]
    elif source.hub == WIKITEXT2.hub:
        text = "".join(row["text"] for row in given)  # a row ends in its line feed
        pieces = list(cut(text, config.wikitext_characters))
        rows = [window(piece) for piece in pieces] if name == "wikitext2" else [{"text": piece} for piece in pieces]
    else:
        assert source.row is not None
        rows = [source.row(row) for row in given]
    return [{"kind": name, **row} for row in rows], origin


def read(name: str, source: Source, config: LanguageConfig) -> tuple[list[Given], dict[str, Any]]:
    """The rows as the hub has them."""
    if config.stand_in:
        return list(DEV if source.split == "dev" else STAND_INS[name]), {"stand_in": True}
    where, revision = f"language: set '{name}'", config.revisions.get(name, "main")
    given, fingerprint = fetch_rows(where, source.hub, source.subset, source.split, revision)
    if len(given) != source.n:
        raise UserError(
            f"{where}, revision '{revision}': given {len(given)} rows of '{source.split}', expected {source.n}"
        )
    origin = {"hub": source.hub, "split": source.split, "revision": revision, "fingerprint": fingerprint}
    return list(given), origin
