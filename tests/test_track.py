"""MLflow must agree with the files, whatever happened before: checked on real SQLite stores."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from methodbench import track
from methodbench.record import valid_name
from methodbench.track import FinishedNode, Node, Tracker, alive, default_uri, owner, reconcile

STUDY = "methodbench/smoke/study"
DEAD = f"{owner(os.getpid()).split(':')[0]}:{os.getpid()}:1.00"  # this pid, but started in 1970


@pytest.fixture
def uri(fresh_store: Path, tmp_path: Path) -> str:
    folder = tmp_path / "a folder"  # with a space, as people have them
    folder.mkdir()
    shutil.copy(fresh_store, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The pid of a process that lives as long as the test."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def node(key: str = "seed0/scores/a", identity: str = "one", **given: Any) -> Node:
    return Node(key=key, name=f"name of {key}", kind="score", experiment=STUDY, identity=identity, **given)


def finished(of: Node, **given: Any) -> FinishedNode:
    return FinishedNode(of, started=1000.0, ended=1060.0, **given)


def curve(last: int, name: str = "loss") -> list[tuple[int, dict[str, float]]]:
    return [(step, {name: 1 / (step + 1)}) for step in range(last)]


def all_runs(uri: str) -> list[Any]:
    tracker = Tracker(uri)
    return list(tracker._client.search_runs([tracker.experiment(STUDY)]))


def only_run(uri: str) -> Any:
    (run,) = all_runs(uri)
    return run


def started_live(uri: str, of: Node, by: str, points: int = 0) -> str:
    """A run as a job leaves it that is killed: RUNNING, with the first points of its curve."""
    tracker = Tracker(uri)
    run_id = tracker.create(of, by, 900.0)
    shown = [track.Point("loss", values["loss"], step, 900_000 + step) for step, values in curve(points)]
    tracker.write(run_id, shown, of.run_params())
    return run_id


def dump(uri: str) -> list[str]:
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        return list(database.iterdump())


def test_a_node_becomes_a_run_that_says_everything(uri: str) -> None:
    of = node(params={"window": "512"}, tags={"study": "study", "seed": "1"}, parents=("base", "rl"), files="results/a")
    assert reconcile([finished(of, metrics={"math/test/exact_match": 0.5, "exact_match,none": 0.25})], uri).created == 1
    run = only_run(uri)
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1_000_000, 1_060_000)
    assert run.info.run_name == "name of seed0/scores/a"
    assert run.data.params == {"window": "512"}
    assert run.data.metrics == {"math/test/exact_match": 0.5, "exact_match/none": 0.25}
    tags = run.data.tags
    assert (tags["kind"], tags["study"], tags["seed"], tags["parents"]) == ("score", "study", "1", "base, rl")
    assert (tags["methodbench.identity"], tags["methodbench.superseded"]) == ("one", "false")
    assert "`results/a`" in tags["mlflow.note.content"]
    experiment = Tracker(uri)._client.get_experiment_by_name(STUDY)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "`reports/smoke/study.md`" in experiment.tags["mlflow.note.content"]


def test_a_persons_description_of_an_experiment_stays(uri: str) -> None:
    tracker = Tracker(uri)
    tracker._client.set_experiment_tag(tracker.experiment(STUDY), "mlflow.note.content", "mine")
    reconcile([finished(node())], uri)
    experiment = Tracker(uri)._client.get_experiment_by_name(STUDY)
    assert experiment.tags["mlflow.note.content"] == "mine"


def test_a_second_time_changes_not_one_row(uri: str, tmp_path: Path) -> None:
    (tmp_path / "score.json").write_text("{}")
    nodes = [
        finished(node("a"), metrics={"x": math.nan, "y": math.inf, "z": 0.1}, artifacts=[tmp_path / "score.json"]),
        finished(node("b", params={"long": "x" * 9000, "empty": ""}), curves=curve(20), status="FAILED"),
    ]
    assert reconcile(nodes, uri).created == 2
    before = dump(uri)
    summary = reconcile(nodes, uri)
    assert (summary.ok, summary.unchanged, summary.created, summary.completed) == (True, 2, 0, 0)
    assert dump(uri) == before


def test_more_than_one_call_can_carry(uri: str) -> None:
    of = node(params={f"p{index}": "1" for index in range(230)})
    reconcile([finished(of, curves=curve(1900), metrics={f"m{index}": 1.0 for index in range(50)})], uri)
    run = only_run(uri)
    assert (len(run.data.params), len(run.data.metrics)) == (230, 51)
    assert sorted(Tracker(uri).history(run.info.run_id, "loss")) == [(step, v["loss"]) for step, v in curve(1900)]


def test_a_run_of_a_killed_job_is_completed(uri: str) -> None:
    run_id = started_live(uri, node(), DEAD, points=7)
    summary = reconcile([finished(node(), curves=curve(20), metrics={"final": 0.5})], uri)
    assert (summary.completed, summary.superseded) == (1, 0)
    run = only_run(uri)
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert sorted(Tracker(uri).history(run_id, "loss")) == [(step, values["loss"]) for step, values in curve(20)]
    assert run.data.metrics["final"] == 0.5


def test_runs_of_dead_jobs_are_reaped_and_of_living_ones_are_not(uri: str, sleeper: int) -> None:
    tracker = Tracker(uri)
    runs = {
        "dead": started_live(uri, node("dead"), DEAD),
        "alive": started_live(uri, node("alive"), owner(sleeper)),
        "far": started_live(uri, node("far"), "elsewhere:1:1.0"),
        "far and silent": started_live(uri, node("far and silent"), "elsewhere:1:1.0"),
    }
    tracker.write(runs["far and silent"], tags={track.ALIVE: f"{time.time() - track.SILENT_S - 1:.0f}"})
    assert reconcile([], uri, experiments=[STUDY]).reaped == 2
    status = {run.data.tags["methodbench.key"]: run.info.status for run in all_runs(uri)}
    assert status == {"dead": "KILLED", "alive": "RUNNING", "far": "RUNNING", "far and silent": "KILLED"}


def test_a_node_whose_job_still_writes_is_left_alone(uri: str, sleeper: int) -> None:
    started_live(uri, node(), owner(sleeper), points=3)
    assert reconcile([finished(node(), curves=curve(5))], uri).busy == 1
    assert only_run(uri).info.status == "RUNNING"


def test_a_dead_process_that_nobody_waited_for_is_dead() -> None:
    process = subprocess.Popen(["sleep", "60"])
    tags = {track.OWNER: owner(process.pid)}
    assert alive(tags)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # now it is a zombie
    assert not alive(tags)
    process.wait()
    assert not alive(tags)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(finished(node(identity="one")), finished(node(identity="two")), id="identity"),
        pytest.param(finished(node(params={"p": "1"})), finished(node(params={"p": "2"})), id="param"),
        pytest.param(finished(node(), curves=curve(5)), finished(node(), curves=curve(4)), id="point too many"),
        pytest.param(
            finished(node(), curves=curve(5)),
            finished(node(), curves=[*curve(4), (4, {"loss": 9.0})]),
            id="other value",
        ),
    ],
)
def test_a_run_that_contradicts_the_files_is_replaced_and_kept(uri: str, old: FinishedNode, new: FinishedNode) -> None:
    reconcile([old], uri)
    first = only_run(uri).info.run_id
    summary = reconcile([new], uri)
    assert (summary.ok, summary.created, summary.superseded) == (True, 1, 1)
    superseded = {run.info.run_id: run.data.tags["methodbench.superseded"] for run in all_runs(uri)}
    assert superseded.pop(first) == "true"
    assert list(superseded.values()) == ["false"]
    assert reconcile([new], uri).unchanged == 1


def test_a_run_with_a_point_twice_is_replaced(uri: str) -> None:
    run_id = started_live(uri, node(), DEAD, points=3)
    Tracker(uri).write(run_id, [track.Point("loss", 1.0, 0, 1)])
    assert reconcile([finished(node(), curves=curve(3))], uri).superseded == 1


def test_two_runs_of_one_node_become_one(uri: str) -> None:
    started_live(uri, node(), DEAD)
    started_live(uri, node(), DEAD)
    reconcile([finished(node())], uri)
    found = sorted((run.data.tags["methodbench.superseded"], run.info.status) for run in all_runs(uri))
    assert found == [("false", "FINISHED"), ("true", "KILLED")]


def test_a_number_measured_again_shows_its_new_value(uri: str) -> None:
    reconcile([finished(node(), metrics={"cost/wall_s": 9.0})], uri)
    summary = reconcile([finished(node(), metrics={"cost/wall_s": 7.0})], uri)
    assert (summary.completed, summary.superseded) == (1, 0)
    assert only_run(uri).data.metrics == {"cost/wall_s": 7.0}


def test_a_point_that_is_not_a_number_contradicts_nothing(uri: str) -> None:
    strange = [(0, {"loss": math.nan}), (1, {"loss": math.inf})]
    reconcile([finished(node(), curves=strange, metrics={"x": math.nan})], uri)
    summary = reconcile([finished(node(), curves=strange, metrics={"x": math.nan, "y": 1.0})], uri)
    assert (summary.completed, summary.superseded) == (1, 0)
    assert len(Tracker(uri).history(only_run(uri).info.run_id, "x")) == 1


def test_a_report_carries_its_text_and_figures(uri: str, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "one.svg").write_text("<svg/>")
    (tmp_path / "study.md").write_text("# Verdict\n")
    report = finished(node(), artifacts=[tmp_path / "study.md", tmp_path / "figures"])
    reconcile([report], uri)
    (tmp_path / "study.md").write_text("# Another verdict\n")
    assert reconcile([report], uri).completed == 1
    client = Tracker(uri)._client
    run_id = only_run(uri).info.run_id
    assert [item.path for item in client.list_artifacts(run_id)] == ["figures", "study.md"]
    assert [item.path for item in client.list_artifacts(run_id, "figures")] == ["figures/one.svg"]
    beside = Path(uri.removeprefix("sqlite:///")).parent / "mlflow-artifacts"
    assert (beside / STUDY / run_id / "artifacts" / "study.md").read_text() == "# Another verdict\n"


def test_what_was_thrown_away_in_the_ui_comes_back(uri: str) -> None:
    reconcile([finished(node())], uri)
    client = Tracker(uri)._client
    client.delete_run(only_run(uri).info.run_id)
    assert reconcile([finished(node())], uri).created == 1
    client.delete_experiment(Tracker(uri).experiment(STUDY))
    assert reconcile([finished(node())], uri).ok


def test_four_clients_may_open_a_store_that_does_not_exist(tmp_path: Path) -> None:
    script = (
        "import sys; from methodbench.track import *\n"
        f"node = Node(key=sys.argv[1], name='n', kind='score', experiment={STUDY!r}, identity='i')\n"
        "print(reconcile([FinishedNode(node, 1.0, 2.0)], sys.argv[2]).why)\n"
    )
    (tmp_path / ".mlflow.db.1.new").write_text("left behind by a first client that was killed")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    environment = {**os.environ, "PYTHONPATH": str(Path(track.__file__).parents[1])}
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(index), uri],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(4)
    ]
    assert [job.communicate(timeout=120)[0].strip() for job in jobs] == [""] * 4  # no error, and no chatter
    assert sorted(run.data.tags["methodbench.key"] for run in all_runs(uri)) == ["0", "1", "2", "3"]
    assert not list(tmp_path.glob(".*.new"))
    assert {run.info.status for run in all_runs(uri)} == {"FINISHED"}


def test_a_store_whose_making_was_cut_short_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    def cut_short(_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.store.db.utils._upgrade_db", cut_short)  # the first tables are there by now
        assert "the disk is full" in reconcile([finished(node())], uri).why
    assert not (tmp_path / "mlflow.db").exists()
    assert reconcile([finished(node())], uri).created == 1


def test_a_tracker_that_is_away_costs_little_and_is_said() -> None:
    before = time.monotonic()
    summary = reconcile([finished(node())], "http://me:secret@127.0.0.1:9")
    assert time.monotonic() - before < 10
    assert not summary.ok
    assert summary.why == "the tracker at http://127.0.0.1:9 cannot be used: Connection refused"
    assert "secret" not in str(summary)
    assert "\n" not in str(summary)


def test_a_locked_or_broken_store_is_said(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track, "LOCK_WAIT_S", 0.1)
    with sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "database is locked" in reconcile([finished(node())], uri).why
        other.execute("ROLLBACK")
    assert reconcile([finished(node())], uri).ok
    (tmp_path / "text.db").write_text("this is not a database, whatever its name says. " * 100)
    assert "not a database" in reconcile([finished(node())], f"sqlite:///{tmp_path / 'text.db'}").why


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("exact_match,none", "exact_match/none"),
        ("math/test/latent:tokens", "math/test/latent:tokens"),
        ("p@1 (Ünicode)", "p_1 __nicode_"),
        ("../up//and\\down/", "up/and_down"),
        ("", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_names_are_made_valid(uri: str, given: str, stored: str) -> None:
    assert valid_name(given) == stored
    assert reconcile([finished(node(params={given: "1"}), metrics={given: 1.0})], uri).ok
    assert set(only_run(uri).data.metrics) == {stored}


def test_the_environment_chooses_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/results/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert default_uri(tmp_path) == "http://tracker:5000"


def test_a_job_does_not_import_mlflow() -> None:
    script = "import sys, methodbench.mirror; print({'mlflow', 'torch', 'pandas'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(track.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_times_do_not_decide_what_is_shown(uri: str) -> None:
    reconcile([finished(node())], uri)
    assert reconcile([replace(finished(node()), ended=2000.0)], uri).unchanged == 1
