"""Training on rows with pictures: which row and picture each place of each batch takes, and the loop.

Places are laid out before the training, from the seed alone, so that a killed run goes on with the very row and picture
that it would have seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from methodbench.errors import UserError, nearest
from methodbench.joblog import Log
from methodbench.muon import MuonAdamW
from methodbench.training import train
from methodbench.visual import TOKEN_LEVEL, Encoder, VisualRow, draw

Shape = TypeVar("Shape", bound=PreTrainedConfig)
VISION = ("vision_tower", "vision_model", "visual")  # LLaVA; Idefics2, SmolVLM; Qwen2-VL
KEPT_BYTES = 1 << 30  # of image tensors
LANGUAGE = ("language_model", "text_model")


def places(rows: int, items: int, seed: int) -> Iterator[tuple[int, int]]:
    """For each of `items` places of a training: a row, and how often that row came before.

    Each pass takes all rows in an order of its own; passes follow each other without regard to batches.
    """
    for start in range(0, items, rows):
        visit = start // rows
        order = list(range(rows))
        random.Random(f"{seed} {visit}").shuffle(order)
        yield from ((row, visit) for row in order[: items - start])


class Visits(torch.utils.data.Dataset[dict[str, Any]]):
    """The encoded row of every place of a training, in order, each with the picture drawn for that visit.

    A step of a small model takes less time than the reading of its pictures. So what a row and what a picture give is
    kept: tokens for a row and a size of picture, image tensors for a picture, until these take too much memory.
    """

    def __init__(self, rows: Sequence[VisualRow], encoder: Encoder, items: int, seed: int) -> None:
        self.rows, self.encoder = rows, encoder
        self.taken = [(row, draw(rows[row], seed, visit)) for row, visit in places(len(rows), items, seed)]
        self._tokens: dict[tuple[int, tuple[int, int] | None], dict[str, Any]] = {}
        self._images: dict[str | None, dict[str, Any]] = {None: {}}
        self._sizes: dict[str | None, tuple[int, int] | None] = {None: None}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.taken)

    def __getitem__(self, place: int) -> dict[str, Any]:
        row, picture = self.taken[place]
        tokens = self._tokens.get((row, self._sizes.get(picture)))
        if tokens is None or picture not in self._images:
            encoded = self.encoder.encode(self.rows[row], picture)
            tokens = {name: part for name, part in encoded.items() if name in TOKEN_LEVEL}
            if not self._keep(picture, {name: part for name, part in encoded.items() if name not in TOKEN_LEVEL}):
                return encoded
            self._tokens[row, self._sizes[picture]] = tokens
        return {**tokens, **self._images[picture]}

    def _keep(self, picture: str | None, images: dict[str, Any]) -> bool:
        if picture is None or picture in self._images:
            return True
        size = sum(part.nbytes for part in images.values() if isinstance(part, torch.Tensor))
        if self.encoder.pictures is None or self._bytes + size > KEPT_BYTES:
            return False
        self._bytes += size
        self._images[picture] = images
        self._sizes[picture] = self.encoder.pictures.image(picture).size
        return True


def train_on_rows(
    model: PreTrainedModel,
    rows: Sequence[VisualRow],
    encoder: Encoder,
    work: Path,
    log: Log,
    *,
    steps: int,
    batch_size: int,
    micro_batch: int | None,
    seed: int,
    save_every: int,
    optimizer: torch.optim.Optimizer | None = None,
    **arguments: Any,
) -> None:
    """Train `model` in place on `rows`, from the newest whole state in `work` if there is one.

    Args:
        micro_batch: rows in memory at once, a divisor of `batch_size`; None for all of them. The loss is the mean over
            the whole batch's tokens either way.
        arguments: of transformers' `TrainingArguments`.
    """
    micro_batch = micro_batch or batch_size
    train(
        model,
        Visits(rows, encoder, steps * batch_size, seed),
        encoder.collate,
        work,
        log,
        optimizer,
        max_steps=steps,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=batch_size // micro_batch,
        train_sampling_strategy="sequential",
        label_names=["labels"],
        seed=seed,
        data_seed=seed,
        **points(steps, save_every),
        **arguments,
    )


def points(steps: int, save_every: int) -> dict[str, Any]:
    """Steps between states and between points of a curve.

    Means between two points of a curve are not part of a state, so states lie at points.
    """
    most = max(1, steps // 100)
    return {
        "save_steps": save_every,
        "logging_steps": max(n for n in range(1, most + 1) if save_every % n == 0),
    }


def muon(model: nn.Module, config: Any, betas: tuple[float, float]) -> MuonAdamW | None:
    """The optimizer where `config.optimizer` is "muon", else None: the trainer's own AdamW."""
    if config.optimizer != "muon":
        return None
    return MuonAdamW(
        model,
        muon_rate=config.muon_rate,
        rate=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=betas,
    )


def vision_part(model: PreTrainedModel) -> nn.Module:
    """The vision tower of an image-text model.

    Raises:
        UserError: it has none where the known families keep it.
    """
    return _part(model, VISION)


def language_part(model: PreTrainedModel) -> nn.Module:
    """The language model of an image-text model, without lm_head.

    Raises:
        UserError: it has none where the known families keep it.
    """
    return _part(model, LANGUAGE)


def _part(model: PreTrainedModel, names: Sequence[str]) -> nn.Module:
    inner = getattr(model, "model", model)
    for name in names:
        part = getattr(inner, name, None)
        if isinstance(part, nn.Module):
            return part
    raise UserError(f"{model.config.model_type}: is no known image-text model: it has none of {', '.join(names)}")


def shaped(kind: type[Shape], shape: Mapping[str, Any], where: str, **fixed: Any) -> Shape:
    """The architecture's own config class with `shape` filled in; `where` names the key in the error.

    Raises:
        UserError: the class has no such setting, or refuses the values.
    """
    plain = kind()
    known = set(plain.to_dict()) | set(getattr(plain, "attribute_map", {}))
    for key in shape:
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}' of {plain.model_type}; {nearest(key, sorted(known))}")
    try:
        return kind(**{**shape, **fixed})
    except Exception as error:  # transformers raises several kinds here
        raise UserError(f"{where}: is no shape of {plain.model_type}: {' '.join(str(error).split())}") from error
