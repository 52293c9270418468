"""Unlearning by gradients, what MANU is compared with (sheet 2.5): GA, GradDiff, KL-Min and NPO on image-text rows.

Differences from the released code: gradients are never accumulated and image tokens never carry a loss; adapters sit in
the language model alone. NPO's reference is a model before unlearning, the second parent or else the first; the
released code takes one that was trained on the retain rows alone, which a study gets by naming it as second parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, TrainingArguments, set_seed

from methodbench.builtin.multimodal_sft import language_linears
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.training import WeightedTrainer, go, quiet, save
from methodbench.visual import Encoder, Pictures, VisualRow, draw, read_rows
from methodbench.visual_training import points
from methods.manu.losses import ascent, difference, kl_batch_mean, kl_token_mean, npo, sequence_sum, token_mean
from methods.manu.passes import Step, Visit, joint, planned, released
from methods.manu.unlearn_config import GradDiffConfig, KlMinConfig, NpoConfig, UnlearnConfig

Name = Literal["ga", "graddiff", "klmin", "npo"]
Batch = Mapping[str, Tensor]
CURVES = ("forget_loss", "retain_loss", "kl")


def unlearn(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: UnlearnConfig,
    seed: int,
    out: Path,
    log: Log,
    objective: Name,
) -> None:
    """Unlearn ``data["forget"]`` and write the model and its processor to `out`; the training state lies beside it.

    Args:
        parents: the model that knows, and perhaps the reference of KL-Min and NPO in its place.
        data: rows to forget, rows to retain (GradDiff and KL-Min), and their pictures.

    Raises:
        UserError: a parent takes no pictures, no row has one of the modes, or the reference has another vocabulary.
    """
    model, processor = parents[0].load(dtype=torch.float32)
    if not hasattr(processor, "image_processor"):
        raise UserError(f"{parents[0].path}: '{model.config.model_type}' takes no pictures, which unlearning needs")
    forget = rows_of(data["forget"], config)
    retain = rows_of(data["retain"], config) if "retain" in data else []
    passes = joint if config.flavour == "joint" else released
    order = passes(len(forget), len(retain), config.batch_size, seed)
    plan = planned(order, config.steps, config.epochs)
    log.say(f"{len(forget)} rows to forget, {len(retain)} to retain, {len(plan)} steps of {config.batch_size}")
    if plan:
        encoder = Encoder(processor, Pictures(data["pictures"]), config.max_length, config.whole_sequence())
        batches = Batches(encoder, forget, retain, seed)
        rates = learning_rates(plan, config, 2 if retain else 1)
        set_seed(seed)  # adapters begin at random
        tuned = adapted(model, config)
        reference = Reference(tuned, parents) if objective in ("klmin", "npo") else None
        train(tuned, plan, batches, Objective(objective, config, reference), rates, config, seed, out.parent, log)
        model = tuned.merge_and_unload() if isinstance(tuned, PeftModel) else model
    save(model, processor, out)


def rows_of(path: Path, config: UnlearnConfig) -> list[VisualRow]:
    """The rows of a file whose mode is trained on.

    Raises:
        UserError: there is none.
    """
    rows = read_rows(path)
    kept = [row for row in rows if row.mode in config.modes]
    if not kept:
        raise UserError(f"{path}: none of its {len(rows)} rows has a mode of key 'modes': {', '.join(config.modes)}")
    return kept


def learning_rates(plan: Sequence[Step], config: UnlearnConfig, passes: int) -> list[float]:
    """The share of the learning rate that each step has, and one more for after the last."""
    by_epoch = config.rate_follows(passes) == "epoch"
    shares = []
    for place in range(len(plan) + 1):
        moved = (plan[min(place, len(plan) - 1)].epoch if by_epoch else place) if config.schedule == "linear" else 0
        falling = (len(plan) - moved) / max(1, len(plan) - config.warmup)
        shares.append(max(0.0, min(1.0, falling)) if place >= config.warmup else place / config.warmup)
    return shares


def adapted(model: PreTrainedModel, config: UnlearnConfig) -> Any:
    """The model with low-rank updates of the language model's linear layers, or as it is."""
    if not config.lora_rank:
        return model
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        init_lora_weights="gaussian",
        target_modules=language_linears(model),
    )
    return get_peft_model(model, settings)


class Batches:
    """A step's rows -> the model's inputs: ``{"forget": batch, "retain": batch}``, without a kind that has no rows."""

    def __init__(self, encoder: Encoder, forget: Sequence[VisualRow], retain: Sequence[VisualRow], seed: int) -> None:
        self.encoder, self.rows, self.seed = encoder, {"forget": forget, "retain": retain}, seed

    def __call__(self, steps: Sequence[Step]) -> dict[str, dict[str, Tensor]]:
        (step,) = steps
        visits = {"forget": step.forget, "retain": step.retain}
        return {
            kind: self.encoder.collate([self._row(kind, one) for one in some]) for kind, some in visits.items() if some
        }

    def _row(self, kind: str, visit: Visit) -> dict[str, Any]:
        row = self.rows[kind][visit.row]
        return self.encoder.encode(row, draw(row, self.seed, visit.number))


