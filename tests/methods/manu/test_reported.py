"""The published numbers: whole, named like our tasks and methods, and saying what is claimed from them."""

from __future__ import annotations

import pytest

from methodbench.reported import ReportedTable, load_reported
from methods.manu import METHODS
from tests.conftest import ROOT

REPORTED = load_reported(ROOT, "manu")
ARMS = {"vanilla", "gold"}
ELSEWHERE = {"mmunlearner", "vl_eraser", "mip_editor"}


def tables(name: str) -> list[ReportedTable]:
    return [table for table in REPORTED.tables if str(table.table).startswith(name)]


def value(table: ReportedTable, row: str, column: int) -> float:
    return float(table.rows[row][column] or 0)


def test_every_row_is_a_method_an_arm_or_named_as_foreign() -> None:
    known = {method.name for method in METHODS} | ARMS | ELSEWHERE
    for table in REPORTED.tables:
        assert set(table.rows) <= known, table.table
        assert table.unit == "percent"
        assert all(0 <= float(cell or 0) <= 100 for row in table.rows.values() for cell in row)
        assert table.grade == {"main": "N", "issu": "I"}.get(str(table.table)[:4], "O")


def test_columns_are_tasks_of_the_benchmark() -> None:
    from benchmarks.unlearning import FAMILIES

    tasks = {task.name for family in FAMILIES for task in family.tasks}
    for table in REPORTED.tables:
        assert set(table.columns) <= tasks, table.table


def test_what_the_paper_says_of_its_main_table() -> None:
    """MANU forgets most where options are given and keeps most; asked for sentences, GA forgets more than MANU."""
    options, sentences = tables("main")
    baselines = ("unlearn_ga", "unlearn_graddiff", "unlearn_npo")
    for name in baselines:
        assert value(options, "manu", 0) < value(options, name, 0) < value(options, "vanilla", 0)
        for table, kept in ((options, 1), (options, 2), (sentences, 1)):
            assert value(table, "vanilla", kept) > value(table, "manu", kept) > value(table, name, kept)
    assert value(sentences, "unlearn_ga", 0) < value(sentences, "manu", 0)
    assert value(options, "vanilla", 0) - value(options, "manu", 0) == pytest.approx(10.45)


def test_a_user_s_numbers_are_whole_items() -> None:
    (table,) = tables("issue 11")
    for column, cell in zip(table.columns, table.rows["vanilla"], strict=True):
        if column in table.n:
            right = float(cell or 0) / 100 * table.n[column]
            assert right == pytest.approx(round(right), abs=0.006), column


def test_the_main_table_fits_more_items_than_one_mode_has() -> None:
    """99 of 240 and 109, 111 of 250: none of them is a number of right answers among 120."""
    options, _ = tables("main")
    for row, right, items in (("manu", 99, 240), ("unlearn_graddiff", 109, 250), ("unlearn_ga", 111, 250)):
        assert value(options, row, 0) == pytest.approx(100 * right / items)
        assert abs(value(options, row, 0) * 1.2 - round(value(options, row, 0) * 1.2)) > 0.05


def test_the_user_s_gold_model_answers_more_of_those_it_never_saw() -> None:
    (table,) = tables("issue 5")
    cells = dict(zip(table.columns, table.rows["gold"], strict=True))
    for form in ("cloze", "classification"):
        assert float(cells[f"mllmu_5_forget_image_{form}"] or 0) > float(cells[f"mllmu_5_retain_image_{form}"] or 0)
