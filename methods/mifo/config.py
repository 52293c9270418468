"""What MIFO, the methods it is compared with and its analyses can be told (grades: README.md). No torch here.

A baseline's own settings are the defaults of classes of its own, so that a study which changes one keeps the others.
"""

from __future__ import annotations

from typing import Literal

from methodbench.builtin.sft_config import SftConfig
from methodbench.config import config, field
from methodbench.errors import UserError
from methodbench.reinforcement_config import ReinforceConfig
from methods.mifo.mifo_config import InterleaveConfig, SessionConfig


@config
class MifoConfig:
    """Reinforcement, and the sessions woven into it."""

    algorithm: Literal["grpo", "rloo"] = "grpo"
    rl: ReinforceConfig = field(default_factory=ReinforceConfig)
    interleave: InterleaveConfig = field(default_factory=InterleaveConfig)


@config
class ReliftRl(ReinforceConfig):
    """ReLIFT's own reinforcement [L]."""

    clip: bool = False
    max_grad_norm: float = field(0.7, gt=0)


@config
class ReliftSession(SessionConfig):
    """ReLIFT's own sessions [L]."""

    reduction: Literal["sequence", "token"] = "token"
    entropy: float = field(0.001, ge=0)


@config
class ReliftInterleave(InterleaveConfig):
    """Questions that all rollouts fail, all tokens, nothing frozen, one step on the newest 128 [L]."""

    accuracy: float = field(0.0, ge=0, le=1)
    tokens: Literal["entropy", "random", "all"] = "all"
    mask: Literal["critical", "random", "bottom", "none"] = "none"
    trigger: int = field(128, ge=1)
    overflow: Literal["consume_all", "take_keep", "take_drop"] = "take_keep"
    order: Literal["fifo", "lifo"] = "lifo"
    session: ReliftSession = field(default_factory=ReliftSession)


@config
class ReliftConfig:
    """ReLIFT: the same loop with its own settings."""

    algorithm: Literal["grpo", "rloo"] = "grpo"
    rl: ReliftRl = field(default_factory=ReliftRl)
    interleave: ReliftInterleave = field(default_factory=ReliftInterleave)


@config
class LuffyRl(ReinforceConfig):
    """LUFFY's own reinforcement [U]."""

    clip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss != "dr_grpo" or self.kl:
            raise UserError(
                f"luffy: keys 'loss' and 'kl': given {self.loss} and {self.kl}, allowed: dr_grpo and 0, as in its code"
            )


@config
class LuffyConfig:
    """LUFFY: in every group one demonstration takes the place of a rollout."""

    rl: LuffyRl = field(default_factory=LuffyRl)
    shaping: float = field(0.1, gt=0)  # gamma of f(pi) = pi / (pi + gamma) [U]


@config
class DropSftConfig:
    """Supervised fine-tuning in which a share of every gradient is dropped."""

    sft: SftConfig = field(default_factory=SftConfig)
    drop: float = field(0.5, ge=0, le=1)  # p_on [P]


@config
class DropRlConfig:
    """GRPO in which a share of every gradient is dropped."""

    rl: ReinforceConfig = field(default_factory=ReinforceConfig)
    drop: float = field(0.5, ge=0, le=1)  # p_on [P]
