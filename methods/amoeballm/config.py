"""What the selection of subnets can be told (arXiv 2411.10606; README.md has the grades). No torch here.

Defaults are the README's of the official code, which are the paper's where the paper is known; its argparse defaults
differ and are named beside them [C].
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError
from methodbench.method import Traits

# transformers' model types whose blocks are understood; SmolLM2 is a llama.
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3", "seed_oss")
SUBNETS = "subnets"  # what a checkpoint with a selection carries

Metric = Literal["accuracy", "gold", "nll"]
Search = Literal["dp", "greedy", "exhaustive"]
Rule = Literal["deepest", "shortgpt", "angular", "perplexity", "taylor", "magnitude", "random"]


@config
class DepthConfig:
    """Which layers go: searched by a metric on a calibration set."""

    min_layers: int | None = field(None, ge=1)  # most removals: README 20 of 32, [C] 16; null: 5/8 of the layers
    keep_last: int = field(1, ge=0)  # top layers that always stay: README 1, [C] none
    order: Literal["deep_first", "shallow_first"] = "deep_first"  # in which the DP looks at the layers
    metric: Metric = "accuracy"  # accuracy: the paper's; gold: mean log-likelihood of the right option; nll: of texts
    items: int = field(320, ge=1)  # README: 40 batches of 8; of texts so many windows
    draw: Literal["first", "random"] = "first"  # [C] the first rows; random: other ones with every seed
    window: int = field(512, ge=2)  # tokens of a window of text, for nll
    max_length: int = field(2048, ge=8)  # tokens of a question, cut on the left
    batch_size: int = field(8, ge=1)
    prefix_cache: bool = True  # start every evaluation at the lowest removed layer; changes nothing but the time


@config
class WidthConfig:
    """Which heads and neurons go at every width."""

    ratios: tuple[float, ...] = (0.875, 0.75, 0.625)  # that remain; README also 1, [C] also 1/2
    mode: Literal["adaptive", "uniform"] = "adaptive"  # adaptive: one threshold over all layers; uniform: equal counts
    score: Literal["WIFV", "IFV", "WIFN", "wanda_sp"] = "WIFV"
    windows: int = field(512, ge=1)
    window: int = field(512, ge=2)  # tokens
    batch_size: int = field(8, ge=1)
    bias: bool = True  # what the removed channels gave on average is added to the outputs
    square_attention: bool = True  # scores of heads are squared once more, as in FLAP

    def __post_init__(self) -> None:
        for ratio in self.ratios:
            if not 0 < ratio < 1:
                raise UserError(f"width: key 'ratios': given {ratio}, allowed: above 0 and below 1")
        if len(set(self.ratios)) < len(self.ratios):
            raise UserError(f"width: key 'ratios': given {list(self.ratios)}, a ratio may stand there once")


@config
class GreedyConfig:
    """Depth by removing the layer that costs least, again and again; width by fluctuation."""

    depth: DepthConfig = field(default_factory=DepthConfig)
    width: WidthConfig = field(default_factory=WidthConfig)


@config
class SelectConfig(GreedyConfig):
    """Depth by dynamic programming, width by fluctuation: the selection of the paper."""

    search: Literal["dp", "exhaustive"] = "dp"  # exhaustive: every subset of layers, to check the DP on few layers


@config
class RankConfig:
    """Depth by a baseline's rule, width by fluctuation."""

    rule: Literal["perplexity", "taylor"] = "perplexity"  # Shortened LLaMA's two; the others have one rule
    min_layers: int | None = field(None, ge=1)  # null: 5/8 of the layers
    keep_last: int = field(1, ge=0)
    windows: int = field(64, ge=1)  # of text, that the rule looks at
    window: int = field(512, ge=2)  # tokens
    batch_size: int = field(8, ge=1)
    width: WidthConfig = field(default_factory=WidthConfig)


@config
class UnitsConfig:
    """Width by another score than fluctuation; depth is left alone, or drawn at random with the units."""

    ratios: tuple[float, ...] = (0.875, 0.75, 0.625)
    mode: Literal["adaptive", "uniform"] = "uniform"
    min_layers: int | None = field(None, ge=1)  # random subnets: null: 5/8 of the layers
    keep_last: int = field(1, ge=0)
    windows: int = field(64, ge=1)
    window: int = field(512, ge=2)  # tokens
    batch_size: int = field(8, ge=1)


def subnet_traits(settings: object, parents: tuple[Traits, ...]) -> Traits:
    """The parent's, with a selection of subnets beside the weights.

    Raises:
        UserError: the parent's blocks are not understood.
    """
    (parent,) = parents
    understood(parent)
    return Traits(parent.architecture, parent.tokens, parent.carries | {SUBNETS})


def needs_subnets(settings: object, parents: tuple[Traits, ...]) -> Traits:
    """Traits of what is made from a checkpoint with a selection.

    Raises:
        UserError: the parent has none.
    """
    (parent,) = parents
    understood(parent)
    if parent.architecture is not None and SUBNETS not in parent.carries:
        raise UserError(
            "its parent carries no selection of subnets: put amoeballm_select, or another select_*, between"
        )
    return Traits(tokens=parent.tokens, carries=parent.carries - {SUBNETS})


def understood(parent: Traits) -> None:
    """Refuse model types whose blocks are not understood."""
    if parent.architecture is not None and parent.architecture not in ARCHITECTURES:
        allowed = ", ".join(ARCHITECTURES)
        raise UserError(f"model type '{parent.architecture}' cannot be cut; allowed: {allowed}")
