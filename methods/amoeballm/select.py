"""The transforms that select subnets: the same weights, and beside them which layers and which units go.

    amoeballm_select    layers by dynamic programming, units by fluctuation (arXiv 2411.10606)
    select_greedy       the same metric and number of evaluations, one layer at a time
    select_*            baselines' rules and controls; see __init__.py

What is written is described in subnets.py; `measures.csv` has a row a layer.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methodbench.checkpoint import Checkpoint, digest_file, link_files
from methodbench.joblog import Log
from methods.amoeballm.blocks import cuttable
from methods.amoeballm.calibrating import Calibration
from methods.amoeballm.config import GreedyConfig, RankConfig, Rule, SelectConfig, UnitsConfig, WidthConfig
from methods.amoeballm.depths import ranked, searched
from methods.amoeballm.selection import Found
from methods.amoeballm.subnets import MEASURES, RECORD, TENSORS, Mask, Subnets, layer_rows, most_removed, write
from methods.amoeballm.widths import UnitScore, fluctuation_masks, unit_masks

NONE: Found = ({0: ()}, {})


def select_calibrated(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: GreedyConfig, seed: int, out: Path, log: Log
) -> None:
    """Layers by a search over ``data["calibration"]``, units by fluctuation on ``data["text"]``."""
    model, tokenizer = cuttable(parents[0])
    depth = config.depth
    where = str(parents[0].path)
    layers = model.config.num_hidden_layers
    most = most_removed(layers, depth.min_layers, depth.keep_last, where)
    calibration = Calibration(model, tokenizer, data["calibration"], depth, seed)
    search = config.search if isinstance(config, SelectConfig) else "greedy"
    found = searched(search, calibration, layers, most, depth.keep_last, depth.order, log)
    log.say(f"{search}: {calibration.evaluations} evaluations for up to {most} of {layers} layers")
    masks, scores = fluctuation_masks(model, tokenizer, data["text"], config.width, seed, log)
    about = {"depth": search, "evaluations": calibration.evaluations, "width": config.width.score}
    finish(parents[0].path, out, layers, found, masks, scores, about | described(config, data))


def select_ranked(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: RankConfig,
    seed: int,
    out: Path,
    log: Log,
    rule: Rule | None = None,
) -> None:
    """Layers by a baseline's rule, units by fluctuation, both on ``data["text"]``; without a `rule` the config's."""
    model, tokenizer = cuttable(parents[0])
    rule = rule or config.rule
    found = ranked(rule, model, tokenizer, data["text"], config, seed, log)
    masks, scores = fluctuation_masks(model, tokenizer, data["text"], config.width, seed, log)
    about = {"depth": rule, "width": config.width.score} | described(config, data)
    finish(parents[0].path, out, model.config.num_hidden_layers, found, masks, scores, about)


def select_flap(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: WidthConfig, seed: int, out: Path, log: Log
) -> None:
    """Units by fluctuation, all layers stay: FLAP (arXiv 2312.11983)."""
    model, tokenizer = cuttable(parents[0])
    masks, scores = fluctuation_masks(model, tokenizer, data["text"], config, seed, log)
    about = {"depth": "none", "width": config.score} | described(config, data)
    finish(parents[0].path, out, model.config.num_hidden_layers, NONE, masks, scores, about)


def select_units(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: UnitsConfig,
    seed: int,
    out: Path,
    log: Log,
    score: UnitScore = "taylor",
) -> None:
    """Units by `score`: taylor (LLM-Pruner, arXiv 2305.11627, all layers stay), magnitude or random, layers as well."""
    model, tokenizer = cuttable(parents[0])
    found = NONE
    if score != "taylor":
        rank = RankConfig(min_layers=config.min_layers, keep_last=config.keep_last)
        found = ranked(score, model, tokenizer, None, rank, seed, log)
    masks, scores = unit_masks(score, model, tokenizer, data.get("text"), config, seed, log)
    about = {"depth": "none" if score == "taylor" else score, "width": score} | described(config, data)
    finish(parents[0].path, out, model.config.num_hidden_layers, found, masks, scores, about)


def described(config: Any, data: Mapping[str, Path]) -> dict[str, Any]:
    """The settings and what they were used on, for the record."""
    return {"config": asdict(config), "data": {name: digest_file(path) for name, path in sorted(data.items())}}


def finish(
    parent: Path,
    out: Path,
    layers: int,
    found: Found,
    masks: Mapping[float, Mask],
    scores: Mapping[str, Tensor],
    about: Mapping[str, Any],
) -> None:
    """Link the parent's files to `out` and write the selection beside them."""
    link_files(parent, out, leave=(RECORD, TENSORS, MEASURES))
    removed, metric = found
    kept = {name: tensor.detach().to("cpu", torch.float32) for name, tensor in scores.items()}
    subnets = Subnets(layers, removed, metric, masks, kept, about)
    write(out, subnets)
    rows = layer_rows(subnets)
    with (out / MEASURES).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
