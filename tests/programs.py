"""Programs that are not Python packages and that some tests need: where they are, and a tracking server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARKERS = {"browser": ("chromium", "chromedriver"), "postgres": ("initdb", "pg_ctl")}


def program(name: str) -> str | None:
    """Its path; Debian keeps a PostgreSQL server's programs off the PATH, a folder for each version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, folders)))


def missing(marker: str) -> list[str]:
    """Programs that the tests with this marker need and this machine lacks."""
    return [name for name in MARKERS[marker] if not program(name)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(store: str, folder: Path) -> Iterator[str]:
    """The address of a tracking server of that store, with its artifacts and its log in `folder`."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", str(folder / "artifacts")]
    log = folder / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True) as it,
    ):
        try:
            _wait(address, it, log)
            yield address
        finally:
            os.killpg(it.pid, signal.SIGKILL)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"the server does not answer: {log.read_text(encoding='utf-8')[-2000:]}")
