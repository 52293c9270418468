"""Which layers matter and which changed (sheet section 2.9): the tuned weights, linked, and an analysis beside them.

The paper says that self-improvement changes those layers most that matter least for reasoning; its measure of what
matters is not known. So four are taken, on worked rows (prompt and right completion), against three of change, and all
twelve correlations are written down. The released code has none of this.

NLL    mean cross-entropy, in nats, of a completion's tokens after its prompt, over the tokens of all rows
Acc    share of rows all of whose completion tokens are the most probable ones, given the right tokens before them
       (teacher forcing; the token that ends a text is not asked for, since the original may end its texts otherwise)

Weights are float32; sums over weights are float64.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from methodbench.checkpoint import Checkpoint, link_files
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.imm.change import Change, change, overlap, permutation_p, spearman, total
from methods.imm.importance import all_right, completion_losses, first_order, influence_sums, skip_effects
from methods.imm.layers_config import LayersConfig

TABLE, REPORT = "measures.csv", "layers.json"
IMPORTANCE = ("importance_nll", "importance_acc", "importance_grad", "importance_bi")
CHANGE = ("change_l2", "change_rel", "change_abs")


@dataclass(frozen=True)
class Batch:
    """Probe rows padded on the right: token ids, which are no padding, which belong to a completion; all [B, T]."""

    ids: Tensor
    real: Tensor
    wanted: Tensor


def imm_layers(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: LayersConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the first parent's files, linked, with ``measures.csv`` and ``layers.json``, to `out`.

    The parents are the tuned checkpoint and the original. The seed changes nothing.
    """
    tuned, original = parents
    checkpoint = original if config.of == "original" else tuned
    model, tokenizer = checkpoint.load(dtype=torch.float32)
    place, blocks = decoder_blocks(model, checkpoint.path)
    batches, left_out = probes(data["probe"], tokenizer, config, model.device)
    whole, columns = importances(model, blocks, batches, log)
    by_tensor = changes(tuned.path, original.path)
    by_layer, by_module, outside = grouped(by_tensor, place, len(blocks), tuned.path)
    columns |= {f"change_{name}": torch.tensor(values) for name, values in measured(by_layer).items()}
    k = min(config.top_k, len(blocks))
    pairs = correlations(columns, k, config.permutations)
    link_files(tuned.path, out, leave=(TABLE, REPORT))
    write_table(out / TABLE, columns)
    report = {
        "importance_of": config.of,
        "probe": {
            "rows": sum(len(batch.ids) for batch in batches),
            "left_out": left_out,
            "tokens": sum(int(batch.wanted.sum()) for batch in batches),
            **whole,
        },
        "pairs": pairs,
        "top_k": {"k": k, "overlap_by_chance": k / len(blocks)},
        "modules": {name: row(part) for name, part in by_module.items()},
        "outside": {name: row(part) for name, part in outside.items()},
    }
    (out / REPORT).write_text(json.dumps(rounded(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    log.say(summary(pairs))


def decoder_blocks(model: PreTrainedModel, where: Path) -> tuple[str, nn.ModuleList]:
    """The outermost list of as many modules as the model has layers, and its name.

    Raises:
        UserError: there is none.
    """
    depth = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return name, module
    raise UserError(f"imm_layers: {where}: no list of {depth} decoder blocks in a '{model.config.model_type}' model")


def probes(
    path: Path, tokenizer: PreTrainedTokenizerBase, config: LayersConfig, device: torch.device
) -> tuple[list[Batch], int]:
    """The first rows in batches, and how many were left out because they are too long.

    Prompt and completion are tokenised apart, the prompt with whatever begins a text.

    Raises:
        UserError: a row has no prompt or no completion, or no row is left.
    """
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines()[: config.rows]
    for number, line in enumerate(lines, 1):
        values = json.loads(line)
        for key in ("prompt", "completion"):
            if not isinstance(values.get(key), str) or not values[key]:
                given = repr(values[key]) if key in values else "nothing"
                raise UserError(f"{path}: line {number}: key '{key}': given {given}, must be a text")
        source = list(tokenizer.encode(values["prompt"]))
        rows.append((source, list(tokenizer.encode(values["completion"], add_special_tokens=False))))
    kept = [(source, target) for source, target in rows if len(source) + len(target) <= config.max_length]
    if not kept:
        raise UserError(f"{path}: none of {len(rows)} probe rows is within {config.max_length} tokens ('max_length')")
    starts = range(0, len(kept), config.batch_size)
    return [padded(kept[start : start + config.batch_size], device) for start in starts], len(rows) - len(kept)


def padded(rows: Sequence[tuple[list[int], list[int]]], device: torch.device) -> Batch:
    """(prompt, completion) pairs of token ids as one batch; what stands in the padding is never attended to."""
    longest = max(len(source) + len(target) for source, target in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    real, wanted = torch.zeros(2, len(rows), longest, dtype=torch.bool)
    for at, (source, target) in enumerate(rows):
        end = len(source) + len(target)
        ids[at, :end] = torch.tensor(source + target)
        real[at, :end] = True
        wanted[at, max(1, len(source)) : end] = True  # nothing predicts a text's first token
    return Batch(ids.to(device), real.to(device), wanted.to(device))


def importances(
    model: PreTrainedModel, blocks: nn.ModuleList, batches: Sequence[Batch], log: Log
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """NLL and accuracy of the whole model, and the four measures of `importance.py`, each [L]."""
    layers = list(blocks)
    tokens = sum(int(batch.wanted.sum()) for batch in batches)
    passes = 0

    def logits(batch: Batch) -> Tensor:
        found: Tensor = model(input_ids=batch.ids, attention_mask=batch.real.long(), use_cache=False).logits
        return found

    def measure() -> Tensor:
        nonlocal passes
        loss, right, rows = 0.0, 0, 0
        for batch in batches:
            losses, hits = completion_losses(logits(batch), batch.ids, batch.wanted)
            loss += float(losses.double().sum())
            right += int(all_right(hits, batch.wanted).sum())
            rows += len(batch.ids)
        passes += 1
        log.progress(passes, len(layers) + 1, "pass")
        return torch.tensor([loss / tokens, right / rows], dtype=torch.float64)

    with torch.no_grad():  # not inference mode: what a model caches meanwhile must serve the gradients, too
        (nll, accuracy), effects = skip_effects(layers, measure)
        influence = torch.zeros(len(layers), dtype=torch.float64)
        for batch in batches:
            influence += influence_sums(layers, partial(logits, batch), batch.real)
    losses = (completion_losses(logits(batch), batch.ids, batch.wanted)[0].sum() / tokens for batch in batches)
    columns = {
        "importance_nll": effects[:, 0],
        "importance_acc": 0 - effects[:, 1],  # no minus before nought
        "importance_grad": first_order(layers, losses),
        "importance_bi": influence / sum(int(batch.real.sum()) for batch in batches),
    }
    return {"nll": float(nll), "accuracy": float(accuracy)}, columns


def changes(tuned: Path, original: Path) -> dict[str, Change]:
    """The change of every tensor, read one at a time; a tied head that only one of the folders stores is left out.

    Raises:
        UserError: the folders do not hold weights of one shape.
    """
    with ExitStack() as stack:
        places = []
        for folder in (tuned, original):
            opened = [stack.enter_context(safe_open(file, "pt")) for file in sorted(folder.glob("*.safetensors"))]
            places.append({name: file for file in opened for name in file.keys()})  # noqa: SIM118 (it is no dict)
        after, before = places
        lonely = sorted(name for name in after.keys() ^ before.keys() if not name.startswith("lm_head."))
        if lonely:
            folder = tuned if lonely[0] in after else original
            raise UserError(f"imm_layers: tensor '{lonely[0]}' is in {folder} alone; both parents must be of one shape")
        found = {}
        for name in (name for name in before if name in after):
            new, old = after[name].get_tensor(name), before[name].get_tensor(name)
            if new.shape != old.shape:
                shapes = f"{list(new.shape)} in {tuned}, {list(old.shape)} in {original}"
                raise UserError(f"imm_layers: tensor '{name}' is {shapes}; both parents must be of one shape")
            found[name] = change(new, old)
        return found


def grouped(
    by_tensor: Mapping[str, Change], place: str, depth: int, where: Path
) -> tuple[list[Change], dict[str, Change], dict[str, Change]]:
    """Changes of each block, of each kind of module over all blocks (``q_proj`` is "q"), of each tensor outside.

    `place` is the blocks' name in the model; files may write it without what stands before its last word.
    """
    pattern = re.compile(rf"(?:^|\.){re.escape(place.rpartition('.')[2])}\.(\d+)\.")
    layers: list[list[Change]] = [[] for _ in range(depth)]
    modules: dict[str, list[Change]] = {}
    outside = {}
    for name, one in by_tensor.items():
        found = pattern.search(name)
        if found is None:
            outside[name] = one
            continue
        layers[int(found[1])].append(one)
        modules.setdefault(name.split(".")[-2].removesuffix("_proj"), []).append(one)
    if not all(layers):
        raise UserError(f"imm_layers: {where}: no tensors named '{place}.{layers.index([])}.…' in its files")
    return [total(layer) for layer in layers], {name: total(modules[name]) for name in sorted(modules)}, outside


def measured(parts: Sequence[Change]) -> dict[str, list[float]]:
    """The three measures of change of each part."""
    return {name: [row(part)[name] for part in parts] for name in ("l2", "rel", "abs")}


def row(part: Change) -> dict[str, float]:
    """One part's three measures."""
    return {"l2": part.l2, "rel": part.rel, "abs": part.abs}


def correlations(columns: Mapping[str, Tensor], k: int, permutations: int) -> dict[str, dict[str, dict[str, float]]]:
    """Of each measure of importance with each of change: rho, its permutation p, and the overlap of the k largest."""
    generator = torch.Generator().manual_seed(0)
    return {
        important: {
            changed: {
                "rho": spearman(columns[important], columns[changed]),
                "p": permutation_p(columns[important], columns[changed], permutations, generator),
                "overlap": overlap(columns[important], columns[changed], k),
            }
            for changed in CHANGE
        }
        for important in IMPORTANCE
    }


def summary(pairs: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The pair that was named before, and the one most in the paper's favour."""
    flat = [(pair["rho"], pair["p"], f"{one}, {other}") for one, row in pairs.items() for other, pair in row.items()]
    told = [f"rho({name}) = {rho:.2f}, p {p:.2g}" for rho, p, name in (flat[0], min(flat, key=_known))]
    return f"{told[0]}; lowest of {len(flat)}: {told[1]}"


def _known(pair: tuple[float, float, str]) -> float:
    return math.inf if math.isnan(pair[0]) else pair[0]


def write_table(path: Path, columns: Mapping[str, Tensor]) -> None:
    """One row a layer."""
    names = (*IMPORTANCE, *CHANGE)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["layer", *names])
        for layer, values in enumerate(zip(*(columns[name].tolist() for name in names), strict=True)):
            table.writerow([layer, *(f"{value:.6g}" for value in values)])


def rounded(value: Any) -> Any:
    """Six digits, as the table has them, and null for what is not a number."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
