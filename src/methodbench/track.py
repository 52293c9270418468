"""MLflow as a view of the files: one node of the graph is one MLflow run, found again by its key.

The files under results/ are the truth. While a job runs, `mirror.py` shows it live; afterwards `reconcile` makes MLflow
agree with the files, whatever was killed, retried or lost on the way. It can be run at any time and as often as one
likes: a second call changes nothing, and a deleted database is rebuilt.

Which run shows a node: the one whose tags `methodbench.key` and `methodbench.identity` are the node's. A run that
contradicts its node (another identity, another value of a parameter, a curve point that is not in the file) is kept for
the record, tagged ``methodbench.superseded = true``, and a new run takes its place. In the UI the current runs are
``tags.`methodbench.superseded` = 'false'``.

mlflow is imported by `Tracker` alone, on first use, so that a job or the Snakefile may import this module for free.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import socket
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from methodbench.record import (
    IDENTITY,
    KEY,
    NOTE,
    SUPERSEDED,
    FinishedNode,
    Node,
    Point,
    Status,
    milliseconds,
    same,
    storable,
    valid_name,
)

__all__ = ["FinishedNode", "Node", "Summary", "Tracker", "alive", "default_uri", "owner", "reconcile", "recorded"]

CONTENT, OWNER, ALIVE = "methodbench.content", "methodbench.owner", "methodbench.alive"
LOCK_WAIT_S = 10.0  # patience with a database that somebody else has locked
SILENT_S = 600.0  # a run of another machine without a sign of life for so long is dead; `mirror.py` gives one each 30 s
BATCH = 800  # MLflow takes 1000 entities a call, at most 100 of them parameters and 100 tags

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's own patience is minutes; a server that is down shall cost less than 10 s.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
}


@dataclass
class Summary:
    """What `reconcile` did; print it. Not `ok`: the tracker could not be used, and `why` is one sentence."""

    ok: bool = True
    why: str = ""
    created: int = 0  # runs made from files alone
    completed: int = 0  # runs that lacked something, e.g. because their job was killed
    unchanged: int = 0
    superseded: int = 0  # runs that contradict the files, kept for the record
    reaped: int = 0  # runs of dead jobs, now KILLED
    busy: int = 0  # nodes left alone, because a job writes to their run now

    def __str__(self) -> str:
        names = ("created", "completed", "unchanged", "superseded", "reaped", "busy")
        did = ", ".join(f"{getattr(self, name)} {name}" for name in names if getattr(self, name)) or "nothing to show"
        return did if self.ok else f"{self.why}; so far: {did}. The files are complete, so this can be repeated later"


def default_uri(root: Path) -> str:
    """Where the runs go: the environment's MLFLOW_TRACKING_URI, or else ``results/mlflow.db`` under `root`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'results' / 'mlflow.db'}"


def shown(uri: str) -> str:
    """A store below the working directory by its relative path: shorter, and the same on every machine."""
    return uri.replace(f"sqlite:///{Path.cwd()}/", "sqlite:///")


def reconcile(nodes: Iterable[FinishedNode], uri: str, experiments: Iterable[str] = ()) -> Summary:
    """Make MLflow agree with the files, and end the runs of dead jobs in all experiments of `nodes` and `experiments`.

    Never raises for the tracker's sake: what goes wrong there is said in the summary.
    """
    groups: dict[str, list[FinishedNode]] = {name: [] for name in experiments}
    for node in nodes:
        groups.setdefault(node.node.experiment, []).append(node)
    done = Summary()
    try:
        tracker = Tracker(uri)
        for experiment, group in groups.items():
            runs = tracker.runs(experiment)
            for finished in group:
                _show(tracker, finished, runs.pop(finished.node.key, []), done)
            for run in (run for left in runs.values() for run in left):
                if run.info.status == "RUNNING" and not alive(run.data.tags):
                    tracker.end(run.info.run_id, "KILLED", float(run.data.tags.get(ALIVE, time.time())))
                    done.reaped += 1
    except Exception as error:  # whatever sqlalchemy, requests, MLflow or the disk come up with
        done.ok, done.why = False, reason(uri, error)
    return done


def recorded(uri: str, experiment: str) -> tuple[dict[str, list[Any]], str]:
    """The current runs of an experiment by key, the newest first, and "", or none and why, in a clause.

    Makes neither a store nor an experiment, and never raises for the tracker's sake.
    """
    file = _database(uri)
    if file is not None and not file.exists():
        return {}, f"there is no store at {shown(uri)}"
    try:
        tracker = Tracker(uri)
        runs = tracker.runs(experiment) if tracker.holds(experiment) else {}
    except Exception as error:  # as in `reconcile`
        return {}, reason(shown(uri), error)
    return dict(runs), "" if runs else f"the store at {shown(uri)} holds no run of {experiment}"


