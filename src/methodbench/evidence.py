"""What stands behind every claim: each arm that it compares, with its samples and MLflow runs, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from methodbench.arms import Arm, curve_arms, resolve
from methodbench.claims import Judgement
from methodbench.compare import EFFICIENCY
from methodbench.context import ReportContext
from methodbench.markdown import table
from methodbench.measures import checkpoint_measures
from methodbench.results import Results
from methodbench.study import Claim
from methodbench.tables import links, relative


def evidence(results: Results, judgements: Sequence[Judgement], context: ReportContext, folder: Path) -> str:
    """The table of all claims; "" where no claim has a score behind it. Links are relative to `folder`.

    Raises:
        UserError: a claim names what the study does not score.
    """
    rows = []
    for claim in [judgement.claim for judgement in judgements]:
        if claim.rank:
            rows += _measures(results, claim, context, folder)
            continue
        for task, arm in _compared(results, claim):
            found = links(results, context, task, arm, results.seeds(arm, task), folder)
            rows += [[claim.id, f"`{arm}`", task, found]] if found else []
    return table(["claim", "arm", "task", "samples by seed"], rows) if rows else ""


def _compared(results: Results, claim: Claim) -> list[tuple[str, Arm]]:
    """Each task of a claim with each arm that it compares there: left, right, controls."""
    found: dict[tuple[str, Arm], None] = {}
    for metric in claim.metrics():
        task, _, name = metric.rpartition("/")
        meant = curve_arms if name == EFFICIENCY else resolve
        for word in (claim.left, claim.right, *claim.controls):
            found |= {(task, arm): None for arm in meant(results.study, word, task)}
    return list(found)


def _measures(results: Results, claim: Claim, context: ReportContext, folder: Path) -> list[list[str]]:
    """The files that a rank correlation is computed from, and the runs of the checkpoints that they lie in."""
    shown = []
    for path in [measures.path for measures in checkpoint_measures(results, claim.checkpoint)]:
        run = context.runs.get(path.parent.relative_to(results.root).as_posix())
        seed = path.parts[-4].removeprefix("seed")
        shown.append(f"[{seed}]({relative(path, folder)})" + (f" ([run]({run}))" if run else ""))
    return [[claim.id, f"`{claim.checkpoint}`", "its measures", " ".join(shown)]] if shown else []
