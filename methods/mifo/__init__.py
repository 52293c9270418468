"""MIFO (arXiv 2510.04454): supervised sessions woven into reinforcement, without forgetting.

The method, two methods that it is compared with, and its analyses of how redundant updates are. No torch here.
"""

from __future__ import annotations

from methodbench.method import Method, Resources
from methods.mifo.analysis_config import NormsConfig
from methods.mifo.config import DropRlConfig, DropSftConfig, LuffyConfig, MifoConfig, ReliftConfig

PAPER = "arXiv 2510.04454: MItigating FOrgetting between SFT and RL"
TRAINING = Resources(threads=1, mem_mb=2500)

METHODS = [
    Method(
        name="mifo",
        kind="transform",
        entry="methods.mifo.drivers:interleaved",
        config=MifoConfig,
        summary="reinforcement, and sessions on failed questions that spare what it moved and learn uncertain tokens",
        paper=PAPER,
        parents=(1, 1),
        data=("prompts",),
        neutral={"rl": {"steps": 0}},
        resources=TRAINING,
    ),
    Method(
        name="relift",
        kind="transform",
        entry="methods.mifo.drivers:interleaved",
        config=ReliftConfig,
        summary="reinforcement, and sessions on all tokens of questions that no rollout answers",
        paper="arXiv 2506.07527: Learning What Reinforcement Learning Can't",
        parents=(1, 1),
        data=("prompts",),
        role="baseline",
        neutral={"rl": {"steps": 0}},
        resources=TRAINING,
    ),
    Method(
        name="luffy",
        kind="transform",
        entry="methods.mifo.luffy:luffy",
        config=LuffyConfig,
        summary="GRPO in whose groups a demonstration takes the place of one rollout",
        paper="arXiv 2504.14945: Learning to Reason under Off-Policy Guidance",
        parents=(1, 1),
        data=("prompts",),
        role="baseline",
        neutral={"rl": {"steps": 0}},
        resources=TRAINING,
    ),
    Method(
        name="mifo_drop_sft",
        kind="transform",
        entry="methods.mifo.drivers:drop_sft",
        config=DropSftConfig,
        summary="supervised fine-tuning that loses a share of every gradient",
        paper=PAPER,
        parents=(1, 1),
        data=("train",),
        role="tool",
        neutral={"sft": {"steps": 0}},
        resources=TRAINING,
    ),
    Method(
        name="mifo_drop_rl",
        kind="transform",
        entry="methods.mifo.drivers:drop_rl",
        config=DropRlConfig,
        summary="GRPO that loses a share of every gradient",
        paper=PAPER,
        parents=(1, 1),
        data=("prompts",),
        role="tool",
        neutral={"rl": {"steps": 0}},
        resources=TRAINING,
    ),
    Method(
        name="mifo_norms",
        kind="transform",
        entry="methods.mifo.norms_driver:mifo_norms",
        config=NormsConfig,
        summary="how far each block moved from the second parent; the weights stay",
        paper=PAPER,
        parents=(2, 2),
        seeded=False,
        role="tool",
        neutral={},
        resources=Resources(threads=1, mem_mb=1000),
    ),
]
