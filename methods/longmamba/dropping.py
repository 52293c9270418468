"""Drops tokens from the sequence between two blocks of a Mamba model, as DeciMamba does (arXiv 2406.14528).

    with Dropping(model, config):
        model(input_ids)

After the block of each chosen layer only the tokens with the largest step sizes go on (and the last `keep_last` ones),
in their order: to all later blocks the others never were. Before the final norm the dropped tokens come back with the
values they had, so that the output has its usual shape. A generated token is never dropped.

Departures from DeciMamba: tokens leave after the block, not inside it; importance is the L2 norm of the step sizes over
all channels (as LongMamba's own baseline has it); nothing is tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methodbench.errors import UserError
from methods.longmamba.config import TokenDroppingConfig
from methods.longmamba.step_sizes import StepSizes, goes_on


class Dropping:
    """A context in which `model` drops tokens of its prompts.

    Raises:
        UserError: a layer that the model does not have.
    """

    def __init__(self, model: PreTrainedModel, config: TokenDroppingConfig) -> None:
        self.model, self.config = model, config
        core = model.base_model
        assert isinstance(core.layers, nn.ModuleList)
        self.blocks, self.norm = core.layers, core.get_submodule("norm_f")
        wrong = [layer for layer in config.layers if not 0 <= layer < len(self.blocks)]
        if wrong:
            raise UserError(f"token_dropping: key 'layers': given {wrong[0]}, allowed: 0 to {len(self.blocks) - 1}")
        self.kept = torch.ones(0, dtype=torch.float64)  # share of a row's tokens that reached the last block, [B]
        self._steps = StepSizes(model, self._note)
        self._importance: dict[int, Tensor] = {}
        self._dropped: list[tuple[Tensor, Tensor]] = []  # all values [B, T, d] and the places kept [B, K], by layer
        self._mask: Tensor | None = None

    def __enter__(self) -> Dropping:
        self._steps.__enter__()
        handles = [self.model.register_forward_pre_hook(self._begin, with_kwargs=True)]
        for number, layer in enumerate(sorted(self.config.layers)):
            count = max(self.config.min_keep, int(self.config.keep * self.config.beta**number))
            handles.append(self.blocks[layer].register_forward_hook(self._drop(layer, count)))
        handles += [block.register_forward_pre_hook(self._masked, with_kwargs=True) for block in self.blocks]
        handles.append(self.norm.register_forward_pre_hook(self._bring_back))
        self._handles = handles
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._steps.__exit__(kind, error, trace)
        self._dropped, self._importance, self._mask = [], {}, None

    def keep(self, rows: Tensor) -> None:
        """Only these rows [B'] go on being decoded."""
        self.kept = self.kept[rows]

    def record(self, row: int) -> dict[str, float]:
        """What became of a row's prompt."""
        return {"kept": round(float(self.kept[row]), 6)}

    def _note(self, layer: int, delta: Tensor, decoding: bool) -> Tensor:
        if not decoding and layer in self.config.layers:
            self._importance[layer] = delta.double().square().sum(-1)
        return delta

    def _begin(self, model: PreTrainedModel, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._dropped, self._mask = [], None
        ids = arguments[0] if arguments else named.get("input_ids")
        rows, tokens = (ids if ids is not None else named["inputs_embeds"]).shape[:2]
        if tokens > 1 or not goes_on(named):  # what is generated does not change what became of the prompt
            self.kept = torch.ones(rows, dtype=torch.float64, device=model.device)

    def _drop(self, layer: int, count: int) -> Callable[..., Any]:
        def drop(block: nn.Module, arguments: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            tokens = hidden.shape[1]
            if tokens <= max(1, count):
                return output
            importance = self._importance[layer]
            if self._mask is not None:
                importance = importance.masked_fill(~self._mask.bool(), -1.0)
            importance[:, -min(self.config.keep_last, count) :] = torch.inf
            order = importance.sort(dim=-1, descending=True, stable=True).indices[:, :count]
            places = order.sort(-1).values
            self._dropped.append((hidden, places))
            if self._mask is None:
                self.kept *= count / tokens
            else:
                real = self._mask.sum(1)
                self._mask = self._mask.gather(1, places)
                self.kept *= self._mask.sum(1).double() / real
            shorter = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
            return (shorter, *output[1:]) if isinstance(output, tuple) else shorter

        return drop

    def _masked(self, block: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Give a block the padding mask of the tokens that have come so far."""
        if not self._dropped:
            self._mask = named.get("attention_mask")
            return None
        return arguments, {**named, "attention_mask": self._mask}

    def _bring_back(self, norm: nn.Module, arguments: tuple[Any, ...]) -> Any:
        (hidden,) = arguments
        while self._dropped:
            full, places = self._dropped.pop()
            hidden = full.scatter(1, places[..., None].expand(-1, -1, full.shape[-1]), hidden)
        return (hidden,)
