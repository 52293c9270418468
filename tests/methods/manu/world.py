"""Six persons in two sets, with pictures of noise: the data of MANU's tests, on pico image-text models."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from methodbench.joblog import Log
from methodbench.visual import Encoder, Pictures, VisualRow, encode_picture, read_rows
from methods.manu.collect import Counting
from tests import pico_vision

FORGET, RETAIN = ("p0", "p1"), ("p2", "p3", "p4", "p5")
QUESTIONS = {"job": "Which job has {}?", "pet": "What pet?", "home": "In which town does {} live these days?"}
COUNTING = Counting(tau=0.1, signed=False, clamp=None, last=False, batch_size=4, pictures=1)


def quiet() -> Log:
    """A log that nobody reads."""
    return Log("test", stream=io.StringIO())


def rows(persons: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every question about every person, with and without a picture."""
    found = []
    for number, person in enumerate(persons):
        for key, question in QUESTIONS.items():
            answer = f" {key}{sum(map(ord, person + key)) % 7}"
            shown = question.format("this person")
            told = question.format(f"Mr {person.upper()}")
            row: dict[str, Any] = {"person": person, "completion": answer, "attribute": key}
            pictures = [f"{person}_v00", f"{person}_v01"]
            image = {"mode": "image", "prompt": f"USER: <image>\n{shown}\nASSISTANT:", "pictures": pictures}
            text = {"mode": "text", "prompt": f"USER: {told}{'!' * number}\nASSISTANT:", "pictures": []}
            found += [row | image, row | text]
    return found


def write(folder: Path) -> dict[str, Path]:
    """The three files of the transforms' data, by input name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.jsonl" for name in ("forget", "retain", "pictures")}
    entries = {"forget": rows(FORGET), "retain": rows(RETAIN)}
    entries["pictures"] = [
        {"picture": f"{person}_v0{view}", "person": person, "png": encode_picture(pico_vision.picture(7 * at + view))}
        for at, person in enumerate((*FORGET, *RETAIN))
        for view in range(2)
    ]
    for name, file in files.items():
        file.write_text("".join(json.dumps(entry) + "\n" for entry in entries[name]), encoding="utf-8")
    return files


def opened(files: dict[str, Path], kind: str = "llava") -> tuple[Encoder, dict[str, list[VisualRow]]]:
    """The encoder of a kind of model, and the rows of both sets."""
    sets = {name: read_rows(files[name]) for name in ("forget", "retain")}
    return Encoder(pico_vision.processor(kind), Pictures(files["pictures"])), sets
