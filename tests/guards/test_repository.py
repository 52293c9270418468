"""What the pages, the Makefile, the lock and CI promise each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from methodbench.cli import main
from methodbench.docs import write
from tests.guards.sources import ROOT, shown

PAGES = sorted(
    file for pattern in ("*.md", "*/*.md", "methods/*/*.md", "benchmarks/*/*.md") for file in ROOT.glob(pattern)
)
PAGES = [page for page in dict.fromkeys(PAGES) if "reports" not in page.parts and ".venv" not in page.parts]
MAKE = re.compile(r"^(?:\$ )?make ((?:[A-Z_]+=\S+ )*)([a-z][\w-]*)", re.MULTILINE)
COMMAND = re.compile(r"(?:^|`)(?:\$ |\S*/)?methodbench ([a-z]+)", re.MULTILINE)


def targets() -> set[str]:
    """What `make` can be asked for."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    made = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
    assert set(phony[1].split()) == made, "every target is phony, every phony target exists"
    return made


def code_of(page: Path) -> str:
    """The fenced blocks and backticked words of a page, one a line."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", rest)])


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_a_pages_make_commands_exist(page: Path) -> None:
    assert {target for _, target in MAKE.findall(code_of(page))} <= targets()


def test_a_make_command_on_a_page_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Run `make chekc`, or\n```sh\n$ make PYTHON=python3.12 reproduce\n```\nand make tea.\n")
    assert {target for _, target in MAKE.findall(code_of(page))} == {"chekc", "reproduce"}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_a_pages_methodbench_commands_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    offered = set(re.findall(r"^    ([a-z]+)(?:  |$)", capsys.readouterr().out, re.MULTILINE))
    assert {"prepare", "transform", "verify"} <= offered, "the help's form has changed"
    assert set(COMMAND.findall(code_of(page))) <= offered


def test_ci_runs_what_a_person_runs() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "make test" in [line.strip() for line in lines]
    assert "test" in targets()


def locked() -> dict[str, str]:
    """Package -> version of requirements.lock."""
    pins = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        assert pin.operator == "==", f"requirements.lock: '{line}' is not pinned to one version"
        assert requirement.url is None, f"requirements.lock: '{line}' is an address"
        pins[canonicalize_name(requirement.name)] = pin.version
    return pins


def test_the_lock_satisfies_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    dev = project["project"]["optional-dependencies"]["dev"]
    pins = locked()
    for text in [*project["build-system"]["requires"], *project["project"]["dependencies"], *dev]:
        requirement = Requirement(text)
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"requirements.lock lacks {requirement.name}"
        assert requirement.specifier.contains(pin, prereleases=True), f"{text}: the lock has {pin}"


def test_the_generated_tables_are_up_to_date() -> None:
    changed = subprocess.run(["git", "status", "--porcelain", "reports"], cwd=ROOT, capture_output=True, check=False)
    own = bool(changed.stdout) or changed.returncode != 0  # reports of one's own, or not known: README quotes ours
    assert write(ROOT, check=True, quotes=not own) == [], "run make docs"
