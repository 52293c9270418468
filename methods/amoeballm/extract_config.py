"""What cutting, timing and choosing subnets can be told (arXiv 2411.10606). No torch here.

The official code evaluates the masked supernet and never cuts a subnet out; how one is chosen under a budget is not
known of the paper. All of this is therefore this project's own.
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError
from methods.amoeballm.config import Metric

Architecture = Literal["auto", "llama", "mistral", "qwen2", "qwen3", "seed_oss"]


@config
class CutConfig:
    """What an ordinary model is made of a subnet."""

    layout: Literal["pad", "zero"] = "pad"  # pad: every layer as wide as the widest, by zero units; zero: full size
    architecture: Architecture = "auto"  # auto: the parent's own where it can hold the subnet, see architecture.py
    bias: bool = True  # what the removed units gave on average is added to the outputs


@config
class ExtractConfig(CutConfig):
    """One subnet of a selection."""

    depth: int | None = field(None, ge=1)  # layers that stay; null: all
    width: float = field(1.0, gt=0, le=1)
    layers: tuple[int, ...] = ()  # layers that go, in place of those selected for a depth

    def __post_init__(self) -> None:
        if self.layers and self.depth is not None:
            raise UserError("amoeballm_extract: keys 'depth' and 'layers': both are given, allowed: one of them")
        if len(set(self.layers)) < len(self.layers):
            raise UserError(f"amoeballm_extract: key 'layers': given {list(self.layers)}, a layer may stand there once")


@config
class LatencyConfig(CutConfig):
    """How long every selected shape takes to decode, with as many threads as the job has."""

    prompt: int = field(64, ge=1)  # tokens
    new_tokens: int = field(32, ge=1)
    batch_size: int = field(1, ge=1)
    rounds: int = field(5, ge=1)  # all shapes take turns in each; one more goes before, to warm up


@config
class ChooseConfig(CutConfig):
    """The best selected shape within a budget, or without one the best of all, by a metric on a calibration set."""

    parameters: float | None = field(None, gt=0, le=1)  # at most so large a share of the parent's parameters
    latency: float | None = field(None, gt=0, le=1)  # at most so large a share of the full model's time a token
    metric: Metric = "accuracy"  # as in the selection of layers
    items: int = field(320, ge=1)  # for every shape within the budget
    recheck: int = field(3, ge=0)  # the first so many are measured again; 0: none
    recheck_items: int = field(1280, ge=1)  # on so many
    draw: Literal["first", "random"] = "first"
    window: int = field(512, ge=2)  # tokens of a window of text, for nll
    max_length: int = field(2048, ge=8)  # tokens of a question, cut on the left
    batch_size: int = field(8, ge=1)

    def __post_init__(self) -> None:
        if self.parameters is not None and self.latency is not None:
            raise UserError("amoeballm_choose: keys 'parameters' and 'latency': both are given, allowed: one of them")
