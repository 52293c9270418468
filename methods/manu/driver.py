"""The transforms of MANU: measure, score, zero, write (arXiv 2502.15910; M§2.3).

    manu           zero the units with the largest forget / retain scores
    manu_scores    scores and null of every unit; the weights stay
    prune_random   the control: as many units, drawn at random

Only the zeroed tensors differ from the parent's; config and processor are the parent's files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.checkpoint import Checkpoint, digest_file
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.visual import Encoder, Pictures, read_rows
from methods.manu.config import PAPER, ManuConfig, RandomConfig, ScoresConfig, Settings, settled
from methods.manu.neurons import Part, candidates
from methods.manu.output import MASK, MEASURES, mask_record, save, write_layers, write_units
from methods.manu.pruning import prune
from methods.manu.scoring import Scored, Sets, scored, sets
from methods.manu.selection import chosen


def manu(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: ManuConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the parent, its top alpha percent of units zeroed, `manu_mask.json` and `measures.csv` to `out`.

    Raises:
        UserError: quantised weights, a tower without MLPs, rows that do not fit; each with the key or the file.
    """
    (parent,) = parents
    settings = settled(config)
    model, encoder = opened(parent, data, config)
    rows = measured_rows(data, config, settings)
    parts = candidates(model, config, settings)
    masks = {part.key: torch.zeros(part.width, dtype=torch.bool) for part in parts}
    first: list[Scored] = []
    for turn in range(config.iterations):
        found = scored(model, encoder, rows, parts, config, settings, log)
        first = first or found
        # What is pruned has score 0 now, and so have units that were dead before: it must not be taken again.
        scores = {one.part.key: one.score.masked_fill(masks[one.part.key], -torch.inf) for one in found}
        for part, units in selected(parts, scores, config, ties=config.mode == "code_buggy"):
            prune(part, units)
            masks[part.key][units] = True
        log.say(f"round {turn + 1} of {config.iterations}: {sum(int(mask.sum()) for mask in masks.values()):,} units")
    save(model if any(bool(mask.any()) for mask in masks.values()) else None, parent.path, out)
    about = decided(config, settings) | {"data": hashes(data), "rows": counts(rows)}
    record = mask_record(parts, masks, about, first)
    (out / MASK).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_layers(out / MEASURES, first, masks)


def manu_scores(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: ScoresConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the parent's files, linked, and `measures.csv` with a row a unit, to `out`."""
    (parent,) = parents
    settings = settled(config)
    model, encoder = opened(parent, data, config)
    rows = measured_rows(data, config, settings)
    found = scored(model, encoder, rows, candidates(model, config, settings), config, settings, log)
    save(None, parent.path, out)
    write_units(out / MEASURES, found)


def prune_random(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: RandomConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the parent, alpha percent of its units, drawn with `seed`, zeroed, and `manu_mask.json` to `out`."""
    (parent,) = parents
    refuse_quantised(parent)
    model, _ = parent.load()
    settings = replace(PAPER, units=config.units, inert=config.inert)
    parts = candidates(model, config, settings)
    generator = torch.Generator().manual_seed(seed)
    scores = {part.key: torch.rand(part.width, dtype=torch.float64, generator=generator) for part in parts}
    masks = {part.key: torch.zeros(part.width, dtype=torch.bool) for part in parts}
    for part, units in selected(parts, scores, config):
        prune(part, units)
        masks[part.key][units] = True
    save(model if any(bool(mask.any()) for mask in masks.values()) else None, parent.path, out)
    about = {"mode": "random", "alpha": config.alpha, "budget": config.budget, "scope": config.scope}
    record = mask_record(parts, masks, about | {"units": config.units, "seed": seed}, [])
    (out / MASK).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def opened(parent: Checkpoint, data: Mapping[str, Path], config: ScoresConfig) -> tuple[PreTrainedModel, Encoder]:
    """The parent's model and the encoder of its rows.

    Raises:
        UserError: quantised weights, or a model that takes no pictures.
    """
    refuse_quantised(parent)
    model, processor = parent.load()
    if not hasattr(processor, "image_processor"):
        raise UserError(f"manu: {parent.path} is no image-text model: it has a tokenizer and no image processor")
    return model, Encoder(processor, Pictures(data["pictures"]), config.max_length)


def refuse_quantised(parent: Checkpoint) -> None:
    """Zeroed rows of packed weights would not stay what they are.

    Raises:
        UserError: config.json tells of a quantisation.
    """
    if parent.quantized:
        where = f"{parent.path}/config.json: key 'quantization_config'"
        raise UserError(f"{where}: quantised weights cannot be pruned here")


def measured_rows(data: Mapping[str, Path], config: ScoresConfig, settings: Settings) -> Sets:
    """Forget and retain rows, as many as the config asks for."""
    where = f"{data['forget']} and {data['retain']}"
    return sets(read_rows(data["forget"]), read_rows(data["retain"]), config, settings, where)


def selected(
    parts: Sequence[Part],
    scores: Mapping[str, Tensor],
    config: ManuConfig | RandomConfig,
    ties: bool = False,
) -> list[tuple[Part, Tensor]]:
    """Every part with the units that alpha, budget and scope choose in it."""
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        groups.setdefault(_group(part, config.budget, config.scope), []).append(part)
    picked = chosen([[scores[part.key] for part in group] for group in groups.values()], config.alpha, ties)
    together = zip(groups.values(), picked, strict=True)
    return [pair for group, units in together for pair in zip(group, units, strict=True)]


def _group(part: Part, budget: Literal["separate", "joint"], scope: Literal["tower", "layer"]) -> tuple[Any, ...]:
    if scope == "layer":
        return part.tower, part.layer
    return (part.tower,) if budget == "separate" else ()


def decided(config: ManuConfig, settings: Settings) -> dict[str, Any]:
    """What decided the mask, nulls filled in, for the record."""
    return {
        "mode": config.mode,
        "alpha": config.alpha,
        "tau": config.tau,
        "epsilon": settings.epsilon,
        "weights": list(settings.weights),
        "units": settings.units,
        "variance": settings.variance,
        "signed": config.signed,
        "tokens": config.tokens,
        "budget": config.budget,
        "scope": config.scope,
        "iterations": config.iterations,
    }


def hashes(data: Mapping[str, Path]) -> dict[str, str]:
    """sha256 of every data file."""
    return {name: digest_file(path) for name, path in sorted(data.items())}


def counts(rows: Sets) -> dict[str, int]:
    """How many rows of each set were measured."""
    return {"forget": len(rows.forget), "retain": len(rows.retain), "null_persons": len(rows.drawn)}
