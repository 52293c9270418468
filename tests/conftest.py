"""What holds for every test: no network beyond this machine, no hub, one thread, scratch folders of its own."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
os.environ.setdefault("HF_HOME", tempfile.mkdtemp(prefix="methodbench-hf-"))
os.environ.pop("MLFLOW_TRACKING_URI", None)

import pytest
import torch

from methodbench.track import Tracker
from tests.programs import MARKERS, missing

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests whose programs this machine lacks, unless ``-m`` asks for them: then they fail."""
    lacking = {marker for marker in MARKERS if missing(marker) and marker not in config.option.markexpr}
    out = [item for item in items if lacking & {mark.name for mark in item.iter_markers()}]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, whether or not such a test was collected."""
    for marker in MARKERS:
        if programs := missing(marker):
            terminalreporter.write_line(f"tests marked '{marker}' need {' and '.join(programs)}: not installed here")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """A test that reaches out fails loudly instead of passing by luck on a machine with a network."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0] if isinstance(address, tuple) else str(address)
            if host not in ("127.0.0.1", "::1", "localhost"):
                raise OSError(f"tests may not connect to {host}")
        connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = local_only  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised database: the migrations take seconds, so that they run once."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    Tracker(f"sqlite:///{file}")
    return file


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Make a project folder with this repository's methods and benchmarks and the given smoke studies."""

    def make(**studies: str) -> Path:
        root = tmp_path / "project"
        (root / "config" / "smoke").mkdir(parents=True, exist_ok=True)
        for folder in ("methods", "benchmarks", "Snakefile", "profiles"):
            if not (root / folder).exists():
                (root / folder).symlink_to(ROOT / folder)
        names = ", ".join(studies)
        (root / "config" / "config.yaml").write_text(f"scale: smoke\nstudies: [{names}]\n")
        for name, text in studies.items():
            (root / "config" / "smoke" / f"{name}.yaml").write_text(text)
        return root

    return make
