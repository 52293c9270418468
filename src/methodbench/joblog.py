"""What a job says while it runs: a line now and then for the person, curves for the record, the same live to MLflow."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TextIO


class LiveTracker(Protocol):
    """Whoever wants to see the numbers while the job runs; must return at once."""

    def metric(self, name: str, value: float, step: int) -> None: ...


class Log:
    """Progress and curves of one job.

    `curves` is a JSONL file, ``{"step": 100, "loss": 0.51}`` a line. It holds no times: a run that was killed and
    resumed leaves the same bytes as one that was not.
    """

    def __init__(
        self,
        name: str,
        curves: Path | None = None,
        tracker: LiveTracker | None = None,
        stream: TextIO | None = None,
        every: float = 5.0,
    ) -> None:
        self.name, self.curves, self.tracker, self.every = name, curves, tracker, every
        self.stream = stream or sys.stderr
        self._said = time.monotonic()  # the first progress line comes after `every` seconds
        self._first: tuple[str, float, float] | None = None  # unit, done, when

    def say(self, text: str) -> None:
        """One line for the person who watches."""
        print(f"{time.strftime('%H:%M:%S')}  {self.name:<34} {text}", file=self.stream, flush=True)

    def progress(self, done: float, total: float, unit: str = "step", **live: float) -> None:
        """At most one line every few seconds: how far, the live numbers, and the time still to go."""
        now = time.monotonic()
        if self._first is None or unit != self._first[0] or done < self._first[1]:
            self._first = (unit, done, now)  # other work begins, at its own rate
        if now - self._said < self.every or done >= total:
            return
        self._said = now
        _, first_done, first_time = self._first
        rate = (done - first_done) / (now - first_time) if now > first_time else 0.0
        numbers = "  ".join(f"{key} {value:.4g}" for key, value in live.items() if value == value)
        left = f"  {duration((total - done) / rate)} left" if rate > 0 else ""
        self.say(f"{unit} {done:.0f}/{total:.0f}  {numbers}{left}")

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to the curves."""
        if self.curves is not None:
            with self.curves.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        if self.tracker is not None:
            for name, value in values.items():
                self.tracker.metric(name, value, step)

    def rewind(self, step: int) -> None:
        """Forget points after `step`: a resumed job computes them again."""
        if self.curves is None or not self.curves.exists():
            return
        kept = [point for point in read_curves(self.curves) if point["step"] <= step]
        self.curves.write_text("".join(json.dumps(point) + "\n" for point in kept), encoding="utf-8")


def read_curves(path: Path) -> list[dict[str, float]]:
    """The points of a curves file; a torn last line (the job was killed while writing) is left out."""
    points = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            points.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return points


def duration(seconds: float) -> str:
    """``"48 s"``, ``"3 min 05 s"``, ``"2 h 10 min"``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
