"""The small world, prepared once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.unlearning.prepare import prepare
from tests.benchmarks.unlearning.worlds import SMALL


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the small world of seed 0."""
    folder = tmp_path_factory.mktemp("unlearning")
    prepare(folder, SMALL, 0)
    return folder
