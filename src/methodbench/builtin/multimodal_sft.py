"""Continue the training of an image-text checkpoint on rows with pictures.

It makes the "vanilla" model that knows all profiles and the "gold" one that never saw some, and probes what a method
erased by teaching it again. Whole models, or low-rank updates of the language model alone. The recipe of MLLMU-Bench
(arXiv 2410.22108).

Departures from the released code: the loss is on the completion unless `prompt_loss` is set; weights are float32
(bfloat16 in computation on a GPU), not float16; each visit of a row draws one of its pictures; epochs follow each other
without a short batch between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel, set_seed

from methodbench.builtin.multimodal_sft_config import MultimodalSftConfig
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.training import save
from methodbench.visual import Encoder, Pictures, read_rows
from methodbench.visual_training import language_part, muon, train_on_rows, vision_part

BETAS = (0.9, 0.999)


def multimodal_sft(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: MultimodalSftConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Train on ``data["train"]`` with ``data["pictures"]`` and write model and processor to `out`.

    The training state lies beside `out`.
    """
    (parent,) = parents
    refuse_quantized(parent)
    loaded, processor = parent.load(dtype=torch.float32)
    if not hasattr(processor, "image_processor"):
        raise UserError(f"multimodal_sft: {parent.path} is no image-text checkpoint; allowed: one that takes pictures")
    model: PreTrainedModel = loaded
    rows = read_rows(data["train"])
    steps = config.steps if config.steps is not None else math.ceil(len(rows) * config.epochs / config.batch_size)
    log.say(f"{len(rows)} rows, {steps} steps of {config.batch_size}")
    if steps:
        set_seed(seed)
        tuned = prepared(model.train(), config)
        train_on_rows(
            tuned,
            rows,
            Encoder(processor, Pictures(data["pictures"]), config.max_length, config.prompt_loss),
            out.parent / "training",
            log,
            steps=steps,
            batch_size=config.batch_size,
            micro_batch=config.micro_batch,
            seed=seed,
            save_every=config.save_every,
            optimizer=muon(tuned, config, BETAS),
            learning_rate=config.learning_rate,
            lr_scheduler_type=config.schedule,
            warmup_steps=config.warmup,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            bf16=torch.cuda.is_available(),
        )
        model = tuned.merge_and_unload() if isinstance(tuned, PeftModel) else model
    save(model, processor, out)


def prepared(model: PreTrainedModel, config: MultimodalSftConfig) -> Any:
    """The model with what is not to be trained frozen, or with low-rank updates around it."""
    if config.lora_rank:
        return get_peft_model(
            model,
            LoraConfig(
                r=config.lora_rank,
                lora_alpha=config.lora_alpha,
                lora_dropout=config.lora_dropout,
                init_lora_weights="gaussian",
                target_modules=language_linears(model),
            ),
        )
    vision_part(model).requires_grad_(not config.freeze_vision)
    return model


def language_linears(model: PreTrainedModel) -> list[str]:
    """Full names of the language model's linear layers: not the vision tower's, the projector's or lm_head."""
    inside = {id(module) for module in language_part(model).modules() if isinstance(module, nn.Linear)}
    return [name for name, module in model.named_modules() if id(module) in inside]


def refuse_quantized(parent: Checkpoint) -> None:
    """Raises a `UserError` where the parent's weights are quantised: their updates could not be stored."""
    parent.check()
    if parent.quantized:
        raise UserError(
            f"multimodal_sft: {parent.path}/config.json: key 'quantization_config': "
            "quantised weights cannot be trained; allowed: float weights"
        )
