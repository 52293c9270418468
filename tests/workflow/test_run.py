"""The whole graph for real: once through, again with nothing to do, killed in the middle, edited, with no tracker."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from methodbench.checkpoint import digest_folder
from methodbench.score import samples_path

ROOT = Path(__file__).parents[2]
STUDY = """
study: toy
title: A toy
seeds: [0]
datasets: {math: {config: {train: 120, validation: 6, test: 10, arithmetic: 0, kinds: [chain]}}}
checkpoints:
  base:
    method: pretrain
    data: {train: math/train}
    config:
      shape: {hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8,
        intermediate_size: 16}
      steps: 120
      batch_size: 4
      save_every: 10
runtimes:
  cot: {method: cot}
  swir_w{w_el}: {method: swireasoning, sweep: {w_el: [4, 8]}}
evaluate:
  main: {checkpoints: [base], runtimes: [cot, "swir_w{w_el}"], benchmarks: [math/test], slots: 4}
health: {unparsable: 1.0, empty: 1.0, unclosed: 1.0, truncated: 1.0}
figures:
  - {id: latent, kind: sweep, title: Latent <steps>, task: math/test, arms: ["swir_w{w_el}"], y: ["latent:tokens"]}
claims: [{id: C1, says: Switching helps, left: swir_w4, right: cot, metric: math/test/exact_match}]
"""
# Notes the timers of Snakemake's scheduler. It sets one for each job that ends, and another whenever one is due.
TIMERS = """
import sys, threading
class Timer(threading.Timer):
    def start(self):
        if "snakemake.scheduling.job_scheduler" in sys.modules:
            open("timers", "a").write("one\\n")
        super().start()
threading.Timer = Timer
"""
Project = Callable[..., Path]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", **more}


def start(root: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", str(root / "Snakefile"), *arguments]
    return subprocess.Popen(
        command, cwd=root, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def run(root: Path, *arguments: str, **more: str) -> tuple[int, str]:
    process = start(root, *arguments, **more)
    said, _ = process.communicate(timeout=500)
    return process.returncode, said


def made(root: Path) -> dict[str, str]:
    """Digests of everything that must not depend on how often a run was interrupted."""
    results = root / "results" / "smoke" / "toy"
    found = {"data": digest_folder(results / "datasets" / "math")}
    found["base"] = digest_folder(results / "seed0" / "checkpoints" / "base")
    for score in sorted(results.glob("seed0/scores/base/*/math/test.json")):
        found[score.parts[-3]] = samples_path(score).read_text()
    return found


def copy_project(root: Path) -> Path:
    """The Snakefile must be a real file: Snakemake resolves links and would work in this repository."""
    (root / "Snakefile").unlink(missing_ok=True)
    (root / "Snakefile").write_bytes((ROOT / "Snakefile").read_bytes())
    (root / "docs").symlink_to(ROOT / "docs")
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("finished")
    (root / "config" / "smoke").mkdir(parents=True)
    for folder in ("methods", "benchmarks", "profiles"):
        (root / folder).symlink_to(ROOT / folder)
    (root / "config" / "config.yaml").write_text("scale: smoke\nstudies: all\n")
    (root / "config" / "smoke" / "toy.yaml").write_text(STUDY)
    (root / "site").mkdir()
    (root / "site" / "sitecustomize.py").write_text(TIMERS)
    code, said = run(copy_project(root), PYTHONPATH=os.pathsep.join([str(root / "site"), environment()["PYTHONPATH"]]))
    assert code == 0, said
    return root, said


def test_a_run_ends_with_a_report_and_says_where(finished: tuple[Path, str]) -> None:
    root, said = finished
    report = (root / "reports" / "smoke" / "toy.md").read_text()
    assert "no claims" in report and "Switching helps" in report
    assert "reports/smoke/index.md" in said and "mlflow ui" in said
    # Progress a person can follow; lines between (steps, live loss) come every five seconds: tests/test_joblog.py.
    assert "base seed0" in said and "done in" in said and "tokens a sample" in said
    assert re.search(r"whole run +(\d+ jobs)\n(.*\n)+.*whole run +\1 done in ", said)
    assert "Select jobs" not in said and "Execute" not in said
    assert (root / "results" / "mlflow.db").exists()


def test_each_job_says_how_long_it_took(finished: tuple[Path, str]) -> None:
    root, _ = finished
    logs = root / "results" / "smoke" / "toy" / "logs"
    jobs = {file.stem for file in logs.glob("*.log") if file.stem.startswith(("transform-", "evaluate-"))}
    clocked = {file.stem: file.read_text().splitlines() for file in logs.glob("*.tsv")}
    assert clocked.keys() == jobs and jobs
    assert all(head == "s" and float(seconds) > 0 for head, seconds in clocked.values())
    page = (root / "reports" / "smoke" / "toy.md").read_text()
    assert all(f"`{job}`" in page for job in jobs)


def test_the_scheduler_does_not_wake_for_jobs_that_have_ended(finished: tuple[Path, str]) -> None:
    assert not (finished[0] / "timers").exists()


def test_a_second_run_has_nothing_to_do(finished: tuple[Path, str]) -> None:
    root, _ = finished
    before = made(root)
    code, said = run(root)
    assert code == 0 and "Nothing to be done" in said
    assert made(root) == before


def in_snakemakes_report(root: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Menu entry -> file -> its line there, and its bytes as the page embeds them; of `snakemake --report`."""
    code, said = run(root, "--report", "shown.html")
    assert code == 0, said
    page = (root / "shown.html").read_text(encoding="utf-8")
    assert "methodbench, scale smoke" in page  # docs/report.rst

    def embedded(name: str) -> Any:
        found = re.search(rf"\bvar {name} = (?={{)", page)
        assert found, name
        return json.JSONDecoder().raw_decode(page, found.end())[0]

    results = embedded("results")
    return {
        category: {
            path: (results[path]["labels"]["shows"], results[path]["data_uri"].partition("base64,")[2])
            for paths in subcategories.values()
            for path in paths
        }
        for category, subcategories in embedded("categories").items()
    }


