"""The residual stream: what every decoder block of a model is given, and what the last one gives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methods.amoeballm.blocks import blocks


@torch.inference_mode()
def residual_stream(model: PreTrainedModel, ids: Tensor) -> list[Tensor]:
    """Inputs of the L blocks, and the last one's output *before* the final norm: L + 1 tensors [B, T, width].

    transformers' own hidden states end behind the final norm, which is no part of any block.

    Args:
        ids: [B, T] token ids; padding stands on the right.
    """
    states: list[Tensor] = []

    def before(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        states.append(given[0] if given else named["hidden_states"])

    def after(_: Any, __: Any, output: Tensor) -> None:
        states.append(output)

    layers = blocks(model)
    hooks = [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in layers]
    hooks.append(layers[-1].register_forward_hook(after))
    try:
        decoder: Any = model.get_decoder()
        decoder(input_ids=ids, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return states
