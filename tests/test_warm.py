"""Jobs in forks of a warm process: they behave as if they had been started by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from methodbench import warm

ROOT = Path(__file__).parents[1]
# Stands for Snakemake: starts the warm process, says where it listens, and lives until its input ends. The warm process
# imports nothing large, and its command line is this file's `JOBS`.
PARENT = """
import sys
from methodbench import warm
warm.GPUS = ()
server = warm.start()
print(warm.os.environ[warm.ADDRESS], server.pid, flush=True)
if sys.stdin.read() == "count":
    import os, resource
    warm.stop(server)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(used.ru_utime + used.ru_stime, flush=True)
"""
JOBS = """
import os, sys, time
def main():
    verb = sys.argv[1]
    if verb == "say":
        print(os.getcwd(), os.environ["WORD"], *sys.argv[2:])
        print("to stderr", file=sys.stderr)
        return 2
    if verb == "raise":
        raise ValueError("of the job")
    if verb == "work":
        while time.process_time() < 1:
            pass
        return 0
    if verb == "wait":
        open(sys.argv[2], "w").write(str(os.getpid()))
        time.sleep(60)
"""
Server = tuple[dict[str, str], int, subprocess.Popen[str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Environment of a job, process id of the warm process, and the process that started it."""
    package = tmp_path / "methodbench"
    package.mkdir()
    (package / "__init__.py").write_text("")
    source = (ROOT / "src/methodbench/warm.py").read_text()
    libraries = source[source.index("LIBRARIES = (") : source.index("GRACE")]
    (package / "warm.py").write_text(source.replace(libraries, 'LIBRARIES = ("json",)\nENVIRONMENT = {}\n'))
    (package / "__main__.py").write_text((ROOT / "src/methodbench/__main__.py").read_text())
    (package / "cli.py").write_text(JOBS)
    clean = {key: value for key, value in os.environ.items() if key != warm.ADDRESS}
    environment = {**clean, "PYTHONPATH": str(tmp_path), "WORD": "hello"}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None and parent.stdout is not None
    address, pid = parent.stdout.readline().split()
    yield {**environment, warm.ADDRESS: address}, int(pid), parent
    with parent:  # closes its input and waits
        pass


def job(environment: dict[str, str], *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "methodbench", *arguments],
        env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def gone(pid: int, seconds: float = 20) -> bool:
    """Has the process ended, or does it by then?"""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_a_job_has_the_files_folder_environment_and_exit_code_of_its_command(server: Server, tmp_path: Path) -> None:
    environment, pid, _ = server
    place = tmp_path / "place"
    place.mkdir()
    changed = {**environment, "WORD": "changed"}
    said, complained = (one := job(changed, "say", "a b", cwd=place)).communicate(timeout=30)
    assert (one.returncode, said, complained) == (2, f"{place} changed a b\n", "to stderr\n")
    assert pid in ancestors_of_a_job(environment, tmp_path / "pid")


def ancestors_of_a_job(environment: dict[str, str], file: Path) -> list[int]:
    client = job(environment, "wait", str(file))
    found = [process_of(file)]
    while found[-1] > 1:
        found.append(int(Path(f"/proc/{found[-1]}/stat").read_text().rpartition(")")[2].split()[1]))
    client.kill()
    client.communicate()
    return found


def process_of(file: Path) -> int:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, "the job does not begin"
        time.sleep(0.02)
    return int(file.read_text())


def test_an_exception_ends_a_job_with_its_traceback(server: Server) -> None:
    _, complained = (one := job(server[0], "raise")).communicate(timeout=30)
    assert one.returncode == 1 and "ValueError: of the job" in complained


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killing_the_command_ends_its_job(server: Server, tmp_path: Path, how: signal.Signals) -> None:
    client = job(server[0], "wait", str(tmp_path / "pid"))
    pid = process_of(tmp_path / "pid")
    client.send_signal(how)
    client.communicate()
    assert gone(pid)


def test_a_killed_job_is_told(server: Server, tmp_path: Path) -> None:
    client = job(server[0], "wait", str(tmp_path / "pid"))
    os.kill(process_of(tmp_path / "pid"), signal.SIGKILL)
    client.communicate(timeout=20)
    assert client.returncode == 128 + signal.SIGKILL


def test_it_ends_with_the_process_that_started_it(server: Server) -> None:
    environment, pid, parent = server
    assert not gone(pid, 0.1)
    parent.kill()
    assert gone(pid)
    assert not Path(environment[warm.ADDRESS]).parent.exists()


def test_the_work_of_its_jobs_counts_as_that_of_the_parents_children(server: Server) -> None:
    environment, _, parent = server
    (one := job(environment, "work")).communicate(timeout=30)
    assert one.returncode == 0
    said, _ = parent.communicate("count", timeout=30)
    assert float(said) >= 1
    assert not Path(environment[warm.ADDRESS]).parent.exists()


def test_nobody_else_can_enter_its_folder(server: Server) -> None:
    assert Path(server[0][warm.ADDRESS]).parent.stat().st_mode & 0o777 == 0o700


def test_without_it_a_job_starts_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(warm.ADDRESS, raising=False)
    assert warm.forwarded(["list"]) is None
    monkeypatch.setenv(warm.ADDRESS, str(tmp_path / "nobody listens"))
    assert warm.forwarded(["list"]) is None


def test_none_is_started_beside_a_gpu_or_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "driver").touch()
    monkeypatch.delenv(warm.ADDRESS, raising=False)
    monkeypatch.setattr(warm, "GPUS", (str(tmp_path / "driver"),))
    assert warm.start() is None and warm.ADDRESS not in os.environ
    monkeypatch.setattr(warm, "GPUS", ())
    monkeypatch.setenv(warm.ADDRESS, "there is one")
    assert warm.start() is None


def test_what_it_imports_exists() -> None:
    import importlib.util

    assert all(importlib.util.find_spec(library.partition(".")[0]) for library in warm.LIBRARIES)


def test_its_rehearsal_of_mlflow_leaves_no_thread_file_or_open_database(tmp_path: Path) -> None:
    seen = """
import os, threading, mlflow
from methodbench import warm
warm.rehearse()
links = [f"/proc/self/fd/{one}" for one in os.listdir("/proc/self/fd")]
print(threading.active_count(), [link for link in links if "mlflow" in os.path.realpath(link)])
"""
    environment = {**os.environ, **warm.ENVIRONMENT, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", seen], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1 []\n"), done.stderr
    assert not list(tmp_path.iterdir())
