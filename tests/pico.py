"""Models and a tokenizer small enough to be made on the spot: vocabulary 97, hidden 32, 2 layers, float32."""

from __future__ import annotations

import string
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    FalconMambaConfig,
    FalconMambaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Zamba2Config,
    Zamba2ForCausalLM,
)

VOCABULARY = 97
SPECIAL = ["<pad>", "<eos>", "<think>", "</think>"]
PAD, EOS, THINK, END_THINK = range(4)
CHARACTERS = (string.ascii_letters + string.digits + " \n.,:;?!+-*/=()'#&%$@_<>[]{}^")[: VOCABULARY - len(SPECIAL)]
POSITIONS = 512


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, and four special ones."""
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *CHARACTERS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=SPECIAL[PAD],
        eos_token=SPECIAL[EOS],
        additional_special_tokens=SPECIAL[2:],
        clean_up_tokenization_spaces=False,
    )


def model(kind: str = "qwen3", seed: int = 0) -> PreTrainedModel:
    """A random model whose weights are large enough for tokens to differ in probability."""
    shape = dict(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        initializer_range=0.4,
        pad_token_id=PAD,
        bos_token_id=None,
        eos_token_id=EOS,
    )
    attention = dict(
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _made(kind, shape, attention).eval()


def _made(kind: str, shape: dict[str, Any], attention: dict[str, Any]) -> PreTrainedModel:
    if kind == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shape, **attention))
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape, **attention))
    if kind == "mistral":  # a sliding window, which the longer rows outgrow
        return MistralForCausalLM(MistralConfig(**shape, **attention, sliding_window=8))
    if kind == "gpt2":  # absolute positions
        return GPT2LMHeadModel(GPT2Config(**shape, n_head=4, n_positions=POSITIONS))
    if kind == "mamba":  # no attention at all
        return MambaForCausalLM(MambaConfig(**shape, state_size=8))
    if kind == "falcon_mamba":
        return FalconMambaForCausalLM(FalconMambaConfig(**shape, state_size=8))
    if kind == "mamba2":  # two groups of two heads
        return Mamba2ForCausalLM(Mamba2Config(**shape, num_heads=4, head_dim=16, state_size=8, n_groups=2))
    if kind == "zamba2":  # a Mamba-2 layer, then one that shares its block with attention
        return Zamba2ForCausalLM(
            Zamba2Config(
                **shape,
                layers_block_type=["linear_attention", "hybrid"],
                n_mamba_heads=4,
                mamba_d_state=8,
                mamba_ngroups=2,
                num_attention_heads=4,
                intermediate_size=64,
                adapter_rank=4,
                max_position_embeddings=POSITIONS,
            )
        )
    raise ValueError(kind)
