"""Models of four layers, selections of them drawn at random, and masking by hand, for the tests of cutting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from methodbench.checkpoint import Checkpoint
from methods.amoeballm import subnets as subnet_files
from methods.amoeballm.blocks import blocks, geometry, linear, skipping
from methods.amoeballm.subnets import Mask, Subnets
from tests import pico

LAYERS = 4
REMOVED = {0: (), 1: (0,), 2: (1, 2)}


def model(kind: str = "llama", heads: int = 4, groups: int = 2, tied: bool = False, **settings: Any) -> PreTrainedModel:
    """Hidden 32, heads of 8, 24 neurons; biases, where the type has some, are not zero."""
    values: dict[str, Any] = {
        "vocab_size": pico.VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": 8,
        "intermediate_size": 24,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
        "rms_norm_eps": 3e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 777.0},
        "tie_word_embeddings": tied,
        "pad_token_id": pico.PAD,
        "bos_token_id": None,
        "eos_token_id": pico.EOS,
    }
    if kind == "mistral":
        values["sliding_window"] = None
    if kind == "seed_oss":
        values |= {"attention_dropout": 0.0, "residual_dropout": 0.0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **values | settings))
        for name, value in made.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(value, std=0.3)
            elif "norm" in name:
                torch.nn.init.uniform_(value, 0.5, 1.5)
    return made.eval()


def selection(base: PreTrainedModel, adaptive: bool = True, bias: bool = True, seed: int = 0) -> Subnets:
    """Widths 3/4 and 1/2; adaptive: at 1/2 the last layer keeps no group, and the others unequal counts."""
    sizes = geometry(base)
    generator = torch.Generator().manual_seed(seed)

    def mask(ratio: float) -> Mask:
        parts = []
        for units in (sizes.groups, sizes.neurons):
            scores = torch.rand(sizes.layers, units, generator=generator)
            threshold = scores.sort(descending=True).values[:, max(1, round(ratio * units)) - 1, None]
            parts.append(scores >= threshold)
        if adaptive:
            parts[0][-1] = False
            parts[1][0, : sizes.neurons // 2] = False
        shift = [torch.randn(sizes.layers, sizes.hidden, generator=generator) if bias else None for _ in range(2)]
        return Mask(*parts, *shift)

    return Subnets(sizes.layers, REMOVED, {}, {0.75: mask(0.75), 0.5: mask(0.5)})


@contextmanager
def masked(base: PreTrainedModel, subnets: Subnets, depth: int, width: float, bias: bool = True) -> Iterator[None]:
    """Within the context `base` skips layers and masks outputs as the subnet says; call it without a cache."""
    sizes, mask = geometry(base), subnets.mask(width, "test")
    hooks = []

    def hook(block: Any, name: str, factor: Tensor | None, shift: Tensor | None) -> None:
        def change(_: Any, __: Any, out: Tensor) -> Tensor:
            out = out if factor is None else out * factor.to(out.dtype)
            return out if shift is None else out + shift.to(out.dtype)

        hooks.append(linear(block, name).register_forward_hook(change))

    for layer, block in enumerate(blocks(base) if mask is not None else []):
        assert mask is not None
        heads = mask.groups[layer].repeat_interleave(sizes.per_group * sizes.head_dim)
        hook(block, "q_proj", heads, None)
        for name in ("k_proj", "v_proj"):
            hook(block, name, mask.groups[layer].repeat_interleave(sizes.head_dim), None)
        for name in ("gate_proj", "up_proj"):
            hook(block, name, mask.neurons[layer], None)
        if bias and mask.attention_bias is not None and mask.mlp_bias is not None:
            hook(block, "o_proj", None, mask.attention_bias[layer])
            hook(block, "down_proj", None, mask.mlp_bias[layer])
    with skipping(base, subnets.active(depth, "test")):
        yield
    for one in hooks:
        one.remove()


def ids(rows: int = 2, length: int = 12) -> Tensor:
    """Token ids that name no special token."""
    generator = torch.Generator().manual_seed(5)
    return torch.randint(len(pico.SPECIAL), pico.VOCABULARY, (rows, length), generator=generator)


def logits(one: PreTrainedModel) -> Tensor:
    """Of `ids`, without a cache."""
    call: Any = one
    with torch.no_grad():
        return call(input_ids=ids(), use_cache=False).logits  # type: ignore[no-any-return]


def checkpoint(folder: Path, base: PreTrainedModel, subnets: Subnets | None) -> Checkpoint:
    """A parent on disk."""
    base.save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    if subnets is not None:
        subnet_files.write(folder, subnets)
    return Checkpoint(folder, "parent")
