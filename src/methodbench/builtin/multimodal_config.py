"""Settings of ordinary decoding with pictures."""

from __future__ import annotations

from methodbench.config import config


@config
class MultimodalConfig:
    """None: decoding is greedy, and tasks set the limit and the stop strings."""
