"""The published numbers: one plot, read off twice the same way, and what the abstract says of it."""

from __future__ import annotations

from itertools import pairwise

from methodbench.reported import load_reported
from tests.conftest import ROOT
from tests.contract.found import METHODS

REPORTED = load_reported(ROOT, "imm")
WHOLE, FIRST = REPORTED.tables


def test_rows_are_methods_and_the_one_source_is_a_figure() -> None:
    for table in REPORTED.tables:
        assert set(table.rows) == {"plain", "self_improve", "imm"} <= set(METHODS)
        assert table.grade == "F" and table.model == "Qwen2.5-1.5B-Instruct" and table.unit == "percent"
    assert not REPORTED.curves


def test_more_tries_never_solve_less_and_the_merged_model_solves_most() -> None:
    plain, tuned, merged = ([float(value or 0) for value in WHOLE.rows[row]] for row in WHOLE.rows)
    assert WHOLE.columns == ("1", "4", "8", "16")
    for row in (plain, tuned, merged):
        assert all(fewer < more for fewer, more in pairwise(row))
    assert all(0.35 < base - after < 0.65 for base, after in zip(plain, tuned, strict=True))
    assert all(0.95 < after - base < 1.15 for base, after in zip(plain, merged, strict=True))


def test_the_first_column_stands_apart_for_the_comparison() -> None:
    """A report puts our score of a task beside the column that is named like it."""
    from benchmarks.reasoning.published_tasks import TASKS

    assert FIRST.columns == ("math_passk",)
    (task,) = (task for task in TASKS if task.name == "math_passk")
    assert task.metrics[0].name == "pass_1", "the primary metric is what stands beside it"
    assert {row: values[:1] for row, values in WHOLE.rows.items()} == dict(FIRST.rows)


def test_the_claims_of_the_paper_study_are_half_of_what_the_plot_shows() -> None:
    from methodbench.study import read_study

    study = read_study(ROOT / "config" / "paper" / "imm.yaml")
    claims = {claim.id: claim for claim in study.claims if claim.id.startswith("F")}
    value = {
        (row, column): float(number or 0)
        for row, numbers in WHOLE.rows.items()
        for column, number in zip(WHOLE.columns, numbers, strict=True)
    }
    for name, row, k in (
        ("F1", "self_improve", "1"),
        ("F2", "imm", "1"),
        ("F3", "self_improve", "16"),
        ("F4", "imm", "16"),
    ):
        gap = abs(value[row, k] - value["plain", k])
        assert abs(claims[name].at_least - gap / 200) < 1e-9, name
        assert claims[name].metric.endswith(f"/pass_{k}")
    assert not any(claim.at_least for claim in study.claims if claim.id not in claims)
