"""The threshold tables of a calibrated checkpoint, as files: ``longmamba/tables.safetensors`` and ``tables.json``.

They lie in a folder of their own, so that whatever opens the checkpoint sees nothing but its weights.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from methodbench.errors import UserError
from methods.longmamba.config import TABLES, CalibrateConfig

REDUCTIONS = ("max", "avg")


@dataclass(frozen=True)
class LayerTable:
    """What one layer's C channels do at training length, and the thresholds for longer prompts."""

    log_decay: Tensor  # [C] ln P
    budgets: Tensor  # [C] U
    thresholds: Tensor  # [G, C]
    shares: Tensor  # [G, C] share of the tokens that the thresholds keep


@dataclass(frozen=True)
class Tables:
    """All layers' tables for one clamp and one reduction."""

    train_len: int
    grid: Tensor  # [G] int64, ascending
    layers: dict[int, LayerTable]


def save_tables(folder: Path, config: CalibrateConfig, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write a checkpoint's tables; `tensors` are named by `key`."""
    place = folder / TABLES
    place.mkdir(parents=True)
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, place / "tables.safetensors")
    described = {"config": asdict(config), "grid": list(config.grid()), **about}
    (place / "tables.json").write_text(json.dumps(described, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def key(layer: int, clamp: float, reduce: str, what: str) -> str:
    """The name of one tensor."""
    return f"{layer}.{clamp:g}.{reduce}.{what}"


def load_tables(folder: Path, clamp: float, reduce: str, device: torch.device) -> Tables:
    """The tables for one clamp and reduction.

    Raises:
        UserError: the checkpoint was not calibrated, or not for this clamp.
    """
    place = folder / TABLES
    if not (place / "tables.json").exists():
        raise UserError(f"{folder}: has no threshold tables; make them with the transform 'longmamba_calibrate'")
    about = json.loads((place / "tables.json").read_text(encoding="utf-8"))
    known = about["config"]["clamps"]
    if not any(f"{clamp:g}" == f"{other:g}" for other in known):
        allowed = ", ".join(f"{other:g}" for other in known)
        raise UserError(f"{folder}: key 'clamp': given {clamp:g}, allowed: {allowed} (those it was calibrated for)")
    tensors = {name: tensor.to(device) for name, tensor in load_file(place / "tables.safetensors").items()}
    layers = sorted({int(name.split(".")[0]) for name in tensors})
    fields = ("log_decay", "budgets", "thresholds", "shares")
    return Tables(
        about["config"]["train_len"],
        torch.tensor(about["grid"], device=device),
        {layer: LayerTable(*(tensors[key(layer, clamp, reduce, name)] for name in fields)) for layer in layers},
    )
