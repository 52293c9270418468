"""A real byte-pair tokenizer, trained on the spot on the family's own filler."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.longcontext.filler import Endless, sentence


@cache
def trained() -> PreTrainedTokenizerFast:
    """Some 600 tokens: most words are two or three."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    inner.train_from_iterator(Endless(Random(0), sentence).first(1000), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", model_max_length=10**12)


def saved(folder: Path) -> str:
    """The same as a folder, for a config."""
    trained().save_pretrained(folder)
    return str(folder)
