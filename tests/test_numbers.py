"""numbers.json: every arm's numbers for programs, the same as in the samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from methodbench.benchmark import Metric, Task
from methodbench.numbers import numbers_text
from methodbench.results import Results
from methodbench.tables import measured_rows
from tests.results_factory import Planted, study_of, write_results

TASK = "math/test"
STUDY = study_of(
    {
        "study": "demo",
        "seeds": [0, 1],
        "checkpoints": {"base": {"method": "pretrain"}},
        "runtimes": {name: {"method": "m"} for name in ("plain", "better", "sick", "absent")},
        "evaluate": {
            "all": {
                "checkpoints": ["base"],
                "runtimes": ["plain", "better", "sick", "absent"],
                "benchmarks": [TASK],
            }
        },
    }
)
TRUTH = {"base@plain": Planted(0.4), "base@better": Planted(0.7), "base@sick": Planted(0.4, unparsable=0.7)}


def told(root: Path, metrics: tuple[Metric, ...]) -> dict[str, dict[str, Any]]:
    """What the file says of each arm."""
    write_results(root, "mini", STUDY, TRUTH, items=60)
    results = Results.load(root, "mini", STUDY, {TASK: Task("test", "test.yaml", "test", metrics)})
    text = numbers_text(results, {TASK: measured_rows(results, TASK)})
    read = json.loads(text)
    assert (read["study"], read["scale"]) == ("demo", "mini") and text.count("\n") == 6 + len(read["numbers"])
    return {entry["arm"]: entry for entry in read["numbers"]}


def test_every_arm_with_a_number_stands_there_once_and_sorted(tmp_path: Path) -> None:
    found = told(tmp_path, (Metric("exact_match"),))
    assert list(found) == ["base@better", "base@plain", "base@sick"]
    assert found["base@sick"]["invalid"] and not found["base@plain"]["invalid"]
    assert (found["base@plain"]["task"], found["base@plain"]["seeds"], found["base@plain"]["items"]) == (TASK, 2, 60)


def test_the_numbers_are_those_of_the_scores(tmp_path: Path) -> None:
    found = told(tmp_path, (Metric("exact_match"),))
    place = tmp_path / "results" / "mini" / "demo"
    scores = [json.loads((place / f"seed{s}" / f"scores/base/plain/{TASK}.json").read_text()) for s in (0, 1)]
    value, low, high = found["base@plain"]["metrics"]["exact_match"]
    assert value == pytest.approx(sum(score["metrics"]["exact_match"] for score in scores) / 2, rel=1e-4)
    assert low < value < high
    assert found["base@plain"]["tokens"] == pytest.approx(
        sum(score["cost"]["tokens"] for score in scores) / 2, rel=1e-4
    )
    assert found["base@plain"]["prompt_tokens"] is None  # these scores did not count them


def test_all_metrics_of_the_task_are_told_but_those_not_recorded(tmp_path: Path) -> None:
    found = told(tmp_path, (Metric("exact_match"), Metric("latent"), Metric("never")))
    assert list(found["base@plain"]["metrics"]) == ["exact_match", "latent"]
