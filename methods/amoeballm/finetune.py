"""One-for-all fine-tuning of a selection's subnets (arXiv 2411.10606), and fine-tuning of one of them by itself.

Differences from the official code: weights are float32 (bfloat16 products on a GPU) and not 4-bit; width 1 has no
mask; gates of the written weights are those without noise; the vocabulary gains no padding token.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainingArguments, set_seed

from methodbench.checkpoint import Checkpoint, link_files
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.training import AlikeInLength, go, main_process, quiet, save
from methodbench.visual_training import places, points
from methods.amoeballm import adapters as beside
from methods.amoeballm import subnets as selection
from methods.amoeballm.adapters import Adapters
from methods.amoeballm.architecture import target
from methods.amoeballm.blocks import LINEARS, blocks, geometry, linear, refuse
from methods.amoeballm.export import checked, extracted, write_measures
from methods.amoeballm.extract_config import CutConfig
from methods.amoeballm.finetune_config import FinetuneConfig, IndividualConfig
from methods.amoeballm.finetune_rows import Collate, encoded_rows
from methods.amoeballm.subnets import MEASURES, Subnets
from methods.amoeballm.supernet import Supernet
from methods.amoeballm.times import read_times, shape
from methods.amoeballm.tuner import Tuner


def amoeballm_finetune(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: FinetuneConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Tune all subnets of the parent's selection on ``data["train"]``; the training state lies beside `out`.

    `out` is a checkpoint of the largest subnet; beside its weights lie the selection, the experts (adapters.py), the
    gates of every subnet (``measures.csv``), and in ``frozen/`` the model that was tuned.

    Raises:
        UserError: the parent has no selection or was tuned before, a width was not selected, or a row cannot be used.
    """
    parent = parents[0]
    subnets = narrowed(unpacked(parent), config.widths, str(parent.path))
    model, tokenizer = parent.load(dtype=torch.float32)
    refuse(model.config, str(parent.path))
    tuned = train(model, tokenizer, subnets, data["train"], config, seed, out.parent, str(parent.path), log)
    fold(model, tuned)
    save(model, tokenizer, out)
    if main_process():
        beside.write(out, tuned)
        selection.write(out, subnets)
        left = (selection.RECORD, selection.TENSORS, MEASURES)
        link_files(parent.path, out / selection.FROZEN, left)
        write_gates(out / MEASURES, subnets, tuned, str(parent.path))


