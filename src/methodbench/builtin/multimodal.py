"""Ordinary greedy decoding with pictures: the baseline of every runtime that changes how an image-text model is run."""

from __future__ import annotations

from methodbench.builtin.multimodal_config import MultimodalConfig
from methodbench.multimodal import MultimodalLM


class PlainMultimodalLM(MultimodalLM):
    """`MultimodalLM` as it is."""

    settings: MultimodalConfig
