"""Small files of rows with pictures, a log that dies, and what a training of them leaves, for the tests beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from methodbench.checkpoint import digest_folder
from methodbench.joblog import Log, read_curves
from methodbench.visual import encode_picture

SIDE = 16
SHADES = {"dark": 20, "bright": 230}


def written(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def shade(name: str, view: int, side: int = SIDE) -> Image.Image:
    """A picture of one grey; views differ a little."""
    return Image.new("RGB", (side, side), (SHADES[name] + view,) * 3)


def pictures(path: Path) -> Path:
    """Four views of each shade, named "dark_0" and so on."""
    return written(
        path,
        (
            {"picture": f"{name}_{view}", "person": name, "png": encode_picture(shade(name, view))}
            for name in SHADES
            for view in range(4)
        ),
    )


def rows() -> list[dict[str, Any]]:
    """Questions that only the picture answers, and ones about names."""
    shown = [
        {
            "person": name,
            "mode": "image",
            "prompt": f"USER: <image>\nwhat is {word}?\nASSISTANT:",
            "completion": f" it is {name}",
            "pictures": [f"{name}_{view}" for view in range(4)],
        }
        for name in SHADES
        for word in ("this", "that", "here")
    ]
    told = [
        {
            "person": name,
            "mode": "text",
            "prompt": f"USER: what is {name}?\nASSISTANT:",
            "completion": f" it is {answer}",
            "pictures": [],
        }
        for name, answer in (("dark", "night"), ("bright", "day"))
    ]
    return shown + told


def quiet_log(work: Path) -> Log:
    return Log("test", work / "curves.jsonl", stream=io.StringIO())


class Killed(Exception):
    """In place of a signal: nothing of the job runs after it."""


class DyingLog(Log):
    """Dies at the end of a step, in the middle of the training's loop."""

    def __init__(self, work: Path, last: int) -> None:
        super().__init__("test", work / "curves.jsonl", stream=io.StringIO())
        self.last = last

    def progress(self, done: float, total: float, unit: str = "step", **live: float) -> None:
        if done >= self.last:
            raise Killed


def check_a_kill_changes_no_byte(job: Callable[[Path, Log], None], tmp_path: Path, killed_at: int = 7) -> None:
    """`job` trains into ``work / "out"``, with states more often than `killed_at` steps."""
    found = []
    for name in ("whole", "killed"):
        work = tmp_path / name
        work.mkdir()
        if name == "killed":
            with pytest.raises(Killed):
                job(work, DyingLog(work, killed_at))
            assert list(work.glob("training/checkpoint-*/whole")) and not (work / "out").exists()
        job(work, quiet_log(work))
        found.append((digest_folder(work / "out"), read_curves(work / "curves.jsonl")))
    assert found[0] == found[1]


def weights(folder: Path) -> dict[str, Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)
