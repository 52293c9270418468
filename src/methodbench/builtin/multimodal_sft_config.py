"""What `multimodal_sft` can be told. No torch here: a study is checked without it.

Defaults are those with which MLLMU-Bench (arXiv 2410.22108, released fine-tuning code) makes its vanilla models.
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError


@config
class MultimodalSftConfig:
    """Cross-entropy over the tokens of pictures' rows, summed over the whole batch and divided by their number."""

    epochs: float = field(5, gt=0)
    steps: int | None = field(None, ge=0)  # optimiser steps, in place of `epochs`; 0 gives the parent back
    batch_size: int = field(4, ge=1)
    micro_batch: int | None = field(None, ge=1)  # rows in memory at once; None: the whole batch
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for matrices; AdamW with `learning_rate` for the rest
    learning_rate: float = field(2e-5, gt=0)
    muon_rate: float = field(0.02, gt=0)  # its own learning rate, on the same schedule
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = field(0, ge=0)  # steps; a number below 1 is a share of them
    weight_decay: float = field(0.01, ge=0)  # that of torch's AdamW, which the code leaves as it is
    max_grad_norm: float = field(0.0, ge=0)  # 0: no clipping; the code clips at 1.0 only when it accumulates
    # 0: all weights are trained. Else updates of that rank of the language model's linear layers, without lm_head,
    # which are then added to the weights.
    lora_rank: int = field(16, ge=0)
    lora_alpha: int = field(16, ge=1)
    lora_dropout: float = field(0.05, ge=0, lt=1)
    freeze_vision: bool = False  # where all weights are trained: not those of the vision tower
    prompt_loss: bool = False  # True: the loss is over the whole sequence, as in the released code
    max_length: int | None = field(None, ge=8)  # tokens; the code reads 384 from its command line and ignores it
    save_every: int = field(200, ge=1)  # steps between states that a killed job goes on from

    def __post_init__(self) -> None:
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise UserError(
                f"multimodal_sft: key 'micro_batch': given {self.micro_batch}, "
                f"allowed: a divisor of batch_size {self.batch_size}"
            )
