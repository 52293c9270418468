"""What sessions must remember beside a trainer's checkpoint, so that a killed run goes on as if it had not been.

mifo_state.safetensors   change.*, start.*, mask.* and the sessions' AdamW (exp_avg.*, exp_avg_sq.*, step.*)
mifo_state.json          numbers of buffered rows, counters, measures; what config and data they belong to

Random choices follow from the seed and a session's number: no generator's position is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from methodbench.errors import UserError

TENSORS, FACTS = "mifo_state.safetensors", "mifo_state.json"
VERSION = 1


def save_state(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], identity: str) -> None:
    """Write both files; the caller marks the folder as whole afterwards."""
    save_file({name: one.detach().contiguous() for name, one in tensors.items()}, folder / TENSORS)
    text = json.dumps({"version": VERSION, "identity": identity, **facts})
    (folder / FACTS).write_text(text, encoding="utf-8")


def load_state(folder: Path, identity: str, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_state` wrote.

    Raises:
        UserError: there is none, or it belongs to another config, seed or data, or to another version of this file.
    """
    if not (folder / FACTS).exists():
        raise UserError(f"{folder}: has no '{FACTS}', so the run cannot go on from it; remove the folder to start anew")
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    for key, wanted in (("version", VERSION), ("identity", identity)):
        if facts.pop(key) != wanted:
            what = "version of these files" if key == "version" else "config, seed or set of prompts"
            raise UserError(f"{folder / FACTS}: was written with another {what}; remove the folder to start anew")
    return load_file(folder / TENSORS, device=str(device)), facts
