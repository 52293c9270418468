"""Reports end to end on planted results: verdicts, links, wording, invalid numbers, same bytes every time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from methodbench.benchmark import Metric, Task
from methodbench.report import ModelLine, ReportContext, render
from methodbench.study import Study
from tests.results_factory import Planted, study_of, write_results

TASK = "math/test"
VALUES: dict[str, Any] = {
    "study": "demo",
    "title": "Does <think> help?",
    "about": "A study of the token <think>.",
    "seeds": [0, 1, 2, 3, 4],
    "checkpoints": {"base": {"method": "pretrain"}},
    "runtimes": {
        "method": {"method": "meth"},
        "baseline": {"method": "plain"},
        "twin": {"method": "meth"},
        "sick": {"method": "plain"},
        "absent": {"method": "plain"},
        "tuned": {"method": "meth", "choose": {"among": {"a": [0.0, 1.0]}, "on": "math/validation"}},
        "peeking": {"method": "meth", "choose": {"among": {"a": [0.0, 1.0]}, "on": TASK}},
        "m_{budget}": {"method": "meth", "sweep": {"budget": [20, 40, 80]}},
        "b_{budget}": {"method": "cut", "sweep": {"budget": [20, 40, 80]}},
    },
    "curves": {"m": {"arms": ["m_{budget}"], "label": "Method"}, "b": {"arms": ["b_{budget}"], "label": "Baseline"}},
    "claims": [
        {"id": "C1", "says": "<think> helps", "left": "method", "right": "baseline", "metric": f"{TASK}/exact_match"},
        {
            "id": "C2",
            "says": "It is the method",
            "left": "method",
            "right": "baseline",
            "metric": f"{TASK}/exact_match",
            "controls": ["twin"],
            "source": "Table 1 | left",
        },
        {"id": "C3", "says": "Fewer tokens", "left": "m", "right": "b", "metric": f"{TASK}/efficiency"},
        {"id": "C4", "says": "It beats it", "left": "method", "right": "sick", "metric": f"{TASK}/exact_match"},
    ],
    "figures": [
        {"id": "curve", "kind": "curve", "title": "Accuracy and tokens", "task": TASK, "curves": ["m", "b"]},
        {"id": "bars", "kind": "bars", "title": "Accuracy", "task": TASK, "arms": ["method", "baseline", "absent"]},
    ],
    "reported": ["paper_of_meth"],
}
VALUES["evaluate"] = {"all": {"checkpoints": ["base"], "runtimes": list(VALUES["runtimes"]), "benchmarks": [TASK]}}
TRUTH = {
    "base@method": Planted(0.75, latent=0.2),
    "base@baseline": Planted(0.5, 90),
    "base@twin": Planted(0.75, twin_of="base@method"),
    "base@sick": Planted(0.4, unparsable=0.7),
    "base@tuned": Planted(0.7),
    "base@peeking": Planted(0.7),
    **{f"base@m_{budget}": Planted(0.4 + budget / 250, budget) for budget in (20, 40, 80)},
    **{f"base@b_{budget}": Planted(budget / 120, budget, truncated=0.5) for budget in (20, 40, 80)},
}
REPORTED = """
paper: "arXiv 1234.56789"
tables:
  - {table: "1", model: Big, columns: [GSM8K, AIME], n: {GSM8K: 1319}, rows: {meth: [96.5, 70], plain: [90, null]}}
  - {table: "2", model: Big, columns: [GSM8K], method: meth, varies: budget, rows: {"20": [50.25], "30": [55.5]}}
curves:
  - {table: "3", model: Big, benchmark: GSM8K, points: {meth: [[96.5, 2000], [80, 500]]}}
"""


def study(**changes: Any) -> Study:
    return study_of({**VALUES, **changes})


def made(root: Path, scale: str = "mini", **changes: Any) -> tuple[Path, str]:
    """A rendered report's path and text."""
    (root / "methods" / "paper_of_meth").mkdir(parents=True, exist_ok=True)
    (root / "methods" / "paper_of_meth" / "reported.yaml").write_text(REPORTED)
    write_results(root, scale, study(**changes), TRUTH, items=250)
    context = ReportContext(
        repository=root,
        config_file="config/mini/demo.yaml",
        tasks={TASK: Task("test", "test.yaml", "test", (Metric("exact_match"),), chance=0.1)},
        models=(ModelLine("base", "pretrain", "qwen3", 334_000),),
        runs={f"results/{scale}/demo/seed0/scores/base/method/{TASK}.json": "http://127.0.0.1:5000/#/runs/1"},
        stale=("`base@twin` was scored by older code",),
        seconds={"evaluate all seed 0": 75.0},
        machine="A machine, 2 cores",
        commit="0123456789ab",
        tracking="sqlite:///results/mlflow.db",
    )
    path = render(root, scale, study(**changes), context)
    return path, path.read_text()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return made(tmp_path_factory.mktemp("report"))


