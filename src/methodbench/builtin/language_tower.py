"""Take the language model out of an image-text model, and put one back, so that what is made for one serves the other.

No paper: between the two any method for causal language models can cut, merge or train the tower. It may come back
with other layers, heads or neurons, and be of another type. Hidden size and vocabulary stay: projector and processor
are made for them.

Known are the image-text models that transformers builds as a `language_model` beside a vision tower and under an
`lm_head`, as LLaVA is. An image-text model may do with the tower's states what a causal model of the type does not, or
the other way round (scaled logits, biases of the head, positions of pictures). So both are asked a few tokens, and
unless they say the same nothing is written.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from methodbench.builtin.language_tower_config import LanguageTowerConfig
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log

TOWER = "language_model"
ASKED = 16  # tokens
PLACEHOLDERS = ("image_token_id", "video_token_id", "audio_token_id")  # ids that stand for something else than text
NEAR = 1e-3  # of the largest logit: the same modules compute both, so only another formula can be further off


def take_language_model(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: LanguageTowerConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Write the language model of an image-text checkpoint, its tokenizer and generation settings to `out`.

    Raises:
        UserError: the parent is no image-text checkpoint of the known build, is quantised, or holds a language model
            that transformers has no causal model for.
    """
    (parent,) = parents
    method = "take_language_model"
    model, processor = opened_image_text(parent, method)
    made = causal(model, f"{method}: {parent.path}")
    agree(made, model, f"{method}: {parent.path}")
    log.say(described(made))
    tokenizer = processor.tokenizer
    tokenizer.init_kwargs.pop("processor_class", None)  # it would point to a processor that is not there
    tokenizer._processor_class = None
    made.save_pretrained(out)
    tokenizer.save_pretrained(out)


