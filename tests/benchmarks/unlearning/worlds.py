"""A small world for the family's tests, and the whole one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.unlearning.config import UnlearningConfig

SMALL = UnlearningConfig(
    people=12,
    known=6,
    holdout=3,
    attributes=2,
    renderings=3,
    test_renderings=2,
    faces=4,
    scenes=30,
    retain_items=20,
    real_items=10,
    general_items=12,
)


def read(folder: Path, split: str) -> list[dict[str, Any]]:
    """The rows of a split."""
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