def part(text: str, title: str) -> str:
    """One section of a report."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def row(text: str, start: str) -> list[str]:
    """The cells of the first table row that starts so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_verdicts_come_first_and_are_as_planted(report: tuple[Path, str]) -> None:
    _, text = report
    assert text.index("## Verdicts") == text.index("\n## ") + 1
    found = {name: row(part(text, "Verdicts"), f"**{name}**") for name in ("C1", "C2", "C3", "C4")}
    assert [cells[2] for cells in found.values()] == [
        "**holds**",
        "**holds, but a control explains it**",
        "**holds**",
        "**not comparable**",
    ]
    assert "points [+" in found["C1"][3] and "% [+" in found["C3"][3]
    assert "the control `twin` alone reaches 100 % of the effect" in found["C2"][1]
    assert found["C2"][5] == r"Table 1 \| left"
    assert "holds**: C1 and C3" in text and "In miniature" in text


def test_every_claim_leads_to_its_samples_and_runs(report: tuple[Path, str]) -> None:
    behind = part(report[1], "Verdicts").split("behind every claim</summary>")[1]
    left, right, *_ = [line for line in behind.splitlines() if line.startswith("| C2 |")]
    assert "| `base@method` | math/test | [0](../../results/mini/demo/seed0/scores/base/method/" in left
    assert "([run](http://127.0.0.1:5000/#/runs/1))" in left and left.count("](../../results") == 5
    assert "`base@baseline`" in right and behind.count("| C2 |") == 3  # and its control
    assert behind.count("| C3 |") == 6  # both curves


def test_controls_are_told(report: tuple[Path, str]) -> None:
    controls = part(report[1], "Controls")
    assert row(controls, "C2")[1] == "`twin`" and row(controls, "C2")[6] == "**explains the effect**"
    assert row(controls, "C2")[3] == "100 %"
    items = row(controls.split("<details>")[1], "C1")
    assert int(items[2]) > int(items[3]) and items[4] == "p < 0.001"


def test_text_of_people_never_turns_into_markup(report: tuple[Path, str]) -> None:
    _, text = report
    assert "Does &lt;think> help?" in text and "&lt;think> helps" in text
    outside = re.sub(r"(?s)```.*?```|`[^`]*`", "", text)
    assert "<think>" not in outside
    assert set(re.findall(r"</?(\w+)", outside)) <= {"br", "sub", "details", "summary", "code", "a"}


def test_every_link_and_picture_resolves(report: tuple[Path, str]) -> None:
    path, text = report
    links = re.findall(r"\]\(([^)]+)\)", text)
    local = [link for link in links if not link.startswith("http")]
    assert len(local) > 50 and all((path.parent / link).is_file() for link in local)
    assert "http://127.0.0.1:5000/#/runs/1" in links


def test_tables_are_well_formed_and_nothing_is_nan(report: tuple[Path, str]) -> None:
    _, text = report
    assert not re.search(r"\bnan\b|\binf\b|None\b", text)
    blocks = re.findall(r"(?m)(?:^\|.*\|$\n?)+", text)
    assert len(blocks) > 8
    for block in blocks:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_results_are_sorted_and_invalid_numbers_are_struck(report: tuple[Path, str]) -> None:
    results = part(report[1], "Results")
    named = results.split("<details>")[0]
    values = [float(value) for value in re.findall(r"(?m)^\| `.*?\| (\d+\.\d) \[", named)]
    assert len(values) == 5 and values == sorted(values, reverse=True)
    sick = row(named, "`sick`")
    assert sick[1].startswith("~~") and re.match(r"\*\*invalid\*\*: (6|7)\d % .*limit 20 %", sick[5])
    assert "base@absent` has no score" in row(named, "`absent`")[5]
    assert "`m_20`" not in named and "`m_20`" in results
    assert "control" in row(named, "`twin`")[0] and "chosen on these very items" in row(named, "`peeking`")[0]


