"""What the analyses of MIFO can be told. No torch here: a study is checked without it."""

from __future__ import annotations

from methodbench.config import config


@config
class NormsConfig:
    """Update norms of every block: nothing to choose."""
