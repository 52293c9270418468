"""The published numbers: consistent with themselves, with each other, and with what the paper claims from them."""

from __future__ import annotations

import pytest

from methodbench.reported import ReportedTable, load_reported
from tests.conftest import ROOT
from tests.contract.found import METHODS

REPORTED = load_reported(ROOT, "mifo")
SIX = ("AIME24", "AIME25", "AMC", "MATH-500", "OlympiadBench", "MMLU-Pro", "avg")
MISPRINTS = {("13", "accuracy without a template", "relift")}  # printed 37.6, its row's mean is 37.5
COPIED = {"relift": "interleave"}  # rows of table 3 and of the ablation that are one at 1.5B


def tables(number: str, model: str = "", metric: str = "") -> list[ReportedTable]:
    return [
        table
        for table in REPORTED.tables
        if table.table == number and table.model.endswith(model) and metric in table.metric
    ]


def rows(table: ReportedTable) -> dict[str, list[float]]:
    return {name: [float(value or 0) for value in row] for name, row in table.rows.items()}


def test_every_table_says_where_it_is_from() -> None:
    named = {"2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "13", "14", "figure 10", "section 2.2"}
    assert {str(table.table) for table in REPORTED.tables} == named | {"arXiv 2604.23747"}
    for table in REPORTED.tables:
        expected = {"figure 10": "F", "arXiv 2604.23747": "S"}.get(str(table.table), "P")
        assert table.grade == ("V1" if "first version" in table.metric else expected)


def test_every_table_has_a_row_that_is_a_method_here() -> None:
    assert "mifo" in METHODS
    for table in REPORTED.tables:
        assert ({table.method} if table.method else set(table.rows)) & set(METHODS), table.table


def test_printed_means_are_the_means_of_their_rows() -> None:
    checked = 0
    for table in REPORTED.tables:
        if table.columns[-1] != "avg":
            continue
        for name, (*cells, mean) in rows(table).items():
            close = sum(cells) / len(cells) == pytest.approx(mean, abs=0.0501)  # half of the last digit
            assert close == ((table.table, table.metric, name) not in MISPRINTS), (table.table, table.model, name)
            checked += 1
    assert checked == 68


def test_six_sets_and_their_items() -> None:
    whole = [table for table in REPORTED.tables if table.columns == SIX]
    assert len(whole) == 10
    for table in whole:
        assert not table.n or set(table.n) == set(SIX[:-1])


@pytest.mark.parametrize("model", ["1.5B", "7B"])
def test_the_ablation_ends_where_table_3_does(model: str) -> None:
    (main,), (ablation,) = tables("3", model, "accuracy"), tables("4", model)
    assert ablation.rows["mifo"] == main.rows["mifo"]
    same = all(ablation.rows[ours] == main.rows[theirs] for theirs, ours in COPIED.items())
    assert same == (model == "1.5B")
    best = max(rows(main).values(), key=lambda row: row[-1])
    assert best == rows(main)["mifo"]


def test_margins_that_the_paper_speaks_of() -> None:
    (main,) = tables("3", "7B", "accuracy")
    assert rows(main)["mifo"][-1] - rows(main)["srft"][-1] == pytest.approx(0.2)
    (lengths,) = tables("3", "7B", "length")
    assert rows(lengths)["sft_rl"][0] / rows(lengths)["mifo"][0] == pytest.approx(10, abs=0.2)
    (data,) = tables("5", "7B")
    used = [ours / theirs for ours, theirs in zip(rows(data)["mifo"], rows(data)["srft"], strict=True)]
    assert used == pytest.approx([0.015, 0.204], abs=1e-3)


def test_forgetting_is_told_from_where_the_branches_begin() -> None:
    (table,) = tables("2")
    start = rows(table)["rl_50"][0]
    change = {name: round(row[0] - start, 1) for name, row in rows(table).items()}
    assert change == {"rl_50": 0, "rl": 1.1, "sft": -15.6, "luffy": -12.6, "srft": -8.6, "relift": -11.1, "mifo": 0.9}


def test_sweeps_cross_at_the_default_setting() -> None:
    from methods.mifo.mifo_config import InterleaveConfig

    default = InterleaveConfig()
    found = {}
    for table in tables("figure 10"):
        value = getattr(default, table.varies)
        found[table.varies] = rows(table)[str(value)][0]
        assert len(table.rows) == 5 and all(str(float(row)) == row for row in table.rows)
    assert found == dict.fromkeys(("accuracy", "share", "frozen", "history"), 36.8)
    (sizes,) = tables("11")
    assert max(sizes.rows, key=lambda row: rows(sizes)[row]) == str(default.trigger)


def test_known_contradictions_are_still_in_the_data_and_noted() -> None:
    (domain,), (main,) = tables("8"), tables("3", "7B", "accuracy")
    there = {name: row[SIX.index("MMLU-Pro")] for name, row in rows(main).items()}
    for name, row in rows(domain).items():
        differs = row[domain.columns.index("MMLU-Pro")] != there[name]
        assert differs == (name != "luffy"), name
    assert "48.6" in domain.note and "37.7" in domain.note
    (nine,), (fourteen,) = tables("9"), tables("14")
    for name in ("sft_rl", "mifo"):
        assert rows(nine)[name][0] == rows(fourteen)[name][1]
    (again, told) = tables("arXiv 2604.23747")
    for name in ("luffy", "relift"):
        assert rows(told)[name][-1] - max(rows(again)[name][-1], rows(main)[name][-1]) > 1.9
