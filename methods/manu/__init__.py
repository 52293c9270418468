"""MANU (arXiv 2502.15910, ACL 2025): image-text models forget persons by zeroing the neurons that matter to them.

The method, its scores beside a null, random pruning as its control, and the methods that it is compared with
(baselines.py). No torch here.
"""

from __future__ import annotations

from methodbench.method import Method, Resources
from methods.manu.baselines import BASELINES
from methods.manu.config import ManuConfig, RandomConfig, ScoresConfig

PAPER = "arXiv 2502.15910: Modality-Aware Neuron Unlearning"
RESOURCES = Resources(threads=1, mem_mb=2500)
DATA = ("forget", "retain", "pictures")

METHODS = [
    Method(
        name="manu",
        kind="transform",
        entry="methods.manu.driver:manu",
        config=ManuConfig,
        summary="zeroes the MLP neurons with the largest forget / retain scores in the vision and the language tower",
        paper=PAPER,
        parents=(1, 1),
        data=DATA,
        seeded=False,
        neutral={"alpha": 0},
        resources=RESOURCES,
    ),
    Method(
        name="prune_random",
        kind="transform",
        entry="methods.manu.driver:prune_random",
        config=RandomConfig,
        summary="zeroes as many MLP neurons, drawn at random",
        parents=(1, 1),
        role="control",
        neutral={"alpha": 0},
        resources=RESOURCES,
    ),
    Method(
        name="manu_scores",
        kind="transform",
        entry="methods.manu.driver:manu_scores",
        config=ScoresConfig,
        summary="the scores of every MLP neuron, and those of random retain persons; the weights stay",
        paper=PAPER,
        parents=(1, 1),
        data=DATA,
        seeded=False,
        role="tool",
        neutral={},
        resources=RESOURCES,
    ),
    *BASELINES,
]
