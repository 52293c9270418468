"""A merge that is killed anywhere goes on, and ends with the bytes of one that was not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from methodbench.errors import UserError
from methodbench.merging import engine, merge
from methodbench.merging.config import MergeConfig
from tests.merging.folders import BASE, TUNED, content, merged, near, same, write

SETTINGS = MergeConfig(operator="dare_linear", drop=0.3, shard_size=1500, chunk=64)


class Killed(Exception):
    """Stands for a signal."""


@pytest.fixture
def parents(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "tuned", TUNED), write(tmp_path / "base", BASE)]


def killed_after(count: int) -> Callable[[int, int], None]:
    """A progress function that does not come back from its `count`-th call."""
    calls = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == count:
            raise Killed

    return progress


def steps(parents: list[Path], out: Path) -> int:
    """How often an unbroken merge reports; leaves it in `out`."""
    calls = []
    merge(parents, out, SETTINGS, 0, lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1][0] == calls[-1][1] == sum(tensor.nbytes for tensor in BASE.values())
    return len(calls)


def test_killed_anywhere_it_ends_with_the_same_bytes(parents: list[Path], tmp_path: Path) -> None:
    """Between files, in them, and in the middle of a tensor."""
    count = steps(parents, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    for stop in range(1, count + 1):
        out = tmp_path / f"out{stop}"
        with pytest.raises(Killed):
            merge(parents, out, SETTINGS, 0, killed_after(stop))
        assert not out.exists()
        merge(parents, out, SETTINGS, 0)
        assert content(out) == whole
    assert not (tmp_path / ".work").exists()


def test_a_kill_before_the_last_rename_loses_nothing(
    parents: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps(parents, tmp_path / "whole")
    with monkeypatch.context() as patch:

        def killed(result: Path, target: Path) -> None:
            raise Killed

        patch.setattr(engine, "publish", killed)
        with pytest.raises(Killed):
            merge(parents, tmp_path / "out", SETTINGS, 0)
    seen: list[int] = []
    merge(parents, tmp_path / "out", SETTINGS, 0, lambda done, total: seen.append(done))
    assert not seen  # all files were there
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_kill_after_the_last_rename_leaves_nothing_that_is_believed(
    parents: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notes stay in the work folder, the files have moved on; then the result is removed and asked for again."""
    steps(parents, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(engine, "discard", lambda work: None)
        merge(parents, tmp_path / "out", SETTINGS, 0)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    merge(parents, tmp_path / "out", SETTINGS, 0)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_finished_files_are_not_written_again(parents: list[Path], tmp_path: Path) -> None:
    count, out = steps(parents, tmp_path / "whole"), tmp_path / "out"
    with pytest.raises(Killed):
        merge(parents, out, SETTINGS, 0, killed_after(count - 1))
    (work,) = (tmp_path / ".work").iterdir()
    before = {file.name: os.stat(file).st_ino for file in (work / "out").iterdir()}
    seen: list[int] = []
    merge(parents, out, SETTINGS, 0, lambda done, total: seen.append(done))
    assert before and len(seen) < count
    assert {name: os.stat(out / name).st_ino for name in before} == before


def test_a_parent_written_anew_is_not_mixed_with_the_old_one(parents: list[Path], tmp_path: Path) -> None:
    with pytest.raises(Killed):
        merge(parents, tmp_path / "out", SETTINGS, 0, killed_after(4))
    other = write(tmp_path / "other", near(BASE, 9))
    os.replace(other / "model.safetensors", parents[0] / "model.safetensors")
    merge(parents, tmp_path / "out", SETTINGS, 0)
    merge(parents, tmp_path / "clean", SETTINGS, 0)
    assert content(tmp_path / "out") == content(tmp_path / "clean")


def test_other_settings_begin_anew(parents: list[Path], tmp_path: Path) -> None:
    with pytest.raises(Killed):
        merge(parents, tmp_path / "out", SETTINGS, 0, killed_after(4))
    found = merged(tmp_path / "out", *parents, shard_size=1500)
    assert same(found, merged(tmp_path / "clean", *parents))


def test_two_processes_do_not_write_one_folder(parents: list[Path], tmp_path: Path) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(UserError, match="out: another process is merging into it"):
            merge(parents, tmp_path / "out", SETTINGS, 0)
        raise Killed

    with pytest.raises(Killed):
        merge(parents, tmp_path / "out", SETTINGS, 0, second)


def test_what_stands_there_is_not_written_over(parents: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    merge(parents, tmp_path / "out", SETTINGS, 0)  # an empty folder is as good as none
    with pytest.raises(UserError, match="out: is there already; allowed: a new or an empty folder"):
        merge(parents, tmp_path / "out", SETTINGS, 0)
    with pytest.raises(UserError, match="base: is there already"):
        merge(parents, parents[1], SETTINGS, 0)
