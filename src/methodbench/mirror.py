"""A job's live view in MLflow, which can neither delay nor fail the job.

The job writes short messages into a pipe and goes on. A small process of its own, started here, reads them and talks
to the tracker: it imports mlflow (two seconds that the job does not pay), waits for locks, tries again when a server is
away, and adds what the job takes of the machine. When the pipe ends although a run was not closed, the job has died, by
whatever signal, and its run becomes KILLED. What could not be shown live is completed later from the files
(`track.reconcile`). A thread was not enough: it shares the interpreter with the job and dies with it.

    with Mirror(node, uri) as mirror:            # FINISHED, or FAILED after an exception, or KILLED after a signal
        mirror.metric("loss", 0.5, step=10)
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import count, islice, takewhile
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import psutil

from methodbench.record import Node, Point, Status, milliseconds, storable, valid_name
from methodbench.track import ALIVE, Tracker, owner, reason
from methodbench.warm import forwarded

GRACE_S = 2.0  # how long a job that ends waits for its last messages to be written
PACE_S, SLOWEST_S = 1.0, 60.0  # pause between two writes; it doubles while the tracker does not answer
BEAT_S = 30.0  # pause between two signs of life
UNSENT_BYTES, WAITING = 16_000_000, 200_000  # more than this is dropped, and completed from the files

_links: dict[str, _Link] = {}


class Mirror:
    """One node of the graph, shown live. All mirrors of a process share one pipe to each tracker."""

    def __init__(self, node: Node, uri: str, enabled: bool = True) -> None:
        self._link, self._number = None, 0
        if enabled:
            if uri not in _links:
                _links[uri] = _Link(uri)
            self._link, self._number = _links[uri], next(_links[uri].numbers)
            self._link.open[self._number] = self
            self._link.send("open", self._number, dict(vars(node)), time.time())

    def metric(self, name: str, value: float, step: int) -> None:
        """Show one point of a curve. Returns at once."""
        if self._link:
            self._link.send("metric", self._number, valid_name(name), float(value), step, milliseconds(time.time()))

    def close(self, status: Status = "FINISHED") -> None:
        """Say how the node ended; only the first call counts. Returns at once: `drain` waits, and so does the exit."""
        if self._link and self._link.open.pop(self._number, None):
            self._link.send("close", self._number, status, time.time())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        failed: Status = "FAILED" if kind and issubclass(kind, Exception) else "KILLED"
        self.close(failed if kind else "FINISHED")


@atexit.register
def drain(seconds: float = GRACE_S) -> bool:
    """Wait for what was sent to be written, at most so long; False if it could not be. Runs by itself at the exit.

    A writer that is late is stopped, so that none is left to disturb the `reconcile` that may come next.
    """
    deadline = time.monotonic() + seconds
    links = list(_links.values())
    _links.clear()
    return all([link.finish(deadline) for link in links])


def install_sigterm() -> None:
    """On SIGTERM: all open mirrors become KILLED, the earlier handler has its turn, and the job exits with 143."""
    earlier = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        for link in _links.values():
            for mirror in list(link.open.values()):
                mirror.close("KILLED")
        if callable(earlier):
            earlier(number, frame)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)


class _Link:
    """The job's end of the pipe. It never blocks: what the pipe does not take waits in memory."""

    def __init__(self, uri: str) -> None:
        self.numbers, self.open = count(), dict[int, Mirror]()
        self._unsent, self._gone = bytearray(), False
        self._lock = threading.RLock()  # a signal handler may send while its own thread is sending
        source = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        end, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._writer: subprocess.Popen[bytes] | None = subprocess.Popen(
                [sys.executable, "-P", "-m", "methodbench.mirror"],
                stdin=end,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the job
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError:  # no more processes or memory: the job comes first
            self._writer = None
        os.close(end)
        self.send("tracker", uri, os.getpid(), owner(os.getpid()))  # not as arguments: an address may hold a password

    def send(self, *message: Any) -> None:
        with self._lock:
            if not self._gone and len(self._unsent) < UNSENT_BYTES:
                self._unsent += json.dumps(message, default=dict).encode() + b"\n"
                self._push()

    def _push(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._pipe, self._unsent[:65536])]
        except BlockingIOError:
            pass
        except OSError:  # the writer has died: the files will do
            self._gone = True
            self._unsent.clear()

    def finish(self, deadline: float) -> bool:
        """Send the rest, end the pipe and wait for the writer; stop it at the deadline."""
        while self._unsent and time.monotonic() < deadline:
            self._push()
            time.sleep(0.01)
        self._gone = True
        os.close(self._pipe)
        if self._writer is None:
            return False
        try:
            return self._writer.wait(max(0.0, deadline - time.monotonic())) == 0
        except subprocess.TimeoutExpired:
            self._writer.kill()
            self._writer.wait()
            return False


