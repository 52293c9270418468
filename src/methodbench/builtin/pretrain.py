"""Train a small language model inside the graph, from scratch or on from a parent, on rows that a family prepared.

No paper: this is the ground that the mini studies stand on. Tokens are whole words, single digits and symbols, so a
worked trace of one short line costs a handful of tokens; special tokens are single ids.

A row is ``{"prompt", "completion"}`` with the loss on the completion, or ``{"text", "weights"}`` with a loss weight
for each stretch [start, end, weight] of characters and none elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedTokenizerFast, set_seed

from methodbench.builtin.pretrain_config import PretrainConfig
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.muon import MuonAdamW
from methodbench.scans.install import use_fast_scans
from methodbench.training import AlikeInLength, train

PIECES = r"[A-Z]?[a-z]+|[A-Z]|\d|[^\sA-Za-z\d]"  # a word, a capital, a digit, a symbol
BETA2 = 0.98
IGNORED = -100  # label of a token that carries no loss


def pretrain(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: PretrainConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Train on ``data["train"]`` and write the model folder `out`; the training state lives beside `out`.

    With a parent its weights are trained on, with its tokenizer: a word that it does not know is unknown.
    """
    rows = [json.loads(line) for line in data["train"].read_text(encoding="utf-8").splitlines()]
    if not rows:
        raise UserError(f"{data['train']}: holds no rows to train on")
    weighted = "weights" in rows[0]
    fields = ("text",) if weighted else ("prompt", "completion")
    if parents:
        model, tokenizer = parents[0].load()
    else:
        tokenizer = word_tokenizer((row[name] for row in rows for name in fields), config)
        set_seed(seed)
        model = AutoModelForCausalLM.from_config(model_config(config, tokenizer))
        use_fast_scans(config.architecture)
    examples = [
        encode_weighted(tokenizer, row["text"], row["weights"])
        if weighted
        else encode(tokenizer, row["prompt"], row["completion"])
        for row in rows
    ]
    kept = [example for example in examples if len(example["input_ids"]) <= config.max_length]
    if len(kept) < len(examples):
        log.say(
            f"leaves out {len(examples) - len(kept)} of {len(examples)} rows longer than {config.max_length} tokens"
        )

    size = model.num_parameters() / 1e6
    muon = None
    if config.optimizer == "muon":
        muon = MuonAdamW(
            model,
            muon_rate=config.muon_rate,
            rate=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(0.9, BETA2),
        )
    log.say(f"{model.config.model_type}, {size:.2f} M parameters, {len(tokenizer)} tokens, {len(kept)} rows")
    train(
        model.train(),
        kept,
        lambda batch: pad(batch, tokenizer.pad_token_id),
        out.parent / "training",
        log,
        muon,
        AlikeInLength([len(row["input_ids"]) for row in kept], config.batch_size, seed)
        if config.batches == "mixed"
        else None,
        max_steps=config.steps,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        lr_scheduler_type="cosine",
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        adam_beta2=BETA2,
        save_steps=config.save_every,
        logging_steps=max(1, config.steps // 100),
        seed=seed,
        data_seed=seed,
        train_sampling_strategy="random" if config.batches == "random" else "group_by_length",
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def word_tokenizer(texts: Iterable[str], config: PretrainConfig) -> PreTrainedTokenizerFast:
    """A tokenizer whose vocabulary is every piece of `texts`, sorted, after the special tokens."""
    splitter = pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True)
    specials = ["<|pad|>", config.end_token, *config.special_tokens, "<|unknown|>"]
    pieces: set[str] = set()
    for text in set(texts):
        for special in specials:
            text = text.replace(special, " ")
        pieces.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    vocabulary = {token: index for index, token in enumerate([*specials, *sorted(pieces)])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    inner.pre_tokenizer = splitter
    inner.decoder = decoders.WordPiece(prefix="\0", cleanup=False)  # pieces joined by one space
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<|pad|>",
        eos_token=config.end_token,
        unk_token="<|unknown|>",
        additional_special_tokens=list(config.special_tokens),
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def model_config(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast) -> PreTrainedConfig:
    """The architecture's own config class with `shape` filled in; unknown shape keys are refused."""
    try:
        plain = AutoConfig.for_model(config.architecture)
    except ValueError:
        raise UserError(
            f"pretrain: key 'architecture': transformers knows no model type '{config.architecture}'"
        ) from None
    known = set(plain.to_dict()) | set(getattr(plain, "attribute_map", {}))
    for key in config.shape:
        if key not in known:
            raise UserError(f"pretrain: key 'shape.{key}': {config.architecture} has no such setting")
    return AutoConfig.for_model(
        config.architecture,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        **config.shape,
    )


def encode(tokenizer: PreTrainedTokenizerFast, prompt: str, completion: str) -> dict[str, list[int]]:
    """Token ids of prompt and completion; labels are the completion's ids, the prompt carries no loss."""
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = tokenizer(completion, add_special_tokens=False)["input_ids"]
    return {"input_ids": before + after, "labels": [IGNORED] * len(before) + after}


def encode_weighted(
    tokenizer: PreTrainedTokenizerFast, text: str, weights: Sequence[Sequence[float]]
) -> dict[str, list[Any]]:
    """Token ids, which are the labels, too, and the loss weight of each: that of the stretch that it begins in."""
    by_character = [0.0] * len(text)
    for start, end, weight in weights:
        by_character[int(start) : int(end)] = [weight] * int(end - start)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = encoded["input_ids"], encoded["offset_mapping"]
    return {"input_ids": ids, "labels": ids, "weights": [by_character[start] for start, _ in places]}


def pad(batch: Sequence[Mapping[str, list[Any]]], pad_id: int) -> dict[str, Tensor]:
    """Right-padded [B, T] input_ids, attention_mask, labels, and weights where the rows have them."""
    width = max(len(example["input_ids"]) for example in batch)

    def table(key: str, filler: float) -> Tensor:
        return torch.tensor([list(example[key]) + [filler] * (width - len(example[key])) for example in batch])

    ids = table("input_ids", pad_id)
    lengths = torch.tensor([len(example["input_ids"]) for example in batch])
    mask = (torch.arange(width)[None, :] < lengths[:, None]).long()
    found = {"input_ids": ids, "attention_mask": mask, "labels": table("labels", IGNORED)}
    return found | ({"weights": table("weights", 0.0)} if "weights" in batch[0] else {})
