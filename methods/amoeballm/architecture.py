"""Which ordinary model type can hold a subnet, and its config (sheet 7.3; the official code has no extraction).

A config has one number of heads and one of neurons for all layers. transformers refuses a llama whose heads do not
divide the hidden size; a mistral has no biases, a qwen2 those of q, k and v only, a qwen3 none in its MLP; a seed_oss
holds everything but qwen3's norms of heads and sliding windows. `auto` takes the parent's own type where it can hold
the subnet, else mistral, else seed_oss; where none can, the parent's type without the compensations it cannot hold.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from methodbench.errors import UserError
from methods.amoeballm.blocks import Geometry, geometry
from methods.amoeballm.config import ARCHITECTURES
from methods.amoeballm.extract_config import CutConfig
from methods.amoeballm.subnets import Mask, Subnets

QKV, OUT, FEED = frozenset({"q_proj", "k_proj", "v_proj"}), frozenset({"o_proj"}), frozenset({"gate_proj", "up_proj"})
DOWN = frozenset({"down_proj"})
# Linears whose biases a type has or lacks together.
TOGETHER: dict[str, tuple[frozenset[str], ...]] = {
    "llama": (QKV | OUT, FEED | DOWN),
    "mistral": (),
    "qwen2": (QKV,),
    "qwen3": (QKV | OUT,),
    "seed_oss": (QKV, OUT, FEED | DOWN),
}
COMMON = (
    *("vocab_size", "hidden_size", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps"),
    *("use_cache", "pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings", "rope_parameters"),
    "attention_dropout",
)
FOREIGN: dict[str, dict[str, Any]] = {"mistral": {"sliding_window": None}, "seed_oss": {"residual_dropout": 0.0}}
RECORDED = ("model_type", "transformers_version", "architectures", "_name_or_path", "dtype")  # not settings


@dataclass(frozen=True)
class Target:
    """The model that a subnet becomes."""

    architecture: str
    layers: tuple[int, ...]  # of the parent, that stay, ascending
    groups: int  # key and value heads of every layer
    neurons: int  # of every layer
    biases: frozenset[str]  # linears that have one
    dropped: frozenset[str] = frozenset()  # linears whose compensation cannot be held

    @property
    def units(self) -> list[tuple[int, int]]:
        """(groups, neurons) of each layer, as `Geometry.parameters` takes them."""
        return [(self.groups, self.neurons)] * len(self.layers)


def target(base: PreTrainedModel, subnets: Subnets, depth: int, width: float, config: CutConfig, where: str) -> Target:
    """What the subnet of a depth and width becomes.

    Raises:
        UserError: no such subnet, another model's selection, or a type that cannot hold it.
    """
    sizes = geometry(base)
    if subnets.layers != sizes.layers:
        raise UserError(f"{where}: the selection is of {subnets.layers} layers, the model has {sizes.layers}")
    layers = tuple(layer for layer, runs in enumerate(subnets.active(depth, where)) if runs)
    mask = subnets.mask(width, where)
    groups, neurons = sizes.groups, sizes.neurons
    if mask is not None and config.layout == "pad":
        groups, neurons = (max(1, int(kept[list(layers)].sum(1).max())) for kept in (mask.groups, mask.neurons))
    added = compensated(mask, layers) if config.bias else frozenset()
    source = base.config.model_type
    heads = groups * sizes.per_group
    hindrances = {name: _hindrance(name, base.config, sizes, heads, sizes.biases | added) for name in ARCHITECTURES}
    dropped: frozenset[str] = frozenset()
    if config.architecture == "auto":
        able = [name for name in (source, "mistral", "seed_oss") if hindrances[name] is None]
        architecture = able[0] if able else source
        if not able:
            dropped = _homeless(source, sizes.biases | added)
    else:
        architecture = config.architecture
        if reason := hindrances[architecture]:
            able = ["auto", *(name for name in ARCHITECTURES if hindrances[name] is None)]
            given = f"{where}: key 'architecture': given {architecture}, but {reason}"
            raise UserError(f"{given}; allowed: {', '.join(able)}")
    return Target(architecture, layers, groups, neurons, _held(architecture, sizes.biases | added - dropped), dropped)


def compensated(mask: Mask | None, layers: tuple[int, ...]) -> frozenset[str]:
    """The linears to whose outputs a mask adds something in one of `layers`."""
    found = () if mask is None else (("o_proj", mask.attention_bias), ("down_proj", mask.mlp_bias))
    return frozenset(name for name, bias in found if bias is not None and bool(bias[list(layers)].any()))


def settings(base: PreTrainedModel, aim: Target) -> PreTrainedConfig:
    """The config of `aim`: the parent's, with the new sizes."""
    values: dict[str, Any] = copy.deepcopy(base.config.to_dict())
    if aim.architecture != base.config.model_type:
        values = {key: values[key] for key in COMMON if key in values} | FOREIGN.get(aim.architecture, {})
    values = {key: value for key, value in values.items() if key not in RECORDED}
    sizes = geometry(base)
    values |= {
        "num_hidden_layers": len(aim.layers),
        "num_attention_heads": aim.groups * sizes.per_group,
        "num_key_value_heads": aim.groups,
        "head_dim": sizes.head_dim,
        "intermediate_size": aim.neurons,
    }
    if values.get("layer_types"):
        values["layer_types"] = [values["layer_types"][layer] for layer in aim.layers]
    if aim.architecture in ("llama", "qwen3", "seed_oss"):
        values["attention_bias"] = "q_proj" in aim.biases
    if aim.architecture in ("llama", "seed_oss"):
        values["mlp_bias"] = "down_proj" in aim.biases
    if aim.architecture == "seed_oss":
        values["attention_out_bias"] = "o_proj" in aim.biases
    made: PreTrainedConfig = AutoConfig.for_model(aim.architecture, **values)
    made._attn_implementation = base.config._attn_implementation
    return made


def _held(architecture: str, needed: frozenset[str]) -> frozenset[str]:
    """Linears that have a bias in a model of this type when `needed` must have one."""
    together = TOGETHER[architecture]
    return frozenset().union(*(some for some in together if some & needed or architecture == "qwen2"))


def _homeless(architecture: str, needed: frozenset[str]) -> frozenset[str]:
    return needed - frozenset().union(*TOGETHER[architecture])


def _hindrance(
    architecture: str, source: PreTrainedConfig, sizes: Geometry, heads: int, needed: frozenset[str]
) -> str | None:
    """Why a model of this type cannot hold the subnet; None if it can."""
    if architecture == "llama" and sizes.hidden % heads:
        return f"{heads} heads do not divide the hidden size {sizes.hidden}, as a llama's must"
    if sizes.head_norms != (architecture == "qwen3"):
        return "only a qwen3 normalises queries and keys of each head"
    if architecture != source.model_type and windowed(source):
        return f"only the parent's type, {source.model_type}, keeps its sliding window"
    if homeless := _homeless(architecture, needed):
        return f"a {architecture} has no bias in {', '.join(sorted(homeless))} (key 'bias': false does without)"
    return None


def windowed(source: PreTrainedConfig) -> bool:
    """Does attention look back less far than there are positions?"""
    window = getattr(source, "sliding_window", None)
    if window is None or window >= source.max_position_embeddings:
        return False
    kinds = getattr(source, "layer_types", None)
    return kinds is None or "sliding_attention" in kinds
