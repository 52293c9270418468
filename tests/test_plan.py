"""`methodbench plan`: which jobs are left, what earlier runs know of them, and the schedule that adds them up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from methodbench.cli import main
from methodbench.durations import ALIKE, HERE, PUBLISHED, seconds_of
from methodbench.errors import UserError
from methodbench.graph import Graph
from methodbench.joblog import duration
from methodbench.plan import Job, Machine, Plan, machine_of, plan, told, wall_seconds

STUDY = """
study: toy
seeds: [0, 1]
datasets: {math: {config: {train: 8, validation: 0, test: 4, arithmetic: 0, kinds: [chain]}}}
checkpoints: {base: {method: pretrain, data: {train: math/train}}, other: {method: pretrain, data: {train: math/train}}}
runtimes: {plain: {method: plain}, warm: {method: plain, config: {do_sample: true, temperature: 0.5}}}
evaluate: {main: {checkpoints: [base], runtimes: [plain, warm], benchmarks: [math/test]}}
"""
Project = Callable[..., Path]


def planned(root: Path, *names: str, machine: Machine | None = None) -> Plan:
    return plan(Graph(root, "smoke"), names, machine or Machine(2), root)


def job(found: Plan, end: str) -> Job:
    return next(job for job in found.jobs if job.path.as_posix().endswith(end))


def write(path: Path, text: str | dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))


def timed(root: Path, name: str, seconds: float) -> None:
    """A file as Snakemake's `benchmark:` leaves it."""
    write(root / f"results/smoke/toy/logs/{name}.tsv", f"s\th:m:s\n{seconds}\t0:00:00\n")


def scored(root: Path, runtime: str, identity: str, wall: float, seed: int = 0, checkpoint: str = "base") -> None:
    """A score of four items that generated 10 tokens each and read 3."""
    path = root / f"results/smoke/toy/seed{seed}/scores/{checkpoint}/{runtime}/math/test.json"
    cost = {"tokens": 10.0, "prompt_tokens": 3.0, "wall_s": wall}
    values = {"checkpoint": checkpoint, "runtime": runtime, "task": "math/test", "seed": seed, "n": 4, "cost": cost}
    write(path, values | {"identity": identity})
    write(path.with_name("test.samples.jsonl"), "")


def test_what_was_never_run_is_said_and_not_counted(project: Project) -> None:
    found = planned(project(toy=STUDY))
    kinds = [job.kind for job in found.jobs]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "prepare": 1, "transform": 4, "evaluate": 2, "track": 1, "report": 1,
    }  # fmt: skip
    lines = list(told(found))
    assert lines[0] == "scale smoke: 9 jobs to do, 0 done already"
    assert any(line.startswith("6 jobs were never run, nor any alike: not counted (") for line in lines)
    assert lines[-1] == "total: not known, none of these jobs was ever run"


def test_what_is_there_is_left_out_by_its_identity(project: Project) -> None:
    root = project(toy=STUDY)
    graph = Graph(root, "smoke").study("toy")
    for node in graph.checkpoints:
        write(root / node.path / "checkpoint.json", {"identity": node.identity})
    write(root / graph.datasets["math"].path / "dataset.json", {"identity": "of another config"})
    for evaluation in graph.evaluations:
        write(root / evaluation.path, {"identity": evaluation.identity})
    found = planned(root)
    assert [job.kind for job in found.jobs] == ["prepare", "track", "report"] and found.done == 6
    dataset = graph.datasets["math"]
    write(root / dataset.path / "dataset.json", {"identity": dataset.identity})
    write(root / "results/smoke/toy/tracked.json", "{}")
    write(root / "reports/smoke/toy.md", "")
    found = planned(root)
    assert found.jobs == [] and list(told(found)) == ["scale smoke: 0 jobs to do, 9 done already"]


def test_the_nearest_record_is_taken(project: Project) -> None:
    root = project(toy=STUDY)
    page = "| `transform-base-seed0` | 1 min 40 s |\n| `evaluate-base-seed1-main` | 7 s |\n| `other` | 9 s |\n"
    write(root / "reports/smoke/toy.md", page)
    found = planned(root)
    base, other = job(found, "seed0/checkpoints/base"), job(found, "seed0/checkpoints/other")
    assert (base.seconds, base.source) == (100, PUBLISHED)
    assert (other.seconds, other.source) == (100, ALIKE)  # the same method
    assert (job(found, "seed1/checkpoints/base").seconds, job(found, "seed0/scores/base/main.json").seconds) == (100, 7)
    timed(root, "transform-base-seed0", 30.5)
    timed(root, "transform-base-seed1", 40.5)
    found = planned(root)
    assert (job(found, "seed0/checkpoints/base").seconds, job(found, "seed0/checkpoints/base").source) == (30.5, HERE)
    assert job(found, "seed0/checkpoints/other").seconds == 35.5  # the median


def test_a_resumed_run_does_not_hide_the_longer_one(project: Project) -> None:
    root = project(toy=STUDY)
    timed(root, "transform-base-seed0", 5)
    write(root / "results/smoke/toy/seed0/checkpoints/base/.times.json", {"started": 100.0, "ended": 160.0})
    timed(root, "evaluate-base-seed0-main", 1)
    scored(root, "plain", "old", 8.0)
    scored(root, "warm", "old", 4.0)
    found = planned(root)
    assert job(found, "seed0/checkpoints/base").seconds == 60
    assert job(found, "seed0/scores/base/main.json").seconds == 12