def put_language_model(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: LanguageTowerConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Write the second parent, an image-text checkpoint, with the first as its language model to `out`.

    Where parents differ in precision, all is written in the first that holds both without rounding.

    Raises:
        UserError: a parent is of the wrong kind or quantised, hidden sizes or vocabularies differ, or the image-text
            model cannot hold the language model.
    """
    words, pictures = parents
    method = "put_language_model"
    refuse_quantized(words, method)
    if words.image_text:
        raise UserError(
            f"{method}: {words.path} is an image-text checkpoint, allowed as first parent: a language model; "
            "put take_language_model between"
        )
    model, processor = opened_image_text(pictures, method)
    language, tokenizer = words.load()
    check_sizes(language.config, model.config.text_config, f"{method}: {words.path}", pictures.path)
    check_tokens(tokenizer.get_vocab(), processor.tokenizer.get_vocab(), f"{method}: {words.path}", pictures.path)
    if language.dtype != model.dtype:
        wide = torch.promote_types(language.dtype, model.dtype)
        log.say(f"{language.dtype} in {model.dtype}: written as {wide}")
        for part in (language, model):
            nn.Module.to(part, wide)
    made = filled(model, language, f"{method}: {words.path}")
    log.say(described(language))
    made.save_pretrained(out)
    processor.save_pretrained(out)


def opened_image_text(checkpoint: Checkpoint, method: str) -> tuple[Any, Any]:
    """An image-text model of the known build, in evaluation mode on the job's device, and its processor.

    Raises:
        UserError: it is none, or its weights are quantised.
    """
    refuse_quantized(checkpoint, method)
    if not checkpoint.image_text:
        raise UserError(f"{method}: {checkpoint.path} is no image-text checkpoint; allowed: one that takes pictures")
    model, processor = checkpoint.load()
    inner = getattr(model, "model", None)
    if not isinstance(getattr(inner, TOWER, None), PreTrainedModel) or not isinstance(
        model.get_output_embeddings(), nn.Module
    ):
        raise UserError(
            f"{method}: {checkpoint.path}: the model type '{model.config.model_type}' has no '{TOWER}' under an "
            "lm_head; allowed: types that are built as llava is"
        )
    return model, processor


def refuse_quantized(checkpoint: Checkpoint, method: str) -> None:
    """Raises a `UserError` where weights are quantised: they are of no use under another class."""
    checkpoint.check()
    if checkpoint.quantized:
        raise UserError(
            f"{method}: {checkpoint.path}/config.json: key 'quantization_config': quantised weights cannot be moved; "
            "allowed: float weights"
        )


def causal(model: Any, where: str) -> PreTrainedModel:
    """The causal language model of the image-text model's own tower and head; they share memory.

    Raises:
        UserError: transformers has none for the tower's type, or one that is more than these two; `where` begins it.
    """
    tower, head = getattr(model.model, TOWER), model.get_output_embeddings()
    settings = copy.deepcopy(model.config.text_config)
    # LLaVA reads of tied embeddings beside or in the text's settings; what the weights are is certain.
    settings.tie_word_embeddings = head.weight is tower.get_input_embeddings().weight
    kind = settings.model_type
    try:
        with torch.device("meta"):
            made: Any = AutoModelForCausalLM.from_config(settings, trust_remote_code=False)
    except ValueError as error:
        raise UserError(f"{where}: its language model is of the type '{kind}', which is none by itself") from error
    wanted, expected = shapes(made), type(made.base_model)
    setattr(made, made.base_model_prefix, tower)
    made.set_output_embeddings(head)
    if shapes(made) != wanted or type(tower) is not expected:
        name = type(model).__name__
        raise UserError(f"{where}: its language model of the type '{kind}' has other weights by itself than in {name}")
    made.config.dtype = model.dtype
    made.generation_config = copy.deepcopy(model.generation_config)
    return made.eval()  # type: ignore[no-any-return]


def filled(model: Any, language: PreTrainedModel, where: str) -> PreTrainedModel:
    """An image-text model with `language` as its tower, to be saved, not run: it has no buffers that are not saved.

    `model` is changed in place, and the weights of all three are the same memory.

    Raises:
        UserError: with such a language model other parts of `model` would be of other shapes, `model` has no place for
            some of the weights, or it says something else than `language` alone; `where` begins it.
    """
    tower, head = language.base_model, language.get_output_embeddings()
    name, kind = type(model).__name__, language.config.model_type
    if head is None:
        raise UserError(f"{where}: the model type '{kind}' has no head over a vocabulary")
    text = copy.deepcopy(language.config)
    text.architectures = None  # of a folder of its own
    config = copy.deepcopy(model.config)
    config.text_config = text
    config.tie_word_embeddings = bool(text.tie_word_embeddings)
    refusal = f"{where}: {name} cannot hold a language model of this type and shape ('{kind}')"
    try:
        with torch.device("meta"):
            made: Any = type(model)._from_config(config)
    except Exception as error:  # whatever the image-text model's code asks of a tower that has it not
        raise UserError(refusal) from error
    expected = type(getattr(made.model, TOWER))
    setattr(model.model, TOWER, tower)
    model.set_output_embeddings(head)
    model.config.text_config = text
    if type(tower) is not expected or shapes(model) != shapes(made):
        raise UserError(refusal)
    agree(model, language, where)
    made.load_state_dict(model.state_dict(), assign=True)
    made.tie_weights()
    made.generation_config = model.generation_config
    return made  # type: ignore[no-any-return]


def agree(one: Any, other: Any, where: str) -> None:
    """Raises a `UserError` unless both models give the same logits of a few tokens; `where` begins it."""
    names = f"{type(one).__name__} and {type(other).__name__}"
    settings = [model.config for model in (one, other)]
    others = {getattr(each, name, None) for each in settings for name in PLACEHOLDERS}
    size = one.get_input_embeddings().weight.shape[0]
    ids = [index for index in range(min(size, ASKED + len(others))) if index not in others][:ASKED]
    tokens = torch.tensor([ids], device=one.device)
    try:
        with torch.inference_mode():
            said: list[Tensor] = [model(input_ids=tokens, use_cache=False).logits.float() for model in (one, other)]
    except Exception as error:  # a tower that does not take what the image-text model hands to it
        raise UserError(f"{where}: cannot be run in both {names}: {' '.join(str(error).split())}") from error
    scale = NEAR * float(said[1].abs().max())
    if not torch.allclose(said[0], said[1], rtol=0, atol=scale, equal_nan=True):
        raise UserError(f"{where}: the same weights say different things in {names}, so neither stands for the other")


def check_sizes(given: PreTrainedConfig, allowed: PreTrainedConfig, where: str, pictures: Path) -> None:
    """Refuse a language model of another hidden size or with other rows of embeddings."""
    for key in ("hidden_size", "vocab_size"):
        ours, theirs = getattr(given, key, None), getattr(allowed, key)
        if ours != theirs:
            raise UserError(f"{where}/config.json: key '{key}': given {ours}, allowed: {theirs}, as in {pictures}")


def check_tokens(given: Mapping[str, int], allowed: Mapping[str, int], where: str, pictures: Path) -> None:
    """Refuse a language model whose tokens have other ids; the first in alphabetical order is named."""
    for token in sorted(given.keys() | allowed.keys()):
        ours, theirs = given.get(token), allowed.get(token)
        if ours != theirs:
            raise UserError(f"{where}: token {token!r} has the id {ours}, allowed: {theirs}, as in {pictures}")


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Of all tensors that are saved."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def described(language: PreTrainedModel) -> str:
    """One line about a language model for the log."""
    config: Any = language.config
    return (
        f"{config.model_type} of {config.num_hidden_layers} layers, hidden size {config.hidden_size}: "
        f"{language.num_parameters():,} parameters"
    )
