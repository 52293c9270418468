"""What LongMamba can be told. Defaults are the released code's (commit 5da3e17) for Mamba2-1.3B unless noted.

Grades of a source: [REL] released code, [PRE] its pre-release history, [NOTE] a third-party reading note of the paper,
[INF] inferred; the paper's body was not available. No torch here: a study is checked without it.
"""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError
from methodbench.method import Traits

# transformers' model types whose mixers are understood.
ARCHITECTURES = ("mamba", "falcon_mamba", "mamba2", "zamba2")
TABLES = "longmamba"  # what a calibrated checkpoint carries: a folder of that name
# [REL] lengths of the threshold table, in thousands of tokens at a training length of 2000.
OFFICIAL_GRID = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 30, 36, 44, 54, 64, 80, 96, 120, 144, 168, 192)


@config
class CalibrateConfig:
    """Step sizes of a few training-length sequences, turned into a table of thresholds by length."""

    train_len: int = field(2000, ge=2)  # L, tokens: [REL] 2000 for Mamba-1 and Mamba-2; [PRE] 4000 for Zamba2
    sequences: int = field(5, ge=1)  # M: [NOTE] 5; [REL] makes a pool of 100
    sampling: Literal["stretches", "rows"] = "stretches"  # [REL] of one long text; rows: the first L tokens of a row
    clamps: tuple[float, ...] = field((0.0, 0.05, 0.10, 0.15, 0.20), min_length=1)  # C, shares: [NOTE] the search grid
    # Tokens in one unit of the official grid; null: half of train_len, which is the official 1000 at L = 2000.
    grid_step: int | None = field(None, ge=1)
    decay_of: Literal["clamped", "raw"] = "clamped"  # [REL] clamped; [PRE] Mamba-1 took the raw step sizes

    def __post_init__(self) -> None:
        for clamp in self.clamps:
            if not 0 <= clamp <= 1:
                raise UserError(f"longmamba_calibrate: key 'clamps': given {clamp}, allowed: shares from 0 to 1")

    def grid(self) -> tuple[int, ...]:
        """Lengths of the table, in tokens."""
        if self.grid_step is not None:
            return tuple(unit * self.grid_step for unit in OFFICIAL_GRID)
        return tuple(unit * self.train_len // 2 for unit in OFFICIAL_GRID)


Mode = Literal["dt_thre", "bound", "norm", "alpha", "channelwise_topk", "all_topk", "silence"]


@config
class LongMambaConfig:
    """Token filtering in some channels of a calibrated Mamba checkpoint."""

    theta: float = field(5e-2, ge=0)  # a channel is global if its decay over L exceeds theta: [REL] `--c`; [NOTE] 1e-30
    # for Mamba-1.4B, 1e-5 for Zamba2-1.2B; 1: no channel is global, which is the model as it is
    clamp: float = field(0.05, ge=0, le=1)  # C: [NOTE] 0.05 Mamba2-1.3B and Zamba2, 0.20 Mamba-1.4B
    reduce: Literal["max", "avg"] = "max"  # over calibration sequences: [PRE] best run of Mamba2-1.3B; [REL] has both
    # [REL] `our_method`: dt_thre is the published rule, a threshold from the table; bound keeps the largest step sizes
    # of the actual input up to the budget; norm rescales all to the budget; alpha keeps the table's share by rank;
    # channelwise_topk keeps L tokens a channel; all_topk the same L tokens in all; silence keeps none (its `b` = 0)
    mode: Mode = "dt_thre"
    channels: Literal["global", "local", "all"] = "global"  # ours: the others are controls
    b: float = field(1.0, gt=0)  # [REL] multiplies threshold, budget or share
    min_len: int | None = field(None, ge=1)  # prompts shorter than this are left alone; null: 1.5 L, [REL] 3000 of 2000
    lookup: Literal["nearest", "floor", "interpolate"] = "nearest"  # [REL] nearest; [NOTE] nearest or floor
    ties: Literal["drop", "keep"] = "drop"  # [REL] keeps step sizes strictly above the threshold
    decode_filter: bool = False  # [REL], [PRE]: generated tokens are not filtered
    max_length: int | None = field(
        None, ge=2
    )  # tokens of prompt and answer; null: the model's own, unbounded for Mamba


@config
class TokenDroppingConfig:
    """Tokens dropped from the sequence at some layers, as in DeciMamba (arXiv 2406.14528); no checkpoint is tuned."""

    layers: tuple[int, ...] = field((12,), min_length=1)  # [PRE] 12 of Mamba-1.4B's 48; 6, 20, 22, 32 of Mamba-2's 48
    keep: int = field(4000, ge=1)  # tokens kept at the first of them: [PRE] L_base 4000
    beta: float = field(1.0, gt=0, le=1)  # each further layer keeps beta times as many: [PRE] 1
    min_keep: int = field(20, ge=1)  # [PRE] "min length 20"
    keep_last: int = field(1, ge=1)  # the last tokens are never dropped (a scored tail must not be); DeciMamba: 1
    max_length: int | None = field(None, ge=2)


def calibrated_traits(settings: CalibrateConfig, parents: tuple[Traits, ...]) -> Traits:
    """The parent's, and that it carries the tables."""
    (parent,) = parents
    return Traits(parent.architecture, parent.tokens, parent.carries | {TABLES})


def is_mamba(settings: object, traits: Traits) -> str | None:
    """A sentence if the checkpoint is known to be no Mamba."""
    if traits.architecture is None or traits.architecture in ARCHITECTURES:
        return None
    return f"it is a '{traits.architecture}' model; allowed: {', '.join(ARCHITECTURES)}"


def fits_filtering(settings: LongMambaConfig, traits: Traits) -> str | None:
    """A sentence if the checkpoint is no Mamba or was not calibrated."""
    missing = "it has no threshold tables; put a checkpoint {method: longmamba_calibrate, from: [...]} between"
    return is_mamba(settings, traits) or (None if TABLES in traits.carries else missing)


def fits_dropping(settings: TokenDroppingConfig, traits: Traits) -> str | None:
    """A sentence if the checkpoint is no pure Mamba: attention layers would need their masks cut, too."""
    if traits.architecture == "zamba2":
        return "its attention layers need every token; allowed: mamba, falcon_mamba, mamba2"
    return is_mamba(settings, traits)
