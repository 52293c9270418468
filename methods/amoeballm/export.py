"""A subnet as an ordinary model: fewer layers, heads and neurons, adapters folded in (sheet 2.7, 7.3).

For every layer that stays, in its new place:

    W      = W_base + delta(layer, linear; shape)        gate without noise, summed in float32 or better
    q,k,v  = rows of the kept groups                     o    = those columns, bias + mask.attention_bias
    gate,up = rows of the kept neurons                   down = those columns, bias + mask.mlp_bias

Layers that keep fewer units than the widest get zero units: a zero value vector and a zero column add nothing, so that
logits are those of the masked model up to the order of sums.
"""

from __future__ import annotations

import copy
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel

from methodbench.checkpoint import Checkpoint
from methods.amoeballm import adapters as adapter_files
from methods.amoeballm import subnets as subnet_files
from methods.amoeballm.adapters import Adapters
from methods.amoeballm.architecture import Target, settings, target
from methods.amoeballm.blocks import LINEARS, Geometry, blocks, cuttable, geometry, linear, place
from methods.amoeballm.extract_config import CutConfig
from methods.amoeballm.subnets import FROZEN, MEASURES, Mask, Subnets
from methods.amoeballm.times import Times


def opened(checkpoint: Checkpoint) -> tuple[PreTrainedModel, Any, Subnets, Adapters | None]:
    """The frozen base, its tokenizer, the selection, and the adapters of a fine-tuned checkpoint.

    Raises:
        UserError: quantised weights, blocks that are not understood, or no selection.
    """
    found = subnet_files.read(checkpoint.path)
    frozen = checkpoint.path / FROZEN
    base = Checkpoint(frozen, checkpoint.name) if frozen.is_dir() else checkpoint
    model, tokenizer = cuttable(base)
    return model, tokenizer, found, adapter_files.read(checkpoint.path)


@torch.no_grad()
def extracted(
    base: PreTrainedModel,
    subnets: Subnets,
    adapters: Adapters | None,
    depth: int,
    width: float,
    config: CutConfig,
    where: str,
) -> PreTrainedModel:
    """The subnet of a depth and width as a new model of its own memory; `base` stays as it is.

    Raises:
        UserError: no such subnet, or a model type that cannot hold it; `where` names the file.
    """
    aim = target(base, subnets, depth, width, config, where)
    mask = subnets.mask(width, where)
    active = subnets.active(depth, where)
    sizes = geometry(base)
    inner = f"{base.base_model_prefix}.layers."
    state = {name: value.clone() for name, value in base.named_parameters() if not name.startswith(inner)}
    for index, layer in enumerate(aim.layers):
        block = blocks(base)[layer]
        places = {place(name) for name in LINEARS}
        for name, value in block.named_parameters():
            if name.rpartition(".")[0] not in places:  # norms
                state[f"{inner}{index}.{name}"] = value.clone()
        units = _units(mask, layer, sizes, aim, config.layout)
        for name in LINEARS:
            old = linear(block, name)
            delta = None if adapters is None else adapters.delta(layer, name, active, width)
            dim = 1 if name in ("o_proj", "down_proj") else 0
            state[f"{inner}{index}.{place(name)}.weight"] = units[name].moved(_sum(old.weight, delta), dim)
            if name in aim.biases:
                out = old.out_features
                bias = old.weight.new_zeros(out) if old.bias is None else old.bias
                if dim == 0:
                    bias = units[name].moved(bias, 0)
                elif mask is not None and config.bias and name not in aim.dropped:
                    bias = _sum(bias, (mask.attention_bias if name == "o_proj" else mask.mlp_bias), layer)
                state[f"{inner}{index}.{place(name)}.bias"] = bias.clone()
    made = built(settings(base, aim), state)
    made.generation_config = copy.deepcopy(base.generation_config)
    return made


