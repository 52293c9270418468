"""What sessions woven into reinforcement can be told. Defaults are the paper's where it states them (sheet section 3).

Grades of the sources: [P] the paper, [L] released code of ReLIFT, which the paper's settings follow, [A n] an ambiguity
that sheet 6.1 resolves, control: not in the paper.
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError


@config
class SessionConfig:
    """One supervised session on the demonstrations that were buffered; a batch is `trigger` of them."""

    learning_rate: float = field(1e-6, gt=0)  # [P] App. D.4; App. C says 1e-5 [A2]
    betas: tuple[float, float] = (0.9, 0.999)  # [L]
    weight_decay: float = field(0.01, ge=0)  # [L]
    max_grad_norm: float = field(1.0, gt=0)  # [L]
    passes: int = field(1, ge=1)  # over the buffer; "consumed" [P]
    micro_batch: int = field(8, ge=1)  # demonstrations in memory at once; changes no more than rounding
    max_length: int = field(8192, ge=2)  # tokens of prompt and demonstration; what is cut has no end token [A13]
    reduction: Literal["sequence", "token"] = "sequence"  # divide by each demonstration's length [P], or by all tokens
    loss: Literal["nll", "dft"] = "nll"  # [P]; dft is its ablation
    optimizer: Literal["persist", "reset"] = "persist"  # [L]: the moments outlive a session [A11]
    entropy: float = field(0.0, ge=0)  # bonus for the entropy of the learned tokens' distributions; 0.001 in [L]
    # Distances to the policy as the session began: without effect in the session's first step, where they are 0.
    anchor_l2: float = field(0.0, ge=0)  # control: weight of the squared distance of the weights
    anchor_kl: float = field(0.0, ge=0)  # control: weight of KL(policy || policy at start) on the demonstrations

    def __post_init__(self) -> None:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"session: key 'betas': given {list(self.betas)}, allowed: two numbers from 0 to below 1")


@config
class InterleaveConfig:
    """When a session comes, what it learns from, and which parameters it must leave alone."""

    accuracy: float = field(0.125, ge=0, le=1)  # p: questions with at most this share of right answers [P]
    tokens: Literal["entropy", "random", "all"] = "entropy"  # random: control
    share: float = field(0.2, ge=0, le=1)  # rho: of a demonstration's tokens; 0: sessions change nothing [P, A9]
    mask: Literal["critical", "random", "bottom", "none"] = "critical"  # random, bottom: controls
    frozen: float = field(0.5, ge=0, le=1)  # k: share of the parameters [P]
    history: float = field(0.5, ge=0, lt=1)  # alpha; 0 is the paper's variant with a dagger [P, A10]
    trigger: int = field(64, ge=1)  # S: demonstrations that call for a session, and a session's batch [P]
    overflow: Literal["consume_all", "take_keep", "take_drop"] = "consume_all"  # more than S: [A6]; take_keep in [L]
    order: Literal["fifo", "lifo"] = "fifo"  # which come first; lifo in [L]
    dedup: Literal["none", "epoch", "run"] = "none"  # how long a question that was buffered is not buffered again [A8]
    scope: Literal["global", "tensor"] = "global"  # the largest of all parameters, or of each tensor [A5]
    freeze: Literal["exact", "gradient"] = "exact"  # gradient: as written, which AdamW's moments and decay undo [A3]
    clip: Literal["after", "before"] = "after"  # the gradient's norm is cut after or before it is masked [A4]
    min_rl_steps: int = field(1, ge=1)  # rollout batches between sessions, at least [A16]
    session: SessionConfig = field(default_factory=SessionConfig)