def test_snakemakes_report_shows_the_figures_of_the_pages(finished: tuple[Path, str]) -> None:
    root, _ = finished
    shown = in_snakemakes_report(root)
    assert {category: {path: line for path, (line, _) in files.items()} for category, files in shown.items()} == {
        "All reports": {"reports/smoke/index.md": "List of reports (Markdown)"},
        "toy": {"reports/smoke/toy.md": "Report (Markdown)", "reports/smoke/toy/latent.svg": "Latent <steps>"},
    }
    for path, (_, data) in (file for files in shown.values() for file in files.items()):
        assert base64.b64decode(data) == (root / path).read_bytes()
    code, said = run(root)
    assert code == 0 and "Nothing to be done" in said


def test_snakemakes_report_needs_no_run_where_reports_come_with_a_clone(project: Project) -> None:
    root = copy_project(project(toy=STUDY))
    pictures = root / "reports" / "smoke" / "toy"
    pictures.mkdir(parents=True)
    for name in ("one", "two", "braced", "older"):
        (pictures / f"{name}.svg").write_text("<svg/>")
    page = ("![Alike](toy/one.svg)", "![Alike](toy/two.svg)", "![Of {w_el}](toy/braced.svg)", "![Lost](toy/lost.svg)")
    pictures.with_suffix(".md").write_text("\n\n".join(page))
    (line,) = in_snakemakes_report(root).values()  # no list of reports: there is none here
    assert {Path(path).name: label.replace("\u200b", "") for path, (label, _) in line.items()} == {
        "toy.md": "Report (Markdown)",
        "one.svg": "Alike (one)",
        "two.svg": "Alike (two)",
        "braced.svg": "Of {w_el}",
    }


def test_every_number_comes_out_of_its_samples(finished: tuple[Path, str]) -> None:
    root, _ = finished
    command = [sys.executable, "-m", "methodbench", "verify", "--scale", "smoke", "--study", "toy"]
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(finished: tuple[Path, str], tmp_path: Path) -> None:
    whole, _ = finished
    root = tmp_path / "killed"
    root.mkdir()
    for folder in ("methods", "benchmarks", "profiles"):
        (root / folder).symlink_to(ROOT / folder)
    (root / "config").symlink_to(whole / "config")
    copy_project(root)
    results = root / "results" / "smoke" / "toy" / "seed0"

    def killed_once_there_is(pattern: str) -> None:
        process = start(root)
        deadline = time.monotonic() + 200
        while not list(results.glob(pattern)) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)  # Snakemake and its jobs at once, like a power cut
        process.communicate()
        assert list(results.glob(pattern)), f"killed before {pattern}"

    killed_once_there_is("checkpoints/.work/base-*/training/checkpoint-*/whole")
    assert not (results / "checkpoints" / "base").exists()
    killed_once_there_is("scores/base/cot/math/test.json")
    assert not (results / "scores" / "base" / "main.json").exists()
    code, said = run(root)
    assert code == 0, said
    assert made(root) == made(whole)


def test_an_edit_makes_again_what_it_touches(finished: tuple[Path, str]) -> None:
    root, _ = finished
    study = root / "config" / "smoke" / "toy.yaml"
    scores = root / "results" / "smoke" / "toy" / "seed0" / "scores" / "base"
    before = {path: path.stat().st_mtime_ns for path in scores.glob("*/math/test.json")}
    study.write_text(STUDY.replace("w_el: [4, 8]", "w_el: [4, 6]"))
    try:
        command = [sys.executable, "-m", "methodbench", "explain", "--scale", "smoke", "scores/base/main.json"]
        said = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=True).stdout
        assert "1 of 3 scores are missing or stale" in said
        code, said = run(root)
        assert code == 0, said
        assert "transform" not in said.replace("transformers", "")
        after = {path: path.stat().st_mtime_ns for path in scores.glob("*/math/test.json")}
        assert {path.parts[-3] for path in after if before.get(path) != after[path]} == {"swir_w6"}
    finally:
        study.write_text(STUDY)
        assert run(root)[0] == 0


def test_a_tracker_that_is_away_costs_no_job(finished: tuple[Path, str]) -> None:
    root, _ = finished
    target = root / "results" / "smoke" / "toy" / "tracked.json"
    code, said = run(root, "--forcerun", "track", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert code == 0, said
    assert json.loads(target.read_text())["ok"] is False
    assert (root / "reports" / "smoke" / "toy.md").exists()
    assert run(root, "--forcerun", "track")[0] == 0


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("steps: 120", "stepz: 120", "unknown key 'stepz'"),
        ("method: cot}", "method: cott}", "did you mean 'cot'?"),
        ("[math/test]", "[math/tset]", "did you mean 'math/test'?"),
    ],
)
def test_a_mistake_ends_the_run_before_any_job(project: Project, before: str, after: str, said: str) -> None:
    root = copy_project(project(toy=STUDY.replace(before, after)))
    code, output = run(root)
    assert code == 2
    lines = [line for line in output.splitlines() if "methodbench:" in line]
    assert len(lines) == 1 and said in lines[0] and "config/smoke/toy.yaml" in lines[0]
    assert "Traceback" not in output and not (root / "results").exists()
