"""Model folders of a few hundred random entries, made in a moment, and their weights read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from methodbench.merging import merge
from methodbench.merging.config import MergeConfig

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 23, "tie_word_embeddings": False}
VOCABULARY = {chr(97 + index): index for index in range(23)}
SHAPES = {
    "model.embed_tokens.weight": (23, 8),
    "model.layers.0.mlp.up_proj.weight": (31, 8),
    "model.layers.0.self_attn.q_proj.weight": (8, 8),
    "model.layers.1.mlp.up_proj.weight": (31, 8),
    "model.layers.2.mlp.up_proj.weight": (31, 8),
    "model.norm.weight": (8,),
    "lm_head.weight": (23, 8),
}
Tensors = dict[str, Tensor]


def tensors(seed: int, dtype: torch.dtype = torch.float32, scale: float = 0.02) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: (torch.randn(shape, generator=generator) * scale).to(dtype) for name, shape in SHAPES.items()}


def near(base: Tensors, seed: int, scale: float = 1e-3) -> Tensors:
    """What a fine-tuning might make of it; every tenth entry stays as it is."""
    generator = torch.Generator().manual_seed(seed)
    moved = {}
    for name, tensor in base.items():
        step = torch.randn(tensor.shape, generator=generator) * scale
        step[torch.rand(tensor.shape, generator=generator) < 0.1] = 0
        moved[name] = (tensor.float() + step).to(tensor.dtype)
    return moved


def write(path: Path, weights: Tensors, vocabulary: dict[str, int] | None = None, **config: Any) -> Path:
    path.mkdir(parents=True)
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(CONFIG | config))
    words = {"model": {"type": "WordLevel", "vocab": vocabulary or VOCABULARY}, "added_tokens": []}
    (path / "tokenizer.json").write_text(json.dumps(words))
    return path


def read(path: Path) -> Tensors:
    found: Tensors = {}
    for file in sorted(path.glob("*.safetensors")):
        found |= load_file(file)
    return found


def merged(out: Path, *parents: Path, seed: int = 0, **settings: Any) -> Tensors:
    """Merge into the new folder `out` and read the weights."""
    merge(parents, out, MergeConfig(**settings), seed)
    return read(out)


def same(one: Tensors, other: Tensors) -> bool:
    """Equal values, types and names."""
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one
    )


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


BASE = tensors(0)
TUNED, OTHER = near(BASE, 1), near(BASE, 2)
