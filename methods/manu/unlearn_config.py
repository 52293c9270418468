"""What the gradient baselines of unlearning can be told. No torch here: a study is checked without it.

Defaults are those of the released code of MLLMU-Bench ([B], sheet 2.5 and 3). Two flavours are in use; a key whose
default is None follows the flavour:

                 released [B]                                   joint, as in open-unlearning [O]
    passes       an epoch is a whole pass over the forget       every step has a forget and a retain batch,
                 rows, then one over the retain rows            an epoch is a pass over the forget rows
    prompt_loss  true: the whole sequence but padding           false: completions only
    beta         0.4, on batch means                            0.1, on sums over each sequence
    kl           batch: summed over places and vocabulary,      token: mean over predicted tokens
                 divided by the batch size
    rate_by      epoch where there are two passes: the rate     step
                 hardly falls; else step
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field


@config
class UnlearnConfig:
    """What all of them share; GA needs no more."""

    flavour: Literal["released", "joint"] = "released"
    epochs: int = field(1, ge=1)  # [B]
    steps: int | None = field(None, ge=0)  # in place of `epochs`; 0 gives the parent back
    batch_size: int = field(4, ge=1)  # rows of each kind in a step [B]
    learning_rate: float = field(2e-5, gt=0)  # [B] README; its argparse default is 5e-4
    schedule: Literal["linear", "constant"] = "linear"  # [B]
    rate_by: Literal["step", "epoch"] | None = None  # what moves the schedule, which is sized in steps
    warmup: int = field(0, ge=0)  # steps [B]
    weight_decay: float = field(0.01, ge=0)  # AdamW's
    max_grad_norm: float = field(0.0, ge=0)  # 0: gradients are not clipped; [B] clips at 1 when it accumulates
    modes: tuple[Literal["image", "text"], ...] = field(("image",), min_length=1)  # rows that are trained on [B]
    prompt_loss: bool | None = None  # is the question trained, too?
    lora_rank: int = field(16, ge=0)  # [B]; 0: all weights are trained
    lora_alpha: int = field(16, ge=1)  # [B]
    lora_dropout: float = field(0.05, ge=0, lt=1)  # [B]
    max_length: int | None = field(None, ge=8)  # tokens of a row, image tokens included; [B] parses a limit, unused
    save_every: int = field(200, ge=1)  # steps between states that a killed job goes on from

    def whole_sequence(self) -> bool:
        """Is the loss taken over prompt and completion?"""
        return self.flavour == "released" if self.prompt_loss is None else self.prompt_loss

    def rate_follows(self, passes: int) -> str:
        """What moves the learning rate, for an epoch of so many passes: "step" or "epoch"."""
        return self.rate_by or ("epoch" if self.flavour == "released" and passes == 2 else "step")


@config
class GradDiffConfig(UnlearnConfig):
    """GradDiff; [B] calls it GA-Diff."""

    forget_weight: float = field(1.0, ge=0)  # gamma [O]; [B] has none
    retain_weight: float = field(1.0, ge=0)  # alpha [O]; [B] has none


@config
class KlMinConfig(GradDiffConfig):
    """KL-Min: GradDiff and a divergence from the reference on the retain rows."""

    kl_weight: float = field(1.0, ge=0)  # [B] has none
    kl: Literal["batch", "token"] | None = None

    def per_token(self) -> bool:
        """Is the divergence a mean over tokens, not over rows?"""
        return self.flavour == "joint" if self.kl is None else self.kl == "token"


@config
class NpoConfig(UnlearnConfig):
    """NPO, without a retain term."""

    beta: float | None = field(None, gt=0)
    npo: Literal["batch", "sequence"] | None = None  # losses compared with the reference's: means of batches, or sums

    def sharpness(self) -> float:
        """beta."""
        return self.beta or (0.4 if self.flavour == "released" else 0.1)

    def per_sequence(self) -> bool:
        """Is every sequence compared with the reference by itself?"""
        return self.flavour == "joint" if self.npo is None else self.npo == "sequence"
