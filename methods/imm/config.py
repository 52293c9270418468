"""What IMM and its baselines can be told. Defaults are those of the released code where it has any (grades: README.md).

Grades of the sources, as in the README: [C] released code, [U] upstream code it was made from, [F] the paper's figure.
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError
from methodbench.merging.config import MergeConfig


@config
class SelfImproveConfig:
    """One round: sample rationales, keep those whose answer is right, fine-tune on them."""

    # -- rationales
    samples: int = field(3, ge=1)  # K per question [C]
    temperature: float = field(0.7, ge=0)  # intended [C, U]; the released vLLM path hard-codes 0 (greedy) [C]
    top_p: float = field(1.0, gt=0, le=1)  # [C]
    max_new_tokens: int = field(512, ge=1)  # [C]
    template: Literal["alpaca", "plain"] = "alpaca"  # plain: the row's prompt as it is
    # The released prompt shows eight worked examples: of the questions, the ones that begin with these words. Their
    # solutions are the training set's; the released ones are rewritten at more length [U].
    shots: tuple[str, ...] = ()
    stop: Literal["released", "template", "none"] = "template"  # released: also words such as "Question" [C]
    extraction: Literal["gsm8k", "math", "text"] = "gsm8k"
    gold: Literal["canonical", "raw"] = "canonical"  # raw: the gold answer is compared as written [C], see README
    questions: int | None = field(None, ge=1)  # the first so many only
    slots: int = field(64, ge=1)  # decoded side by side; changes no sample

    # -- fine-tuning
    epochs: float = field(3, gt=0)  # [C]
    learning_rate: float = field(2e-5, gt=0)  # [C]
    batch_size: int = field(64, ge=1)  # 2 a device x 8 devices x 4 steps [C]
    micro_batch: int = field(2, ge=1)  # rows in memory at once; the rest is gradient accumulation
    warmup: float = field(0.03, ge=0, lt=1)  # share of the steps [C]
    schedule: Literal["cosine", "linear", "constant"] = "cosine"  # [C]
    weight_decay: float = field(0.0, ge=0)  # [C]
    max_grad_norm: float = field(1.0, gt=0)  # [U]
    max_length: int = field(512, ge=8)  # tokens of prompt and completion, cut at the end [U]
    save_every: int = field(200, ge=1)  # steps between states that a killed job goes on from
    accumulate: bool = False  # also learn from the rationales that the parents were made with [R]; off in [C]

    # -- controls that the paper lacks
    anchor_l2: float = field(0.0, ge=0)  # weight of the squared distance from the starting weights
    lora_rank: int = field(0, ge=0)  # 0: all weights are trained [U]

    round: int = field(1, ge=1)  # seeds of the samples differ by round

    def __post_init__(self) -> None:
        if self.batch_size % self.micro_batch:
            raise UserError(
                f"self_improve: key 'micro_batch': given {self.micro_batch}, "
                f"allowed: a divisor of batch_size {self.batch_size}"
            )


@config
class IMMConfig:
    """One round of iterative model merging: improve, then merge with the original."""

    improve: SelfImproveConfig = field(default_factory=SelfImproveConfig)
    merge: MergeConfig = field(default_factory=MergeConfig)  # plain average, alpha = 0.5; DARE: operator dare_linear
    start: Literal["previous", "original"] = "previous"  # weights that fine-tuning starts from [C]


@config
class MatchConfig:
    """A control: of several checkpoints, the one as accurate in the domain as the last parent."""

    template: Literal["alpaca", "plain"] = "alpaca"
    stop: Literal["released", "template", "none"] = "template"
    extraction: Literal["gsm8k", "math", "text"] = "gsm8k"
    temperature: float = field(0.0, ge=0)  # of one sample a question; 0: the most probable tokens
    max_new_tokens: int = field(512, ge=1)
    questions: int | None = field(None, ge=1)
    slots: int = field(64, ge=1)


@config
class HeadroomConfig:
    """What a model must do before it is worth improving: a share of right answers, in the domain and outside of it."""

    in_domain: tuple[float, float] = (0.4, 0.85)  # below, few samples are right; above, there is nothing to gain
    out_of_domain: tuple[float, float] = (0.85, 1.0)  # there must be something to lose
    template: Literal["alpaca", "plain"] = "alpaca"
    stop: Literal["released", "template", "none"] = "template"
    extraction: Literal["gsm8k", "math", "text"] = "gsm8k"
    temperature: float = field(0.0, ge=0)  # of one sample a question; 0: the most probable tokens
    max_new_tokens: int = field(512, ge=1)
    questions: int | None = field(None, ge=1)
    slots: int = field(64, ge=1)
