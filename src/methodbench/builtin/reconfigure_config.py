"""What `reconfigure` can be told; apart from its driver so that reading a study imports no torch."""

from __future__ import annotations

from typing import Any

from methodbench.config import config, field


@config
class ReconfigureConfig:
    """Values of the model's config.json; a dotted key reaches inside, as ``rope_parameters.rope_theta`` does."""

    values: dict[str, Any] = field(default_factory=dict)
