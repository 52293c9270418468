"""Merges model folders by streaming over their safetensors files: elementwise, exact, in constant memory.

Nothing but torch is imported for it, and that only when a merge begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from methodbench.merging.config import MergeConfig


def merge(
    parents: Sequence[Path],
    out: Path,
    settings: MergeConfig,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Merge the model folders `parents` (the models, then last the base) into the new folder `out`.

    `progress` is called with the bytes written so far and all that will be. A merge that was killed goes on where it
    stopped when it is called again in the same way, and ends with the same bytes.

    Returns:
        What ``merge.json`` in `out` holds.

    Raises:
        UserError: the folders do not fit each other or the settings, or `out` holds something already.
    """
    from methodbench.merging.engine import merge_folders

    return merge_folders(parents, out, settings, seed, progress)
