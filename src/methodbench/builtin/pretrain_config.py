"""What `pretrain` can be told; apart from its driver so that reading a study imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from methodbench.config import config, field
from methodbench.errors import UserError
from methodbench.method import Traits


@config
class PretrainConfig:
    """A small model on ``{"prompt", "completion"}`` rows, from scratch or on from a parent; the loss is on completions.

    The first four keys make a new model; one that is trained on brings its own.
    """

    architecture: str = "qwen3"  # transformers' model_type
    shape: dict[str, Any] = field(default_factory=dict)  # its config: hidden_size, num_hidden_layers, ...
    special_tokens: tuple[str, ...] = ("<think>", "</think>")
    end_token: str = "<|end|>"
    steps: int = field(1000, ge=1)
    batch_size: int = field(64, ge=1)
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for matrices; AdamW with `learning_rate` for the rest
    learning_rate: float = field(3e-3, gt=0)
    muon_rate: float = field(0.05, gt=0)  # its own learning rate, on the same schedule
    warmup_steps: int = field(50, ge=0)
    # Rows of like length together, long to short (grouped) or in random order (mixed), or any rows (random): slower,
    # but where one question has a short answer and a long one, the model learns how often each comes.
    batches: Literal["grouped", "mixed", "random"] = "grouped"
    weight_decay: float = field(0.01, ge=0)
    max_grad_norm: float = field(1.0, gt=0)
    max_length: int = field(256, ge=8)  # tokens; longer rows are left out and counted
    save_every: int = field(200, ge=1)  # steps between training states to resume from


def pretrain_traits(settings: PretrainConfig, parents: tuple[Traits, ...]) -> Traits:
    """A parent's, or of a new model, whose special tokens are single ids by construction.

    Raises:
        UserError: a parent, and a shape for a new model.
    """
    if parents:
        if settings.shape:
            raise UserError(
                f"key 'shape': given {settings.shape}, but a model that is trained on keeps its parent's shape; "
                "leave the key out, or 'from'"
            )
        return Traits(parents[0].architecture, parents[0].tokens)
    return Traits(architecture=settings.architecture, tokens=frozenset(settings.special_tokens))
