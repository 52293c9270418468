"""Report = samples = MLflow: an honest tree agrees, and every kind of difference is found and named."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from methodbench.agreement import _close, check
from methodbench.cli import main
from methodbench.graph import Graph
from methodbench.joblog import Log
from methodbench.ledger import finished
from methodbench.publication import publish_report
from methodbench.track import Tracker, reconcile, recorded
from tests.results_factory import Planted, write_results

ROOT = Path(__file__).parents[1]
STUDY = """
study: toy
seeds: [0, 1]
datasets: {math: {config: {train: 4, validation: 0, test: 4, arithmetic: 0, kinds: [chain]}}}
checkpoints: {base: {method: pretrain, data: {train: math/train}, config: {steps: 1}}}
runtimes: {good: {method: cot}, poor: {method: cot, config: {do_sample: false}}}
evaluate: {main: {checkpoints: [base], runtimes: [good, poor], benchmarks: [math/test]}}
claims: [{id: C1, says: Good is better, left: good, right: poor, metric: math/test/exact_match}]
"""
SCORE = Path("results/mini/toy/seed1/scores/base/good/math/test.json")
EXPERIMENT = "methodbench/mini/toy"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Path:
    """A project whose study `toy` is scored, shown in MLflow and reported."""
    root = tmp_path_factory.mktemp("whole")
    (root / "config" / "mini").mkdir(parents=True)
    for folder in ("methods", "benchmarks"):
        (root / folder).symlink_to(ROOT / folder)
    (root / "config" / "mini" / "toy.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        graph = Graph(root, "mini")
        planted = {"base@good": Planted(0.7), "base@poor": Planted(0.4)}
        write_results(Path(), "mini", graph.study("toy").study, planted, items=60)
        shutil.copy(fresh_store, root / "results" / "mlflow.db")
        reconcile(finished(graph, graph.study("toy")), store(root))
        publish_report(graph, "toy", store(root), Log("test"))
    return root


@pytest.fixture
def tree(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, to be changed; the working directory."""
    root = tmp_path / "tree"
    shutil.copytree(whole, root, symlinks=True)
    monkeypatch.chdir(root)
    yield root


def store(root: Path) -> str:
    return f"sqlite:///{root / 'results' / 'mlflow.db'}"


def differences(root: Path) -> list[str]:
    return check(Graph(root, "mini"), "toy", store(root)).wrong


def change(path: Path, edit: Callable[[Any], object]) -> None:
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def test_an_honest_tree_agrees_and_says_what_was_compared(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--root", str(tree), "--scale", "mini", "--study", "toy"]) == 0
    scores, report, runs = capsys.readouterr().out.splitlines()
    assert scores == "scores: each of the 4 scores comes out of its samples again"
    assert report.startswith("report: 1 claim, ") and "and 3 rows of the page" in report
    assert runs.startswith("MLflow: 5 runs (") and runs.endswith(
        "at sqlite:///results/mlflow.db say what the files say"
    )


CLAIM = "reports/mini/toy/verdicts.json: claim C1: "


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        (
            "toy/verdicts.json",
            lambda told: told["claims"][0].update(low=0.9),
            CLAIM + "low is 0.9, the samples give",
        ),
        ("toy/verdicts.json", lambda told: told["claims"][0].update(p=None), CLAIM + "p is missing"),
        ("toy/verdicts.json", lambda told: told["claims"][0].update(verdict="does not hold"), "says 'does not hold'"),
        ("toy/verdicts.json", lambda told: told["claims"][0].update(id="C9"), "lacks claim C1"),
        (
            "toy/numbers.json",
            lambda told: told["numbers"][0]["metrics"]["exact_match"].__setitem__(0, 0.123),
            "exact_match of `base@good` on math/test is 0.123",
        ),
        ("toy/numbers.json", lambda told: told["numbers"].pop(), "of `base@poor` on math/test is missing"),
    ],
)
def test_a_report_that_its_samples_do_not_bear_out_is_found(
    tree: Path, file: str, edit: Callable[[Any], object], said: str
) -> None:
    change(tree / "reports" / "mini" / file, edit)
    assert any(said in sentence for sentence in differences(tree))


