"""Pico models of all four architectures with calibrated tables, and ways to look at their step sizes."""

from __future__ import annotations

import io
import math
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.joblog import Log
from methodbench.scans.install import use_fast_scans
from methods.longmamba.calibrate import calibrate
from methods.longmamba.config import ARCHITECTURES, CalibrateConfig, LongMambaConfig
from methods.longmamba.filter import Filter
from methods.longmamba.step_sizes import StepSizes, mixers
from methods.longmamba.tables import Tables, load_tables, save_tables
from tests import pico

KINDS = ARCHITECTURES
TRAINED = 16  # L
LONG = 40  # S
CALIBRATION = CalibrateConfig(train_len=TRAINED, sequences=3, clamps=(0.0, 0.25))


@cache
def model(kind: str) -> PreTrainedModel:
    """A random model that scans with the engine's scans."""
    use_fast_scans(kind)
    made = pico.model(kind)
    if kind == "zamba2":  # transformers bounds its step sizes from below in a prefill, but not in a decoded step
        for mixer in mixers(made).values():
            mixer.time_step_limit = (0.0, math.inf)  # type: ignore[assignment]
    return made


def tokens(length: int, seed: int = 0, rows: int = 1) -> Tensor:
    """None twice in a row: in Mamba-2's first layer equal tokens have equal step sizes, whose order is rounding's."""
    generator = torch.Generator().manual_seed(seed)
    ordinary = pico.VOCABULARY - len(pico.SPECIAL)
    return torch.stack(
        [len(pico.SPECIAL) + torch.randperm(ordinary, generator=generator)[:length] for _ in range(rows)]
    )


@cache
def tables(kind: str, clamp: float = 0.0, reduce: str = "max") -> Tables:
    """Calibrated on random texts, written and read again."""
    passages = [tokens(TRAINED, seed)[0].tolist() for seed in range(100, 100 + CALIBRATION.sequences)]
    tensors = calibrate(model(kind), passages, CALIBRATION, Log("test", stream=io.StringIO()))
    with TemporaryDirectory() as folder:
        save_tables(Path(folder), CALIBRATION, tensors, {})
        return load_tables(Path(folder), clamp, reduce, torch.device("cpu"))


@cache
def halfway(kind: str) -> float:
    """A theta between the decays of the channels: some are global, some local."""
    decays = torch.cat([layer.log_decay for layer in tables(kind).layers.values()])
    theta = math.exp(float(decays.median()))
    assert 0 < theta < 1
    return theta


def settings(kind: str, **changed: Any) -> LongMambaConfig:
    return LongMambaConfig(**{"theta": halfway(kind), "clamp": 0.0, **changed})


def filtering(kind: str, **changed: Any) -> Filter:
    return Filter(model(kind), tables(kind), settings(kind, **changed))


@torch.no_grad()
def logits(of: PreTrainedModel, ids: Tensor, **named: Any) -> Tensor:
    found: Tensor = of(input_ids=ids, **named).logits
    return found


class Noted:
    """An edit that changes nothing and keeps what it sees, by layer."""

    def __init__(self) -> None:
        self.prompt: dict[int, Tensor] = {}
        self.decoded: dict[int, Tensor] = {}

    def __call__(self, layer: int, delta: Tensor, decoding: bool) -> Tensor:
        (self.decoded if decoding else self.prompt)[layer] = delta.clone()
        return delta


def step_sizes(filter: Filter, ids: Tensor, **named: Any) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """The step sizes of a pass by layer, before the filter and after it."""
    before, after = Noted(), Noted()
    with ExitStack() as contexts:
        for context in (StepSizes(filter.model, after), filter, StepSizes(filter.model, before)):
            contexts.enter_context(context)
        logits(filter.model, ids, **named)
    return before.prompt, after.prompt


def padded(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of unequal length [1, T] as a batch padded on the left, and its mask."""
    width = max(row.shape[1] for row in rows)
    ids = torch.cat([torch.nn.functional.pad(row, (width - row.shape[1], 0)) for row in rows])
    lengths = torch.tensor([row.shape[1] for row in rows])
    return ids, (torch.arange(width) >= width - lengths[:, None]).long()


def cache_of(output: Any) -> dict[str, Any]:
    """A pass's cache, as an argument of the next."""
    name = "cache_params" if getattr(output, "cache_params", None) is not None else "past_key_values"
    return {name: output[name], "use_cache": True}
