"""A study of one task at several lengths with planted effects, and what its drawings say."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from methodbench.config import parse
from methodbench.figures import Drawn, draw
from methodbench.results import Results
from methodbench.study import Figure
from tests.results_factory import Planted, study_of, write_results

TASKS = ["l256/recall", "l512/recall", "l1024/recall"]
DEPTHS = ("depth 0.25", "depth 0.5", "depth 10")
ACCURACY = {"plain": (0.9, 0.6, 0.2), "kept": (0.9, 0.85, 0.8), "sick": (0.5, 0.5, 0.5)}
VALUES: dict[str, Any] = {
    "study": "long",
    "seeds": [0, 1],
    "checkpoints": {
        "base": {"method": "pretrain"},
        "cal": {"method": "calibrate", "from": ["base"]},
        "alias": {"from": ["cal"]},
        "borrowed": {"from": ["others/theirs"]},
    },
    "runtimes": {name: {"method": "m"} for name in (*ACCURACY, "short", "absent")},
    "evaluate": {
        "all": {"checkpoints": ["base"], "runtimes": [*ACCURACY, "absent"], "benchmarks": TASKS},
        "few": {"checkpoints": ["base"], "runtimes": ["short"], "benchmarks": TASKS[:2]},
    },
}
FIGURES: dict[str, dict[str, Any]] = {
    "lengths": {
        "tasks": TASKS,
        "arms": ["plain", "kept", "short"],
        "y": ["exact_match", "tokens"],
        "x": "tokens of context",
        "reference": 0.125,
    },
    "heat": {"tasks": TASKS, "arms": ["plain", "kept", "short", "base@sick"], "x": "tokens of context"},
    "histogram": {
        "checkpoints": ["cal"],
        "x": "log10_decay",
        "by": "layer",
        "clip": [-10, 0],
        "marks": {"0.05": -1.3, "0.04": -1.4},
    },
}


def long_results(root: Path, **changes: Any) -> Results:
    """The planted scores, and measures of the checkpoint `cal` for both seeds."""
    study = study_of({**VALUES, **changes})
    truth = {
        f"base@{name}": Planted(
            on=dict(zip(TASKS, levels, strict=True)),
            kinds=DEPTHS,
            by_kind=(-0.1, 0.0, 0.1),
            unparsable=0.6 if name == "sick" else 0.0,
        )
        for name, levels in ACCURACY.items()
    }
    truth["base@short"] = Planted(0.7, kinds=DEPTHS)
    write_results(root, "mini", study, truth, items=90)
    for seed in study.seeds:
        rows = [(layer, channel, -0.05 * channel * (1 + layer) - seed) for layer in (0, 2, 10) for channel in range(60)]
        write_measures(root / f"results/mini/long/seed{seed}/checkpoints/cal", rows)
    return Results.load(root, "mini", study)


def write_measures(
    folder: Path, rows: Iterable[Sequence[object]], head: Sequence[str] = ("layer", "channel", "log10_decay")
) -> Path:
    """A measures.csv in a checkpoint's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "measures.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])
    return folder / "measures.csv"


def figure_of(kind: str, **changes: Any) -> Figure:
    """A figure of the study."""
    values = {"id": kind, "kind": kind, "title": f"What the {kind} says", **FIGURES[kind], **changes}
    return parse(Figure, values, "test")


def drawn(results: Results, folder: Path, kind: str, **changes: Any) -> tuple[Drawn, list[str]]:
    """What came of a figure, and every text in it from first to last."""
    made = draw(results, figure_of(kind, **changes), folder)
    return made, texts(made.path) if made.path else []


def texts(path: Path) -> list[str]:
    """Every text of an SVG file."""
    root = ElementTree.parse(path).getroot()
    return ["".join(element.itertext()).strip() for element in root.iter() if element.tag.endswith("text")]
