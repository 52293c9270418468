"""Writes the family's files: the generated world, the documentation's passages, published sets."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from benchmarks.language.config import LanguageConfig
from benchmarks.language.documents import document_rows
from benchmarks.language.published import published_rows
from benchmarks.language.published_tasks import DOCUMENTS
from benchmarks.language.world import world_rows
from methodbench.hub import write_rows, write_source

Row = dict[str, Any]


def prepare(out: Path, config: LanguageConfig, seed: int) -> None:
    """Write ``<split>.jsonl`` for every split of ``config.splits()`` into the folder `out`.

    Raises:
        UserError: a published set cannot be fetched or has not its published size.
    """
    out.mkdir(parents=True, exist_ok=True)
    if config.entities:
        for split, rows in world_rows(config, seed):
            write_rows(out / f"{split}.jsonl", numbered(rows))
    for name in config.published:
        found, source = document_rows(name, config) if name in DOCUMENTS else published_rows(name, config)
        kept = sampled(found, name, config.most.get(name))
        write_rows(out / f"{name}.jsonl", numbered(kept))
        write_source(out / f"{name}.source.json", source | {"n": len(kept), "of": len(found)})


def numbered(rows: list[Row]) -> list[Row]:
    """The rows, each with its place as `id`."""
    return [{"id": place, **row} for place, row in enumerate(rows)]


def sampled(rows: list[Row], name: str, most: int | None) -> list[Row]:
    """At most so many rows, in their order; the same ones for every seed."""
    if most is None or most >= len(rows):
        return rows
    places = sorted(Random(f"language: rows of {name}").sample(range(len(rows)), most))
    return [rows[place] for place in places]