def amoeballm_individual(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: IndividualConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Tune one subnet of the parent's selection on ``data["train"]``, and write it cut out, an ordinary checkpoint.

    Raises:
        UserError: the parent has no selection or was tuned before, the subnet was not selected, or a row cannot be
            used.
    """
    parent = parents[0]
    where = str(parent.path)
    subnets = unpacked(parent)
    depth = config.depth or subnets.layers
    subnets.active(depth, where)
    subnets.mask(config.width, where)
    subnets = narrowed(subnets, [width for width in subnets.masks if abs(width - config.width) < 1e-6], where)
    model, tokenizer = parent.load(dtype=torch.float32)
    refuse(model.config, where)
    sizes, cut = geometry(model), CutConfig()
    aim = target(model, subnets, depth, config.width, cut, where)  # refuses before the training, not after
    tuned = train(model, tokenizer, subnets, data["train"], config, seed, out.parent, where, log)
    made = extracted(model, subnets, tuned, depth, config.width, cut, where)
    parameters = checked(made, sizes, aim)
    save(made, tokenizer, out)
    if main_process():
        times = read_times(parent.path).get(shape(depth, config.width))
        write_measures(out, subnets, depth, config.width, sizes, parameters, times)


def unpacked(parent: Checkpoint) -> Subnets:
    """The selection beside a parent's weights, if these are float and not tuned yet.

    Raises:
        UserError: it has none, or the weights cannot be tuned.
    """
    parent.check()
    subnets = selection.read(parent.path)
    if parent.quantized:
        raise UserError(f"{parent.path}: its weights are quantised and cannot be tuned here")
    if (parent.path / beside.RECORD).exists():
        raise UserError(f"{parent.path}: was tuned already: name the checkpoint with the selection that it came from")
    return subnets


def narrowed(subnets: Subnets, widths: Sequence[float] | None, where: str) -> Subnets:
    """The selection with some of its widths, or all for None.

    Raises:
        UserError: one of them was not selected.
    """
    if widths is None:
        return subnets
    for width in widths:
        subnets.mask(width, where)
    masks = {ratio: one for ratio, one in subnets.masks.items() if any(abs(ratio - width) < 1e-6 for width in widths)}
    return Subnets(subnets.layers, subnets.removed, subnets.metric, masks, subnets.scores, subnets.about)


def train(
    model: PreTrainedModel,
    tokenizer: Any,
    subnets: Subnets,
    path: Path,
    config: FinetuneConfig | IndividualConfig,
    seed: int,
    folder: Path,
    where: str,
    log: Log,
) -> Adapters:
    """Experts trained on the rows of `path`, from the newest whole state under `folder` if there is one.

    `model` has its own weights again afterwards.
    """
    room = getattr(model.config, "max_position_embeddings", None)
    rows = encoded_rows(path, tokenizer, config.max_source, config.max_target, room)
    set_seed(seed)  # experts and router begin at random
    supernet = Supernet(
        model,
        subnets.masks,
        experts=config.experts,
        top_k=config.top_k,
        rank=config.rank,
        alpha=config.alpha,
        hidden=config.router_hidden,
        mix=config.mix,
    )
    trained = sum(parameter.numel() for parameter in supernet.trained().values())
    fixed = sum(parameter.numel() for parameter in supernet.parameters()) - trained
    log.say(f"{len(rows)} rows, {config.steps} steps; {trained:,} parameters are trained, {fixed:,} are frozen")
    if config.steps:
        supernet.recompute(config.gradient_checkpointing)
        run(supernet, tokenizer, subnets, rows, config, seed, folder / "training", where, log)
        supernet.recompute(False)
    tuned = supernet.adapters()
    supernet.restored().eval()
    return tuned


def run(
    supernet: Supernet,
    tokenizer: Any,
    subnets: Subnets,
    rows: Sequence[dict[str, list[int]]],
    config: FinetuneConfig | IndividualConfig,
    seed: int,
    work: Path,
    where: str,
    log: Log,
) -> None:
    """Take the steps, from the newest whole state in `work` if there is one."""
    # Every place of the training is laid out before it begins, so that there is one epoch and no seam to resume over.
    taken = [rows[row] for row, _ in places(len(rows), config.steps * config.micro_batch * config.accumulation, seed)]
    common: dict[str, Any] = {**quiet(work), **points(config.steps, config.save_every)}
    settings = TrainingArguments(
        **common,
        remove_unused_columns=False,
        label_names=["labels"],
        train_sampling_strategy="sequential",
        max_steps=config.steps,
        per_device_train_batch_size=config.micro_batch,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=torch.cuda.is_available(),
        seed=seed,
        data_seed=seed,
    )
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    tuner = Tuner(model=supernet, args=settings, train_dataset=taken, data_collator=Collate(pad))
    tuner.begin(supernet, subnets, config, seed, where)
    if config.group_by_length:
        tuner.sampler = AlikeInLength([len(row["input_ids"]) for row in taken], config.micro_batch, seed)
    go(tuner, work, log, tuner.curves())


@torch.no_grad()
def fold(model: PreTrainedModel, tuned: Adapters) -> None:
    """Add the largest subnet's update to the weights, in place."""
    layers = blocks(model)
    for layer, block in enumerate(layers):
        for name in LINEARS:
            weight = linear(block, name).weight
            weight += tuned.delta(layer, name, [True] * len(layers), 1.0).to(weight)


def write_gates(path: Path, subnets: Subnets, tuned: Adapters, where: str) -> None:
    """A row a subnet and expert: the gate without noise. One expert for all subnets tells of a collapse."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["depth", "width", "expert", "gate"])
        for depth in subnets.depths():
            for width in tuned.widths:
                gates = tuned.gates(subnets.active(depth, where), width)
                table.writerows([depth, width, expert, f"{float(gate):.6g}"] for expert, gate in enumerate(gates))
