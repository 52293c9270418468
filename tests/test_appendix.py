"""The papers' tables beside ours: which tasks a column speaks of, and a perplexity from nats."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from methodbench.appendix import reported_beside
from methodbench.arms import study_arms
from methodbench.benchmark import Metric, Task
from methodbench.context import ReportContext
from methodbench.results import Results
from methodbench.score import Score, samples_path, write_samples
from tests.results_factory import study_of

NATS = {"books_10k/pg19": 2.0, "books_20k/pg19": 3.0, "other/pg19": 9.0}
OTHERS = {"more_30k/pg19": 4.0}  # scored for another model alone
SHARES = {"parts/bench_easy": 0.25, "parts/bench_hard": 0.5, "parts/half_asked": 0.5}
REPORTED = """
paper: "arXiv 1234.56789"
tables:
  - {table: plot, model: Big-1B, benchmark: PG-19, metric: perplexity, unit: perplexity, columns: [10k, 30k],
     rows: {meth: [12.5, 13], plain: [18.25, 500]}}
  - {table: "2", model: Big-1B, benchmark: Bench, columns: [easy, avg], rows: {meth: [30, 40]}}
  - {table: "4", model: Big-1B, columns: [Half, avg], rows: {tuned: [51, 61], other: [52, 62]}}
  - {table: "3", model: Big-1B, benchmark: Unknown, columns: [easy, avg], rows: {meth: [31, 41]}}
"""


@pytest.fixture
def blocks(tmp_path: Path) -> list[str]:
    """The blocks of a study on the paper's scale: 40 items a task, whose metric has a known mean."""
    values: dict[str, Any] = {
        "study": "demo",
        "checkpoints": {
            "big_1b": {"method": "pretrain"},
            "other": {"method": "pretrain"},
            "tuned": {"method": "meth", "from": ["other", "big_1b"]},
        },
        "runtimes": {"meth": {"method": "meth"}, "plain": {"method": "plain"}},
        "evaluate": {
            "all": {"checkpoints": ["big_1b"], "runtimes": ["meth", "plain"], "benchmarks": [*NATS, *list(SHARES)[:2]]},
            "half": {"checkpoints": ["tuned", "other"], "runtimes": ["plain"], "benchmarks": ["parts/half_asked"]},
        },
        "reported": ["demo"],
    }
    study = study_of(values)
    (tmp_path / "methods" / "demo").mkdir(parents=True)
    (tmp_path / "methods" / "demo" / "reported.yaml").write_text(REPORTED)
    tasks = {}
    for task, arms in study_arms(study).items():
        nats = (NATS | OTHERS).get(task)
        metric = Metric("exact_match") if nats is None else Metric("nll", "less", "nats")
        name = task.rpartition("/")[2]
        tasks[task] = Task(name, f"{name}.yaml", name.removesuffix("_asked"), (metric,))
        found = np.arange(40) < 40 * SHARES[task] if nats is None else np.linspace(-0.5, 0.5, 40) + nats
        for arm in arms:
            path = Results.load(tmp_path, "paper", study).path(arm, task, 0)
            rows = [{"id": item, metric.name: float(value)} for item, value in enumerate(found)]
            sha256 = write_samples(samples_path(path), rows)
            Score("paper", "demo", 0, *arm, task, "x", 40, {metric.name: float(found.mean())}, {}, {}, {}, sha256).save(
                path
            )
    results = Results.load(tmp_path, "paper", study, tasks)
    return reported_beside(results, ReportContext(repository=tmp_path, tasks=tasks))


def cells(block: str, name: str) -> list[str]:
    (line,) = [line for line in block.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_column_stands_beside_the_dataset_of_its_name(blocks: list[str]) -> None:
    (plot,) = [block for block in blocks if block.startswith("**Plot**")]
    assert cells(plot, "")[1:] == ["10k", "30k", "*here*: books_10k/pg19, perplexity"]
    for name in ("meth", "plain"):
        value, low, high = (float(number.strip("[,]")) for number in cells(plot, f"`{name}`")[3].split())
        assert value == pytest.approx(math.exp(2.0), abs=0.01)
        assert low < value < high and high / value == pytest.approx(value / low, rel=0.01), "the interval's ends, too"


def test_a_column_stands_beside_the_task_that_ends_in_it(blocks: list[str]) -> None:
    (parts,) = [block for block in blocks if block.startswith("**Table 2**")]
    assert cells(parts, "")[1:] == ["easy", "avg", "*here*: parts/bench_easy, %"]
    assert cells(parts, "`meth`")[3].startswith("25.0 [")


def test_a_benchmark_that_is_not_ours_has_nothing_beside_it(blocks: list[str]) -> None:
    (folded,) = [block for block in blocks if "**Table 3**" in block]
    assert "*here*" not in folded and "<details>" in folded


def test_what_was_made_from_a_model_stands_beside_that_models_rows(blocks: list[str]) -> None:
    (half,) = [block for block in blocks if block.startswith("**Table 4**")]
    assert cells(half, "")[1:] == ["Half", "avg", "*here*: parts/half_asked, %"], "the split's name is the column's"
    assert cells(half, "`tuned`")[3].startswith("50.0 [")
    assert cells(half, "`other`")[3] == "—", "another model"
