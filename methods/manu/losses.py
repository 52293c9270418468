"""Losses of the unlearning baselines (sheet 2.5), in the two flavours that are in use.

[B] is the released code of MLLMU-Bench, [O] open-unlearning. Shapes: B rows, T tokens, V vocabulary. `logits` [B, T, V]
at place t predict the token at t + 1; `labels` [B, T] are the tokens themselves, -100 where none is to be predicted.

    L(D)          mean negative log-likelihood of a batch's tokens; per sequence: their sum in each row
    ascent        -L(D_f)                                                         GA
    difference    -g L(D_f) + a L(D_r)                                            GradDiff, both terms in one step
    KL            sum_v p_ref (log p_ref - log p), p_ref the model before it      KL-Min
    NPO           -(2/b) log sigmoid(b (L(D_f) - L_ref(D_f)))                     NPO

At theta = reference NPO is (2/b) ln 2 and its gradient is that of ascent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # label of a token that carries no loss


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of each token given those before it, [B, T - 1] in float32 or finer; 0 where ignored."""
    logits = logits[:, :-1].transpose(1, 2)
    return F.cross_entropy(_fine(logits), labels[:, 1:], ignore_index=IGNORED, reduction="none")


def token_mean(logits: Tensor, labels: Tensor) -> Tensor:
    """L(D), []: every predicted token of the batch weighs the same; 0 if there is none."""
    return token_losses(logits, labels).sum() / predicted(labels).sum().clamp(min=1)


def sequence_sum(logits: Tensor, labels: Tensor) -> Tensor:
    """The negative log-likelihood of each row, [B]."""
    return token_losses(logits, labels).sum(dim=1)


def predicted(labels: Tensor) -> Tensor:
    """Which places predict a token that counts, [B, T - 1] bool."""
    return labels[:, 1:] != IGNORED


def ascent(forget: Tensor) -> Tensor:
    """GA: what is minimised to raise the loss `forget`, []."""
    return -forget


def difference(forget: Tensor, retain: Tensor, forget_weight: float = 1.0, retain_weight: float = 1.0) -> Tensor:
    """GradDiff as one step [O]: forget and retain losses, both []."""
    return retain_weight * retain - forget_weight * forget


def kl_token_mean(reference: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """KL(reference || model) at the places that predict a token of `labels`, averaged over them, [].

    Args:
        reference, logits: [B, T, V] of the frozen model and the one that is trained.
    """
    which = predicted(labels)
    at_places = _divergence(reference, logits)[:, :-1]
    return (at_places * which).sum() / which.sum().clamp(min=1)


def kl_batch_mean(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(reference || model) summed over all T places, padding too, and divided by the number of rows [B], [].

    About T times as large as a mean over tokens.
    """
    return _divergence(reference, logits).sum() / len(logits)


def npo(loss: Tensor, reference: Tensor, beta: float) -> Tensor:
    """NPO, [].

    Args:
        loss, reference: negative log-likelihoods under the model and the frozen one. Batch means [] give the released
            form [B]; sums over sequences [B] the original one [O], averaged over rows.
        beta: above 0; the smaller, the closer to gradient ascent.
    """
    return -(2 / beta) * F.logsigmoid(beta * (loss - reference)).mean()


def _divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(reference || model) at each place, [B, T]."""
    log_p, log_q = F.log_softmax(_fine(reference), dim=-1), F.log_softmax(_fine(logits), dim=-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


def _fine(tensor: Tensor) -> Tensor:
    """At least float32: sums over a vocabulary lose too much in half precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
