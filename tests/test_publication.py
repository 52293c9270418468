"""What a report says of its checkpoints is read from their files."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from methodbench.publication import parameters, weights


def written(folder: Path, *names: str) -> Path:
    for name in names:
        save_file({"a": torch.zeros(2, 3), "b": torch.zeros(4)}, folder / name)
    return folder


def test_parameters_are_counted_from_the_header(tmp_path: Path) -> None:
    assert parameters(written(tmp_path, "model.safetensors") / "model.safetensors") == 10


def test_masks_and_adapters_beside_the_weights_are_no_parameters(tmp_path: Path) -> None:
    parts = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    written(tmp_path, *parts, "subnets.safetensors")
    assert [file.name for file in weights(tmp_path)] == list(parts)


def test_weights_under_another_name_are_found(tmp_path: Path) -> None:
    assert [file.name for file in weights(written(tmp_path, "own.safetensors"))] == ["own.safetensors"]
