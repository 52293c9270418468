"""IMM (arXiv 2503.02103, EMNLP 2025): self-improvement hurts reasoning elsewhere; merging with the original cures it.

A round of the method, the self-improvement that it is compared with, a control of equal accuracy, and the analysis of
layers. No torch here.
"""

from __future__ import annotations

from methodbench.method import Method, Resources
from methods.imm.config import HeadroomConfig, IMMConfig, MatchConfig, SelfImproveConfig
from methods.imm.layers_config import LayersConfig

PAPER = "arXiv 2503.02103: Superficial Self-Improved Reasoners Benefit from Model Merging"

METHODS = [
    Method(
        name="imm",
        kind="transform",
        entry="methods.imm.round:imm",
        config=IMMConfig,
        summary="one round: learn from own right rationales, then merge with the original model",
        paper=PAPER,
        parents=(2, 3),
        data=("questions",),
        neutral={"merge": {"weights": [0.0]}},
        resources=Resources(threads=1, mem_mb=2500),
    ),
    Method(
        name="self_improve",
        kind="transform",
        entry="methods.imm.improve:self_improve",
        config=SelfImproveConfig,
        summary="one round of learning from own right rationales, not merged",
        paper=PAPER,
        parents=(1, 2),
        data=("questions",),
        role="baseline",
        resources=Resources(threads=1, mem_mb=2500),
    ),
    Method(
        name="imm_match",
        kind="transform",
        entry="methods.imm.match:imm_match",
        config=MatchConfig,
        summary="of several checkpoints the one as accurate as the last parent on questions of the domain",
        parents=(2, 16),
        data=("questions",),
        seeded=False,
        role="control",
        resources=Resources(threads=1, mem_mb=2000),
    ),
    Method(
        name="imm_layers",
        kind="transform",
        entry="methods.imm.layers:imm_layers",
        config=LayersConfig,
        summary="how much each layer matters and how far it moved from the last parent; the weights stay",
        paper=PAPER,
        parents=(2, 2),
        data=("probe",),
        seeded=False,
        role="tool",
        neutral={},
        resources=Resources(threads=1, mem_mb=2500),
    ),
    Method(
        name="imm_headroom",
        kind="transform",
        entry="methods.imm.headroom:imm_headroom",
        config=HeadroomConfig,
        summary="hands a model on if it has something to gain in the domain and something to lose outside of it",
        parents=(1, 1),
        data=("in_domain", "out_of_domain"),
        seeded=False,
        role="tool",
        neutral={},
        resources=Resources(threads=1, mem_mb=2000),
    ),
]
