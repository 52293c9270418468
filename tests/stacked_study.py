"""Three methods on one base, put on top of each other with known interactions, on two tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from methodbench.results import Results
from tests.results_factory import Planted, study_of, write_results

TASK, OTHER = "math/test", "math/far"
METRIC = f"{TASK}/exact_match"
ARMS = {  # accuracies; beside each stack what it does beyond the sum
    "base": 0.40,
    "a": 0.50,
    "b": 0.50,
    "c": 0.45,
    "ab": 0.75,  # +15 points
    "ba": 0.60,  # none; so the order does 15 points
    "ac": 0.40,  # -15 points
    "bc": 0.55,  # none
}
PAIRS: list[dict[str, Any]] = [
    {"id": "a_b", "first": "Alpha", "second": "Beta", "left": "a", "right": "b", "both": "ab", "reverse": "ba"},
    {"id": "a_c", "first": "Alpha", "second": "Gamma", "left": "a", "right": "c", "both": "ac"},
    {"id": "b_c", "first": "Beta", "second": "Gamma", "left": "b", "right": "c", "both": "bc", "at_least": 0.1},
    {"id": "lost", "first": "Gamma", "second": "Beta", "left": "c", "right": "b", "both": "cb"},
]


def stacked_values(pairs: list[dict[str, Any]] = PAIRS, **changes: Any) -> dict[str, Any]:
    """A study's plain values; the arm `cb` is asked for and never scored."""
    names = [*ARMS, "cb"]
    return {
        "study": "stack",
        "seeds": [0, 1, 2, 3],
        "checkpoints": {name: {"method": "pretrain"} for name in names},
        "runtimes": {"plain": {"method": "m"}},
        "evaluate": {"all": {"checkpoints": names, "runtimes": ["plain"], "benchmarks": [TASK, OTHER]}},
        "pairs": [{"base": "base", "metric": METRIC, **pair} for pair in pairs],
        **changes,
    }


def stacked_results(root: Path, items: int = 900, scale: str = "mini", seed_sd: float = 0.0, **changes: Any) -> Results:
    """The study with all its scores but those of `cb`."""
    study = study_of(stacked_values(**changes))
    planted = {f"{name}@plain": Planted(accuracy) for name, accuracy in ARMS.items()}
    write_results(root, scale, study, planted, items, seed_sd)
    return Results.load(root, scale, study)
