"""What a transform of MANU leaves: the pruned checkpoint, the mask as a record, and tables of what was measured."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from methodbench.checkpoint import link_files
from methods.manu.neurons import Part
from methods.manu.scoring import Scored, quantiles

MASK, MEASURES = "manu_mask.json", "measures.csv"
INDEX = "model.safetensors.index.json"
TOWERS = ("vision", "language")
NAMES = ("i_abs", "i_freq", "i_var", "i_rms")


def save(model: PreTrainedModel | None, parent: Path, out: Path) -> None:
    """Make `out` of the parent's files, linked, with the model's weights in place of the parent's if one is given.

    Config, processor and tokenizer stay the parent's: pruning changes no shape.
    """
    if model is None:
        link_files(parent, out, leave=(MASK, MEASURES))
        return
    old = [file.name for file in parent.glob("*.safetensors")]
    link_files(parent, out, leave=(MASK, MEASURES, INDEX, *old))
    scratch = out / ".saved"
    model.save_pretrained(scratch)
    for file in sorted([*scratch.glob("*.safetensors"), *scratch.glob(INDEX)]):
        file.rename(out / file.name)
    shutil.rmtree(scratch)


def mask_record(
    parts: Sequence[Part], masks: Mapping[str, Tensor], about: Mapping[str, Any], found: Sequence[Scored]
) -> dict[str, Any]:
    """`manu_mask.json`: what decided, how much of each tower, which units of each MLP, and where the scores lay.

    Score quantiles are those of the first round, before anything was zeroed.
    """
    towers = list(dict.fromkeys(part.tower for part in parts))
    groups = {}
    for tower in towers:
        own = [masks[part.key] for part in parts if part.tower == tower]
        groups[tower] = {"units": sum(map(len, own)), "pruned": sum(int(mask.sum()) for mask in own)}
    layers: dict[str, dict[str, list[int]]] = {}
    for part in parts:
        units = masks[part.key].nonzero().flatten().tolist()
        if units:
            layers.setdefault(part.path, {})[part.name] = units
    record = {**about, "groups": groups, "layers": layers}
    if found:
        by_tower = {tower: [one for one in found if one.part.tower == tower] for tower in towers}
        record["score_quantiles"] = {tower: quantiles([one.score for one in some]) for tower, some in by_tower.items()}
        record["null_quantiles"] = {
            tower: quantiles([one.null for one in some if one.null is not None])
            for tower, some in by_tower.items()
            if all(one.null is not None for one in some)
        }
    return record


def write_layers(path: Path, found: Sequence[Scored], masks: Mapping[str, Tensor]) -> None:
    """A row a part: units, share pruned, and means of score, null and importances over its units.

    Layers of both towers count from 0: `vision_share` and `language_share` are the share in rows of that tower alone.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        own = [f"{tower}_share" for tower in TOWERS]
        table.writerow(["tower", "layer", "part", "units", "pruned", "share", *own, "score", "null_score", *NAMES])
        for one in found:
            mask = masks[one.part.key]
            null = math.nan if one.null is None else float(one.null.mean())
            share = float(mask.double().mean())
            shares = [share, *(share if one.part.tower == tower else math.nan for tower in TOWERS)]
            numbers = [*shares, float(one.score.mean()), null]
            numbers += one.forget.stacked().mean(1).tolist()
            part = one.part
            table.writerow([part.tower, part.layer, part.name, part.width, int(mask.sum()), *map(_short, numbers)])


def write_units(path: Path, found: Sequence[Scored]) -> None:
    """A row a unit: score, null score, and its importances on the forget rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["tower", "layer", "part", "unit", "score", "null_score", *NAMES])
        for one in found:
            where = (one.part.tower, one.part.layer, one.part.name)
            nulls = [math.nan] * one.part.width if one.null is None else one.null.tolist()
            importances = one.forget.stacked().T.tolist()
            together = zip(one.score.tolist(), nulls, importances, strict=True)
            for unit, (score, null, parts) in enumerate(together):
                table.writerow([*where, unit, *map(_short, (score, null, *parts))])


def _short(value: float) -> str:
    return f"{value:.6g}"
