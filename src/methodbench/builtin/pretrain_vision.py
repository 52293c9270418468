"""Train a small CLIP vision tower on labelled pictures, so that a small LLaVA has something to see with.

No paper: it stands in for CLIP's pretraining. Without it a small model learns texts and hardly any faces.

A row is ``{"png": base64, "labels": {"hair": 3, ...}}``; every row has the same labels. Each label has a linear head on
the mean of the patches' states in the layer that LLaVA will read. The last twentieth of the rows is held back;
``measures.csv`` holds the share of it that each head gets right.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel, set_seed

from methodbench.builtin.pretrain_vision_config import PretrainVisionConfig
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.measures import NAME
from methodbench.training import train
from methodbench.visual import decode_picture
from methodbench.visual_training import muon, places, points, shaped

BETA2 = 0.98
HELD_BACK = 0.05
AT_ONCE = 256  # pictures in one call of the image processor or of the tower in evaluation


def pretrain_vision(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: PretrainVisionConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Train on ``data["faces"]`` and write the tower and its image processor to `out`; states live beside `out`."""
    shape = shaped(CLIPVisionConfig, config.shape, "pretrain_vision: key 'shape'")
    size, layers = shape.image_size, shape.num_hidden_layers
    if not isinstance(size, int):
        raise UserError(f"pretrain_vision: key 'shape.image_size': given {size}, allowed: one whole number")
    if not -layers <= config.feature_layer <= layers:
        raise UserError(
            f"pretrain_vision: key 'feature_layer': given {config.feature_layer}, "
            f"allowed: {-layers} to {layers} for a tower of {layers} layers"
        )
    pictures, values = read_labelled(data["faces"])
    names = sorted(values)
    kinds = [sorted(set(values[name])) for name in names]
    targets = torch.tensor(
        [[kind.index(value) for value in values[name]] for name, kind in zip(names, kinds, strict=True)]
    ).T  # [N, labels]
    processor = image_processor(size)
    pixels = torch.cat(
        [
            processor(images=[decode_picture(png) for png in pictures[begin : begin + AT_ONCE]], return_tensors="pt")[
                "pixel_values"
            ]
            for begin in range(0, len(pictures), AT_ONCE)
        ]
    )  # [N, 3, S, S]
    kept = len(pictures) - max(1, round(HELD_BACK * len(pictures)))

    set_seed(seed)
    model: Any = Labeller(CLIPVisionModel(shape), [len(kind) for kind in kinds], config.feature_layer)
    log.say(f"{model.tower.num_parameters() / 1e6:.2f} M parameters, {kept} pictures, {len(names)} labels")
    train(
        model,
        [row for row, _ in places(kept, config.steps * config.batch_size, seed)],
        lambda batch: {"pixel_values": pixels[batch], "targets": targets[batch]},
        out.parent / "training",
        log,
        muon(model, config, (0.9, BETA2)),
        max_steps=config.steps,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        lr_scheduler_type="cosine",
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        adam_beta2=BETA2,
        train_sampling_strategy="sequential",
        seed=seed,
        data_seed=seed,
        **points(config.steps, config.save_every),
    )
    right = accuracies(model, pixels[kept:], targets[kept:])
    log.say("right on pictures held back: " + "  ".join(f"{n} {r:.3f}" for n, r in zip(names, right, strict=True)))
    model.tower.save_pretrained(out)
    processor.save_pretrained(out)
    with (out / NAME).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["label", "accuracy"])
        table.writerows([name, f"{share:.6g}"] for name, share in zip(names, right, strict=True))


class Labeller(nn.Module):
    """A vision tower and a linear head for each label.

    `classes` is the number of values of each label.
    """

    def __init__(self, tower: CLIPVisionModel, classes: Sequence[int], feature_layer: int) -> None:
        super().__init__()
        self.tower, self.classes, self.feature_layer = tower, list(classes), feature_layer
        self.heads = nn.Linear(tower.config.hidden_size, sum(classes))

    def scores(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """Logits of each label, [B, its classes], from pixels [B, 3, S, S]."""
        states: Tensor = self.tower(pixel_values, output_hidden_states=True).hidden_states[self.feature_layer]
        scores: Tensor = self.heads(states[:, 1:].mean(1))
        return torch.split(scores, self.classes, dim=-1)

    def forward(self, pixel_values: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss: cross-entropies, means over the batch, summed over the labels; targets [B, labels]."""
        scores = self.scores(pixel_values)
        losses = [F.cross_entropy(score, target) for score, target in zip(scores, targets.T, strict=True)]
        return {"loss": torch.stack(losses).sum()}


@torch.no_grad()
def accuracies(model: Labeller, pixels: Tensor, targets: Tensor) -> list[float]:
    """The share of pictures whose likeliest value is the true one, for each label."""
    model.eval()
    device = next(model.parameters()).device
    right = [
        torch.stack([score.argmax(-1).cpu() for score in model.scores(part.to(device))], -1) == truth
        for part, truth in zip(pixels.split(AT_ONCE), targets.split(AT_ONCE), strict=True)
    ]
    return [float(share) for share in torch.cat(right).double().mean(0)]


def image_processor(size: int) -> CLIPImageProcessorPil:
    """CLIP's: pictures of `size` x `size` pixels with CLIP's mean and deviation; needs no torchvision."""
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def read_labelled(path: Path) -> tuple[list[str], dict[str, list[Any]]]:
    """The pictures (base64 PNG), and for each label its values, one a picture.

    Raises:
        UserError: fewer than two rows, a row without a picture, or rows whose labels differ.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if len(rows) < 2:
        raise UserError(f"{path}: holds {len(rows)} rows; at least 2 are needed, one of them to be held back")
    for number, row in enumerate(rows, 1):
        for key in ("png", "labels"):
            if not row.get(key):
                raise UserError(f"{path}: line {number} has no '{key}'")
        if row["labels"].keys() != rows[0]["labels"].keys():
            raise UserError(
                f"{path}: line {number}: labels {', '.join(sorted(row['labels']))}; "
                f"allowed: those of line 1, {', '.join(sorted(rows[0]['labels']))}"
            )
    return [row["png"] for row in rows], {name: [row["labels"][name] for row in rows] for name in rows[0]["labels"]}