def welcome(experiment: str) -> str:
    """The description of an experiment, Markdown: where its report is, and what to write into the search box."""
    _, _, place = experiment.partition("/")
    return (
        f"Report: `reports/{place}.md`, here in the run *report*. "
        "Search: `tags.kind = 'score' and tags.task = 'DATASET/TASK'`\n\n"
        "Runs have the tags kind (dataset, checkpoint, score, report), method, seed and checkpoint; checkpoints also "
        "role; scores arm, runtime and task: `tags.arm = 'ARM' and tags.seed = '0'`. Runs whose files are still these: "
        f"``tags.`{SUPERSEDED}` = 'false'``."
    )


def _show(tracker: Tracker, finished: FinishedNode, runs: list[Any], done: Summary) -> None:
    """One node: keep, complete or replace its run."""
    node, content = finished.node, finished.content()
    me = owner(os.getpid())
    others = [run for run in runs if run.info.status == "RUNNING" and run.data.tags.get(OWNER) != me]
    if any(alive(run.data.tags) for run in others):
        done.busy += 1
        return
    run = tracker.choose(runs, node)
    missing = list(finished.points().values()) if run is None else _missing(tracker, finished, run, content)
    if missing is None:  # a curve contradicts the file, and MLflow cannot take a point back
        tracker.supersede(run)
        run, missing = None, list(finished.points().values())
    done.superseded += sum(r is not run for r in runs)
    if run is not None and run.data.tags.get(CONTENT) == content and run.info.status == finished.status:
        done.unchanged += 1
        return
    if run is None:
        done.created += 1
        run_id, tags = tracker.create(node, me, finished.started), {CONTENT: content}
    else:
        done.completed += 1
        run_id, tags = run.info.run_id, {**node.run_tags(), CONTENT: content}
    missing += _changed(tracker, finished, run)
    for path in finished.artifacts:
        tracker.attach(run_id, path)
    tracker.write(run_id, missing, node.run_params(), tags)
    tracker.end(run_id, finished.status, finished.ended)


def _missing(tracker: Tracker, finished: FinishedNode, run: Any, content: str) -> list[Point] | None:
    """Curve points that the run lacks; None if it holds one that the file does not, or one twice."""
    if run.data.tags.get(CONTENT) == content:
        return []
    wanted = finished.points()
    for name in {name for name, _ in wanted} & set(run.data.metrics):
        for step, value in tracker.history(run.info.run_id, name):
            point = wanted.pop((name, step), None)
            if point is None or not same(point.value, value):
                return None
    return list(wanted.values())


def _changed(tracker: Tracker, finished: FinishedNode, run: Any | None) -> list[Point]:
    """Summary metrics whose latest value in the run is not the file's, each as a point that becomes the latest."""
    had = dict(run.data.metrics) if run else {}
    curves = {valid_name(name) for _, values in finished.curves for name in values}
    points = []
    for given, value in finished.metrics.items():
        name = valid_name(given)
        if name in curves or (name in had and same(had[name], storable(value))):
            continue
        step = (
            max((step for step, _ in tracker.history(run.info.run_id, name)), default=0) if run and name in had else 0
        )
        when = time.time() if name in had else finished.ended
        points.append(Point(name, storable(value), step, milliseconds(when)))
    return points


