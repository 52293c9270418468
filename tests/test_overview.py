"""The table of all arms and tasks: when it is printed, what it says, and what folds below it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pytest

from methodbench.arms import Arm
from methodbench.benchmark import Metric, Task
from methodbench.method import Method
from methodbench.overview import families_of_tasks
from methodbench.report import ReportContext, render
from methodbench.results import Results
from methodbench.tables import tags
from tests.results_factory import Planted, study_of, write_results

Role = Literal["method", "baseline", "control", "tool"]
TASKS = ["l256/recall", "l512/recall", "l1024/recall"]
VALUES: dict[str, Any] = {
    "study": "long",
    "seeds": [0, 1],
    "checkpoints": {"base": {"method": "pretrain"}},
    "runtimes": {
        "plain": {"method": "plain"},
        "method": {"method": "meth"},
        "control": {"method": "meth"},
        "sick": {"method": "meth"},
        "absent": {"method": "meth"},
        "peeking": {"method": "meth", "choose": {"among": {"a": [0, 1], "b": [2, None]}, "on": TASKS[1]}},
        "m_{w}": {"method": "meth", "sweep": {"w": [1, 2]}},
    },
    "claims": [
        {"id": f"C{n}", "says": "s", "left": "method", "right": "plain", "metric": f"{task}/exact_match",
         "controls": ["control"]}
        for n, task in enumerate(TASKS)
    ],
}  # fmt: skip
ACCURACY = {
    "plain": (0.9, 0.5, 0.2),
    "method": (0.8, 0.7, 0.6),
    "control": (0.7, 0.6, 0.4),
    "sick": (0.95, 0.95, 0.95),
    "peeking": (0.5, 0.5, 0.5),
    "m_1": (0.5, 0.5, 0.1),
    "m_2": (0.5, 0.5, 0.8),
}


def made(
    root: Path,
    tasks: list[str] = TASKS,
    metrics: tuple[Metric, ...] = (Metric("exact_match"),),
    to_forget: bool = False,
) -> str:
    """The report on these tasks."""
    evaluate = {"all": {"checkpoints": ["base"], "runtimes": list(VALUES["runtimes"]), "benchmarks": tasks}}
    claims = [claim for claim in VALUES["claims"] if claim["metric"].rpartition("/")[0] in tasks]
    study = study_of({**VALUES, "evaluate": evaluate, "claims": claims})
    truth = {
        f"base@{name}": Planted(on=dict(zip(TASKS, on, strict=True)), unparsable=0.7 if name == "sick" else 0.0)
        for name, on in ACCURACY.items()
    }
    write_results(root, "mini", study, truth, items=200)
    context = ReportContext(
        tasks={task: Task("recall", "recall.yaml", "test", metrics, 1, 0.125, to_forget) for task in tasks},
        methods={"plain": Method("plain", "runtime", "a:b", object, role="baseline", summary="s")},
    )
    return render(root, "mini", study, context).read_text()


def part(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(text: str, arm: str) -> list[str]:
    """The row of an arm in the first table that has it."""
    line = next(line for line in text.splitlines() if line.startswith(f"| `{arm}`"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("overview"))


def test_one_table_stands_before_those_of_the_tasks(report: str) -> None:
    results = part(report, "Results")
    assert results.index("| arm | l256 | l512 | l1024 |") < results.index("<code>l256/recall</code>")
    assert "**Exact match, %**, on `recall` of every dataset" in results
    for section in ("Results", "Health", "Cost"):
        for task in TASKS[:1] if section == "Health" else TASKS:
            assert f"<details><summary><code>{task}</code></summary>" in part(report, section)
    assert "### l256/recall" not in report


def test_rows_follow_the_last_column_and_the_best_are_bold(report: str) -> None:
    table = part(report, "Results").split("<details>")[0]
    arms = re.findall(r"(?m)^\| `(\w+)`", table)
    assert arms == ["method", "peeking", "control", "plain", "sick", "absent"]
    assert [cell.startswith("**") for cell in cells(table, "plain")[1:]] == [True, False, False]
    assert [cell.startswith("**") for cell in cells(table, "method")[1:]] == [False, True, False]
    assert all(re.fullmatch(r"~~.*~~", cell) for cell in cells(table, "sick")[1:])
    assert cells(table, "absent")[1:] == ["—"] * 3
    swept = part(report, "Results").split("2 settings of the sweeps")[1]
    assert cells(swept, "m_2")[3].startswith("**")  # the best of its column, among the folded ones, too


def test_of_what_is_to_be_forgotten_the_least_is_best(tmp_path: Path) -> None:
    text = made(tmp_path, to_forget=True)
    table = part(text, "Results").split("<details>")[0]
    assert re.findall(r"(?m)^\| `(\w+)`", table) == ["plain", "control", "peeking", "method", "sick", "absent"]
    swept = part(text, "Results").split("2 settings of the sweeps")[1]
    assert cells(swept, "m_1")[3].startswith("**") and not cells(swept, "m_2")[3].startswith("**")
    assert not any(cell.startswith("**") for cell in cells(table, "method")[1:])


def test_a_role_stands_once_an_arm(report: str) -> None:
    table = part(report, "Results").split("<details>")[0]
    assert cells(table, "control")[0] == "`control`<br><sub>control</sub>"
    assert cells(table, "plain")[0] == "`plain`<br><sub>baseline</sub>"
    assert cells(table, "peeking")[0] == "`peeking`<br><sub>chosen on the items of l512/recall</sub>"


def test_tasks_that_agree_share_a_line_and_picks_a_row(report: str) -> None:
    assert "`l256/recall`, `l512/recall` and `l1024/recall`: 200 items; blind guessing gives 12.5 %" in report
    picks = part(report, "Settings picked by a score")
    assert picks.count("| `peeking` |") == 2  # one a seed, not one a seed and task
    row = cells(picks, "peeking")
    assert row[1] == "`a`, `b`" and row[3] == "**1, None**"
    assert row[4] == "0, 2: 50.0; 0, None: 51.0; 1, 2: 52.0; 1, None: 53.0"
    assert row[5] == "**l512/recall, items it is reported on (paper protocol)**"


def test_tables_are_well_formed(report: str) -> None:
    for block in re.findall(r"(?m)(?:^\|.*\|$\n?)+", report):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_two_tasks_keep_tables_of_their_own(tmp_path: Path) -> None:
    text = made(tmp_path, TASKS[:2])
    assert "### l256/recall" in text and "of every dataset" not in text
    assert "- `l256/recall`: 200 items" in text and "- `l512/recall`: 200 items" in text


def test_where_less_is_better_the_least_is_bold(tmp_path: Path) -> None:
    table = part(made(tmp_path, metrics=(Metric("tokens", "less", "tokens"),)), "Results")
    assert table.startswith("\n**Tokens**, on")
    last = {arm: cells(table, arm)[3] for arm in ("plain", "method", "control", "peeking", "m_1", "m_2")}
    bold = [arm for arm, cell in last.items() if cell.startswith("**")]
    level = {arm: float(cell.strip("*").split(" ")[0]) for arm, cell in last.items()}
    assert bold and all(level[arm] == min(level.values()) for arm in bold)


def test_tasks_of_several_names_make_a_table_each() -> None:
    tasks = [f"l{length}/{name}" for name in ("recall", "copy") for length in (1, 2, 3)]

    def groups(asked: list[str]) -> list[list[str]]:
        study = study_of(
            {
                **VALUES,
                "claims": [],
                "evaluate": {"a": {"checkpoints": ["base"], "runtimes": ["plain"], "benchmarks": asked}},
            }
        )
        return families_of_tasks(Results.load(Path("nowhere"), "mini", study))

    assert groups(tasks) == [tasks[:3], tasks[3:]]
    assert groups(tasks[:4]) == [tasks[:4]] and groups(tasks[:2]) == []


@pytest.mark.parametrize(
    ("transform", "runtime", "tag"),
    [
        ("tool", "baseline", ["baseline"]),
        ("baseline", "baseline", ["baseline"]),
        ("method", "baseline", []),
        ("control", "baseline", ["control"]),
        ("control", "method", []),
        ("method", "control", ["control"]),
    ],
)
def test_under_ordinary_decoding_the_transform_gives_an_arm_its_role(
    tmp_path: Path, transform: Role, runtime: Role, tag: list[str]
) -> None:
    study = study_of({"study": "s", "checkpoints": {"made": {"method": "t"}}, "runtimes": {"run": {"method": "r"}}})
    methods = {
        "t": Method("t", "transform", "a:b", object, role=transform, summary="s"),
        "r": Method("r", "runtime", "a:b", object, role=runtime, summary="s"),
    }
    results = Results.load(tmp_path, "mini", study)
    assert tags(results, ReportContext(methods=methods), ["d/t"], Arm("made", "run")) == tag


@pytest.mark.parametrize(("selector", "tag"), [("control", ["control"]), ("method", []), ("tool", ["baseline"])])
def test_what_a_tool_cuts_out_has_the_role_of_what_chose_it(tmp_path: Path, selector: Role, tag: list[str]) -> None:
    made = {
        "base": {"method": "t"},
        "chosen": {"method": "s", "from": ["base"]},
        "timed": {"method": "t", "from": ["chosen"]},
    }
    checkpoints = {
        **made,
        "cut": {"method": "t", "from": ["timed"]},
        "mixed": {"method": "t", "from": ["chosen", "base"]},
    }
    study = study_of({"study": "s", "checkpoints": checkpoints, "runtimes": {"run": {"method": "r"}}})
    methods = {
        "s": Method("s", "transform", "a:b", object, role=selector, summary="s"),
        "t": Method("t", "transform", "a:b", object, role="tool", summary="s"),
        "r": Method("r", "runtime", "a:b", object, role="baseline", summary="s"),
    }
    results = Results.load(tmp_path, "mini", study)
    context = ReportContext(methods=methods)
    assert tags(results, context, ["d/t"], Arm("cut", "run")) == tag
    assert tags(results, context, ["d/t"], Arm("mixed", "run")) == ["baseline"]
