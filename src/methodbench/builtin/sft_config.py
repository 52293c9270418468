"""What supervised fine-tuning can be told. No torch here: a study is checked without it.

Defaults are those of a tuned run on long worked solutions (arXiv 2604.23747, section 4, for Qwen2.5-Math-7B).
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError


@config
class SftConfig:
    """Cross-entropy of the completions' tokens, summed over the whole batch and divided by their number."""

    epochs: float = field(3, gt=0)
    steps: int | None = field(None, ge=0)  # optimiser steps, in place of `epochs`; 0 gives the parent back
    learning_rate: float = field(5e-5, gt=0)
    batch_size: int = field(64, ge=1)
    micro_batch: int = field(2, ge=1)  # rows in memory at once; the rest is gradient accumulation
    warmup: float = field(0.1, ge=0)  # steps; a number below 1 is a share of them
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = field(0.01, ge=0)
    max_grad_norm: float = field(1.0, gt=0)
    loss: Literal["nll", "dft"] = "nll"  # dft: each token's loss times its probability, which has no gradient
    max_length: int = field(9216, ge=8)  # tokens of prompt and completion, cut at the end
    save_every: int = field(100, ge=1)  # steps between states that a killed job goes on from
    anchor_l2: float = field(0.0, ge=0)  # weight of the squared distance from the starting weights
    lora_rank: int = field(0, ge=0)  # 0: all weights are trained

    def __post_init__(self) -> None:
        if self.batch_size % self.micro_batch:
            raise UserError(
                f"sft: key 'micro_batch': given {self.micro_batch}, allowed: a divisor of batch_size {self.batch_size}"
            )
