"""Cuts a long text into passages, and says what of a passage is scored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any


def cut(text: str, size: int) -> Iterator[str]:
    """Consecutive pieces of at most `size` characters, cut at blanks; the last, shorter than half of it, is dropped."""
    while len(text) > size:
        end = text.rfind(" ", 1, size + 1)
        if end < 0:  # one word longer than a piece
            end = size
        yield text[:end]
        text = text[end:].lstrip(" ")
    if len(text) >= size / 2:
        yield text


def window(text: str) -> dict[str, Any]:
    """A passage to score from its second word on."""
    found = re.search(r"(?<=\S)\s", text)
    start = found.start() if found else 0
    return {"text": text, "spans": [[start, len(text), "text"]], "bytes": len(text[start:].encode())}