@pytest.mark.parametrize("start", ["| **C1**", "| `good`"])
def test_a_page_that_says_another_number_is_found(tree: Path, start: str) -> None:
    page = tree / "reports" / "mini" / "toy.md"
    lines = [line.replace(" [", "1 [") if line.startswith(start) else line for line in page.read_text().splitlines()]
    page.write_text("\n".join(lines))
    found = differences(tree)
    assert any(sentence.startswith(f"reports/mini/toy.md: no line '{start[2:]}' says ") for sentence in found)
    assert any(sentence.startswith("reports/mini/toy.md: its MLflow run shows another version") for sentence in found)


def test_a_run_that_says_another_number_is_found(tree: Path) -> None:
    tracker = Tracker(store(tree))
    (run,) = tracker.runs(EXPERIMENT, str(SCORE))[str(SCORE)]
    tracker._client.log_metric(run.info.run_id, "math/test/exact_match", 0.25, step=1)
    (report,) = tracker.runs(EXPERIMENT, "reports/mini/toy.md")["reports/mini/toy.md"]
    tracker._client.log_metric(report.info.run_id, "claim/C1/effect", 0.5, step=1)
    first, second = differences(tree)
    assert first.startswith(f"{SCORE}: 'math/test/exact_match' is ") and first.endswith("its MLflow run says 0.25")
    assert second.startswith("reports/mini/toy.md: 'claim/C1/effect' is ") and second.endswith("says 0.5")


def test_a_run_of_another_version_or_none_at_all_is_found(tree: Path) -> None:
    change(tree / SCORE, lambda score: score.update(identity="new"))
    (sentence,) = differences(tree)
    assert sentence.startswith(f"{SCORE}: its MLflow run shows another version of it; `methodbench track`")
    tracker = Tracker(store(tree))
    tracker.supersede(tracker.runs(EXPERIMENT, str(SCORE))[str(SCORE)][0])
    assert differences(tree)[0].startswith(f"{SCORE}: it has no run in MLflow")


def test_a_missing_store_or_report_is_told_and_not_wrong(tree: Path) -> None:
    (tree / "results" / "mlflow.db").unlink()
    (tree / "reports" / "mini" / "toy.md").unlink()
    found = check(Graph(tree, "mini"), "toy", store(tree))
    assert found.wrong == [] and found.told[1:] == [
        "report: there is none yet (reports/mini/toy.md)",
        "MLflow: was not compared, because there is no store at sqlite:///results/mlflow.db",
    ]
    assert not (tree / "results" / "mlflow.db").exists()


def test_a_report_is_not_compared_with_half_of_its_scores(tree: Path) -> None:
    (tree / SCORE).unlink()
    found = check(Graph(tree, "mini"), "toy", store(tree))
    assert found.wrong == [f"{SCORE}: the study asks for this score and it is not there"]
    assert found.told[0] == "report: was not compared, because 1 of 4 scores are not there"


def test_an_older_report_without_numbers_for_programs_is_compared_by_its_page(tree: Path) -> None:
    (tree / "reports" / "mini" / "toy" / "numbers.json").unlink()
    found = check(Graph(tree, "mini"), "toy", store(tree))
    assert found.wrong == [] and found.told[1].startswith("report: 1 claim and 3 rows of the page")


def test_reading_makes_no_experiment_and_tells_what_is_wrong_with_a_store(tmp_path: Path, fresh_store: Path) -> None:
    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    runs, why = recorded(uri, "methodbench/mini/never")
    assert runs == {} and why.endswith("holds no run of methodbench/mini/never")
    assert Tracker(uri)._client.get_experiment_by_name("methodbench/mini/never") is None
    (tmp_path / "broken.db").write_text("this is no database")
    assert "cannot be used" in recorded(f"sqlite:///{tmp_path / 'broken.db'}", "any")[1]


@pytest.mark.parametrize(
    ("left", "right", "close"),
    [
        (math.nan, math.nan, True),
        (0.123456, 0.12346, True),  # five digits are kept
        (0.1234, 0.1235, False),
        (None, None, True),
        (0.0, None, False),
        (math.nan, 0.0, False),
    ],
)
def test_numbers_that_were_rounded_or_are_missing(left: float | None, right: float | None, close: bool) -> None:
    assert _close(left, right) is close
