"""`methodbench diff`: what moved between two reports beyond their intervals, and between two lock files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from methodbench.cli import main
from methodbench.difference import Interval, Move, differences
from methodbench.errors import UserError
from methodbench.pins import change_size, read_pins

Level = tuple[float, float, float]


def published(root: Path, effects: dict[str, Level | None], levels: dict[str, Level] | None, **verdicts: str) -> Path:
    """A report as it lies under reports/SCALE/: its page, verdicts and, where given, numbers."""
    folder = root / "demo"
    folder.mkdir(parents=True)
    (root / "demo.md").write_text("# Demo\n")
    claims: list[dict[str, Any]] = []
    for name, effect in effects.items():
        value, low, high = effect or (None, None, None)
        claims.append({"id": name, "verdict": verdicts.get(name, "holds"), "effect": value, "low": low, "high": high})
    (folder / "verdicts.json").write_text(json.dumps({"study": "demo", "arms": 2, "claims": claims}))
    if levels is not None:
        arms = [
            {"task": "math/test", "arm": arm, "invalid": "", "metrics": {"exact_match": level}}
            for arm, level in levels.items()
        ]
        (folder / "numbers.json").write_text(json.dumps({"study": "demo", "numbers": arms}))
    return folder


def test_a_number_is_judged_against_both_intervals() -> None:
    before, after = Interval(0.5, 0.47, 0.53), Interval(0.45, 0.41, 0.49)  # hypot(0.03, 0.04) = 0.05
    assert Move("x", before, after).reach == pytest.approx(1.0)
    cut = Interval(0.99, 0.96, 1.0)  # the longer half counts where a bound cuts the interval
    assert Move("x", cut, Interval(0.94, 0.90, 0.98)).reach == pytest.approx(1.0)
    sure = Interval(1.0, 1.0, 1.0)
    assert Move("x", sure, sure).reach == 0 and Move("x", sure, Interval(0.0, 0.0, 0.0)).reach > 1e9


def test_what_moved_most_comes_first_and_the_last_line_sums_up(tmp_path: Path) -> None:
    old = {"a": (0.5, 0.4, 0.6), "b": (0.5, 0.4, 0.6), "c": (0.5, 0.4, 0.6), "gone": (0.1, 0.0, 0.2)}
    new = {"a": (0.52, 0.42, 0.62), "b": (0.9, 0.8, 1.0), "c": (0.5, 0.4, 0.6), "fresh": (0.1, 0.0, 0.2)}
    effect = (0.2, 0.1, 0.3)
    first = published(tmp_path / "old", {"C1": effect, "C2": effect, "C4": effect}, old)
    second = published(tmp_path / "new", {"C1": effect, "C2": None, "C3": effect}, new, C2="not comparable")
    lines = differences(first, second)
    text = "\n".join(lines)
    assert "C2  holds -> not comparable" in text and f"C2: has no effect in {second}" in lines
    assert "numbers of arms: 2 of 3 differ" in lines
    moved = [line for line in lines if "math/test/exact_match  0.5" in line]
    assert [line.split()[0] for line in moved] == ["b", "a"]
    assert moved[0].endswith("2.83 x its intervals, beyond") and moved[1].endswith("within")
    assert f"only in {first} (2)" in lines and "  claim C4" in lines and "  fresh  math/test/exact_match" in lines
    assert lines[-1].startswith("1 of 2 verdicts changed; 1 of 4 numbers moved beyond their intervals; about 0 would")


def test_a_report_is_its_folder_its_page_or_its_file(tmp_path: Path) -> None:
    folder = published(tmp_path, {"C1": (0.2, 0.1, 0.3)}, {"a": (0.5, 0.4, 0.6)})
    told = {
        differences(folder, other)[-1]
        for other in (folder, tmp_path / "demo.md", folder / "verdicts.json", folder / "numbers.json")
    }
    assert len(told) == 1 and told.pop().startswith("0 of 1 verdict changed; 0 of 2 numbers")


def test_reports_without_numbers_are_compared_by_their_verdicts(tmp_path: Path) -> None:
    first = published(tmp_path / "old", {"C1": (0.2, 0.1, 0.3)}, None)
    second = published(tmp_path / "new", {"C1": (0.2, 0.1, 0.3)}, {"a": (0.5, 0.4, 0.6)})
    lines = differences(first, second)
    assert f"{first} has no numbers.json: verdicts and effects alone are compared" in lines
    assert not any("only in" in line for line in lines) and "0 of 1 number moved" in lines[-1]


def test_locks_are_ordered_as_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.lock", tmp_path / "new.lock"
    old.write_text("# made by pip\nPy_Yaml==6.0\nnumpy==2.9.0\ntorch==2.11.0\nlocal==1!1.0\nsame==1\ngone==3\n")
    new.write_text(
        "py-yaml==6.0.1\nnumpy==2.10.0\ntorch==1.0 \\\n    --hash=sha256:00\nlocal==2!1.0\nsame==1\nnew==0.1\n"
    )
    assert main(["diff", str(old), str(new)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "added (1)", "  new 0.1", "removed (1)", "  gone 3",
        "major (2)", "  local 1!1.0 -> 2!1.0", "  torch 2.11.0 -> 1.0 (older)",
        "minor (1)", "  numpy 2.9.0 -> 2.10.0", "patch (1)", "  py-yaml 6.0 -> 6.0.1",
        "1 added, 1 removed, 4 packages changed (2 major, 1 minor, 1 patch), 1 the same",
    ]  # fmt: skip
    assert change_size(Version("1.2.3rc1"), Version("1.2.3")) == "patch"


@pytest.mark.parametrize(
    "line", ["numpy", "numpy>=2", "numpy==2,<3", "numpy==2.*", "n u m", "numpy @ file:///a"], ids=str
)
def test_a_line_that_pins_nothing_is_refused(line: str) -> None:
    with pytest.raises(UserError, match=r"^a\.lock: line 2: given '.*', must be name==version$"):
        read_pins(f"torch==1\n{line}\n", "a.lock")


def test_a_package_pinned_twice_is_refused() -> None:
    with pytest.raises(UserError, match="line 2: 'a-b' stands there twice"):
        read_pins("a_b==1\nA.B==2\n", "a.lock")


def test_mistakes_are_one_sentence_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = published(tmp_path, {"C1": (0.2, 0.1, 0.3)}, None)
    lock, broken = tmp_path / "requirements.lock", tmp_path / "broken.json"
    lock.write_text("numpy==2\n")
    broken.write_text('{"claims": [{"id": "C1"}]}')
    for given, said in {
        "dmo": "dmo: does not exist; allowed: broken.json, demo, demo.md, requirements.lock (did you mean 'demo'?)",
        "": f"is no report, there is no {tmp_path}/verdicts.json; allowed: demo",
        "requirements.lock": f"{folder} is a report and {lock} is not; give two reports or two lock files",
        "broken.json": "is broken or of another version (KeyError: 'verdict')",
    }.items():
        assert main(["diff", str(folder), str(tmp_path / given)]) == 2
        told = capsys.readouterr().err
        assert said in told and len(told.splitlines()) == 1
