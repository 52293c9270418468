"""The calibration job: the same weights, and beside them the threshold tables of every layer.

A few sequences of the training length pass through the model; what is kept of them is, for every channel, its decay P,
its budget U, and a threshold for each length of the grid, for every clamp and both reductions of the released code.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from methodbench.checkpoint import Checkpoint, digest_file, link_or_copy
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.longmamba import calibration
from methods.longmamba.config import CalibrateConfig
from methods.longmamba.step_sizes import StepSizes, mixers, rates
from methods.longmamba.tables import REDUCTIONS, key, save_tables

OFFSET = 10  # [REL] tokens skipped at the start of a stretch


def longmamba_calibrate(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: CalibrateConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the parent's files, linked, and ``longmamba/`` with the tables, to `out`."""
    (parent,) = parents
    model, tokenizer = parent.load()
    if not mixers(model):
        raise UserError(f"longmamba_calibrate: {parent.path} is no Mamba model: it has no layer with step sizes")
    rows = [json.loads(line)["text"] for line in data["text"].read_text(encoding="utf-8").splitlines()]
    passages = sequences(rows, tokenizer, config, str(data["text"]))
    tensors = calibrate(model, passages, config, log)
    out.mkdir(parents=True)
    for file in sorted(parent.path.iterdir()):
        if file.is_file() and not file.name.startswith(".") and file.name not in ("checkpoint.json", "curves.jsonl"):
            link_or_copy(file, out / file.name)
    about = {"sequences": len(passages), "text_sha256": digest_file(data["text"])}
    save_tables(out, config, tensors, about)
    write_measures(out / "measures.csv", tensors, config)


def sequences(
    rows: Sequence[str], tokenizer: PreTrainedTokenizerBase, config: CalibrateConfig, where: str
) -> list[list[int]]:
    """M token sequences of the training length.

    Stretches [REL]: all text as one sequence of T tokens, the i-th stretch from floor(T i / M) + 10 on.

    Raises:
        UserError: the text is too short for so many.
    """
    length, many = config.train_len, config.sequences
    encoded = [list(tokenizer.encode(row, add_special_tokens=False)) for row in rows]
    if config.sampling == "rows":
        found = [row[:length] for row in encoded if len(row) >= length][:many]
    else:
        text = [token for row in encoded for token in row]
        starts = [math.floor(len(text) * place / many) + OFFSET for place in range(many)]
        found = [text[start : start + length] for start in starts if start + length <= len(text)]
    if len(found) < many:
        raise UserError(
            f"longmamba_calibrate: {where} holds {len(found)} {config.sampling} of {length} tokens, "
            f"key 'sequences' wants {many}"
        )
    return found


@torch.inference_mode()
def calibrate(
    model: PreTrainedModel, passages: Sequence[list[int]], config: CalibrateConfig, log: Log
) -> dict[str, Tensor]:
    """The tables as tensors by name (`tables.key`)."""
    seen: dict[int, Tensor] = {}

    def note(layer: int, delta: Tensor, decoding: bool) -> Tensor:
        seen[layer] = delta[0].T.float()  # [C, L]
        return delta

    found: dict[tuple[int, float, str], list[Tensor]] = {}
    A = {layer: rates(mixer) for layer, mixer in mixers(model).items()}
    for place, passage in enumerate(passages):
        with StepSizes(model, note):
            model(input_ids=torch.tensor([passage], device=model.device), use_cache=False)
        for layer, delta in seen.items():
            for clamp in config.clamps:
                for what, value in measured(delta, A[layer], clamp, config).items():
                    found.setdefault((layer, clamp, what), []).append(value.cpu())
        log.progress(place + 1, len(passages), "sequence")
    tensors = {}
    for (layer, clamp, what), values in found.items():
        stacked = torch.stack(values)
        for how in REDUCTIONS:
            reduce = calibration.reduced_log_decay if what == "log_decay" else calibration.reduced
            tensors[key(layer, clamp, how, what)] = reduce(stacked, how)
    return tensors


def measured(delta: Tensor, A: Tensor, clamp: float, config: CalibrateConfig) -> dict[str, Tensor]:
    """One layer on one sequence: ln P [C], U [C], thresholds and kept shares [G, C]."""
    cut = calibration.clamped(delta, clamp)
    pairs = [calibration.threshold(cut, length) for length in config.grid()]
    return {
        "log_decay": calibration.log_decay(cut if config.decay_of == "clamped" else delta, A),
        "budgets": calibration.budget(cut),
        "thresholds": torch.stack([threshold for threshold, _ in pairs]),
        "shares": torch.stack([share for _, share in pairs]),
    }


def write_measures(path: Path, tensors: Mapping[str, Tensor], config: CalibrateConfig) -> None:
    """Decay and budget of every channel, for the report's histograms: log10 P and U at the first clamp, "max"."""
    clamp = config.clamps[0]
    layers = sorted({int(name.split(".")[0]) for name in tensors})
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["layer", "channel", "log10_decay", "budget"])
        for layer in layers:
            decay = tensors[key(layer, clamp, "max", "log_decay")] / math.log(10)
            budgets = tensors[key(layer, clamp, "max", "budgets")]
            for channel, (log10, total) in enumerate(zip(decay.tolist(), budgets.tolist(), strict=True)):
                table.writerow([layer, channel, f"{log10:.6g}", f"{total:.6g}"])
