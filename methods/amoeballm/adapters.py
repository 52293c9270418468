"""Trained experts as they lie beside a checkpoint: what they add to each weight of a subnet.

`smol.json` says how they are mixed and which widths the router knows; `smol.safetensors` has for each linear the
factors ``a.<layer>.<linear>`` [E, r, in] and ``b.<layer>.<linear>`` [E, out, r], and the router's weights. The
checkpoint's own weights are the largest subnet with its update added; `frozen/` beside them is the model that was
tuned, to which every other subnet adds its update.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from methodbench.errors import UserError
from methods.amoeballm.mixture import Mix, Router, described, mixed

RECORD, TENSORS = "smol.json", "smol.safetensors"


@dataclass(frozen=True)
class Adapters:
    """Experts of every linear and the router; without a router there is one expert, whose gate is 1."""

    a: Mapping[str, Tensor]  # "3.q_proj" -> [E, r, in]
    b: Mapping[str, Tensor]  # "3.q_proj" -> [E, out, r]
    router: Mapping[str, Tensor]  # the state of a `Router`, or nothing
    scale: float
    top_k: int
    mix: Mix
    widths: tuple[float, ...]  # in the order of the one-hot, 1.0 first

    @cached_property
    def _router(self) -> Router:
        hidden, inputs = self.router["inner.weight"].shape
        experts = self.router["outer.weight"].shape[0]
        # Starting values are overwritten: leave the caller's random numbers alone.
        with torch.random.fork_rng(devices=[]):
            router = Router(inputs, experts, hidden, self.top_k)
        router.to(self.router["inner.weight"].dtype).load_state_dict(dict(self.router))
        return router.requires_grad_(False)

    def gates(self, active: Sequence[bool], width: float) -> Tensor:
        """[E], without noise.

        Raises:
            UserError: the experts were not tuned at that width.
        """
        try:
            shape = described(tuple(active), self.widths, width)
        except ValueError:
            known = ", ".join(f"{one:g}" for one in self.widths)
            raise UserError(f"{RECORD}: key 'width': given {width:g}, allowed: {known}, as tuned") from None
        if not self.router:
            return torch.ones(1, dtype=next(iter(self.a.values())).dtype)
        gates: Tensor = self._router(shape.to(self.router["inner.weight"].dtype))
        return gates

    def delta(self, layer: int, name: str, active: Sequence[bool], width: float) -> Tensor:
        """What a shape adds to the weight [out, in] of one linear, in the experts' type.

        Args:
            layer: of the whole model, not of the subnet.
            name: of the linear, e.g. "q_proj".
            active: whether each layer runs.
            width: ratio that remains.

        Raises:
            UserError: the experts were not tuned at that width.
        """
        key = f"{layer}.{name}"
        return mixed(self.a[key], self.b[key], self.gates(active, width), self.scale, self.mix)


def write(folder: Path, adapters: Adapters) -> None:
    """Write both files into `folder`."""
    record = {
        "scale": adapters.scale,
        "top_k": adapters.top_k,
        "mix": adapters.mix,
        "widths": list(adapters.widths),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    parts = {"a": adapters.a, "b": adapters.b, "router": adapters.router}
    tensors = {f"{part}.{name}": one.contiguous() for part, named in parts.items() for name, one in named.items()}
    save_file(tensors, folder / TENSORS)


def read(folder: Path) -> Adapters | None:
    """The experts beside a checkpoint's weights; None if it was not tuned."""
    if not (folder / RECORD).exists():
        return None
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    parts: dict[str, dict[str, Tensor]] = {"a": {}, "b": {}, "router": {}}
    for key, tensor in load_file(folder / TENSORS).items():
        part, _, name = key.partition(".")
        parts[part][name] = tensor
    return Adapters(
        **parts,
        scale=record["scale"],
        top_k=record["top_k"],
        mix=record["mix"],
        widths=tuple(record["widths"]),
    )
