"""One table "arm x task" for each metric that a study scores on many tasks: the tables of the single tasks fold below.

Typical: the same task at several lengths, each a dataset of its own. Such tasks share a table of their own where a
study has several of them (``l256/recall, l512/recall, ... `` and ``l256/copy, l512/copy, ...``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from methodbench.arms import labels
from methodbench.context import ReportContext
from methodbench.markdown import small, table
from methodbench.results import Results
from methodbench.tables import Row, apart, tags
from methodbench.wording import level, listed

FEW = 2  # tasks that are read well one below the other


def families_of_tasks(results: Results) -> list[list[str]]:
    """Groups of more than `FEW` tasks with the same first metric, in the order of the file."""
    found: list[list[str]] = []
    by_metric: dict[tuple[str, str], list[str]] = {}
    for task in results.arms:
        metric = results.primary(task)
        by_metric.setdefault((metric.name, metric.direction), []).append(task)
    for tasks in by_metric.values():
        by_name: dict[str, list[str]] = {}
        for task in tasks:
            by_name.setdefault(task.rpartition("/")[2], []).append(task)
        found += list(by_name.values()) if all(len(same) > FEW for same in by_name.values()) else [tasks]
    return [tasks for tasks in found if len(tasks) > FEW]


def overview(
    results: Results, context: ReportContext, tasks: Sequence[str], measured: Mapping[str, Sequence[Row]]
) -> str:
    """All arms of these tasks, a column a task: best of the last column first, the best of each column bold.

    measured: task -> its rows, best first.
    """
    cells = {(row.arm, task): row for task in tasks for row in measured[task]}
    arms = list(dict.fromkeys(row.arm for task in reversed(tasks) for row in measured[task]))
    names = labels(arms)
    best = {task: _best(results, task, measured[task]) for task in tasks}
    share = all(row.unit == "share" for row in cells.values())
    datasets = [task.rpartition("/")[0] for task in tasks]
    alone = len({task.rpartition("/")[2] for task in tasks}) == 1

    def lines(part: Sequence[Row]) -> str:
        rows = []
        for arm in [row.arm for row in part]:
            told = tags(results, context, tasks, arm)
            shown = [_cell(cells.get((arm, task)), best[task]) for task in tasks]
            rows.append([f"`{names[arm]}`" + (small(", ".join(told)) if told else ""), *shown])
        return table(["arm", *(datasets if alone else tasks)], rows, right=range(1, 1 + len(tasks)))

    last = {arm: next(cells[arm, task] for task in reversed(tasks) if (arm, task) in cells) for arm in arms}
    metric = results.primary(tasks[0]).name.replace("_", " ")
    where = f"`{tasks[0].rpartition('/')[2]}` of every dataset" if alone else listed([f"`{task}`" for task in tasks])
    lead = (
        f"**{metric[0].upper()}{metric[1:]}{', %' if share else ''}**, on {where}, with 95 % intervals, by the last "
        "column. Bold: the best valid number of its column; struck out: invalid, for the reason told below."
    )
    return f"{lead}\n\n{apart(results, list(last.values()), lines)}"


def _best(results: Results, task: str, rows: Sequence[Row]) -> float | None:
    valid = [row.level.value for row in rows if row.level is not None and not row.sick]
    choose = max if results.primary(task).direction == "greater" else min
    return choose(valid, default=None)


def _cell(row: Row | None, best: float | None) -> str:
    """Empty where the study does not ask for the number, a dash where it is not there."""
    if row is None:
        return ""
    if row.level is None:
        return "—"
    shown = level(row.level, row.unit)
    if row.sick:
        return f"~~{shown}~~"
    return f"**{shown}**" if row.level.value == best else shown
