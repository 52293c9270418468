"""Do the parents' tokenizers give every token the same id? Merged embeddings of different tokens would mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from methodbench.checkpoint import digest_file
from methodbench.errors import UserError
from methodbench.merging.folders import read_json

WHOLE = ("tokenizer.model", "vocab.txt", "spiece.model")  # compared as they are, where there is no tokenizer.json


def check_vocabularies(folders: Sequence[Path], rows: int | None, warnings: list[str]) -> None:
    """Compare every folder's vocabulary with the last one's; with `rows` only ids below it.

    Raises:
        UserError: the vocabularies differ; the first token in alphabetical order that differs is named.
    """
    base = folders[-1]
    for folder in folders[:-1]:
        ours, theirs = _file(folder), _file(base)
        if ours is None or theirs is None or ours.name != theirs.name:
            if ours is not theirs:
                warnings.append(f"{folder}: its tokenizer cannot be compared with that of {base}")
        elif digest_file(ours) == digest_file(theirs):
            continue
        elif ours.suffix != ".json":
            raise UserError(f"{ours}: is another vocabulary than {theirs}")
        else:
            _compare(ours, theirs, rows)


def _file(folder: Path) -> Path | None:
    names = ("tokenizer.json", "vocab.json", *WHOLE)
    return next((folder / name for name in names if (folder / name).exists()), None)


def _compare(ours: Path, theirs: Path, rows: int | None) -> None:
    here, there = _ids(ours), _ids(theirs)
    for token in sorted(here.keys() | there.keys()):
        one, other = here.get(token), there.get(token)
        beyond = rows is not None and all(index is None or index >= rows for index in (one, other))
        if one != other and not beyond:
            raise UserError(f"{ours}: token {token!r} has {_said(one)}, but {_said(other)} in {theirs}")


def _said(index: int | None) -> str:
    return "no id" if index is None else f"id {index}"


def _ids(file: Path) -> dict[str, int]:
    """Token -> id, of a tokenizer.json or a vocab.json."""
    content = read_json(file)
    if file.name == "vocab.json":
        return content
    try:
        vocabulary: Any = content["model"]["vocab"]
        if isinstance(vocabulary, list):  # Unigram: [token, score], in the order of the ids
            vocabulary = {token: index for index, (token, _) in enumerate(vocabulary)}
        return {**vocabulary, **{token["content"]: token["id"] for token in content.get("added_tokens") or []}}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{file}: holds no vocabulary") from None
