"""A selection of subnets as it lies beside the weights: which layers go at each depth, which units at each width.

`subnets.json` says which layers and how they were found; `subnets.safetensors` has for each ratio the masks of groups
[L, G] and neurons [L, I] (true: kept) and the biases that make up for what was removed [L, hidden], and the scores of
all units.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from methodbench.errors import UserError

RECORD, TENSORS = "subnets.json", "subnets.safetensors"
MEASURES = "measures.csv"
FROZEN = "frozen"  # in a tuned checkpoint the folder of the model that was tuned


@dataclass(frozen=True)
class Mask:
    """One width: units kept in each layer, and what is added to the outputs of o_proj and down_proj."""

    groups: Tensor  # [L, G] bool
    neurons: Tensor  # [L, I] bool
    attention_bias: Tensor | None = None  # [L, hidden]
    mlp_bias: Tensor | None = None  # [L, hidden]


@dataclass(frozen=True)
class Subnets:
    """What a selection found. Removed layers and widths are those asked for: 0 and 1.0 stand for nothing removed."""

    layers: int
    removed: Mapping[int, tuple[int, ...]]  # how many -> which, ascending; 0 -> ()
    metric: Mapping[int, float] = field(default_factory=dict)  # how many -> what the search saw
    masks: Mapping[float, Mask] = field(default_factory=dict)  # ratio that remains -> mask; never 1.0
    scores: Mapping[str, Tensor] = field(default_factory=dict)  # "groups" [L, G], "neurons" [L, I], as ranked
    about: Mapping[str, Any] = field(default_factory=dict)  # how it was found, JSON

    def active(self, depth: int, where: str) -> tuple[bool, ...]:
        """Which layers run at a depth.

        Raises:
            UserError: the selection has no subnet of that depth.
        """
        depths = [self.layers - count for count in self.removed]
        if depth not in depths:
            allowed = f"{min(depths)} to {max(depths)}" if len(depths) > 1 else str(depths[0])
            raise UserError(f"{where}: key 'depth': given {depth}, allowed: {allowed} layers, as selected")
        gone = self.removed[self.layers - depth]
        return tuple(layer not in gone for layer in range(self.layers))

    def mask(self, width: float, where: str) -> Mask | None:
        """The mask of a width; None for 1.

        Raises:
            UserError: the selection has no such width.
        """
        if width == 1:
            return None
        for ratio, mask in self.masks.items():
            if abs(ratio - width) < 1e-6:
                return mask
        given = ", ".join(f"{ratio:g}" for ratio in sorted([1.0, *self.masks], reverse=True))
        raise UserError(f"{where}: key 'width': given {width:g}, allowed: {given}, as selected")

    def depths(self) -> tuple[int, ...]:
        """Numbers of layers that may run, most first."""
        return tuple(self.layers - count for count in sorted(self.removed))

    def widths(self) -> tuple[float, ...]:
        """Widths, largest first."""
        return (1.0, *sorted(self.masks, reverse=True))


def write(folder: Path, subnets: Subnets) -> None:
    """Write both files into `folder`."""
    record = {
        "layers": subnets.layers,
        "removed": {str(count): list(layers) for count, layers in sorted(subnets.removed.items())},
        "metric": {str(count): value for count, value in sorted(subnets.metric.items())},
        "ratios": sorted(subnets.masks, reverse=True),
        "about": dict(subnets.about),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    tensors = {f"scores.{name}": tensor.contiguous() for name, tensor in subnets.scores.items()}
    for ratio, mask in subnets.masks.items():
        for name, tensor in vars(mask).items():
            if tensor is not None:
                tensors[f"{ratio:.6f}.{name}"] = tensor.contiguous()
    save_file(tensors, folder / TENSORS)


def read(folder: Path) -> Subnets:
    """The selection beside a checkpoint's weights.

    Raises:
        UserError: there is none.
    """
    if not (folder / RECORD).exists():
        raise UserError(
            f"{folder}: carries no selection of subnets: {RECORD} is missing; make one with amoeballm_select"
        )
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    tensors = load_file(folder / TENSORS)

    def mask(ratio: float) -> Mask:
        head = f"{ratio:.6f}"
        biases = [tensors.get(f"{head}.{name}") for name in ("attention_bias", "mlp_bias")]
        return Mask(tensors[f"{head}.groups"], tensors[f"{head}.neurons"], *biases)

    return Subnets(
        layers=record["layers"],
        removed={int(count): tuple(layers) for count, layers in record["removed"].items()},
        metric={int(count): value for count, value in record["metric"].items()},
        masks={ratio: mask(ratio) for ratio in record["ratios"]},
        scores={name: tensors[f"scores.{name}"] for name in ("groups", "neurons") if f"scores.{name}" in tensors},
        about=record["about"],
    )


def layer_rows(subnets: Subnets) -> list[dict[str, Any]]:
    """A row a layer for ``measures.csv``: whether each depth keeps it, and the share of units that each width keeps."""
    rows: list[dict[str, Any]] = []
    for layer in range(subnets.layers):
        row: dict[str, Any] = {"layer": layer}
        for count, gone in sorted(subnets.removed.items()):
            row[f"kept_{subnets.layers - count}"] = int(layer not in gone)
        for ratio, mask in sorted(subnets.masks.items(), reverse=True):
            name = f"{100 * ratio:.0f}"
            row[f"heads_{name}"] = round(float(mask.groups[layer].double().mean()), 6)
            row[f"neurons_{name}"] = round(float(mask.neurons[layer].double().mean()), 6)
        rows.append(row)
    return rows


def removed_of(order: Sequence[int], most: int) -> dict[int, tuple[int, ...]]:
    """Nested strategies of a ranking: the first m of `order` go, for m = 0 to `most`."""
    return {count: tuple(sorted(order[:count])) for count in range(most + 1)}


def most_removed(layers: int, min_layers: int | None, keep_last: int, where: str) -> int:
    """M, the most layers that may go.

    Raises:
        UserError: more layers must stay than there are.
    """
    least = min_layers if min_layers is not None else round(0.625 * layers)
    if not least <= layers:
        raise UserError(f"{where}: key 'min_layers': given {least}, allowed: 1 to {layers}, the model's layers")
    if keep_last > layers:
        raise UserError(f"{where}: key 'keep_last': given {keep_last}, allowed: 0 to {layers}, the model's layers")
    return min(layers - least, layers - keep_last)