class Tracker:
    """The MLflow store at `uri`: the few calls that this house makes."""

    def __init__(self, uri: str) -> None:
        self._uri, self._experiments = uri, dict[str, str]()
        self._client = _connect(uri)

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made or brought back from the bin if need be."""
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            if found is None:
                try:
                    tags = {"mlflow.experimentKind": "custom_model_development", NOTE: welcome(name)}
                    self._client.create_experiment(name, artifact_location=_artifacts(self._uri, name), tags=tags)
                except Exception:
                    if self._client.get_experiment_by_name(name) is None:  # otherwise another job was faster
                        raise
                found = self._client.get_experiment_by_name(name)
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            if NOTE not in found.tags:  # an older store's; what a person wrote there stays
                self._client.set_experiment_tag(found.experiment_id, NOTE, welcome(name))
            self._experiments[name] = found.experiment_id
        return self._experiments[name]

    def holds(self, name: str) -> bool:
        """Whether there is such an experiment, not in the bin."""
        found = self._client.get_experiment_by_name(name)
        return found is not None and found.lifecycle_stage != "deleted"

    def runs(self, experiment: str, key: str | None = None) -> dict[str, list[Any]]:
        """The current runs of all nodes, or of one, by key; the newest first."""
        where = f"tags.`{SUPERSEDED}` = 'false'" + (f" and tags.`{KEY}` = '{key}'" if key is not None else "")
        found: dict[str, list[Any]] = defaultdict(list)
        token = None
        while token != "":
            page = self._client.search_runs([self.experiment(experiment)], where, max_results=1000, page_token=token)
            for run in page:
                found[run.data.tags.get(KEY, "")].append(run)
            token = page.token or ""
        return found

    def choose(self, runs: Sequence[Any], node: Node) -> Any | None:
        """The first run that shows this node; the others are superseded."""
        params, chosen = node.run_params(), None
        for run in runs:
            agrees = all(run.data.params.get(name, value) == value for name, value in params.items())
            if chosen is None and agrees and run.data.tags.get(IDENTITY) == node.identity:
                chosen = run
            else:
                self.supersede(run)
        return chosen

    def supersede(self, run: Any) -> None:
        """Keep a run for the record, but not as the one that shows its node."""
        self._client.set_tag(run.info.run_id, SUPERSEDED, "true")
        if run.info.status == "RUNNING":
            self.end(run.info.run_id, "KILLED", time.time())

    def create(self, node: Node, owner: str, started: float) -> str:
        """A new run, RUNNING; its id."""
        tags = {**node.run_tags(), OWNER: owner, ALIVE: f"{time.time():.0f}"}
        run = self._client.create_run(self.experiment(node.experiment), milliseconds(started), tags, node.name)
        return str(run.info.run_id)

    def resume(self, run: Any, node: Node, owner: str) -> str:
        """The run of an earlier life of the same job, RUNNING again; its id."""
        self._client.update_run(run.info.run_id, status="RUNNING")
        tags = {**node.run_tags(), OWNER: owner, ALIVE: f"{time.time():.0f}", CONTENT: ""}
        self.write(run.info.run_id, params=node.run_params(), tags=tags)
        return str(run.info.run_id)

    def write(
        self,
        run_id: str,
        points: Sequence[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """All of it, in as few calls as MLflow allows; the tags last."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(p.name, p.value, p.when, p.step) for p in points]
        given = [Param(name, value) for name, value in (params or {}).items()]
        marks = [RunTag(name, value) for name, value in (tags or {}).items()]
        while len(metrics) > BATCH or len(given) > 100:
            self._client.log_batch(run_id, metrics[:BATCH], given[:100], synchronous=True)
            metrics, given = metrics[BATCH:], given[100:]
        self._client.log_batch(run_id, metrics, given, marks, synchronous=True)

    def attach(self, run_id: str, path: Path) -> None:
        """Copy a file, or a folder under its own name, to the run's artifacts."""
        if path.is_dir():
            self._client.log_artifacts(run_id, str(path), path.name)
        else:
            self._client.log_artifact(run_id, str(path))

    def history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """(step, value) of every point of a metric."""
        return [(metric.step, metric.value) for metric in self._client.get_metric_history(run_id, name)]

    def end(self, run_id: str, status: Status, ended: float) -> None:
        self._client.set_terminated(run_id, status, milliseconds(ended))


def _connect(uri: str) -> Any:
    """A client of the store at `uri`, which is made first if it is a SQLite file that does not exist.

    Clients that open a fresh file side by side crash in each other's migrations, and one that is killed half-way leaves
    a broken file. So a file lock lets one at a time in, and the file appears whole, by a rename.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    file = _database(uri)
    if file is None:
        return MlflowClient(tracking_uri=uri)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file.with_name(file.name + ".lock")):
        if not file.exists():
            for leftover in file.parent.glob(f".{file.name}.*.new"):
                leftover.unlink()
            # A new name each time: MLflow keeps its engines by name, and with them a failed one.
            scratch = file.with_name(f".{file.name}.{time.time_ns()}.new")
            store = SqlAlchemyStore(f"sqlite:///{scratch}", _artifacts(uri, "default"))
            store.engine.dispose()
            scratch.replace(file)
        # MLflow would wait for minutes or for ever on a lock that is not released.
        with contextlib.closing(sqlite3.connect(file, timeout=LOCK_WAIT_S, isolation_level=None)) as probe:
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")
        return MlflowClient(tracking_uri=uri)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file; its holder's death frees it."""
    deadline = time.monotonic() + 6 * LOCK_WAIT_S  # making the database takes seconds, on a busy machine many
    with path.open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{path} is held by another process") from None
                time.sleep(0.05)
        yield


def _database(uri: str) -> Path | None:
    """The file of a SQLite address."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def _artifacts(uri: str, experiment: str) -> str | None:
    """Beside the SQLite file; any other store decides for itself."""
    file = _database(uri)
    return (file.resolve().parent / "mlflow-artifacts" / experiment).as_uri() if file else None


def owner(pid: int) -> str:
    """``host:pid:start`` of a process: names it for ever, although pids are used again."""
    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.2f}"


def alive(tags: Mapping[str, str]) -> bool:
    """Whether the job that owns a run still lives. Of another machine's job only its signs of life are known."""
    host, _, process = tags.get(OWNER, "").partition(":")
    if host != socket.gethostname():
        return time.time() - float(tags.get(ALIVE, 0)) < SILENT_S
    pid, _, started = process.partition(":")
    try:
        job = psutil.Process(int(pid))
        return job.status() != psutil.STATUS_ZOMBIE and abs(job.create_time() - float(started)) < 2
    except (psutil.Error, ValueError):
        return False


def reason(uri: str, error: BaseException) -> str:
    """Why the tracker cannot be used, on one line and without the password that an address may hold."""
    text = " ".join(str(error).split()) or type(error).__name__
    network = re.search(r"\[Errno -?\d+\] ([\w ]+)|[\w ]*timed out", text)  # deep inside requests' own words
    said = (network[1] or network[0]).strip() if network else re.split(r"\. |\[SQL", text)[0][:200].strip()
    return re.sub(r"//[^@/\s]*@", "//", f"the tracker at {uri} cannot be used: {said}")
