"""What a report measured, for programs: ``numbers.json`` beside ``verdicts.json`` in reports/SCALE/STUDY/.

An entry an arm and task, sorted, one a line, so that two versions of the file differ in the lines of what moved:

    {"task": ..., "arm": "CHECKPOINT@RUNTIME", "seeds": 4, "items": 75, "tokens": 12.0, "prompt_tokens": 31.5,
     "invalid": "", "metrics": {"exact_match": [value, low, high], ...}}

`tokens` and `prompt_tokens` are means an answer (null: not recorded), `invalid` says why the numbers do not count, and
`metrics` are all that the task declares, with their 95 % intervals; five digits of each are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from methodbench.compare import measure
from methodbench.results import Missing, Results
from methodbench.stats import Estimate, Undefined
from methodbench.tables import Row

NAME = "numbers.json"
DIGITS = 5


def numbers_text(results: Results, rows: Mapping[str, Sequence[Row]]) -> str:
    """The file's text: every arm of every task that has a number."""
    entries = [_entry(results, task, row) for task in sorted(rows) for row in sorted(rows[task], key=_name)]
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in entries if entry["metrics"])
    head = f'"study": {json.dumps(results.study.study)},\n "scale": {json.dumps(results.scale)}'
    return f'{{\n {head},\n "numbers": [\n{lines}\n ]\n}}\n'


def _name(row: Row) -> str:
    return str(row.arm)


def _entry(results: Results, task: str, row: Row) -> dict[str, Any]:
    found = {results.primary(task).name: row.level} if row.level else {}
    for metric in results.tasks[task].metrics if task in results.tasks else ():
        if metric.name not in found:
            try:
                found[metric.name] = measure(results, row.arm, task, metric.name)[0]
            except (Missing, Undefined):  # the report's table shows a dash there
                continue
    return {
        "task": task,
        "arm": str(row.arm),
        "seeds": row.level.n_seeds if row.level else 0,
        "items": row.level.n_items if row.level else 0,
        "tokens": _rounded(row.tokens),
        "prompt_tokens": _rounded(results.cost(row.arm, task, "prompt_tokens")),
        "invalid": row.sick,
        "metrics": {name: _interval(found[name]) for name in sorted(found)},
    }


def _interval(estimate: Estimate) -> list[float | None]:
    return [_rounded(value) for value in (estimate.value, estimate.low, estimate.high)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
