"""Online gradient drop (MIFO, arXiv 2510.04454, section 2.2): how redundant are the updates of a training?

    g <- m_t ⊙ g,  m_t ~ Bernoulli(1 - p_on)^d, drawn anew in every step; then the optimiser's own step

No rescaling by 1/(1 - p_on). Under AdamW a dropped coordinate still moves, by its moments and by weight decay: only its
gradient of that step is lost.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def drop_gradients(gradients: Iterable[Tensor], share: float, generator: torch.Generator) -> None:
    """Set each entry to 0 with probability `share`, in place; one stream of numbers runs through all tensors in order.

    Kept are the entries whose number u in [0, 1) has u >= share, so that 0 changes nothing, 1 leaves nothing, and a
    larger share drops a superset. The generator is on the gradients' device.
    """
    for gradient in gradients:
        drawn = torch.rand(gradient.shape, generator=generator, device=gradient.device)
        gradient.masked_fill_(drawn < share, 0)