def test_scores_that_are_there_cost_nothing_again(project: Project) -> None:
    root = project(toy=STUDY)
    first = Graph(root, "smoke").study("toy").evaluations[0]
    timed(root, "evaluate-base-seed0-main", 10)
    scored(root, "plain", first.pairs[0].identity, 3.0)
    found = planned(root)
    assert job(found, "seed0/scores/base/main.json").seconds == 5
    assert job(found, "seed1/scores/base/main.json").seconds == 10
    # Of the other runtime nothing is known; the other seed's score of this one stands for it.
    assert job(found, "seed0/scores/base/main.json").tokens == (None,)
    assert job(found, "seed1/scores/base/main.json").tokens == ((40, 12), None)
    assert "scores: 3, 40 tokens generated, 12 read by 1 of them; of the others it is not known" in told(found)


def test_tokens_are_learned_from_a_published_report(project: Project) -> None:
    root = project(toy=STUDY)
    entry = {"task": "math/test", "arm": "base@warm", "items": 1000, "tokens": 12.5, "prompt_tokens": None}
    write(root / "reports/smoke/toy/numbers.json", {"numbers": [entry]})
    assert job(planned(root), "seed0/scores/base/main.json").tokens == (None, (12500, 0))


def test_another_studys_checkpoint_is_part_of_the_plan(project: Project) -> None:
    child = STUDY.replace("study: toy\nseeds: [0, 1]", "study: child")
    child = (
        child[: child.index("checkpoints:")] + "checkpoints: {base: {from: [toy/base]}}\n" + child[child.index("run") :]
    )
    found = planned(project(toy=STUDY, child=child), "child")
    assert [(job.kind, job.study) for job in found.jobs] == [
        ("prepare", "child"),
        ("prepare", "toy"),
        ("transform", "toy"),
        ("evaluate", "child"),
        ("track", "child"),
        ("report", "child"),
    ]


def test_another_studys_dataset_is_prepared_by_that_study(project: Project) -> None:
    child = STUDY.replace("study: toy", "study: child")
    start, end = child.index("datasets:"), child.index("checkpoints:")
    root = project(toy=STUDY, child=child[:start] + "datasets: {math: {from: toy/math}}\n" + child[end:])
    alone, together = planned(root, "child").jobs, planned(root).jobs
    for jobs in (alone, together):
        prepared = [(job.study, str(job.path)) for job in jobs if job.kind == "prepare"]
        assert prepared == [("toy", "results/smoke/toy/datasets/math")]


def made(name: str, seconds: float | None, *needs: str, threads: int = 1, gpus: int = 0) -> Job:
    return Job("transform", "toy", Path(name), tuple(map(Path, needs)), threads, gpus, seconds)


def test_the_schedule_by_hand() -> None:
    chain = [made("a", 3), made("b", 4, "a"), made("c", 5, "made elsewhere")]
    assert [wall_seconds(chain, Machine(cores)) for cores in (1, 2)] == [12, 7]
    assert wall_seconds([made("a", 3, threads=2), made("b", 4), made("c", 5)], Machine(2)) == 8
    assert wall_seconds([made("a", 3, threads=8), made("b", 4)], Machine(2)) == 7  # no more than there are
    on_gpus = [made("a", 3, gpus=1), made("b", 4, gpus=1), made("c", 6)]
    assert [wall_seconds(on_gpus, Machine(8, gpus)) for gpus in (1.0, 2.0)] == [7, 6]
    assert wall_seconds([made("a", None), made("b", 2, "a")], Machine(1)) == 2
    assert wall_seconds([], Machine(1)) == 0


def test_totals_count_threads_and_gpus() -> None:
    jobs = [made("a", 3600, threads=2, gpus=2), made("b", 1800, "a", gpus=1), made("c", None)]
    lines = list(told(Plan("mini", Machine(4), jobs, 0)))
    assert "GPU-hours: 2.5 in 2 jobs that ask for GPUs" in lines
    assert lines[-1] == "total: at least 150.0 core-minutes, at least 1 h 30 min on 4 cores"


def test_a_profile_gives_its_gpus(project: Project) -> None:
    root = project(toy=STUDY)
    machine = machine_of(3, root / "profiles" / "gpu")
    assert (machine.cores, machine.gpus) == (3, 1)
    assert {(job.kind, job.gpus) for job in planned(root, machine=machine).jobs if job.gpus} == {
        ("transform", 1), ("evaluate", 1),
    }  # fmt: skip
    assert machine_of(None, None).cores >= 1


def test_mistakes_are_one_sentence(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    root = project(toy=STUDY)
    assert main(["plan", "--root", str(root), "--scale", "smoke", "--study", "tyo"]) == 2
    assert "unknown study 'tyo' at scale smoke; allowed: toy (did you mean 'toy'?)" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"plan: --cores: given 0, must be 1 or more"):
        machine_of(0, None)
    with pytest.raises(UserError, match=r"plan: --profile: .*none/config\.yaml does not exist"):
        machine_of(1, root / "none")
    write(root / "broken" / "config.yaml", "resources: [gpu]\n")
    with pytest.raises(UserError, match=r"broken/config\.yaml: cannot be read; expected 'resources: \[gpu=1\]'"):
        machine_of(1, root / "broken")


@pytest.mark.parametrize("seconds", [0, 59, 60, 185, 3600, 7800])
def test_a_pages_durations_are_read_back(seconds: int) -> None:
    assert seconds_of(duration(seconds)) == seconds


def test_a_plan_loads_no_heavy_library(project: Project) -> None:
    root = project(toy=STUDY)
    code = (
        f"import sys; from methodbench.cli import main; main(['plan', '--root', {str(root)!r}, '--scale', 'smoke']); "
    )
    code += "print([name for name in ('torch', 'transformers', 'lm_eval', 'mlflow', 'scipy') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