def test_arms_that_are_cut_by_design_stay_valid(report: tuple[Path, str]) -> None:
    cells = row(part(report[1], "Health"), "`b_20`")
    assert float(cells[1]) > 40 and float(cells[3]) > 40 and cells[5] == "valid"
    assert "~~" not in row(part(report[1], "Results"), "`b_20`")[1]


def test_choices_say_on_which_items_they_were_made(report: tuple[Path, str]) -> None:
    choices = part(report[1], "Settings picked by a score")
    assert row(choices, "`tuned`")[5] == "math/validation, other items"
    assert row(choices, "`peeking`")[5] == "**the items it is reported on (paper protocol)**"
    assert row(choices, "`tuned`")[3:5] == ["**1.0**", "0.0: 50.0, 1.0: 51.0"]


def test_reported_numbers_stand_beside_measured_ones(report: tuple[Path, str]) -> None:
    reported = part(report[1], "Reported beside measured")
    cells = row(reported, "`meth`")
    assert cells[1:3] == ["96.5", "70.0"] and re.fullmatch(r"7\d\.\d \[.*\]", cells[3])
    assert row(reported, "`plain`")[2] == "—"
    assert re.match(r"\d\d\.\d \[", row(reported, "`20`")[2]) and row(reported, "`30`")[1:] == ["55.50", "—"]
    assert "never a reproduction" in reported and "GSM8K (n = 1319)" in reported and "96.5 @ 2000" in reported


def test_what_was_run_is_told(report: tuple[Path, str]) -> None:
    run = part(report[1], "What was run")
    for words in ("13 arms", "5 seeds", "250 items", "10.0 %", "A machine", "older code", "1 min 15 s", "334 000"):
        assert words in run
    assert "**Not scored yet**: `base@absent` on math/test (seed 0, 1, 2, 3 and 4)" in run
    assert "methodbench verify --scale mini --study demo" in part(report[1], "How to check")
    assert "what is 3 + 4 ? <think>" in part(report[1], "Settings ledger")


def test_cost_marks_what_nothing_beats(report: tuple[Path, str]) -> None:
    cost = part(report[1], "Cost")
    assert row(cost, "`method`")[1] == "●" and row(cost, "`baseline`")[1] == "" and row(cost, "`sick`")[1] == ""
    ordinary, latent = (float(value) for value in row(cost, "`method`")[3:5])
    assert latent / (ordinary + latent) == pytest.approx(0.2, abs=0.02)


def test_same_results_same_bytes(tmp_path: Path) -> None:
    first, second = made(tmp_path / "a")[0], made(tmp_path / "b")[0]
    files = sorted(file.relative_to(first.parent) for file in first.parent.rglob("*") if file.is_file())
    assert {str(file) for file in files} == {
        "demo.md",
        "demo/bars.svg",
        "demo/curve.svg",
        "demo/numbers.json",
        "demo/verdicts.json",
    }
    assert all((first.parent / file).read_bytes() == (second.parent / file).read_bytes() for file in files)


def test_smoke_makes_no_claims(tmp_path: Path) -> None:
    _, text = made(tmp_path, scale="smoke")
    assert "**Smoke: no claims.**" in text and "Of 4 claims" not in text
    assert {row(part(text, "Verdicts"), f"**C{n}**")[2] for n in (1, 2, 3, 4)} == {"**not comparable**"}


def test_a_study_without_results_still_reports(tmp_path: Path) -> None:
    bare = study(reported=[])
    text = render(tmp_path, "mini", bare).read_text()
    assert "**not comparable**: C1, C2, C3 and C4" in text and "Not scored yet" in text
    assert "nothing to draw" in part(text, "Figures")


def test_many_notes_on_older_code_fold(tmp_path: Path) -> None:
    study = study_of({**VALUES, "reported": []})
    write_results(tmp_path, "mini", study, TRUTH, items=30)
    few, many = (
        render(
            tmp_path, "mini", study, ReportContext(stale=tuple(f"result {n} is old" for n in range(count)))
        ).read_text()
        for count in (2, 3)
    )
    assert "- **Older code**: result 1 is old" in few and "were made by older code" not in few
    assert "<summary>3 results were made by older code</summary>" in many and "result 2 is old" in many
