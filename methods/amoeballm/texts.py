"""Rows of text and questions, as token ids to calibrate on."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from methodbench.errors import UserError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a split.

    Raises:
        UserError: there are none.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    if not rows:
        raise UserError(f"{path}: holds no rows")
    return rows


def windows(tokenizer: Any, path: Path, count: int, length: int, seed: int) -> Tensor:
    """[count, length] token ids: windows drawn at random from the texts of all rows, joined by blanks.

    A text is a row's ``text``, or its ``prompt`` and what follows: its ``completion``, else its ``demonstration``. Rows
    with ``pictures`` are no texts, and are passed over.

    Raises:
        UserError: a row has no text, or all of it is shorter than a window.
    """
    texts = [_text(row, path) for row in read_rows(path) if not row.get("pictures")]
    ids = tokenizer(" ".join(texts), add_special_tokens=False)["input_ids"]
    if len(ids) < length:
        raise UserError(f"{path}: has {len(ids)} tokens, fewer than one window of {length}")
    rng = Random(f"windows {seed}")
    starts = [rng.randrange(len(ids) - length + 1) for _ in range(count)]
    return torch.tensor([ids[start : start + length] for start in starts])


def solution(row: dict[str, Any]) -> str | None:
    """What a row's prompt is followed by: its ``completion``, else its ``demonstration``; None without either."""
    found: str | None = row.get("completion", row.get("demonstration"))
    return found


def _text(row: dict[str, Any], path: Path) -> str:
    if "text" in row:
        return str(row["text"])
    if "prompt" in row and solution(row):
        return f"{row['prompt']}{solution(row)}"
    raise UserError(f"{path}: a row has neither 'text' nor 'prompt' and 'completion', so it is no text to calibrate on")
