"""Do the parents fit each other? Found out from headers and config files, before a byte of the weights is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from methodbench.errors import UserError, nearest
from methodbench.merging.config import MergeConfig
from methodbench.merging.folders import FLOATS, Entry, Folder, same_bytes
from methodbench.merging.vocabulary import check_vocabularies

HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
EMBEDDING = re.compile(r"(^|\.)(embed_tokens|embed_in|wte|word_embeddings|embeddings?)\.weight$")
WRITTEN = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


@dataclass(frozen=True)
class Planned:
    """One tensor of the result: where each parent has it. `aliased` parents have it only as their embedding."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sources: tuple[Entry, ...]
    aliased: tuple[bool, ...]

    @property
    def merged(self) -> bool:
        """False: copied, after a check that all parents have the same."""
        return self.sources[0].dtype in FLOATS


@dataclass(frozen=True)
class Plan:
    """The result's tensors in the order of the base, what changes in its config.json, and what a person should know."""

    tensors: list[Planned]
    config: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def plan(parents: Sequence[Folder], settings: MergeConfig) -> Plan:
    """Check that the parents are models of one shape and vocabulary.

    Raises:
        UserError: they are not; the sentence names the first difference and both values.
    """
    base = parents[-1]
    for parent in parents[:-1]:
        for key in ("model_type", "architectures"):
            if parent.config.get(key) != base.config.get(key):
                raise UserError(
                    f"{parent.path}/config.json: {key} is {parent.config.get(key)!r}, "
                    f"but {base.config.get(key)!r} in {base.path}"
                )
    warnings: list[str] = []
    config: dict[str, Any] = {"dtype": settings.dtype} if settings.dtype else {}
    tables = _with_heads(parents, config, warnings)
    _same_names(parents, tables)
    tensors = [
        _planned(name, [table[name] for table in tables], parents, settings, config, warnings) for name in tables[-1]
    ]
    rows = config.get("vocab_size")
    check_vocabularies([parent.path for parent in parents], rows, warnings)
    return Plan(tensors, config, warnings)


def _with_heads(parents: Sequence[Folder], config: dict[str, Any], warnings: list[str]) -> list[dict[str, Entry]]:
    """Each parent's tensors by name, with an output layer that is the embedding made explicit where others have one.

    Where all parents tie the two, no output layer is written, whatever copies of it the files hold.
    """
    tables = [dict(parent.entries) for parent in parents]
    head = next((name for table in tables for name in HEADS if name in table), None)
    if head is None:
        return tables
    tied = [_embedding_if_tied(parent, head) for parent in parents]
    apart = not all(tied)
    for parent, table, embedding in zip(parents, tables, tied, strict=True):
        if embedding and not apart and table.pop(head, None):
            warnings.append(f"{parent.path}: '{head}' is left out, it is a copy of the embedding")
        if embedding and apart and head not in table:
            table[head] = replace(embedding, name=head)
            warnings.append(f"{parent.path}: its '{head}' is its embedding, another parent's is not: merged apart")
    if apart and any(parent.config.get("tie_word_embeddings", True) for parent in parents):
        config["tie_word_embeddings"] = False
    return tables


def _embedding_if_tied(parent: Folder, head: str) -> Entry | None:
    """The embedding, if it is the output layer, too: the file has no other, or a copy that the config says is tied."""
    embeddings = [entry for name, entry in parent.entries.items() if EMBEDDING.search(name)]
    own = parent.entries.get(head)
    if len(embeddings) != 1 or not parent.config.get("tie_word_embeddings", own is None):
        return None
    return embeddings[0] if own is None or same_bytes(own, embeddings[0]) else None


def _same_names(parents: Sequence[Folder], tables: Sequence[dict[str, Entry]]) -> None:
    for parent, table in zip(parents[:-1], tables[:-1], strict=True):
        _has_all(parents[-1], tables[-1], parent, table)
        _has_all(parent, table, parents[-1], tables[-1])


def _has_all(one: Folder, wanted: dict[str, Entry], other: Folder, table: dict[str, Entry]) -> None:
    for name in wanted:
        if name not in table:
            raise UserError(f"{other.path}: tensor '{name}' of {one.path} is missing; {nearest(name, table)}")


def _planned(
    name: str,
    sources: list[Entry],
    parents: Sequence[Folder],
    settings: MergeConfig,
    config: dict[str, Any],
    warnings: list[str],
) -> Planned:
    base = sources[-1]
    shape = base.shape
    for source, parent in zip(sources, parents, strict=True):
        if source.dtype != base.dtype and not {source.dtype, base.dtype} <= FLOATS.keys():
            raise UserError(f"{parent.path}: tensor '{name}' is {source.dtype}, but {base.dtype} in {parents[-1].path}")
        if source.shape != base.shape and not _vocabulary_rows(sources, parents):
            raise UserError(
                f"{parent.path}: tensor '{name}' has shape {list(source.shape)}, "
                f"but {list(base.shape)} in {parents[-1].path}"
            )
        if source.shape != base.shape and not settings.truncate_embeddings:
            raise UserError(
                f"{parent.path}: tensor '{name}' has {source.shape[0]} rows, but {base.shape[0]} in "
                f"{parents[-1].path}; 'truncate_embeddings: true' cuts them to the smallest vocabulary"
            )
    if any(source.shape != base.shape for source in sources):
        rows = min(source.shape[0] for source in sources)
        shape = (rows, *base.shape[1:])
        config["vocab_size"] = rows
        warnings.append(f"'{name}' is cut to the {rows} rows of the smallest vocabulary")
    dtype = WRITTEN.get(settings.dtype, base.dtype) if base.dtype in FLOATS else base.dtype
    aliased = tuple(name not in parent.entries for parent in parents)
    return Planned(name, dtype, shape, tuple(sources), aliased)


def _vocabulary_rows(sources: Sequence[Entry], parents: Sequence[Folder]) -> bool:
    """Do the shapes differ in the rows alone, and are these each model's vocabulary?"""
    return all(
        source.shape[1:] == sources[0].shape[1:] and source.shape[:1] == (parent.config.get("vocab_size"),)
        for source, parent in zip(sources, parents, strict=True)
    )


def refuse_taken(out: Path) -> None:
    """A merge never writes over something."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is there already; allowed: a new or an empty folder")
