"""What reinforcement learning from right and wrong answers can be told. No torch here.

Defaults are those of arXiv 2510.04454 and of the code that it shares settings with (TheRoadQaQ/ReLIFT, marked [L]).
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.correctness import AnswerConfig
from methodbench.errors import UserError


@config
class ReinforceConfig:
    """Group-relative policy gradients; rewards are 1 for a right answer and 0 for a wrong one."""

    # -- a rollout batch
    questions: int = field(128, ge=1)
    samples: int = field(8, ge=2)  # N completions a question
    updates: int = field(2, ge=1)  # optimiser steps on a rollout batch, each on its own part of it
    iterations: int = field(1, ge=1)  # passes over a rollout batch
    micro_batch: int = field(8, ge=1)  # completions in memory at once; the rest is gradient accumulation
    temperature: float = field(1.0, gt=0)  # [L]
    top_p: float = field(1.0, gt=0, le=1)  # [L]
    max_new_tokens: int = field(8192, ge=1)  # [L]
    slots: int = field(256, ge=1)  # decoded side by side; changes no sample
    vllm: bool = False  # roll out with vLLM, in the same process
    answer: AnswerConfig = field(default_factory=AnswerConfig)

    # -- how long
    steps: int | None = field(None, ge=0)  # optimiser steps, in place of `epochs`; 0 gives the parent back
    epochs: float = field(3.0, gt=0)
    save_every: int = field(10, ge=1)  # rollout batches between states that a killed job goes on from

    # -- an update
    learning_rate: float = field(1e-6, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = field(0.0, ge=0)  # steps; a number below 1 is a share of them
    betas: tuple[float, float] = (0.9, 0.999)  # [L]
    weight_decay: float = field(0.01, ge=0)  # [L]
    max_grad_norm: float = field(1.0, gt=0)
    epsilon: float = field(0.2, gt=0)  # the ratio is clipped to 1 - epsilon … 1 + epsilon; not stated, 0.2 in [L]
    clip: bool = True  # off in the scripts of the mixed methods in [L]
    kl: float = field(0.0, ge=0)  # weight of the divergence from the parent

    # -- GRPO alone: RLOO has neither of these
    entropy: float = field(0.001, ge=0)  # weight of the bonus for the tokens' mean entropy
    scale: Literal["none", "group", "batch"] = "none"  # none: A = R - mean R; else divided by that standard deviation
    loss: Literal["dr_grpo", "grpo", "dapo", "bnpo"] = "dr_grpo"  # dr_grpo: sum over tokens / (B · max_new_tokens)

    @property
    def period(self) -> int:
        """Optimiser steps from one rollout batch to the next."""
        return self.updates * self.iterations

    def __post_init__(self) -> None:
        completions = self.questions * self.samples
        if completions % (self.updates * self.micro_batch):
            raise UserError(
                f"reinforcement: key 'micro_batch': given {self.micro_batch}, allowed: a divisor of "
                f"questions · samples / updates = {completions}/{self.updates}"
            )
