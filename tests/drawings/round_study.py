"""A study whose checkpoints are made one from another in rounds, with planted effects, and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from methodbench.config import parse
from methodbench.figures import Drawn, draw
from methodbench.results import Results
from methodbench.study import Figure
from tests.drawings.long_study import texts, write_measures
from tests.results_factory import Planted, study_of, write_results

NEAR, FAR = "reasoning/in_domain", "reasoning/far_domain"
ROUNDS = (1, 2, 3)
TRUTH = {
    "base": (0.40, 0.50),
    **dict(zip(("tuned_1", "tuned_2", "tuned_3"), ((0.6, 0.45), (0.7, 0.35), (0.75, 0.25)), strict=True)),
    **dict(zip(("mixed_1", "mixed_2", "mixed_3"), ((0.55, 0.52), (0.63, 0.53), (0.7, 0.54)), strict=True)),
    "other": (0.58, 0.3),
}
VALUES: dict[str, Any] = {
    "study": "rounds",
    "seeds": [0, 1, 2],
    "checkpoints": {name: {"method": "m"} for name in (*TRUTH, "missing", "seen", "seen_mixed")},
    "runtimes": {"plain": {"method": "plain"}, "sampled": {"method": "plain"}},
    "evaluate": {
        "all": {"checkpoints": [*TRUTH, "missing"], "runtimes": ["plain"], "benchmarks": [NEAR, FAR]},
        "more": {"checkpoints": ["base", "tuned_3", "mixed_3"], "runtimes": ["sampled"], "benchmarks": [NEAR]},
    },
    "curves": {
        "tuned": {"arms": ["base@plain", "tuned_1@plain", "tuned_2", "tuned_3@plain"], "label": "tuned on itself"},
        "mixed": {"arms": ["base@plain", "mixed_1", "mixed_2", "mixed_3@plain"]},
    },
}
FIGURES: dict[str, dict[str, Any]] = {
    "plane": {
        "tasks": [NEAR, FAR],
        "curves": ["tuned", "mixed"],
        "arms": ["other"],
        "origin": "base@plain",
        "ticks": ["in-domain accuracy", "far-domain accuracy"],
    },
    "measures": {"curves": ["tuned", "mixed"], "y": ["unique", "entropy"], "x": "round"},
    "layers": {"checkpoints": ["seen", "seen_mixed"], "x": "layer", "y": ["importance", "change"]},
    "profile": {
        "task": NEAR,
        "arms": ["base@sampled", "tuned_3@sampled", "mixed_3@sampled"],
        "y": ["pass_1", "pass_4", "pass_16"],
        "ticks": ["1", "4", "16"],
        "x": "samples k",
    },
}


def round_results(root: Path, **changes: Any) -> Results:
    """The planted scores; measures of rounds, and of the layers of `seen` and `seen_mixed`."""
    study = study_of({**VALUES, **changes})
    truth = {f"{name}@plain": Planted(on=dict(zip((NEAR, FAR), levels, strict=True))) for name, levels in TRUTH.items()}
    truth |= {f"{name}@sampled": Planted(TRUTH[name][0]) for name in ("base", "tuned_3", "mixed_3")}
    write_results(root, "mini", study, truth, items=200)
    place = root / "results/mini/rounds"
    for seed in study.seeds:
        for number in ROUNDS:
            for kind, slope in (("tuned", 0.2), ("mixed", 0.05)):
                rows = [(1 - slope * number - 0.02 * seed + shift, 2.0 - slope * number) for shift in (-0.1, 0.1)]
                write_measures(place / f"seed{seed}/checkpoints/{kind}_{number}", rows, ("unique", "entropy"))
        for name, sign in (("seen", 1), ("seen_mixed", -1)):
            layers = [(layer, 5.0 / 3**layer, 0.06 + sign * 0.002 * layer + 0.001 * seed, 1.0) for layer in range(6)]
            write_measures(place / f"seed{seed}/checkpoints/{name}", layers, ("layer", "importance", "change", "flat"))
    results = Results.load(root, "mini", study)
    for arm, task, seed in results.scores:
        if arm.runtime == "sampled":
            columns = results.samples(arm, task, seed).columns
            for k in (1, 4, 16):
                columns[f"pass_{k}"] = 1 - (1 - columns["exact_match"] * 0.5) ** k  # type: ignore[index]
    return results


def figure_of(kind: str, **changes: Any) -> Figure:
    """A figure of the study."""
    values = {"id": kind, "kind": kind, "title": f"What the {kind} says", **FIGURES.get(kind, {}), **changes}
    return parse(Figure, values, "test")


def drawn(results: Results, folder: Path, kind: str, **changes: Any) -> tuple[Drawn, list[str]]:
    """What came of a figure, and every text in it from first to last."""
    made = draw(results, figure_of(kind, **changes), folder)
    return made, texts(made.path) if made.path else []
