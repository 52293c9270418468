"""What MANU can be told (arXiv 2502.15910; grades: README.md). No torch here.

The paper's body could not be read: where it leaves a value open, the default is that of a named source. A key that is
null takes its mode's own value, see `SETTINGS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError

Tower = Literal["vision", "connector", "language"]
Mode = Literal["paper", "code", "code_buggy", "selective_pruning"]


@config
class Weights:
    """Weights of the four importance functions: equal in the paper [N]; abs 2, freq 0, var 2, rms 2 in the code [C]."""

    abs: float = field(1.0, ge=0)
    freq: float = field(1.0, ge=0)
    var: float = field(1.0, ge=0)
    rms: float = field(1.0, ge=0)

    def values(self) -> tuple[float, float, float, float]:
        """In the order of the paper's sum."""
        return self.abs, self.freq, self.var, self.rms


@config
class ScoresConfig:
    """Which neurons are measured, on what, and how their score is formed."""

    mode: Mode = "paper"  # code: what the code means, code_buggy: what it computes [C]; selective_pruning: mean |z|
    towers: tuple[Tower, ...] = field(("vision", "language"), min_length=1)  # connector: Idefics2's MLPs [C: commented]
    units: Literal["hidden", "rows"] | None = None  # hidden: inputs of fc2 and down_proj [R]; rows of every linear [C]
    layers: dict[Tower, tuple[int, ...]] = field(default_factory=dict)  # none: all; code_buggy: the last three [C]
    inert: bool | None = None  # LLaVA's last vision layers, which the language model never sees: true in code_buggy [C]
    fc2_rows: bool = True  # rows of fc2, too; the code has them for LLaVA and not for Idefics2 [C]
    tau: float = field(0.1, ge=0)  # an activation counts as active above it [C, R]
    epsilon: float | None = field(None, gt=0)  # in every denominator: 1e-6 [R]; code and code_buggy 1e-5 [C]
    weights: Weights | None = None  # equal [N]; code and code_buggy 2, 0, 2, 2 [C]
    variance: Literal["population", "sample"] | None = None  # population; code and code_buggy sample [C], as [R]
    signed: bool = False  # true: mean z, and z > tau, as in [R]; false: mean |z|, and |z| > tau
    tokens: Literal["all", "last"] = "all"  # last: only the last token of the language model [R]
    clamp: float | None = field(None, gt=0)  # z is cut to +-clamp: code and code_buggy 1000 [C]
    items: int | None = field(None, ge=1)  # at most so many rows a set and mode
    retain_items: Literal["equal", "all"] | None = None  # equal: as many retain as forget rows, code, code_buggy [C]
    pictures_per_row: int = field(1, ge=1)  # the first pictures of each row
    batch_size: int = field(4, ge=1)  # [C]; changes nothing but speed, except in code_buggy
    max_length: int | None = field(None, ge=1)  # tokens
    null_seed: int = 0  # which retain persons stand for forget persons in the null scores

    def __post_init__(self) -> None:
        if len(set(self.towers)) < len(self.towers):
            raise UserError(f"manu: key 'towers': given {list(self.towers)}, a tower may stand there once")
        if self.weights is not None and not any(self.weights.values()):
            raise UserError("manu: key 'weights': all four are 0, at least one must be above 0")
        if self.mode == "code_buggy" and (self.signed or self.tokens == "last" or self.units == "hidden"):
            raise UserError(
                "manu: mode code_buggy measures rows, |z| and all tokens: leave 'units', 'signed', 'tokens'"
            )


@config
class ManuConfig(ScoresConfig):
    """Zero the neurons with the largest scores."""

    alpha: float = field(3.0, ge=0, le=100)  # percent; 3 is "the best balance" [N]; argparse 2, README 10 [C]
    budget: Literal["separate", "joint"] = "separate"  # alpha percent of each tower [C], or of all towers together
    scope: Literal["tower", "layer"] = "tower"  # layer: alpha percent of each layer of each tower
    iterations: int = field(1, ge=1)  # alpha percent more a round, with scores of the pruned model [C]


@config
class RandomConfig:
    """Zero as many neurons, drawn at random."""

    towers: tuple[Tower, ...] = field(("vision", "language"), min_length=1)
    units: Literal["hidden", "rows"] = "hidden"
    layers: dict[Tower, tuple[int, ...]] = field(default_factory=dict)
    inert: bool = False
    fc2_rows: bool = True
    alpha: float = field(3.0, ge=0, le=100)
    budget: Literal["separate", "joint"] = "separate"
    scope: Literal["tower", "layer"] = "tower"


@dataclass(frozen=True)
class Settings:
    """What a mode measures once its nulls are filled in."""

    units: Literal["hidden", "rows"]
    inert: bool
    last: int | None  # layers of each tower that 'layers' leaves out are its last so many
    epsilon: float
    weights: tuple[float, float, float, float]
    variance: Literal["population", "sample"]
    clamp: float | None
    retain_items: Literal["equal", "all"]


PAPER = Settings("hidden", False, None, 1e-6, (1.0, 1.0, 1.0, 1.0), "population", None, "all")
CODE = Settings("rows", False, None, 1e-5, (2.0, 0.0, 2.0, 2.0), "sample", 1000.0, "equal")
SETTINGS: dict[Mode, Settings] = {
    "paper": PAPER,
    "code": CODE,
    "code_buggy": replace(CODE, inert=True, last=3),
    "selective_pruning": PAPER,
}


def settled(config: ScoresConfig) -> Settings:
    """The mode's values, and those of the config where it has any."""
    own = SETTINGS[config.mode]
    weights = own.weights if config.weights is None else config.weights.values()
    return Settings(
        units=config.units or own.units,
        inert=own.inert if config.inert is None else config.inert,
        last=own.last,
        epsilon=config.epsilon or own.epsilon,
        weights=weights,
        variance=config.variance or own.variance,
        clamp=own.clamp if config.clamp is None else config.clamp,
        retain_items=config.retain_items or own.retain_items,
    )
