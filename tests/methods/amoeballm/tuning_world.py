"""A pico model of three layers with a selection: two depths below, two widths, GQA, biases that make up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from methods.amoeballm.subnets import Mask, Subnets, write
from methods.amoeballm.supernet import Supernet
from tests import pico

LAYERS, GROUPS, NEURONS, HIDDEN = 3, 2, 64, 32
TEXTS = [("Where is the " + "big " * n + "hat?", f" in the box {n}") for n in range(7)]
KINDS = ("llama", "mistral", "qwen2", "qwen3")


def model(kind: str = "llama", dtype: torch.dtype = torch.float64, seed: int = 0) -> PreTrainedModel:
    """Random weights; qwen2 has biases at q, k and v."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config: Any = None
        if kind == "qwen2":
            made: Any = Qwen2ForCausalLM(Qwen2Config(**_shape()))
        else:
            config = pico.model(kind).config
            config.num_hidden_layers = LAYERS
            if getattr(config, "layer_types", None):
                config.layer_types = [config.layer_types[0]] * LAYERS
            made = AutoModelForCausalLM.from_config(config)
        for name, parameter in made.named_parameters():
            if name.endswith(".bias"):
                parameter.data.normal_()
    ready: PreTrainedModel = made.to(dtype).eval()
    return ready


def _shape() -> dict[str, Any]:
    return dict(
        vocab_size=pico.VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        initializer_range=0.4,
        num_attention_heads=4,
        num_key_value_heads=GROUPS,
        intermediate_size=NEURONS,
        max_position_embeddings=pico.POSITIONS,
        pad_token_id=pico.PAD,
        bos_token_id=None,
        eos_token_id=pico.EOS,
    )


def masks(bias: bool = True) -> dict[float, Mask]:
    """Other units in every layer; layer 1 loses all its groups at width 0.5."""
    generator = torch.Generator().manual_seed(5)

    def one(ratio: float, groups: list[list[bool]]) -> Mask:
        neurons = torch.rand(LAYERS, NEURONS, generator=generator) < ratio
        biases = [0.3 * torch.randn(LAYERS, HIDDEN, generator=generator) if bias else None for _ in range(2)]
        return Mask(torch.tensor(groups), neurons, *biases)

    return {
        0.5: one(0.5, [[True, False], [False, False], [False, True]]),
        0.75: one(0.75, [[True, True], [False, True], [True, True]]),
    }


def subnets() -> Subnets:
    """Depths 3, 2 and 1, which are not nested."""
    return Subnets(LAYERS, {0: (), 1: (1,), 2: (0, 2)}, {0: -1.0, 1: -2.0, 2: -3.0}, masks())


def shaken(net: Supernet, seed: int = 1) -> Supernet:
    """The supernet with experts that change something."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in net.trained().items():
        if name.endswith(".b"):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data.copy_(0.2 * noise)
    return net


def supernet(kind: str = "llama", **settings: Any) -> Supernet:
    """A supernet in float64 with small experts."""
    torch.manual_seed(2)
    net = Supernet(model(kind), masks(), **{"rank": 3, "alpha": 6, "hidden": 4, **settings})
    net.eval()
    return net


def ids() -> torch.Tensor:
    """A batch of two rows."""
    return torch.randint(4, pico.VOCABULARY, (2, 11), generator=torch.Generator().manual_seed(3))


def checkpoint(folder: Path, kind: str = "llama") -> Path:
    """A float32 checkpoint with a selection."""
    model(kind, torch.float32).save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    write(folder, subnets())
    return folder


def rows(file: Path) -> Path:
    """Prompts of several lengths, with completions."""
    lines = [json.dumps({"prompt": prompt, "completion": completion}) + "\n" for prompt, completion in TEXTS]
    file.write_text("".join(lines), encoding="utf-8")
    return file
