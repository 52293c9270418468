"""Where a Mamba model's step sizes can be seen and changed, without touching its code.

transformers' mixers look their scan up as a function of their module when they run. While a `StepSizes` context is
open, that function is wrapped: Delta = softplus(dt + bias), within the model's limits, is given to `edit`, and what
comes back goes into the same scan with no bias and no softplus left to do. With an `edit` that changes nothing the
result is the unpatched model's to the last bit on a CPU. Everything is put back when the context closes.

Mamba-1 and Falcon-Mamba have a step size a channel, [B, C, T]; Mamba-2 and Zamba2 one a head, [B, T, C]. `edit` always
sees [B, T, C]. transformers' Mamba-1 scan starts every multi-token call from an empty state, which is wrong for the
second part of a prompt; here the cached state is handed on to the scan, and the engine's own scan takes it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

SCANS = ("mamba_selective_scan", "mamba2_chunk_scan")
UPDATES = ("mamba_selective_state_update", "mamba2_selective_state_update")


class Edit(Protocol):
    """Sees the step sizes [B, T, C] of a layer and returns those to use; `decoding` for one generated token."""

    def __call__(self, layer: int, delta: Tensor, decoding: bool) -> Tensor: ...


def mixers(model: PreTrainedModel) -> dict[int, nn.Module]:
    """The Mamba mixers of a model by the number of their layer."""
    return {int(str(m.layer_idx)): m for m in model.modules() if hasattr(m, "A_log") and hasattr(m, "layer_idx")}


def goes_on(named: dict[str, Any]) -> bool:
    """Whether a forward pass with these arguments continues what its cache holds."""
    cache = named.get("cache_params", named.get("past_key_values"))
    return cache is not None and bool(cache.has_previous_state())


def rates(mixer: nn.Module) -> Tensor:
    """A of a mixer: [C, N] for Mamba-1, [C] for Mamba-2; all below 0."""
    A_log = mixer.A_log
    assert isinstance(A_log, Tensor)
    return -A_log.detach().float().exp()


class StepSizes:
    """A context in which `edit` sees every step size of `model`."""

    def __init__(self, model: PreTrainedModel, edit: Edit) -> None:
        self.model, self.edit = model, edit
        self.layer: int | None = None  # that is running; None: another model of the same architecture runs, if any
        self.cache: Any = None
        self._undo: list[Callable[[], Any]] = []

    def __enter__(self) -> StepSizes:
        found = mixers(self.model)
        for layer, mixer in found.items():
            self._undo += [
                mixer.register_forward_pre_hook(self._entering(layer), with_kwargs=True).remove,
                mixer.register_forward_hook(self._leaving, always_call=True).remove,
            ]
        for module in {sys.modules[type(mixer).__module__] for mixer in found.values()}:
            for name in SCANS + UPDATES:
                if hasattr(module, name):
                    self._wrap(module, name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._undo:
            self._undo.pop()()
        self.layer, self.cache = None, None

    def _entering(self, layer: int) -> Callable[..., None]:
        def note(mixer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            self.layer = layer
            self.cache = named.get("cache_params", named.get("past_key_values"))

        return note

    def _leaving(self, *of_mixer: Any) -> None:
        self.layer, self.cache = None, None

    def _edited(self, delta: Tensor, decoding: bool) -> Tensor:
        assert self.layer is not None
        return self.edit(self.layer, delta, decoding)

    def _wrap(self, module: ModuleType, name: str) -> None:
        original = getattr(module, name)
        wrapped = {
            "mamba_selective_scan": self._scan_of_channels,
            "mamba2_chunk_scan": self._scan_of_heads,
            "mamba_selective_state_update": self._update_of_channels,
            "mamba2_selective_state_update": self._update_of_heads,
        }[name](original)

        @functools.wraps(original)
        def ours_only(*arguments: Any, **named: Any) -> Any:
            return (original if self.layer is None else wrapped)(*arguments, **named)

        setattr(module, name, ours_only)
        self._undo.append(lambda: setattr(module, name, original))

    def _scan_of_channels(self, scan: Callable[..., Any]) -> Callable[..., Any]:
        def edited(x: Tensor, dt: Tensor, *arguments: Any, **named: Any) -> Any:
            bias = named.pop("delta_bias", None)
            delta = dt if bias is None else dt + bias.to(dt.dtype)[..., None]
            delta = F.softplus(delta) if named.pop("delta_softplus", False) else delta
            delta = self._edited(delta.transpose(1, 2), False).transpose(1, 2)
            return scan(x, delta, *arguments, **named, **self._state())

        return edited

    def _state(self) -> dict[str, Tensor]:
        assert self.layer is not None
        state = None if self.cache is None else self.cache.get_recurrent_state(self.layer, state_idx=0)
        return {} if state is None else {"initial_state": state}

    def _scan_of_heads(self, scan: Callable[..., Any]) -> Callable[..., Any]:
        def edited(x: Tensor, dt: Tensor, *arguments: Any, **named: Any) -> Any:
            bias = named.pop("dt_bias", None)
            delta = dt if bias is None else dt + bias.to(dt.dtype)
            delta = F.softplus(delta) if named.pop("dt_softplus", False) else delta
            delta = delta.clamp(*named.pop("dt_limit", (0.0, float("inf"))))
            return scan(x, self._edited(delta, False), *arguments, **named)

        return edited

    def _update_of_channels(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def edited(state: Tensor, x: Tensor, dt: Tensor, *arguments: Any, **named: Any) -> Any:
            bias = named.pop("dt_bias", None)
            delta = dt if bias is None else dt + bias.to(dt.dtype)
            delta = F.softplus(delta) if named.pop("dt_softplus", False) else delta
            delta = self._edited(delta[:, None], True)[:, 0]
            return update(state, x, delta, *arguments, **named)

        return edited

    def _update_of_heads(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def edited(state: Tensor, x: Tensor, dt: Tensor, *arguments: Any, **named: Any) -> Any:
            bias = named.pop("dt_bias", None)  # dt and bias are repeated over the head's channels: [B, H, P]
            delta = dt if bias is None else dt + bias.to(dt.dtype)
            delta = F.softplus(delta) if named.pop("dt_softplus", False) else delta
            heads = self._edited(delta[..., 0][:, None], True)[:, 0]
            return update(state, x, heads[..., None].expand_as(delta), *arguments, **named)

        return edited
