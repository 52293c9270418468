"""Many jobs, one tracking server on PostgreSQL: no run is lost, torn or double."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from methodbench.track import FinishedNode, Node, Tracker, reconcile
from tests.programs import free_port, program, served

STUDY = "methodbench/smoke/parallel"
WRITERS, STEPS = 4, 40
WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from methodbench.mirror import Mirror, drain
from methodbench.track import reconcile
from tests.test_postgres import STEPS, finished
number, uri, gate = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
gate.with_name(f"ready{{number}}").touch()
while not gate.exists():
    time.sleep(0.01)
for of in (finished(number, "checkpoint"), finished(number, "score")):
    with Mirror(of.node, uri) as mirror:  # live, as a job does
        for step, values in of.curves:
            mirror.metric("loss", values["loss"], step)
assert drain(60)
print(reconcile([finished(number, "checkpoint"), finished(number, "score")], uri))
"""


def finished(number: int, kind: str) -> FinishedNode:
    node = Node(
        key=f"{kind}{number}",
        name=f"{kind} {number}",
        kind="checkpoint" if kind == "checkpoint" else "score",
        experiment=STUDY,
        identity=f"i{number}",
        params={"number": str(number)},
        tags={"seed": str(number)},
    )
    if kind == "score":
        return FinishedNode(node, 1000.0, 1060.0, metrics={"math/test/exact_match": number / 8})
    return FinishedNode(node, 1000.0, 1060.0, curves=[(step, {"loss": number + 1 / step}) for step in range(1, STEPS)])


@pytest.fixture
def postgres() -> Iterator[str]:
    """A database of its own on loopback, run by an unprivileged user: the server refuses to be root."""
    user = "nobody" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="methodbench-postgres-"))  # tmp_path is closed to other users
    if user:
        shutil.chown(folder, user)
    port, data, log = free_port(), folder / "data", folder / "log"

    def call(name: str, *arguments: str) -> None:
        path = program(name)
        assert path, f"{name} is not installed"
        subprocess.run(
            [path, "-D", str(data), *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL, user=user
        )

    call("initdb", "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    call("pg_ctl", "-w", "-l", str(log), "-o", options, "start")
    try:
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.mark.postgres
def test_parallel_writers_leave_every_run_whole_and_none_double(postgres: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    with served(postgres, tmp_path) as uri:
        gate = tmp_path / "gate"
        environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", WRITER.format(root=str(root))]
        jobs = [
            subprocess.Popen([*command, str(number), uri, str(gate)], env=environment, stdout=subprocess.PIPE)
            for number in range(WRITERS)
        ]
        while len(list(tmp_path.glob("ready*"))) < WRITERS and all(job.poll() is None for job in jobs):
            time.sleep(0.05)
        gate.touch()
        said = [job.communicate()[0].decode() for job in jobs]
        assert [job.returncode for job in jobs] == [0] * WRITERS, said
        nodes = [finished(number, kind) for number in range(WRITERS) for kind in ("checkpoint", "score")]
        again = reconcile(nodes, uri)
        assert (again.ok, again.unchanged, again.superseded) == (True, len(nodes), 0), (str(again), said)
        tracker = Tracker(uri)
        assert [e.name for e in tracker._client.search_experiments()].count(STUDY) == 1
        runs = list(tracker._client.search_runs([tracker.experiment(STUDY)]))
        assert Counter(run.data.tags["methodbench.key"] for run in runs) == Counter(of.node.key for of in nodes)
        for run in runs:
            number = int(run.data.params["number"])
            assert (run.info.status, run.data.tags["seed"]) == ("FINISHED", str(number))
            if run.data.tags["kind"] == "score":
                assert run.data.metrics["math/test/exact_match"] == number / 8
            else:
                points = sorted(tracker.history(run.info.run_id, "loss"))
                assert points == [(step, number + 1 / step) for step in range(1, STEPS)]