class Writer:
    """The other end: turns messages into calls of the tracker, in their order; keeps what could not be written yet."""

    def __init__(self, uri: str, pid: int, owner: str) -> None:
        self.uri, self.owner = uri, owner
        self.waiting: deque[list[Any]] = deque()
        self._tracker: Tracker | None = None
        self._runs: dict[int, str] = {}  # mirror's number -> run
        self._last: dict[tuple[int, str], int] = {}  # of runs that were resumed: the last step of each metric
        self._resumed: set[int] = set()
        self._opened: dict[int, float] = {}  # mirrors that were not closed yet, and when they were opened
        self._machine = Machine(pid)

    def take(self, message: list[Any]) -> None:
        """Add one message of the job."""
        kind, number = message[0], message[1]
        if kind == "open":
            self._opened[number] = message[3]
        elif number not in self._opened or (kind != "close" and len(self.waiting) >= WAITING):
            return
        elif kind == "close":
            del self._opened[number]
        self.waiting.append(message)

    def beat(self) -> None:
        """A sign of life, and what the job takes of the machine, for every open mirror."""
        values = self._machine.measure()
        now = time.time()
        for number, opened in self._opened.items():
            self.take(["alive", number, f"{now:.0f}"])
            for name, value in values.items():
                self.take(["metric", number, f"system/{name}", value, int(now - opened), milliseconds(now)])

    def end(self) -> None:
        """The job is gone: whatever is still open has been killed."""
        for number in list(self._opened):
            self.take(["close", number, "KILLED", time.time()])

    def write(self) -> None:
        """Write all that waits. May raise anything; then nothing is lost, and nothing shows twice when called again."""
        self._tracker = self._tracker or Tracker(self.uri)
        while self.waiting:
            kind, number, *rest = self.waiting[0]
            batch = [self.waiting[0]]
            if kind == "open":
                self._open(self._tracker, number, *rest)
            elif kind == "close":
                self._tracker.end(self._runs[number], *rest)
            elif kind == "alive":
                self._tracker.write(self._runs[number], tags={ALIVE: rest[0]})
            else:
                batch = list(islice(takewhile(lambda message: message[0] == "metric", self.waiting), 5000))
                self._metrics(self._tracker, batch)
            for _ in batch:
                self.waiting.popleft()

    def _open(self, tracker: Tracker, number: int, given: Mapping[str, Any], started: float) -> None:
        node = Node(**{**given, "parents": tuple(given["parents"])})
        run = tracker.choose(tracker.runs(node.experiment, node.key).get(node.key, []), node)
        if run is None:
            self._runs[number] = tracker.create(node, self.owner, started)
            tracker.write(self._runs[number], params=node.run_params())
        else:
            self._runs[number] = tracker.resume(run, node, self.owner)
            self._resumed.add(number)

    def _metrics(self, tracker: Tracker, batch: list[list[Any]]) -> None:
        points: dict[int, list[Point]] = defaultdict(list)
        for _, number, name, value, step, when in batch:
            if step > self._last_step(tracker, number, name):
                points[number].append(Point(name, storable(value), step, when))
        for number, some in points.items():
            tracker.write(self._runs[number], some)

    def _last_step(self, tracker: Tracker, number: int, name: str) -> float:
        """A resumed job computes points again that its earlier life has shown."""
        if number not in self._resumed or name.startswith("system/"):
            return float("-inf")
        if (number, name) not in self._last:
            steps = [step for step, _ in tracker.history(self._runs[number], name)]
            self._last[number, name] = max(steps, default=-1)
        return self._last[number, name]


