"""What baselines look at to tell which layers matter little. Scores are lists of L numbers; the lowest go first.

block influence    1 - mean over tokens of cos(input, output) of a block (ShortGPT, arXiv 2403.03853)
angular distance   arccos(cos) / pi between the inputs of two layers at the last token of a window, averaged over
                   windows (The Unreasonable Ineffectiveness of the Deeper Layers, arXiv 2403.17887)
perplexity         how much the mean log-likelihood of a token falls where the layer alone is left out, which orders
                   layers as the perplexity does (Shortened LLaMA, arXiv 2402.02834)
taylor             sum of |w dL/dw| over a block's linears, L the mean loss of a token (the same, Taylor+)
magnitude          sum of |w| over a block's linears
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize
from transformers import PreTrainedModel

from methodbench.joblog import Log
from methods.amoeballm.blocks import LINEARS, blocks, linear
from methods.amoeballm.calibrating import Calibration
from methods.amoeballm.config import DepthConfig
from methods.amoeballm.stream import residual_stream


def block_influence(model: PreTrainedModel, windows: Tensor, batch_size: int) -> list[float]:
    """Of `windows` [N, T] of token ids."""
    sums = torch.zeros(len(blocks(model)), dtype=torch.float64)
    for ids in windows.split(batch_size):
        states = [state.double() for state in residual_stream(model, ids.to(model.device))]
        for layer in range(len(sums)):
            sums[layer] += cosine_similarity(states[layer], states[layer + 1], dim=-1).sum().cpu()
    return (1 - sums / windows.numel()).tolist()


def angular_distances(model: PreTrainedModel, windows: Tensor, batch_size: int) -> list[list[float]]:
    """``[start][stop]``: between the inputs of layers `start` and `stop`; layer L is the output of the last block."""
    parts = []
    for ids in windows.split(batch_size):
        states = residual_stream(model, ids.to(model.device))
        parts.append(torch.stack([normalize(state[:, -1].double().cpu(), dim=-1) for state in states]))
    units = torch.cat(parts, 1)  # [L + 1, N, width]
    cosines = torch.einsum("and,bnd->abn", units, units).clamp(-1, 1)
    return (cosines.arccos().mean(-1) / math.pi).tolist()


def likelihood_falls(
    model: PreTrainedModel, tokenizer: Any, path: Path, config: DepthConfig, seed: int, log: Log
) -> list[float]:
    """Of windows of the text in `path`, by one evaluation a layer and one of the full model.

    Raises:
        UserError: rows without text, or too little of it.
    """
    calibration = Calibration(model, tokenizer, path, config, seed)
    full = calibration.metric(())
    falls = []
    for layer in range(len(blocks(model))):
        log.progress(layer, len(blocks(model)), "layer")
        falls.append(full - calibration.metric((layer,)))
    return falls


def taylor(model: PreTrainedModel, windows: Tensor, batch_size: int) -> list[float]:
    """Of the gradient of the mean loss over `windows` [N, T] of token ids. Parameters get no lasting ``grad``."""
    model.eval()
    wanted = [weight for layer in weights(model) for weight in layer]
    had = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.requires_grad_(False)
    for weight in wanted:
        weight.requires_grad_(True)
    try:
        with torch.enable_grad():
            for ids in windows.to(model.device).split(batch_size):
                loss: Tensor = model(input_ids=ids, labels=ids, use_cache=False).loss
                (loss * (len(ids) / len(windows))).backward()
        return [math.fsum(_size(weight * _gradient(weight)) for weight in layer) for layer in weights(model)]
    finally:
        for name, parameter in model.named_parameters():
            parameter.grad = None
            parameter.requires_grad_(had[name])


def magnitude(model: PreTrainedModel) -> list[float]:
    """Of the weights alone."""
    return [math.fsum(_size(weight) for weight in layer) for layer in weights(model)]


def weights(model: PreTrainedModel) -> Iterator[Sequence[nn.Parameter]]:
    """Of every block the weights of its linears."""
    for block in blocks(model):
        yield [linear(block, name).weight for name in LINEARS]


def _gradient(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


def _size(values: Tensor) -> float:
    return float(values.detach().abs().sum(dtype=torch.float64))
