"""Models of a few layers, and calibration sets for them; the tokenizer has a token for each character."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests import pico

KINDS = ("llama", "mistral", "qwen2", "qwen3", "seed_oss")
LAYERS = 6


def model(kind: str = "llama", layers: int = LAYERS, seed: int = 0) -> PreTrainedModel:
    """A random model with two query heads to a group, in evaluation mode."""
    config = CONFIG_MAPPING[kind](
        vocab_size=pico.VOCABULARY,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=48,
        max_position_embeddings=pico.POSITIONS,
        initializer_range=0.2,
        pad_token_id=pico.PAD,
        bos_token_id=None,
        eos_token_id=pico.EOS,
        **({"sliding_window": 8} if kind == "mistral" else {}),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).eval()


def question_rows(count: int = 13, single: bool = True) -> list[dict[str, Any]]:
    """Questions of several lengths, of three kinds of different sizes; options of one token or of several."""
    rng = Random(1)
    rows = []
    for number in range(count):
        options = [" A", " B", " C", " D"] if not single else list("ABCD")
        if not single:
            options = [option + "xy"[: rng.randrange(3)] for option in options]
        prompt = "".join(rng.choices("abcdefg hij", k=rng.randrange(3, 20))) + "?"
        kind = "large" if number % 3 else ("small" if number % 2 else "other")
        rows.append({"prompt": prompt, "options": options, "label": rng.randrange(4), "kind": kind})
    return rows


def text_rows(count: int = 20) -> list[dict[str, Any]]:
    """Rows of text."""
    rng = Random(2)
    return [{"text": "".join(rng.choices("abcdefg hij", k=rng.randrange(10, 30)))} for _ in range(count)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
