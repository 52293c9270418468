"""The commit that results and reports name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from methodbench.provenance import commit


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("src/code.py", "reports/mini/index.md"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("first\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    return tmp_path


def head(clone: Path) -> str:
    commit.cache_clear()
    return commit(clone)


def test_a_clean_clone_names_its_commit(clone: Path) -> None:
    assert head(clone) == git(clone, "rev-parse", "--short=12", "HEAD")


def test_changed_code_is_marked(clone: Path) -> None:
    (clone / "src/code.py").write_text("second\n")
    assert head(clone) == git(clone, "rev-parse", "--short=12", "HEAD") + "+"


def test_a_report_that_the_run_wrote_is_no_change(clone: Path) -> None:
    (clone / "reports/mini/index.md").write_text("second\n")
    assert head(clone) == git(clone, "rev-parse", "--short=12", "HEAD")
    (clone / "reports/mini/index.md").unlink()
    assert head(clone) == git(clone, "rev-parse", "--short=12", "HEAD")


def test_outside_git_there_is_none(tmp_path: Path) -> None:
    assert head(tmp_path) == ""
