"""Comparisons: pairing, units, curves, and reasons where there is nothing to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from methodbench.arms import Arm
from methodbench.benchmark import Metric, Task
from methodbench.compare import compare, measure
from methodbench.efficiency import efficiency_gain
from methodbench.results import Results
from tests.results_factory import Planted, study_of, write_results

TASK = "math/test"
VALUES: dict[str, Any] = {
    "study": "demo",
    "seeds": [0, 1, 2],
    "checkpoints": {"base": {"method": "pretrain"}},
    "runtimes": {
        "good": {"method": "m"},
        "weak": {"method": "m"},
        "sick": {"method": "m"},
        "absent": {"method": "m"},
        "g{budget}": {"method": "m", "sweep": {"budget": [20, 40, 80]}},
        "w{budget}": {"method": "m", "sweep": {"budget": [20, 40, 80]}},
        "far{budget}": {"method": "m", "sweep": {"budget": [200, 400]}},
    },
    "evaluate": {
        "all": {
            "checkpoints": ["base"],
            "runtimes": ["good", "weak", "sick", "absent", "g{budget}", "w{budget}", "far{budget}"],
            "benchmarks": [TASK],
        }
    },
    "curves": {
        "g": {"arms": ["g{budget}"]},
        "w": {"arms": ["w{budget}"]},
        "far": {"arms": ["far{budget}"]},
        "single": {"arms": ["good"]},
        "holes": {"arms": ["good", "absent"]},
    },
}
TRUTH = {
    "base@good": Planted(0.7, latent=0.5),
    "base@weak": Planted(0.5, latent=0.25),
    "base@sick": Planted(0.5, unparsable=0.6),
    **{f"base@g{length}": Planted(accuracy, length) for length, accuracy in ((20, 0.4), (40, 0.6), (80, 0.8))},
    **{f"base@w{length}": Planted(accuracy, length) for length, accuracy in ((20, 0.2), (40, 0.4), (80, 0.8))},
    "base@far200": Planted(0.8, 200),
    "base@far400": Planted(0.8, 400),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("compare")
    study = study_of(VALUES)
    write_results(root, "mini", study, TRUTH, items=400)
    return Results.load(root, "mini", study)


def test_a_difference_of_shares(results: Results) -> None:
    found = compare(results, "good", "weak", f"{TASK}/exact_match")
    assert found.effect is not None and found.effect.low < 0.2 < found.effect.high
    assert found.unit == "share" and found.base == pytest.approx(0.5, abs=0.05)
    only_left, only_right, p = found.items[0]
    assert len(found.items) == 3 and only_left > only_right and p < 0.05
    assert only_left - only_right == pytest.approx(400 * found.effect.per_seed[0])


@pytest.mark.parametrize(("unit", "read_as"), [("share", "share"), ("nats", "number")])
def test_values_from_0_to_1_are_shares_unless_another_unit_is_declared(tmp_path: Path, unit: str, read_as: str) -> None:
    study = study_of(VALUES)
    write_results(tmp_path, "mini", study, TRUTH, items=40)
    metrics = (Metric("exact_match", unit=unit),)
    found = Results.load(tmp_path, "mini", study, {TASK: Task("test", "test.yaml", "test", metrics)})
    level, level_unit = measure(found, Arm("base", "good"), TASK, "exact_match")
    assert level_unit == compare(found, "good", "weak", f"{TASK}/exact_match").unit == read_as
    assert level.value <= 1


def test_tokens_are_numbers_and_ratios_of_tokens_are_shares(results: Results) -> None:
    tokens = compare(results, "good", "weak", f"{TASK}/tokens")
    assert tokens.unit == "number" and tokens.items == ()
    latent = compare(results, "good", "weak", f"{TASK}/latent:tokens")
    assert latent.unit == "share" and latent.effect is not None
    assert latent.effect.value == pytest.approx(0.25, abs=0.02)


def test_an_efficiency_gain(results: Results) -> None:
    found = compare(results, "g", "w", f"{TASK}/efficiency")
    expected = float(efficiency_gain([0.4, 0.6, 0.8], [20, 40, 80], [0.2, 0.4, 0.8], [20, 40, 80]))
    assert found.unit == "gain" and found.effect is not None
    assert found.effect.low < expected < found.effect.high and found.effect.low > 0


@pytest.mark.parametrize(
    ("left", "right", "metric", "reason"),
    [
        ("absent", "weak", "exact_match", "`base@absent` has no score on math/test"),
        ("good", "sick", "exact_match", "`base@sick` is invalid on math/test: "),
        ("good", "weak", "flavour", "no field 'flavour'"),
        ("good", "weak", "latent:empty", "cannot be computed"),
        ("g", "far", "efficiency", "share no stretch of lengths"),
        ("g", "single", "efficiency", "two arms at least"),
        ("g", "holes", "efficiency", "`base@absent` has no score"),
    ],
)
def test_what_cannot_be_compared_says_why(results: Results, left: str, right: str, metric: str, reason: str) -> None:
    found = compare(results, left, right, f"{TASK}/{metric}")
    assert found.effect is None and reason in found.reason
