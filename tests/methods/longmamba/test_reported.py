"""The published numbers: consistent with themselves, each with its source, their rows methods of this repository."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from methodbench.reported import ReportedTable, load_reported
from tests.conftest import ROOT
from tests.contract.found import METHODS

REPORTED = load_reported(ROOT, "longmamba")
GRADES = {"REL", "PRE", "NOTE", "OWN"}
LONGBENCH_TASKS = 13


def tables(name: str, model: str = "") -> list[ReportedTable]:
    return [table for table in REPORTED.tables if str(table.table).startswith(name) and model in table.model]


def test_every_table_says_where_it_comes_from() -> None:
    for table in REPORTED.tables:
        assert set(table.grade.split(", ")) <= GRADES, table.table
        known = {table.method} if table.varies else set(table.rows)
        assert known & set(METHODS) and known <= set(METHODS) | {"MambaExtend"}, table.table


def test_the_thirteen_tasks_of_a_row_average_to_its_mean() -> None:
    (chosen,), (by_theta,) = (tables("authors' LongBench-E")[:1], tables("authors' LongBench-E")[1:])
    assert chosen.rows["longmamba"] == by_theta.rows["0.05"]
    for theta, row in by_theta.rows.items():
        *scores, average = [float(value) for value in row if isinstance(value, float)]
        assert len(scores) == LONGBENCH_TASKS
        assert sum(scores) / len(scores) == pytest.approx(average, abs=0.011), theta
    assert by_theta.rows["0.05"][-1] == max(float(row[-1] or 0) for row in by_theta.rows.values())


def test_the_averages_repeat_the_best_row() -> None:
    (mamba2,) = tables("LongBench-E averages", "Mamba2")
    assert mamba2.rows["longmamba"] == (16.95,) and mamba2.rows["token_dropping"] == (None,)


def test_other_means_are_the_means_of_their_rows() -> None:
    (extend,) = tables("MambaExtend, Table 2", "Mamba-1.4B")
    (zamba,) = tables("authors' Zamba2 notebook, clamp 5")
    for table in (extend, zamba):
        for name, row in table.rows.items():
            *scores, average = row
            if None not in scores:
                mean = sum(float(score) for score in scores if score is not None) / len(scores)
                assert mean == pytest.approx(float(average or 0), abs=0.07), (table.table, name)


def test_the_perplexities_say_what_the_paper_claims() -> None:
    """At 4k nothing differs; from 10k on filtering is better; without it Mamba-1.4B's grows with every step."""
    for model in ("Mamba-1.4B", "Mamba2-1.3B", "Zamba2-1.2B"):
        (table,) = tables("authors' PG-19", model)
        vanilla, filtered = ([float(value or 0) for value in table.rows[row]] for row in ("plain", "longmamba"))
        assert vanilla[0] == filtered[0]
        assert all(better < worse for better, worse in zip(filtered[1:], vanilla[1:], strict=True))
    (table,) = tables("authors' PG-19", "Mamba-1.4B")
    vanilla = [float(value or 0) for value in table.rows["plain"]]
    assert all(shorter < longer for shorter, longer in pairwise(vanilla))
    assert math.log(vanilla[-1] / 17.19) == pytest.approx(6.138, abs=0.001)


def test_columns_that_are_tasks_have_our_tasks_names() -> None:
    from benchmarks.longcontext.config import LONGBENCH

    for table in tables("authors' LongBench-E"):
        assert {f"longbench_{column}" for column in table.columns} == {*LONGBENCH, "longbench_avg"}
