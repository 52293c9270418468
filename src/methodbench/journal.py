"""Finished answers on disk, one JSON line each, so that a killed job goes on where it stopped."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Generic, TypeVar

from methodbench.decoding import Generation
from methodbench.documents import Reading

T = TypeVar("T", Generation, Reading)
EVERY = 1.0  # seconds between writes


class Journal(Generic[T]):
    """What was answered, by key, as objects of the dataclass `kind`.

    What `path` holds is read at once; a last line torn by a kill is cut off. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None, kind: type[T]) -> None:
        self.path = path
        self.known: dict[str, T] = {}
        self._unwritten: list[str] = []
        self._written_at = time.monotonic()
        if path is not None and path.exists():
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                with path.open("r+b") as file:
                    file.truncate(len(whole))
            for line in whole.decode("utf-8").splitlines():
                entry = json.loads(line)
                self.known[entry["key"]] = kind(**entry["answer"])

    def add(self, key: str, answer: T) -> None:
        """Note a finished answer; written with others about once a second."""
        if self.path is None:
            return
        self._unwritten.append(json.dumps({"key": key, "answer": asdict(answer)}) + "\n")
        if time.monotonic() - self._written_at >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what has been noted."""
        if self.path is not None and self._unwritten:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(self._unwritten))
            self._unwritten = []
        self._written_at = time.monotonic()
