"""`amoeballm_latency`: how long each selected shape takes to decode, on this machine.

Greedy decoding with a key-value cache of random prompts. Shapes take turns within a round, so that a slow minute of
the machine slows all of them; a shape's time is its median over rounds. A shape is the architecture that
`amoeballm_extract` writes; its weights are views of the parent's memory, as times depend on sizes only. Times are
the machine's own and differ from run to run.
"""

from __future__ import annotations

import csv
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedModel

from methodbench.checkpoint import Checkpoint, link_files
from methodbench.joblog import Log
from methodbench.provenance import machine
from methods.amoeballm.architecture import Target, settings, target
from methods.amoeballm.blocks import geometry
from methods.amoeballm.export import built, opened
from methods.amoeballm.extract_config import LatencyConfig
from methods.amoeballm.subnets import MEASURES
from methods.amoeballm.times import LATENCY

COLUMNS = ("depth", "width", "parameters", "share", "ms_per_token", "latency", "prefill_ms")
Row = dict[str, float]


def amoeballm_latency(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: LatencyConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the parent's files, linked, and a row a shape in `latency.json` and `measures.csv`.

    Raises:
        UserError: no selection, or a model type that cannot hold a shape.
    """
    (parent,) = parents
    base, _, subnets, _ = opened(parent)
    where = str(parent.path)
    sizes = geometry(base)
    shapes = [(depth, width) for depth in subnets.depths() for width in subnets.widths()]
    aims = [target(base, subnets, depth, width, config, where) for depth, width in shapes]
    generator = torch.Generator().manual_seed(seed)
    prompt = torch.randint(sizes.vocabulary, (config.batch_size, config.prompt), generator=generator).to(base.device)
    models = [shaped(base, aim) for aim in aims]
    times = timed(models, prompt, config, log)
    rows: list[Row] = []
    for (depth, width), aim, (prefill, token) in zip(shapes, aims, times, strict=True):
        parameters = sizes.parameters(aim.units, aim.biases)
        ratio = token / times[0][1]  # the first shape is the full model
        numbers = (depth, width, parameters, parameters / sizes.whole, 1000 * token, ratio, 1000 * prefill)
        rows.append(dict(zip(COLUMNS, map(_short, numbers), strict=True)))
    link_files(parent.path, out, leave=(LATENCY, MEASURES))
    record = {"measured": measured(base, config), "shapes": rows}
    (out / LATENCY).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with (out / MEASURES).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def shaped(base: PreTrainedModel, aim: Target) -> PreTrainedModel:
    """A model of the architecture of `aim` whose weights are the first numbers of those of `base`."""
    config = settings(base, aim)
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in kind(config).named_parameters()}
    whole = dict(base.named_parameters())

    def cut(name: str, shape: torch.Size) -> Tensor:
        if name not in whole:  # biases that the parent does not have
            return torch.zeros(shape, dtype=base.dtype, device=base.device)
        return whole[name].detach().flatten()[: shape.numel()].view(shape)

    return built(config, {name: cut(name, shape) for name, shape in wanted.items()})


def timed(
    models: Sequence[PreTrainedModel], prompt: Tensor, config: LatencyConfig, log: Log
) -> list[tuple[float, float]]:
    """For each model its median seconds for the prompt, and for a token thereafter."""
    found: list[list[tuple[float, float]]] = [[] for _ in models]
    for turn in range(config.rounds + 1):
        for place, model in enumerate(models):
            once = decoded(model, prompt, config.new_tokens)
            if turn:  # the first round warms up
                found[place].append(once)
            log.progress(turn * len(models) + place + 1, (config.rounds + 1) * len(models), "shape")
    return [(statistics.median(a for a, _ in one), statistics.median(b for _, b in one)) for one in found]


@torch.no_grad()
def decoded(model: PreTrainedModel, prompt: Tensor, new_tokens: int) -> tuple[float, float]:
    """Seconds for the prompt, and for each of `new_tokens` greedy tokens after it."""
    call: Any = model
    started = _now(prompt.device)
    step = call(input_ids=prompt, use_cache=True, logits_to_keep=1)
    middle = _now(prompt.device)
    for _ in range(new_tokens):
        token = step.logits[:, -1:].argmax(-1)
        step = call(input_ids=token, past_key_values=step.past_key_values, use_cache=True)
    return middle - started, (_now(prompt.device) - middle) / new_tokens


def measured(base: PreTrainedModel, config: LatencyConfig) -> dict[str, Any]:
    """Where and how times were taken, for the record."""
    cuda = base.device.type == "cuda"
    return {
        "machine": machine(),
        "device": torch.cuda.get_device_name(base.device) if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "dtype": str(base.dtype).removeprefix("torch."),
        "prompt": config.prompt,
        "new_tokens": config.new_tokens,
        "batch_size": config.batch_size,
        "rounds": config.rounds,
    }


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")
