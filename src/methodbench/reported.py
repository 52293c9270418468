"""The numbers that a paper printed, as data: ``methods/<name>/reported.yaml``.

    paper: "arXiv 2510.05069v3"
    tables:
      - {table: "1", model: Qwen3-8B, metric: accuracy, unit: percent, grade: P, columns: [GSM8K, MATH500],
         rows: {baseline: [95.60, 96.00], other: [95.38, null]}, n: {GSM8K: 1319}}
    curves:
      - {table: "11", model: Qwen3-8B, benchmark: GSM8K, points: {baseline: [[95.60, 2138], [94.77, 2123]]}}

Columns are benchmarks unless `note` says otherwise. Rows are methods of this repository, so that a report can show
what was measured here beside them; with `varies`, they are values of that option of `method`. `n` may name more
benchmarks than the table has columns. A curve's points are [accuracy, mean length]. With `benchmark`, several columns
are versions of it (lengths, parts): beside them stand tasks ``<dataset>_<column>/<benchmark>`` or
``<benchmark>_<column>``. `grade` says how a number was got: P printed, C from the official code, F read off a figure, D
derived; or words that the file itself explains, such as "PRE", where what is known of a paper has other sources.
"""

from __future__ import annotations

from pathlib import Path

from methodbench.config import config, field, parse, read_yaml
from methodbench.errors import UserError

Cell = float | str | None  # a word where the paper prints one; None where it prints nothing


@config
class ReportedTable:
    """One printed table, or one model's part of it."""

    table: str | int
    model: str
    columns: tuple[str, ...] = field(min_length=1)
    rows: dict[str, tuple[Cell, ...]] = field(min_length=1)
    metric: str = "accuracy"
    unit: str = "percent"
    grade: str = ""
    n: dict[str, int] = field(default_factory=dict)  # column -> items
    method: str = ""  # whose option varies over the rows
    varies: str = ""
    benchmark: str = ""  # where the columns are something else
    note: str = ""


@config
class ReportedCurve:
    """Printed points of accuracy against length, by method."""

    table: str | int
    model: str
    benchmark: str
    points: dict[str, tuple[tuple[float, float], ...]] = field(min_length=1)
    metric: str = "accuracy"
    unit: str = "percent"
    grade: str = ""
    n: int | None = None
    note: str = ""


@config
class Reported:
    """One reported.yaml."""

    paper: str
    tables: tuple[ReportedTable, ...] = ()
    curves: tuple[ReportedCurve, ...] = ()


def load_reported(root: Path, method: str) -> Reported:
    """The checked reported numbers of the folder ``methods/<method>``.

    Raises:
        UserError: no such file, an unknown key, or a row whose values do not fit the columns.
    """
    path = root / "methods" / method / "reported.yaml"
    reported = parse(Reported, read_yaml(path), str(path))
    for number, table in enumerate(reported.tables):
        where = f"{path}: tables.{number} (table {table.table}, {table.model})"
        for row, values in table.rows.items():
            if len(values) != len(table.columns):
                raise UserError(f"{where}: row '{row}' has {len(values)} values for {len(table.columns)} columns")
    return reported
