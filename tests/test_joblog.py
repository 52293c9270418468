"""Progress lines and curves."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from methodbench.joblog import Log, duration, read_curves


class Seen:
    def __init__(self) -> None:
        self.points: list[tuple[str, float, int]] = []

    def metric(self, name: str, value: float, step: int) -> None:
        self.points.append((name, value, step))


def test_curves_survive_a_torn_line_and_rewind(tmp_path: Path) -> None:
    seen, file = Seen(), tmp_path / "curves.jsonl"
    log = Log("x", file, seen, io.StringIO())
    for step in (1, 2, 3):
        log.metrics(step, {"loss": 1 / step})
    with file.open("a") as stream:
        stream.write('{"step": 4, "lo')  # killed while writing
    assert [point["step"] for point in read_curves(file)] == [1, 2, 3]
    log.rewind(2)
    assert file.read_text() == '{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 0.5}\n'
    assert seen.points[1] == ("loss", 0.5, 2)


def test_progress_says_how_far_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 6.0, 12.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    screen = io.StringIO()
    log = Log("job", stream=screen, every=5)
    log.progress(0, 100, loss=float("nan"))
    log.progress(25, 100, loss=0.5)
    log.progress(100, 100, loss=0.1)  # the end needs no line: the job says so itself
    lines = screen.getvalue().splitlines()
    assert len(lines) == 1
    assert "step 25/100" in lines[0] and "loss 0.5" in lines[0] and "18 s left" in lines[0]


def test_the_time_left_is_of_the_work_at_hand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 6.0, 12.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    screen = io.StringIO()
    log = Log("job", stream=screen, every=5)
    log.progress(90, 100, "first: sample")  # its first line would come too soon, and it ends before the next
    log.progress(95, 100, "second: sample")
    log.progress(97, 100, "second: sample")
    first, second = screen.getvalue().splitlines()
    assert "left" not in first and second.endswith("second: sample 97/100    9 s left")


@pytest.mark.parametrize(("seconds", "shown"), [(47.6, "48 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")])
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
