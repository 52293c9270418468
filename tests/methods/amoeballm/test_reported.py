"""The published numbers: whole, with averages that are right, and saying what is claimed from them."""

from __future__ import annotations

from statistics import mean

import pytest

from methodbench.reported import ReportedTable, load_reported
from methodbench.study import read_study
from tests.conftest import ROOT

REPORTED = load_reported(ROOT, "amoeballm")
RATIOS = (80, 65, 50)
ARMS = ("llm_pruner", "flap", "shortened", "amoeballm", "individual")
PRINTED = [table for table in REPORTED.tables if table.table == "1"]


def cells(table: ReportedTable, arm: str, ratio: int) -> dict[str, float]:
    return {name: float(cell or 0) for name, cell in zip(table.columns, table.rows[f"{arm}_{ratio}"], strict=True)}


@pytest.mark.parametrize(("table", "ratio"), list(zip(PRINTED, RATIOS, strict=True)))
def test_every_average_is_that_of_its_seven_tasks(table: ReportedTable, ratio: int) -> None:
    assert set(table.rows) == {f"{arm}_{ratio}" for arm in ARMS} and table.metric.startswith(f"accuracy, {ratio} ")
    assert table.grade == "F" and table.unit == "percent" and table.columns[:2] == ("mmlu", "average")
    for arm in ARMS:
        row = cells(table, arm, ratio)
        # Printed to two decimals: half of the last one, and what the mean of rounded numbers adds.
        assert row["average"] == pytest.approx(mean(list(row.values())[2:]), abs=0.01)
        assert all(0 < value < 100 for value in row.values())


def test_columns_are_tasks_of_the_benchmark() -> None:
    from benchmarks.language import FAMILIES

    tasks = {task.name for family in FAMILIES for task in family.tasks}
    for table in PRINTED:
        assert set(table.columns) - {"average"} <= tasks
        assert set(table.n) <= tasks


def test_what_the_paper_says_of_its_main_table() -> None:
    """One run for all beats every baseline, FLAP by 0.84 to 1.31 points, and loses little to a run for each subnet."""
    gains, losses = [], []
    for table, ratio in zip(PRINTED, RATIOS, strict=True):
        one, each, flap = (cells(table, arm, ratio) for arm in ("amoeballm", "individual", "flap"))
        for baseline in ("llm_pruner", "flap", "shortened"):
            row = cells(table, baseline, ratio)
            assert one["mmlu"] > row["mmlu"] and one["average"] > row["average"]
            assert flap["average"] >= row["average"]
        gains.append((one["mmlu"] - flap["mmlu"], one["average"] - flap["average"]))
        losses.append(each["average"] - one["average"])
    assert gains == [pytest.approx(pair) for pair in ((0.49, 1.31), (2.72, 0.84), (2.93, 1.07))]
    assert losses == pytest.approx([0.08, 0.30, 0.44])


def test_the_fork_s_search_saw_no_steady_fall() -> None:
    (table,) = [table for table in REPORTED.tables if table.grade == "I"]
    (seen,) = table.rows.values()
    values = [float(value or 0) for value in seen]
    assert len(values) == 12 and max(values) == values[6] > values[0]  # seven layers fewer look better than one


def test_claims_at_the_paper_s_scale_ask_for_half_of_what_is_printed() -> None:
    study = read_study(ROOT / "config" / "paper" / "amoeballm.yaml")
    printed: dict[str, dict[str, float]] = {}
    for table, ratio in zip(PRINTED, RATIOS, strict=True):
        printed |= {f"{arm}_{ratio}": cells(table, arm, ratio) for arm in ARMS}
    claimed = [claim for claim in study.claims if claim.source == "Table 1"]
    assert len(claimed) == 17 and set(printed) <= set(study.checkpoints)
    for claim in claimed:
        task = claim.metric.split("/")[1]
        gain = printed[claim.left][task] - printed[claim.right][task]
        assert claim.at_least == pytest.approx(gain / 200) and gain > 0, claim.id
    assert not any(claim.at_least for claim in study.claims if claim not in claimed)
