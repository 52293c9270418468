"""Pico checkpoints that look like the published models from outside: tokenizer, chat template, thinking tokens.

Chat models. Like Qwen3: no text before the prompt, the model opens its thinking itself, `enable_thinking: false`
closes it. Like the R1 distillations of Llama: a token begins every text, and the prompt ends in an opened thought.
Models that are asked without a template: Qwen2, whose embeddings are its head, too; Llama's base models, whose texts
begin with a token; and the state-space models Mamba-1, Falcon-Mamba, Mamba-2, and Zamba2, whose texts begin with a
token and whose attention has rotary positions. The weights are random; hidden size 32, two layers, but four of Llama's
base models, so that layers and heads can be taken away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

THINKING = ("<think>", "</think>")
SENTENCES = [
    "Please reason step by step, and put your final answer within \\boxed{}.",
    "How many rolls are left? A baker fills 6 trays with 8 rolls each and sells 19 rolls.",
    "Write a function that returns the largest of three numbers.\n\ndef largest(a, b, c):\n    return max(a, b, c)\n",
    "Question: Where? Context: Passage 1. The final answer is four.",
]
QWEN = (
    "{% for message in messages %}<|im_start|>{{ message.role + '\n' + message.content }}<|im_end|>{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>{{ 'assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
R1 = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}<|User|>{{ message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>{{ '\n' }}{% endif %}"
)
SPECIAL = {
    "qwen3": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama": ["<|begin|>", "<|end|>", "<|User|>", "<|Assistant|>"],
}
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2": {
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 64,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
    "llama_base": {
        "model_type": "llama",
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 8192,
    },
    "mamba": {"state_size": 8},
    "falcon_mamba": {"state_size": 8},
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 2},
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid"],
        "n_mamba_heads": 4,
        "mamba_d_state": 8,
        "mamba_ngroups": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "adapter_rank": 4,
        "use_mem_rope": True,
    },
}
FAMILIES = ("qwen3", "llama", *SHAPES)


def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE of some 400 tokens; the thinking tokens are single, and (as published) not special."""
    qwen = family == "qwen3"
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL[family], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(SENTENCES, trainer)
    core.add_tokens([AddedToken(token, special=False, normalized=False) for token in THINKING])
    if not qwen:  # such tokenizers put the first token before every text that is encoded plainly
        core.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", core.token_to_id("<|begin|>"))]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=None if qwen else "<|begin|>",
        eos_token="<|im_end|>" if qwen else "<|end|>",
        pad_token="<|endoftext|>" if qwen else "<|end|>",
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = QWEN if qwen else R1
    return made


def plain_tokenizer(begins: bool) -> PreTrainedTokenizerFast:
    """A byte-level BPE of some 400 tokens without a template; a token begins every text, or none."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    end, begin = "<|endoftext|>", "<|begin|>"
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[end, begin], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(SENTENCES, trainer)
    if begins:
        core.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", pair=f"{begin} $A $B", special_tokens=[(begin, core.token_to_id(begin))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=begin if begins else None,
        eos_token=end,
        pad_token=end,
        clean_up_tokenization_spaces=False,
    )


def write_completing(folder: Path, family: str) -> Path:
    """A whole checkpoint of one of `SHAPES`."""
    words = plain_tokenizer(begins=family in ("zamba2", "llama_base"))
    settings = AutoConfig.for_model(
        vocab_size=len(words),
        hidden_size=32,
        initializer_range=0.4,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        **{"model_type": family, "num_hidden_layers": 2, **SHAPES[family]},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(settings)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def write(folder: Path, family: str) -> Path:
    """A whole checkpoint of one of `FAMILIES` in `folder`, as `save_pretrained` writes it."""
    if family in SHAPES:
        return write_completing(folder, family)
    words = tokenizer(family)
    shape = dict(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=64,
        max_position_embeddings=4096,
        initializer_range=0.4,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Qwen3ForCausalLM(Qwen3Config(**shape)) if family == "qwen3" else LlamaForCausalLM(LlamaConfig(**shape))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
