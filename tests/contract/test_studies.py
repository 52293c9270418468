"""Every study file is read whole, and every scale planned by Snakemake, without a job being run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from methodbench.graph import SCALES, Graph
from methodbench.study import Study
from tests.contract.found import ROOT

STUDIES = sorted(file for scale in SCALES for file in (ROOT / "config" / scale).glob("*.yaml"))


def test_every_study_file_lies_in_a_scales_folder() -> None:
    everywhere = {file for file in (ROOT / "config").rglob("*.yaml") if file.parent != ROOT / "config"}
    assert everywhere == set(STUDIES) and STUDIES


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_study_becomes_a_graph(file: Path) -> None:
    graph = Graph(ROOT, file.parent.name).study(file.stem)
    assert graph.evaluations, "a study that scores nothing"
    paths = [pair.path for node in graph.evaluations for pair in node.pairs]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("scale", SCALES)
def test_every_checkpoint_is_read_scored_or_shown(scale: str) -> None:
    """By its own study or by another of the scale; shown are the measures that a transform took."""
    graph = Graph(ROOT, scale)
    studies = [graph.study(name) for name in graph.study_names()]
    made = {node.path for study in studies for node in study.checkpoints}
    scored = {node.checkpoint.path for study in studies for node in study.evaluations}
    read = {parent.path for study in studies for node in study.checkpoints for parent in node.parents}
    shown = {node.path for study in studies for node in study.checkpoints if node.name in measured(study.study)}
    assert made <= scored | read | shown


def measured(study: Study) -> set[str]:
    """Checkpoints whose measures a claim or a figure names."""
    drawn = {name for figure in study.figures for name in figure.checkpoints}
    return drawn | {claim.checkpoint for claim in study.claims}


def reports(scale: str) -> list[str]:
    """What `studies: all` writes: every study's report but an optional one's, and the list of them."""
    graph = Graph(ROOT, scale)
    made = [name for name in graph.study_names() if not graph.study(name).study.optional]
    return [*made, "index"]


def check_all_is_planned(scale: str, folder: Path) -> None:
    """A dry run in `folder` would write every report of the scale, and none that waits to be named."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--config", f"scale={scale}", "--cores", "1", "--dry-run", "--quiet", "host"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    planned = done.stdout + done.stderr
    for name in (*Graph(ROOT, scale).study_names(), "index"):
        assert (f"output: reports/{scale}/{name}.md" in planned) == (name in reports(scale))


@pytest.mark.parametrize("scale", SCALES)
def test_snakemake_plans_a_scale(scale: str, tmp_path: Path) -> None:
    check_all_is_planned(scale, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".snakemake"] == []


def test_reports_that_came_with_a_clone_are_made_anew(tmp_path: Path) -> None:
    """The mini reports are committed: a clone has them, and nothing of what they are made of."""
    (tmp_path / "reports" / "mini").mkdir(parents=True)
    for name in reports("mini"):
        (tmp_path / "reports" / "mini" / f"{name}.md").write_text("made elsewhere")
    check_all_is_planned("mini", tmp_path)
