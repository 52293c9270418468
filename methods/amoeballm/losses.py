"""Losses of one-for-all fine-tuning: next tokens for the largest subnet, its outputs for the others, and their balance.

The largest subnet's loss is the cross-entropy of the completion's tokens. The others learn its output by a soft
cross-entropy (not a divergence: with equal logits it is the teacher's entropy). Balancing gives every loss the value
of the largest subnet's and scales its gradient by the same constant.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # the label of a token that is not learnt


def next_token(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy [] of predicting token t + 1 at t; logits [B, T, V], labels [B, T] with -100 where none is."""
    return F.cross_entropy(_fine(logits[:, :-1].flatten(0, 1)), labels[:, 1:].flatten(), ignore_index=IGNORED)


def distilled(labels: Tensor, shifted: bool, everywhere: bool = False) -> Tensor:
    """Which places [B, T] of the logits learn from the teacher.

    Args:
        labels: [B, T], -100 where no token is learnt.
        shifted: true: places that predict a learnt token, t - 1 for a label at t. False, as in the official code: the
            places of the learnt tokens themselves, one too far to the right.
        everywhere: all places, prompt and padding included.
    """
    if everywhere:
        return torch.ones_like(labels, dtype=torch.bool)
    learnt = labels != IGNORED
    return F.pad(learnt[:, 1:], (0, 1)) if shifted else learnt


def soft_cross_entropy(logits: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over places [] of -sum_v softmax(teacher)_v log softmax(logits)_v; logits [..., V], mask [...].

    The teacher gets no gradient.

    Raises:
        ValueError: the mask leaves no place.
    """
    losses = -(_fine(teacher.detach()).softmax(-1) * _fine(logits).log_softmax(-1)).sum(-1)
    if mask is None:
        return losses.mean()
    if not bool(mask.any()):
        raise ValueError("no place is distilled")
    return losses[mask].mean()


def balanced(loss: Tensor, reference: Tensor) -> Tensor:
    """`loss` scaled to the value of `reference`; the scale is a constant for the gradient."""
    tiny = torch.finfo(loss.dtype).tiny
    return loss * (reference.detach() / loss.detach().clamp(min=tiny))


def _fine(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
