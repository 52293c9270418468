"""Muon for a model's matrices and AdamW for the rest, as one optimizer.

Both are torch's own. Muon (Jordan et al. 2024) makes each matrix's momentum orthogonal before it is applied.
Embeddings, the output layer and vectors are not matrices in that sense.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class MuonAdamW(torch.optim.Optimizer):
    """One list of parameter groups, so that a learning rate schedule moves both; each part keeps its own state."""

    def __init__(
        self, model: nn.Module, *, muon_rate: float, rate: float, weight_decay: float, betas: tuple[float, float]
    ) -> None:
        embeddings = {
            id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()
        }
        embeddings |= {id(p) for name, p in model.named_parameters() if name.startswith("lm_head.")}
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim == 2 and id(p) not in embeddings]
        others = [p for p in trained if p.ndim != 2 or id(p) in embeddings]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=muon_rate, weight_decay=weight_decay),
            torch.optim.AdamW(others, lr=rate, weight_decay=weight_decay, betas=betas),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
