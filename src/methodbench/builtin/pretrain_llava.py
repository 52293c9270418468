"""Train a small LLaVA around a ready vision tower, inside the graph.

No paper: the ground that mini studies of multimodal methods stand on. Projector and language model begin from
scratch. Tokens are whole words, single digits and symbols. The vocabulary covers files that later trainings read.

Rows are those of `methodbench.visual`; batches are drawn uniformly from them, the loss is on the completions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import (
    AutoImageProcessor,
    CLIPVisionModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    set_seed,
)

from methodbench.builtin.pretrain import word_tokenizer
from methodbench.builtin.pretrain_config import PretrainConfig
from methodbench.builtin.pretrain_llava_config import IMAGE_TOKEN, PretrainLlavaConfig
from methodbench.builtin.pretrain_vision_config import ARCHITECTURE
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.visual import Encoder, Pictures, read_rows
from methodbench.visual_training import muon, shaped, train_on_rows, vision_part

BETA2 = 0.98


def pretrain_llava(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: PretrainLlavaConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Train on ``data["train"]`` with ``data["pictures"]`` and write model and processor to `out`.

    ``data["vocabulary"]`` is only read for its words. The training state lives beside `out`.
    """
    (parent,) = parents
    tower = load_tower(parent)
    layers = tower.config.num_hidden_layers
    if not -layers <= config.vision_feature_layer <= layers:
        raise UserError(
            f"pretrain_llava: key 'vision_feature_layer': given {config.vision_feature_layer}, "
            f"allowed: {-layers} to {layers} for the {layers} layers of {parent.path}"
        )
    rows = read_rows(data["train"])
    texts = [row.prompt + row.completion for row in rows]
    tokenizer = word_tokenizer([*texts, *vocabulary(data["vocabulary"])], specials(config))
    processor = LlavaProcessor(
        image_processor=AutoImageProcessor.from_pretrained(parent.path, trust_remote_code=False),
        tokenizer=tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=1,  # the class token, which the strategy "default" takes away again
    )

    set_seed(seed)
    model = build(tower, tokenizer, config)
    log.say(f"llava, {model.num_parameters() / 1e6:.2f} M parameters, {len(tokenizer)} tokens, {len(rows)} rows")
    train_on_rows(
        model,
        rows,
        Encoder(processor, Pictures(data["pictures"])),
        out.parent / "training",
        log,
        steps=config.steps,
        batch_size=config.batch_size,
        micro_batch=None,
        seed=seed,
        save_every=config.save_every,
        optimizer=muon(model, config, (0.9, BETA2)),
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        lr_scheduler_type="cosine",
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        adam_beta2=BETA2,
    )
    model.save_pretrained(out)
    processor.save_pretrained(out)


def load_tower(parent: Checkpoint) -> CLIPVisionModel:
    """The parent's vision tower.

    Raises:
        UserError: the parent is something else.
    """
    parent.check()
    kind = json.loads((parent.path / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != ARCHITECTURE:
        raise UserError(f"pretrain_llava: {parent.path} is of the kind '{kind}'; allowed: '{ARCHITECTURE}'")
    tower: CLIPVisionModel = CLIPVisionModel.from_pretrained(parent.path, use_safetensors=True, trust_remote_code=False)
    return tower


def specials(config: PretrainLlavaConfig) -> PretrainConfig:
    """What the word tokenizer must know: the strings that are single tokens."""
    tokens = (IMAGE_TOKEN, *(token for token in config.special_tokens if token != IMAGE_TOKEN))
    return PretrainConfig(special_tokens=tokens, end_token=config.end_token)


def vocabulary(path: Path) -> Iterator[str]:
    """Texts of a file of rows: prompts, completions, and every string under "texts".

    Raises:
        UserError: a row has none of them.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if not row.keys() & {"prompt", "completion", "texts"}:
            raise UserError(f"{path}: line {number} has none of 'prompt', 'completion', 'texts'")
        yield row.get("prompt", "") + row.get("completion", "")
        yield from _strings(row.get("texts", []))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def build(
    tower: CLIPVisionModel, tokenizer: PreTrainedTokenizerFast, config: PretrainLlavaConfig
) -> LlavaForConditionalGeneration:
    """A new LLaVA with the tower's weights in it.

    Raises:
        UserError: `config.language` is no shape of a Llama.
    """
    language = shaped(
        LlamaConfig,
        config.language,
        "pretrain_llava: key 'language'",
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    patches = tower.embeddings.num_patches
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=tower.config,
            text_config=language,
            image_token_index=tokenizer.get_vocab()[IMAGE_TOKEN],
            image_seq_length=patches + (config.vision_feature_select_strategy == "full"),
            vision_feature_layer=config.vision_feature_layer,
            vision_feature_select_strategy=config.vision_feature_select_strategy,
        )
    )
    vision = vision_part(model)
    vision.load_state_dict(tower.state_dict())
    vision.requires_grad_(not config.freeze_vision)
    return model