class Machine:
    """What a job takes: CPU and memory of its processes, and the GPUs that it may use."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._job: psutil.Process | None = None
        self._gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        self._smi = shutil.which("nvidia-smi") if self._gpus != "" else None

    def measure(self) -> dict[str, float]:
        """Percent of one core, MB, and per GPU percent and MB; whatever cannot be read is left out."""
        try:
            self._job = self._job or psutil.Process(self._pid)
            family = [self._job, *(p for p in self._job.children(recursive=True) if p.pid != os.getpid())]
            memory = sum(process.memory_info().rss for process in family) / 2**20
            return {"cpu_percent": self._job.cpu_percent(), "memory_mb": memory, **self._gpu()}
        except psutil.Error:  # a process has just ended
            return {}

    def _gpu(self) -> dict[str, float]:
        if not self._smi:
            return {}
        ask = [self._smi, "--query-gpu=index,utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
        try:
            which = ["-i", self._gpus] if self._gpus else []
            said = subprocess.run([*ask, *which], capture_output=True, text=True, timeout=10, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return {}
        values = {}
        for line in said.splitlines():
            index, *numbers = [part.strip() for part in line.split(",")]
            for name, number in zip(("percent", "memory_mb"), numbers, strict=False):
                if number.isdigit():  # a partitioned GPU answers "[N/A]"
                    values[f"gpu{index}_{name}"] = float(number)
        return values


def serve(source: int) -> int:
    """Read the job's messages from the pipe until it ends, and write them; 0 if all of them could be written."""
    writer, buffer, ended, told = None, b"", False, False
    pause, due, beat = PACE_S, 0.0, time.monotonic() + BEAT_S
    while not ended:
        wait = due if writer and writer.waiting else beat
        if select.select([source], [], [], max(0.0, wait - time.monotonic()))[0]:
            chunk = os.read(source, 1 << 20)
            ended = not chunk
            *lines, buffer = (buffer + chunk).split(b"\n")
            for message in map(_message, lines):
                if message and message[0] == "tracker":
                    writer = Writer(*message[1:])
                elif message and writer:
                    writer.take(message)
        if writer is None:
            continue
        if ended:
            writer.end()
        elif time.monotonic() >= beat:
            writer.beat()
            beat = time.monotonic() + BEAT_S
        if writer.waiting and (ended or time.monotonic() >= due):
            try:
                writer.write()
                pause = PACE_S
            except Exception as error:  # the tracker may be anything
                if not told:
                    print(f"{reason(writer.uri, error)} (the job goes on)", file=sys.stderr, flush=True)
                told, pause = True, min(SLOWEST_S, 2 * pause)
            due = time.monotonic() + pause
    return 1 if writer and writer.waiting else 0


def _message(line: bytes) -> list[Any] | None:
    """One message; None for a line that was torn by a signal while it was sent."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, list) and len(message) > 1 else None


def main() -> None:
    """Be the process that writes."""
    ignore_interrupts()
    with suppress(PermissionError):  # it leads a session already, unless it is a fork of the warm process
        os.setsid()
    os.nice(10)
    os._exit(serve(0))  # all is written: a tidy exit of MLflow takes a second that the job would wait


def ignore_interrupts() -> None:
    """The end of the pipe says when to stop, and what to write then."""
    for interrupt in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(interrupt, signal.SIG_IGN)


if __name__ == "__main__":
    ignore_interrupts()
    if (ended := forwarded([], "methodbench.mirror", grace=0)) is not None:
        os._exit(ended)
    main()
