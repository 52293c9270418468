"""The list of reports: what a stranger reads first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from methodbench.errors import UserError
from methodbench.index import quoted, render_index
from methodbench.report import ReportContext, render
from methodbench.study import Study
from tests.results_factory import Planted, study_of, write_results
from tests.test_report import TRUTH, VALUES, part, row, study


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report of the study `demo`."""
    folder = tmp_path_factory.mktemp("index")
    demo = study(reported=[])
    write_results(folder, "mini", demo, TRUTH, items=250)
    seconds = {"transform-base-seed0": 90.0, "evaluate-base-seed0-all": 75.0}
    render(folder, "mini", demo, ReportContext(seconds=seconds, threads={"transform-base-seed0": 2}))
    return folder


def written(root: Path, *studies: Study, scale: str = "mini", paper: tuple[str, ...] = ()) -> str:
    return render_index(root, scale, studies, paper).read_text()


def edit(root: Path, study: str, **changes: Any) -> None:
    """Write the verdicts.json of `study` as another one's, changed."""
    folder = root / "reports" / "mini"
    told = json.loads((folder / "demo" / "verdicts.json").read_text())
    (folder / study).mkdir(exist_ok=True)
    (folder / study / "verdicts.json").write_text(json.dumps({**told, "study": study, **changes}))


def test_verdicts_for_programs_say_what_the_page_says(root: Path) -> None:
    told = json.loads((root / "reports" / "mini" / "demo" / "verdicts.json").read_text())
    first, second, third, lost = told["claims"]
    assert 0 < first["low"] < first["effect"] < first["high"] and first["unit"] == "share"
    assert lost["effect"] is None and lost["shown"] == "" and lost["least_detectable"] is None
    assert third["unit"] == "gain" and third["shown"].endswith("]")
    assert second["controls"] == [{"name": "twin", "outcome": "explains", "reaches": pytest.approx(1.0)}]
    assert told["cost"] == {"jobs": 2, "wall_s": 165.0, "core_s": 255.0}
    assert told["missing"] == 5 and told["scores"] == 12 * 5  # one arm of 13 has no score


def test_the_counts_come_first_and_every_claim_has_its_effect(root: Path) -> None:
    text = written(root, study())
    assert text.splitlines()[2] == (
        "**4 claims in 1 report: 2 hold; 1 holds, but a control explains it; 1 could not be compared.**"
    )
    assert row(text, "[Does &lt;think> help?](demo.md)")[2:] == ["13", "5", "4.2 core-minutes"]
    claims = part(text, "Every claim")
    shown = row(claims, "[C1](demo.md#claim-c1)")
    assert shown[1:3] == ["&lt;think> helps", "**holds**"] and "points [+" in shown[3] and shown[4] == ""
    assert row(claims, "[C2]")[4] == "explained by `twin` (100 %)"
    assert row(claims, "[C4]")[3] == "—"
    assert "claims](demo.md" not in text and '<a id="claim-c1"></a>' in (root / "reports/mini/demo.md").read_text()


def test_studies_stand_by_name_and_costs_are_added(root: Path) -> None:
    edit(root, "another")
    edit(root, "unknown", cost=None)
    others = [study_of({**VALUES, "study": name, "title": name}) for name in ("unknown", "another")]
    text = written(root, others[0], study(), others[1])
    assert text.index("### [another]") < text.index("### [demo]") < text.index("### [unknown]")
    assert "only when it is named" not in text
    optional = study_of({**VALUES, "study": "another", "title": "Another", "optional": True})
    assert "[Another](another.md)<br><sub>made only when it is named</sub> |" in written(root, study(), optional)
    assert row(text, "[unknown]")[4] == "not known" and "Altogether 8.5 core-minutes." in text


def test_a_page_may_quote_claims_with_links_to_the_report(root: Path) -> None:
    text = quoted(root, "mini/demo", ["C1"])
    shown = row(text, "[C1](reports/mini/demo.md#claim-c1)")
    assert shown[1:3] == ["&lt;think> helps", "**holds**"] and len(text.splitlines()) == 3
    with pytest.raises(UserError, match=r"reports/mini/demo\.md has no claim 'C1b'; allowed: .*did you mean 'C1'"):
        quoted(root, "mini/demo", ["C1", "C1b"])


def test_what_was_not_run_is_told_with_its_reason(root: Path) -> None:
    later = study_of({**VALUES, "study": "later", "title": "Later"})
    grid = study_of({**VALUES, "study": "grid", "title": "Grid", "optional": True, "about": "Much more. And so on."})
    (root / "reports" / "paper").mkdir(exist_ok=True)
    (root / "reports" / "paper" / "big.md").write_text("")
    left = part(written(root, study(), later, grid, paper=("big", "bigger")), "What was not run, and why")
    assert "**Does &lt;think> help?**: 5 of 65 scores are not there yet." in left
    assert "**Later**: no report yet. Run it with `snakemake --cores all --config scale=mini studies=later`." in left
    assert "**Grid**: optional, run by name only. Much more. Run it" in left and "And so on" not in left
    assert "[big](../paper/big.md) have reports" in left and "`bigger`. These need GPUs" in left
    assert "(`config/paper`)" not in written(root, study(), later, scale="paper", paper=("big",))


def test_checkpoints_of_another_study_are_counted_there(tmp_path: Path) -> None:
    checkpoints = {"base": {"from": ["parent/base"]}, "own": {"method": "merge", "from": ["base"]}}
    values = {key: VALUES[key] for key in ("study", "seeds", "runtimes", "evaluate")}
    child = study_of({**values, "checkpoints": checkpoints})
    write_results(tmp_path, "mini", child, {"base@baseline": Planted()}, items=20)
    render(tmp_path, "mini", child, ReportContext(seconds={"one": 30.0}))
    assert row(written(tmp_path, child), "[demo](demo.md)")[4].startswith(
        "0.5 core-minutes<br><sub>on checkpoints of p"
    )


def test_nothing_is_counted_at_smoke_or_without_reports(tmp_path: Path) -> None:
    write_results(tmp_path, "smoke", study(), {}, items=20)
    render(tmp_path, "smoke", study(reported=[], figures=[]))
    smoke = written(tmp_path, study(), scale="smoke")
    assert smoke.splitlines()[2].startswith("**Smoke: no claims.**")
    empty = written(tmp_path, study())
    assert "No study has a report yet." in empty and "## Every claim" not in empty
