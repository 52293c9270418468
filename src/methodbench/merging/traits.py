"""What is known of a merged checkpoint before it exists."""

from __future__ import annotations

from methodbench.merging.config import MergeConfig
from methodbench.method import Traits


def merge_traits(settings: MergeConfig, parents: tuple[Traits, ...]) -> Traits:
    """The base's architecture and the copied tokenizer's tokens; what else a parent carries is not merged."""
    tokenizer = parents[0 if settings.tokenizer_from == "first" else -1]
    return Traits(architecture=parents[-1].architecture, tokens=tokenizer.tokens)
