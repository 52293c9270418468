"""What `pretrain_vision` can be told; apart from its driver so that reading a study imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from methodbench.config import config, field
from methodbench.method import Traits

ARCHITECTURE = "clip_vision_model"


@config
class PretrainVisionConfig:
    """A CLIP vision tower from scratch on labelled pictures; one cross-entropy a label, summed."""

    shape: dict[str, Any] = field(default_factory=dict)  # CLIPVisionConfig: hidden_size, image_size, patch_size, ...
    # The hidden states that the heads read, as a LLaVA on this tower will; layers above it are not trained.
    feature_layer: int = -2
    steps: int = field(1500, ge=1)
    batch_size: int = field(64, ge=1)
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for matrices; AdamW with `learning_rate` for the rest
    learning_rate: float = field(2e-3, gt=0)
    muon_rate: float = field(0.05, gt=0)  # its own learning rate, on the same schedule
    warmup_steps: int = field(50, ge=0)
    weight_decay: float = field(0.01, ge=0)
    max_grad_norm: float = field(1.0, gt=0)
    save_every: int = field(500, ge=1)  # steps between training states to resume from


def pretrain_vision_traits(settings: PretrainVisionConfig, parents: tuple[Traits, ...]) -> Traits:
    """A tower alone: no language model, no tokens."""
    return Traits(architecture=ARCHITECTURE, tokens=frozenset())