class Reference:
    """Logits of the model before unlearning, in evaluation mode and without gradients.

    That is the second parent, or the first: then the trained model itself with its adapters off, or a copy.
    """

    def __init__(self, tuned: Any, parents: Sequence[Checkpoint]) -> None:
        self.own = isinstance(tuned, PeftModel) and len(parents) == 1
        self.model: Any = tuned
        if not self.own:
            self.model = parents[-1].load(dtype=torch.float32)[0].requires_grad_(False)
            sizes = [one.get_input_embeddings().weight.shape[0] for one in (self.model, tuned)]
            if sizes[0] != sizes[1]:
                raise UserError(
                    f"{parents[-1].path}: as reference has {sizes[0]} tokens, the model to unlearn has {sizes[1]}"
                )

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, T, V]."""
        if not self.own:
            return logits_of(self.model, batch)
        self.model.eval()
        with self.model.disable_adapter():
            logits = logits_of(self.model, batch)
        self.model.train()
        return logits


def logits_of(model: Any, batch: Batch) -> Tensor:
    """Logits [B, T, V] of a batch."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    logits: Tensor = model(**inputs, use_cache=False).logits
    return logits


class Objective:
    """What is minimised in a step, and what the curves show of it."""

    def __init__(self, name: Name, config: UnlearnConfig, reference: Reference | None) -> None:
        self.name, self.config, self.reference = name, config, reference

    def __call__(self, model: Any, forget: Batch | None, retain: Batch | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss [], and the measures of CURVES that the step has."""
        terms: dict[str, Tensor] = {}
        loss = torch.zeros((), device=model.device)
        if forget is not None:
            logits = logits_of(model, forget)
            terms["forget_loss"] = token_mean(logits, forget["labels"])
            loss = self._npo(logits, forget) if self.name == "npo" else ascent(terms["forget_loss"])
        if isinstance(self.config, GradDiffConfig):
            if retain is not None:
                logits = logits_of(model, retain)
                terms["retain_loss"] = token_mean(logits, retain["labels"])
            loss = difference(
                terms.get("forget_loss", torch.zeros_like(loss)),
                terms.get("retain_loss", torch.zeros_like(loss)),
                self.config.forget_weight,
                self.config.retain_weight,
            )
            if retain is not None and isinstance(self.config, KlMinConfig):
                terms["kl"] = self._kl(logits, retain)
                loss = loss + self.config.kl_weight * terms["kl"]
        return loss, {name: term.detach() for name, term in terms.items()}

    def _npo(self, logits: Tensor, batch: Batch) -> Tensor:
        assert isinstance(self.config, NpoConfig) and self.reference is not None
        measured = sequence_sum if self.config.per_sequence() else token_mean
        labels = batch["labels"]
        return npo(measured(logits, labels), measured(self.reference(batch), labels), self.config.sharpness())

    def _kl(self, logits: Tensor, batch: Batch) -> Tensor:
        assert isinstance(self.config, KlMinConfig) and self.reference is not None
        before = self.reference(batch)
        if self.config.per_token():
            return kl_token_mean(before, logits, batch["labels"])
        return kl_batch_mean(before, logits)


class Unlearner(WeightedTrainer):
    """A Trainer whose batch is a step with its forget and retain rows, taken in the order of the plan."""

    objective: Objective
    rates: Sequence[float]
    measured: dict[str, list[float]]

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        given: Any = optimizer or self.optimizer
        self.lr_scheduler = LambdaLR(given, lambda step: self.rates[min(step, len(self.rates) - 1)])
        return self.lr_scheduler

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, terms = self.objective(model, inputs.get("forget"), inputs.get("retain"))
        for name, value in terms.items():
            self.measured.setdefault(name, []).append(value.item())
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        """None counted: transformers looks for token ids at the top of a batch and complains."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Means since the last point of the curves, beside the loss."""
        logs |= {name: sum(values) / len(values) for name, values in self.measured.items()}
        self.measured.clear()
        super().log(logs, start_time)


def train(
    model: Any,
    plan: Sequence[Step],
    batches: Batches,
    objective: Objective,
    rates: Sequence[float],
    config: UnlearnConfig,
    seed: int,
    folder: Path,
    log: Log,
) -> None:
    """Take the steps of the plan in place, from the newest whole state under `folder` if there is one."""
    work = folder / "training"
    common: dict[str, Any] = {**quiet(work), **points(len(plan), config.save_every)}
    settings = TrainingArguments(
        **common,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
        max_steps=len(plan),
        per_device_train_batch_size=1,  # a step
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=torch.cuda.is_available(),
        seed=seed,
        data_seed=seed,
    )
    trainer = Unlearner(model=model, args=settings, train_dataset=list(plan), data_collator=batches)
    trainer.objective, trainer.rates, trainer.measured = objective, rates, {}
    go(trainer, work, log, {name: name for name in CURVES})
