"""Reading scores and samples, lining them up, and judging health."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from methodbench.arms import Arm
from methodbench.errors import UserError
from methodbench.results import Missing, Results, field_parts
from methodbench.score import samples_path
from tests.results_factory import Planted, study_of, write_results

TASK = "math/test"
LEFT, RIGHT = Arm("base", "left"), Arm("base", "right")


def study_values(**changes: Any) -> dict[str, Any]:
    return {
        "study": "demo",
        "seeds": [0, 1],
        "checkpoints": {"base": {"method": "pretrain"}},
        "runtimes": {"left": {"method": "m"}, "right": {"method": "m"}, "absent": {"method": "m"}},
        "evaluate": {"all": {"checkpoints": ["base"], "runtimes": ["left", "right", "absent"], "benchmarks": [TASK]}},
        **changes,
    }


def results_of(root: Path, truth: dict[str, Planted], **changes: Any) -> Results:
    study = study_of(study_values(**changes))
    write_results(root, "mini", study, truth, items=50)
    return Results.load(root, "mini", study)


def rewrite(path: Path, change: Any) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))


def test_matrices_have_seeds_and_items(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted(0.7), "base@right": Planted(0.4)})
    matrix, why = results.matrix(LEFT, TASK, "exact_match")
    assert matrix is not None and matrix.shape == (2, 50) and why == ""
    scores = [results.scores[LEFT, TASK, seed].metrics["exact_match"] for seed in (0, 1)]
    assert np.allclose(matrix.mean(axis=1), scores)


def test_what_is_missing_has_a_reason(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted()})
    assert results.matrix(Arm("base", "absent"), TASK, "tokens") == (None, "`base@absent` has no score on math/test")
    matrix, why = results.matrix(LEFT, TASK, "flavour")
    assert matrix is None and "no field 'flavour'" in why
    samples_path(results.path(LEFT, TASK, 1)).unlink()
    assert "are gone" in Results.load(tmp_path, "mini", results.study).matrix(LEFT, TASK, "tokens")[1]


def test_items_are_paired_by_id_whatever_the_order(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted(), "base@right": Planted(twin_of="base@left")})
    for seed in (0, 1):
        rewrite(
            samples_path(results.path(RIGHT, TASK, seed)), lambda rows: [row for row in rows[::-1] if row["id"] > 9]
        )
    (left,), (right,) = Results.load(tmp_path, "mini", results.study).aligned([LEFT, RIGHT], TASK, ["exact_match"])
    assert left.shape == (2, 40) and np.array_equal(left, right)


def test_trials_of_one_item_are_averaged(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted()})
    path = samples_path(results.path(LEFT, TASK, 0))
    rewrite(path, lambda rows: [{**rows[0], "id": 5, "exact_match": value} for value in (1, 0, 0, 1, 1)])
    rewrite(samples_path(results.path(LEFT, TASK, 1)), lambda rows: [{**rows[5], "exact_match": 1}])
    matrix, _ = Results.load(tmp_path, "mini", results.study).matrix(LEFT, TASK, "exact_match")
    assert matrix is not None and matrix.tolist() == [[0.6], [1.0]]


def test_arms_without_common_items_or_seeds_are_refused(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted(), "base@right": Planted()})
    rewrite(samples_path(results.path(RIGHT, TASK, 0)), lambda rows: [{**row, "id": row["id"] + 100} for row in rows])
    with pytest.raises(Missing, match="no item in common"):
        Results.load(tmp_path, "mini", results.study).aligned([LEFT, RIGHT], TASK, ["tokens"])
    results.path(RIGHT, TASK, 0).unlink()
    results.path(LEFT, TASK, 1).unlink()
    with pytest.raises(Missing, match="no seed in common"):
        Results.load(tmp_path, "mini", results.study).aligned([LEFT, RIGHT], TASK, ["tokens"])


def test_items_of_one_kind(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted(kinds=("near", "far", "far"))})
    assert results.kinds(LEFT, TASK) == ["far", "near"]
    sizes = {kind: results.aligned([LEFT], TASK, ["tokens"], kind)[0][0].shape for kind in ("near", "far")}
    assert sizes == {"near": (2, 17), "far": (2, 33)}
    with pytest.raises(Missing, match="no item of kind 'odd' in common"):
        results.aligned([LEFT], TASK, ["tokens"], "odd")
    with pytest.raises(Missing, match="has no score"):
        results.kinds(Arm("base", "absent"), TASK)


def test_ratio_of_sums(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted(latent=0.25)})
    assert results.mean(LEFT, TASK, "latent:tokens") == pytest.approx(0.25, abs=0.02)
    assert results.mean(LEFT, TASK, "latent:empty") == 0.0  # nothing to divide by
    assert field_parts("a:b") == ["a", "b"]
    with pytest.raises(UserError, match="above:below"):
        field_parts("a:b:c")


def test_answers_that_cannot_be_read_make_a_number_invalid(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted(unparsable=0.5), "base@right": Planted(unparsable=0.05)})
    assert "ended without an answer that can be read (limit 20 %)" in results.sick(LEFT, TASK)
    assert results.sick(RIGHT, TASK) == ""
    assert results.sick(Arm("base", "absent"), TASK) == ""


def test_an_arm_that_is_cut_by_design_stays_usable(tmp_path: Path) -> None:
    truth = {"base@left": Planted(unparsable=1.0, truncated=1.0)}
    assert results_of(tmp_path, truth).sick(LEFT, TASK) == ""
    for seed in (0, 1):  # stopped by a budget of its own: not truncated, but cut all the same
        path = samples_path(Results.load(tmp_path, "mini", study_of(study_values())).path(LEFT, TASK, seed))
        rewrite(path, lambda rows: [{**row, "truncated": 0, "finish": "budget"} for row in rows])
    assert Results.load(tmp_path, "mini", study_of(study_values())).sick(LEFT, TASK) == ""
    judged = results_of(tmp_path, truth, health={"truncated": 0.1})
    assert judged.sick(LEFT, TASK) == "100 % of the answers were cut off at the token limit (limit 10 %)"


def test_bad_files_and_flags_are_refused(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"base@left": Planted()})
    with pytest.raises(UserError, match="did you mean 'truncated'"):
        results_of(tmp_path, {}, health={"truncate": 0.1})
    results.path(LEFT, TASK, 0).write_text("{}")
    with pytest.raises(UserError, match="is not a score file"):
        Results.load(tmp_path, "mini", results.study)
