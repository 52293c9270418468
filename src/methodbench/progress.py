"""How far a runtime is: rows done, and tokens a second."""

from __future__ import annotations

import time
from collections.abc import Callable


class Progress:
    """Counts finished rows and tokens; calls `speak` with (done, total, tokens per second) at most once a second."""

    def __init__(self, speak: Callable[[int, int, float], None] | None, total: int, done: int) -> None:
        self.speak, self.total, self.done, self.tokens = speak, total, done, 0
        self.started = self.spoken = time.monotonic()

    def add(self, tokens: int) -> None:
        """One more row, of so many tokens."""
        self.done, self.tokens = self.done + 1, self.tokens + tokens
        now = time.monotonic()
        if self.speak is not None and now - self.spoken >= 1:
            self.spoken = now
            self.speak(self.done, self.total, self.tokens / (now - self.started))
