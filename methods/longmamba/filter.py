"""Runs a Mamba model with LongMamba's filter: knows each row's prompt length and counts what is kept.

    with Filter(model, tables, config) as filter:
        model(input_ids, attention_mask=mask)   # rows padded on the left; S of a row is what its mask counts
        filter.record(0)                        # {"kept": 0.21, "decay": 1.03, ...} of row 0

A prompt fed in parts must be announced: `filter.expect(lengths)` tells every row's whole length before the first part,
since the rule depends on it. Rules that need all step sizes of a prompt at once refuse parts.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.errors import UserError
from methods.longmamba import filtering
from methods.longmamba.config import LongMambaConfig
from methods.longmamba.step_sizes import StepSizes, goes_on
from methods.longmamba.tables import LayerTable, Tables

WHOLE = ("bound", "norm", "alpha", "channelwise_topk", "all_topk")  # modes that rank a prompt's own step sizes


class Filter:
    """A context in which `model` filters its prompts.

    Attributes:
        chosen: layer -> numbers of the channels that are filtered, [C'] int64.
    """

    def __init__(self, model: PreTrainedModel, tables: Tables, config: LongMambaConfig) -> None:
        self.model, self.tables, self.config = model, tables, config
        self.min_len = math.ceil(1.5 * tables.train_len) if config.min_len is None else config.min_len
        self.chosen = {layer: chosen_channels(table, config) for layer, table in tables.layers.items()}
        self._first = min((layer for layer, chosen in self.chosen.items() if len(chosen)), default=-1)
        self._steps = StepSizes(model, self.edit)
        self._told: Tensor | None = None
        self._part = False  # in a pass over a part of prompts that were told
        self._lengths = torch.zeros(0, dtype=torch.int64)
        self._active, self._any = self._lengths > 0, False  # rows that are long enough
        self._real: Tensor | None = None
        self._thresholds: dict[int, Tensor] = {}
        self._kept: dict[int, Tensor] = {}  # layer -> tokens kept, a row: [B], mean over chosen channels
        self._seen = torch.zeros(0)  # real tokens so far, a row
        self._decay: dict[int, Tensor] = {}  # layer -> sum of step sizes over U, a row: [B]

    def __enter__(self) -> Filter:
        self._steps.__enter__()
        self._handle = self.model.register_forward_pre_hook(self._prompt, with_kwargs=True)
        self._told, self._lengths = None, self._lengths[:0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.remove()
        self._steps.__exit__(kind, error, trace)

    def expect(self, lengths: Tensor | None) -> None:
        """Tell the whole lengths [B] of prompts that will come in parts; None ends it.

        Raises:
            UserError: the mode needs whole prompts.
        """
        if lengths is not None and self.config.mode in WHOLE:
            raise UserError(f"longmamba: key 'mode': '{self.config.mode}' needs a prompt in one part; allowed: dt_thre")
        self._told = lengths
        if lengths is not None:
            self._begin(lengths)

    def keep(self, rows: Tensor) -> None:
        """Only these rows [B'] go on being decoded."""
        self._lengths, self._seen, self._active = self._lengths[rows], self._seen[rows], self._active[rows]
        self._kept = {layer: values[rows] for layer, values in self._kept.items()}
        self._decay = {layer: values[rows] for layer, values in self._decay.items()}
        self._thresholds = {}

    def record(self, row: int) -> dict[str, float]:
        """What became of a row's prompt.

        `kept`: share of the tokens kept, mean over filtered channels; `decay`: the realised sum of step sizes over the
        budget U, the same mean (1: as over the training length); both also by layer, as `kept_3` and `decay_3`.
        """
        layers = [layer for layer in sorted(self._kept) if len(self.chosen[layer])]
        if not layers:
            return {"kept": 1.0}
        sizes = torch.tensor([len(self.chosen[layer]) for layer in layers], dtype=torch.float64)
        seen = float(self._seen[row])
        kept = torch.stack([self._kept[layer][row].double().cpu() for layer in layers]) / seen
        decay = torch.stack([self._decay[layer][row].double().cpu() for layer in layers])
        weights = sizes / sizes.sum()
        found = {"kept": float(kept @ weights), "decay": float(decay @ weights)}
        for place, layer in enumerate(layers):
            found |= {f"kept_{layer}": float(kept[place]), f"decay_{layer}": float(decay[place])}
        return {name: round(value, 6) for name, value in found.items()}

    # -- one forward pass ----------------------------------------------------------------------------------------------

    def _prompt(self, model: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Note the lengths of the prompts that a forward pass brings; a generated token brings none."""
        ids = arguments[0] if arguments else named.get("input_ids")
        inputs = ids if ids is not None else named["inputs_embeds"]
        rows, tokens = inputs.shape[:2]
        mask = named.get("attention_mask")
        self._real = mask.bool() if mask is not None and mask.shape[1] == tokens and tokens > 1 else None
        self._part = self._told is not None and bool((self._seen < self._lengths).any())
        if self._told is not None or (tokens == 1 and goes_on(named) and len(self._lengths) == rows):
            return
        whole = torch.full((rows,), tokens, device=inputs.device)
        self._begin(whole if self._real is None else self._real.sum(-1))

    def _begin(self, lengths: Tensor) -> None:
        self._lengths, self._seen = lengths, torch.zeros_like(lengths)
        self._kept, self._decay, self._thresholds = {}, {}, {}
        self._active = lengths >= self.min_len
        self._any = bool(self._active.any())

    def edit(self, layer: int, delta: Tensor, decoding: bool) -> Tensor:
        """The step sizes [B, T, C] to use instead."""
        chosen = self.chosen[layer]
        if not len(chosen):
            return delta
        if decoding and not self._part:
            skip = not self.config.decode_filter or self.config.mode in WHOLE or not self._any
            return delta if skip else self._filtered(layer, delta)
        edited = self._filtered(layer, delta) if self._any else delta
        self._count(layer, edited.transpose(1, 2)[:, chosen])
        return edited

    def _filtered(self, layer: int, delta: Tensor) -> Tensor:
        config, table = self.config, self.tables.layers[layer]
        if config.mode == "dt_thre":
            kept = filtering.above_threshold(delta, self._threshold(layer).to(delta.dtype), config.ties)
            return delta * kept.to(delta.dtype)  # the same numbers as torch.where, in a third of its time
        chosen, rows = self.chosen[layer], self._active.nonzero().squeeze(-1)
        real = torch.ones(delta.shape[:2], dtype=torch.bool, device=delta.device) if self._real is None else self._real
        part, real = delta[rows][..., chosen], real[rows]
        budgets = config.b * table.budgets[chosen].double()
        if config.mode == "bound":
            share: Tensor = filtering.within_budget(part, budgets, real)
        elif config.mode == "norm":
            share = filtering.rescale(part, budgets, real)
        elif config.mode == "alpha":
            shares = filtering.lookup(table.shares, self.tables.grid, self._lengths[rows], config.lookup)[:, chosen]
            counts = (config.b * shares.double() * self._lengths[rows][:, None]).round().long()
            share = filtering.by_rank(part, counts, real)
        elif config.mode == "channelwise_topk":
            counts = torch.full_like(part[:, 0], self.tables.train_len, dtype=torch.int64)
            share = filtering.by_rank(part, counts, real)
        elif config.mode == "all_topk":
            share = filtering.by_norm(part, self.tables.train_len, real)
        else:
            share = torch.zeros_like(part, dtype=torch.bool)
        edited = delta.clone()
        edited[rows[:, None], :, chosen[None]] = (part * share.to(delta.dtype)).transpose(1, 2)
        return edited

    def _threshold(self, layer: int) -> Tensor:
        """[B, C]: below every step size where nothing is to be filtered."""
        if layer not in self._thresholds:
            table = self.tables.layers[layer].thresholds
            found = self.config.b * filtering.lookup(table, self.tables.grid, self._lengths, self.config.lookup)
            untouched = torch.ones(found.shape[1], dtype=torch.bool, device=found.device)
            untouched[self.chosen[layer]] = False
            self._thresholds[layer] = found.masked_fill(untouched | ~self._active[:, None], -1.0)
        return self._thresholds[layer]

    def _count(self, layer: int, delta: Tensor) -> None:
        """Add a part of the prompts [B, C', T] to the counts."""
        if layer == self._first:
            tokens = torch.full_like(self._lengths, delta.shape[2]) if self._real is None else self._real.sum(-1)
            self._seen = self._seen + tokens
        if self._real is not None:
            delta = delta * self._real[:, None]
        kept = (delta > 0).sum(-1, dtype=torch.float32).mean(-1)
        # In float64: padding, which changes the order of a sum, must not show in the record.
        decay = (delta.sum(-1, dtype=torch.float64) / self.tables.layers[layer].budgets[self.chosen[layer]]).mean(-1)
        self._kept[layer] = self._kept[layer] + kept if layer in self._kept else kept
        self._decay[layer] = self._decay[layer] + decay if layer in self._decay else decay


def chosen_channels(table: LayerTable, config: LongMambaConfig) -> Tensor:
    """Numbers of the channels to filter, [C'] int64: global iff P > theta, compared in logarithms."""
    theta = math.log(config.theta) if config.theta > 0 else -math.inf
    is_global = table.log_decay > theta
    every = torch.ones_like(is_global)
    return {"global": is_global, "local": ~is_global, "all": every}[config.channels].nonzero().squeeze(-1)
