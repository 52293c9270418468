"""What one-for-all fine-tuning can be told (arXiv 2411.10606). No torch here.

Defaults are the README's of the official code; where its argparse defaults differ they stand beside them [C]. Left out:
4-bit weights and paged optimizer states, other ways to distil than the README's, a ratio of its own for every layer,
and gate noise in evaluation, with which a subnet's weights would change from one call to the next.
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError
from methodbench.method import Traits
from methods.amoeballm.config import needs_subnets


@config
class TuneConfig:
    """What tuning all subnets and tuning one have in common."""

    steps: int = field(10_000, ge=0)  # 0 gives untrained experts, which change nothing
    micro_batch: int = field(2, ge=1)  # rows in memory at once
    accumulation: int = field(4, ge=1)  # micro-batches of a step
    learning_rate: float = field(2e-4, gt=0)  # constant
    weight_decay: float = field(0.0, ge=0)
    max_grad_norm: float = field(0.3, ge=0)  # 0: gradients are not clipped
    rank: int = field(64, ge=1)
    alpha: float = field(16, gt=0)  # updates are scaled by alpha / rank
    top_k: int = field(2, ge=1)  # experts that a shape takes, or all where there are fewer
    router_hidden: int = field(16, ge=1)
    mix: Literal["factors", "products"] = "factors"  # of the gated experts: sums of A and of B, or of the products BA
    kd_weight: float = field(1.0, ge=0, le=1)  # of the teacher's outputs; the rest is for the tokens
    kd_mask_shift: bool = False  # true: distil where learnt tokens are predicted; [C] is one place too far right
    distill_all_tokens: bool = False  # prompts, too
    distill_steps: int | None = field(None, ge=0)  # plain cross-entropy after so many steps
    max_source: int = field(384, ge=1)  # tokens of a prompt; [C] 1024
    max_target: int = field(128, ge=1)  # tokens of a completion with its end token; [C] 256
    group_by_length: bool = True  # rows of one length share a micro-batch
    gradient_checkpointing: bool = False  # the official code has it on: less memory, more time, equal gradients
    save_every: int = field(500, ge=1)  # steps between states that a killed job goes on from


@config
class FinetuneConfig(TuneConfig):
    """All subnets at once."""

    experts: int = field(5, ge=1)  # 1: a single LoRA for all shapes
    random_shapes: int = field(2, ge=0)  # between the largest and the smallest subnet of every micro-batch
    balance: bool = True  # give every subnet's loss the largest one's magnitude
    widths: tuple[float, ...] | None = None  # below 1, of those selected; null: all

    def __post_init__(self) -> None:
        if self.widths is not None:
            for width in self.widths:
                if not 0 < width < 1:
                    raise UserError(f"finetune: key 'widths': given {width:g}, allowed: above 0 and below 1")
            if len(set(self.widths)) < len(self.widths):
                raise UserError(f"finetune: key 'widths': given {list(self.widths)}, a width may stand there once")


@config
class IndividualConfig(TuneConfig):
    """One subnet by itself, which is then cut out."""

    depth: int | None = field(None, ge=1)  # layers that run; null: all
    width: float = field(1.0, gt=0, le=1)  # ratio that remains
    teacher: Literal["frozen", "none"] = "frozen"  # the whole model before tuning, or tokens alone
    experts: int = field(1, ge=1)


def tuned_traits(settings: object, parents: tuple[Traits, ...]) -> Traits:
    """Traits of all subnets tuned: the parent's, with its selection.

    Raises:
        UserError: the parent has no selection.
    """
    needs_subnets(settings, parents)
    return parents[0]
