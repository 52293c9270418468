"""LongMamba (arXiv 2504.16053, ICLR 2025): longer contexts for Mamba models by token filtering, without training.

A calibration, the runtime, and a token-dropping baseline. The controls are settings of the runtime. No torch here.
"""

from __future__ import annotations

from methodbench.method import Method, Resources
from methods.longmamba.config import (
    CalibrateConfig,
    LongMambaConfig,
    TokenDroppingConfig,
    calibrated_traits,
    fits_dropping,
    fits_filtering,
)

PAPER = (
    "arXiv 2504.16053: LongMamba: Enhancing Mamba's Long Context Capabilities via Training-Free Receptive Field "
    "Enlargement"
)

METHODS = [
    Method(
        name="longmamba_calibrate",
        kind="transform",
        entry="methods.longmamba.calibrate:longmamba_calibrate",
        config=CalibrateConfig,
        summary="the same weights, and beside them the thresholds that a few training-length texts give",
        paper=PAPER,
        parents=(1, 1),
        data=("text",),
        seeded=False,
        role="tool",
        neutral={},
        traits=calibrated_traits,
        resources=Resources(threads=1, mem_mb=2500),
    ),
    Method(
        name="longmamba",
        kind="runtime",
        entry="methods.longmamba.runtime:LongMambaLM",
        config=LongMambaConfig,
        summary="skips tokens with small step sizes in the channels that remember, so that they decay as in training",
        paper=PAPER,
        neutral={"theta": 1.0, "channels": "global"},
        fits=fits_filtering,
    ),
    Method(
        name="token_dropping",
        kind="runtime",
        entry="methods.longmamba.runtime:TokenDroppingLM",
        config=TokenDroppingConfig,
        summary="drops the tokens with the smallest step sizes from the sequence at some layers, for all channels",
        paper="arXiv 2406.14528: DeciMamba: Exploring the Length Extrapolation Potential of Mamba",
        role="baseline",
        neutral={"keep": 1_000_000_000},
        fits=fits_dropping,
    ),
]
