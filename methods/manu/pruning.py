"""Zeroing units in place (M§2.3, §2.4-9).

A hidden unit dies whole: its rows of the maps in front, biases too, and its column of the map behind. One of them would
do, since SiLU and GELU are 0 at 0; all three leave nothing of what it had learned. The bias is needed: without it a
unit of fc1 still has the activation act(b).

A row of gate_proj, up_proj or fc1 kills its hidden unit; a row of down_proj or fc2 is a channel of the residual stream,
which this block then no longer writes (the released code).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.manu.neurons import HIDDEN, Part, maps


@torch.no_grad()
def prune(part: Part, units: Tensor) -> None:
    """Zero the `units` (indices, [k]) of one part."""
    if part.name != HIDDEN:
        _rows(part.linear, units)
        return
    *front, last = maps(part.mlp)
    for name in front:
        _rows(getattr(part.mlp, name), units)
    behind: nn.Linear = getattr(part.mlp, last)
    behind.weight[:, units.to(behind.weight.device)] = 0


def _rows(linear: nn.Linear, units: Tensor) -> None:
    units = units.to(linear.weight.device)
    linear.weight[units] = 0
    if linear.bias is not None:
        linear.bias[units] = 0