def built(config: PreTrainedConfig, state: Mapping[str, Tensor]) -> PreTrainedModel:
    """A model in evaluation mode whose parameters are the tensors of `state`, not copied."""
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    with torch.device("meta"):
        made: PreTrainedModel = kind(config)
    made.load_state_dict(state, strict=False, assign=True)
    made.tie_weights()
    inner: Any = made.get_decoder()
    inner.rotary_emb = type(inner.rotary_emb)(config).to(next(iter(state.values())).device)
    empty = [name for name, value in [*made.named_parameters(), *made.named_buffers()] if value.is_meta]
    if empty:
        raise AssertionError(f"no weights for {empty}")
    made.eval()
    return made


def save(model: PreTrainedModel, tokenizer: Any, out: Path) -> None:
    """Write model and tokenizer as a checkpoint that `from_pretrained` opens without code of its own."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def checked(model: PreTrainedModel, sizes: Geometry, aim: Target) -> int:
    """The number of parameters, counted and computed.

    Raises:
        AssertionError: they differ.
    """
    real, analytic = sum(value.numel() for value in model.parameters()), sizes.parameters(aim.units, aim.biases)
    if real != analytic:
        raise AssertionError(f"the subnet has {real:,} parameters, {analytic:,} were expected")
    return real


def write_measures(
    out: Path, subnets: Subnets, depth: int, width: float, sizes: Geometry, parameters: int, times: Times | None = None
) -> None:
    """A row a layer of the parent: whether it stays, groups and neurons that it keeps; and the whole subnet's size.

    With `times`, that of its shape as well: ms a token, and the share of the full model's.
    """
    mask, active = subnets.mask(width, str(out)), subnets.active(depth, str(out))
    with (out / MEASURES).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        head = ["layer", "kept", "groups", "neurons", "depth", "width", "parameters", "share"]
        table.writerow([*head, "ms_per_token", "latency"] if times else head)
        for layer, runs in enumerate(active):
            units = (sizes.groups, sizes.neurons)
            if mask is not None:
                units = int(mask.groups[layer].sum()), int(mask.neurons[layer].sum())
            kept = units if runs else (0, 0)
            row = [layer, int(runs), *kept, depth, f"{width:g}", parameters, f"{parameters / sizes.whole:.6g}"]
            table.writerow([*row, *times] if times else row)


class _Units:
    """Which rows or columns of a matrix stay, where they come to lie, and how many there are then."""

    def __init__(self, kept: Tensor | None, step: int, size: int, in_place: bool) -> None:
        """`kept` [units] bool, None for all; a unit is `step` channels; the new matrix has `size` units."""
        self.size = size * step
        if kept is None or bool(kept.all()):
            self.channels: Tensor | None = None
            return
        self.channels = (kept.nonzero() * step + torch.arange(step)).flatten()
        self.places = self.channels if in_place else torch.arange(len(self.channels))

    def moved(self, matrix: Tensor, dim: int) -> Tensor:
        """A new matrix of the kept channels, zero elsewhere."""
        if self.channels is None:
            return matrix.clone()
        shape = list(matrix.shape)
        shape[dim] = self.size
        kept = matrix.index_select(dim, self.channels.to(matrix.device))
        return matrix.new_zeros(shape).index_copy_(dim, self.places.to(matrix.device), kept)


def _units(mask: Mask | None, layer: int, sizes: Geometry, aim: Target, layout: str) -> dict[str, _Units]:
    groups, neurons = (None, None) if mask is None else (mask.groups[layer].cpu(), mask.neurons[layer].cpu())
    zeroed = layout == "zero"
    queries = _Units(groups, sizes.per_group * sizes.head_dim, aim.groups, zeroed)
    keys = _Units(groups, sizes.head_dim, aim.groups, zeroed)
    hidden = _Units(neurons, 1, aim.neurons, zeroed)
    of_attention = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "o_proj": queries}
    return of_attention | dict.fromkeys(("gate_proj", "up_proj", "down_proj"), hidden)


def _sum(value: Tensor, delta: Tensor | None, layer: int | None = None) -> Tensor:
    """`value` plus `delta` (its row `layer`), summed in float32 or better, in the type of `value`."""
    if delta is None:
        return value
    added = delta if layer is None else delta[layer]
    wide = torch.promote_types(value.dtype, torch.float32)
    return (value.to(wide) + added.to(value.device, wide)).to(value.dtype)
