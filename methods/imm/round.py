"""Iterative model merging, one round (sheet sections 2.6 and 2.7; figure panel b).

    th_t  = SFT(phi_{t-1}, right rationales of phi_{t-1})
    phi_t = theta_0 + alpha * DARE_p(th_t - theta_0)          p = 0: the plain average (1 - alpha) theta_0 + alpha th_t

In a graph the rounds are nodes: ``from: [round_1, base]``. Where they start, what they are merged with and when is said
by the parents: another anchor is another second parent, merging every n rounds is `self_improve` in between. A third
parent is the backbone b that both models' deltas are taken from (M2): phi = b + w (th - b) + w (theta_0 - b).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from methodbench.checkpoint import Checkpoint
from methodbench.joblog import Log
from methodbench.merging import merge
from methods.imm.config import IMMConfig
from methods.imm.improve import improve
from methods.imm.rationales import FILE


def imm(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: IMMConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Parents: the previous round's model, the original, and perhaps the backbone of both."""
    previous, original, *backbone = parents
    start = previous if config.start == "previous" else original
    tuned = out.parent / "tuned"
    if not (tuned / "measures.csv").exists():  # written last
        shutil.rmtree(tuned, ignore_errors=True)
        improve(previous, start, data["questions"], config.improve, seed, tuned, out.parent, log)
    merge([tuned, original.path, *(parent.path for parent in backbone)], out, config.merge, seed)
    for name in (FILE, "measures.csv"):
        shutil.copyfile(tuned / name, out / name)
