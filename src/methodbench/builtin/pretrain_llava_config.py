"""What `pretrain_llava` can be told; apart from its driver so that reading a study imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from methodbench.config import config, field
from methodbench.method import Traits

IMAGE_TOKEN = "<image>"


@config
class PretrainLlavaConfig:
    """A small LLaVA around a ready vision tower; projector and language model from scratch, loss on completions."""

    language: dict[str, Any] = field(default_factory=dict)  # LlamaConfig: hidden_size, num_hidden_layers, ...
    vision_feature_layer: int = -2  # the tower's hidden states that are projected
    vision_feature_select_strategy: Literal["default", "full"] = "default"  # default: patches without the class token
    freeze_vision: bool = False
    # Strings that are one token each. The layout of prompts has two, which would cost a token a capital letter.
    special_tokens: tuple[str, ...] = ("USER:", "ASSISTANT:")
    end_token: str = "<|end|>"
    steps: int = field(600, ge=1)
    batch_size: int = field(64, ge=1)
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for matrices; AdamW with `learning_rate` for the rest
    learning_rate: float = field(3e-3, gt=0)
    muon_rate: float = field(0.05, gt=0)  # its own learning rate, on the same schedule
    warmup_steps: int = field(50, ge=0)
    weight_decay: float = field(0.01, ge=0)
    max_grad_norm: float = field(1.0, gt=0)
    save_every: int = field(200, ge=1)  # steps between training states to resume from


def pretrain_llava_traits(settings: PretrainLlavaConfig, parents: tuple[Traits, ...]) -> Traits:
    """The image placeholder and the special tokens are single ids by construction."""
    return Traits(architecture="llava", tokens=frozenset({IMAGE_TOKEN, *settings.special_tokens}))
