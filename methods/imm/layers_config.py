"""What the layer analysis of IMM can be told. No torch here: a study is checked without it."""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field


@config
class LayersConfig:
    """Which blocks matter on some worked rows, and which changed."""

    of: Literal["original", "tuned"] = "original"  # whose importance: the second parent's or the first's
    rows: int = field(256, ge=1)  # probe rows at most, the first ones
    batch_size: int = field(4, ge=1)  # rows in a pass; changes no measure
    max_length: int = field(512, ge=2)  # tokens of prompt and completion: longer rows are left out
    permutations: int = field(10_000, ge=100)  # orders of the layers tried; all of them if there are no more
    top_k: int = field(3, ge=1)  # layers compared as most important and most changed
