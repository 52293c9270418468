"""MANU's four importance functions, their sum, and the scores that are formed of them (M§2.2, §2.4; arXiv 2502.15910).

m, t    the two input modes: picture with text, and text alone
D_f/r   forget and retain persons
I       importance of a unit: how differently it behaves in the two modes
S       score: importance on D_f over importance on D_r; the units with the largest are pruned

    I_abs  = |Z_m - Z_t| / (Z_m + Z_t + eps)          Z  mean |z|
    I_freq = |N_m - N_t| / (N_m + N_t + eps)          N  share of activations above tau
    I_var  = sqrt(Var_m + Var_t)
    I_rms  = sqrt(|Q_m - Q_t| / (Q_m + Q_t + eps))    Q  mean square

With Z of |z|, three of them lie in [0, 1], and I_var has the unit of z: where activations are large it decides.
A vision unit never runs in mode t: I_abs, I_freq and I_rms are then nearly 1, and only the spread ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.manu.statistics import Summary


@dataclass(frozen=True)
class Importances:
    """The four importances of every unit, each [C] float64."""

    abs: Tensor
    freq: Tensor
    var: Tensor
    rms: Tensor

    def stacked(self) -> Tensor:
        """[4, C]."""
        return torch.stack([self.abs, self.freq, self.var, self.rms])

    def weighted(self, weights: tuple[float, float, float, float]) -> Tensor:
        """The weighted sum, [C]; the paper's weights are equal."""
        factors = torch.tensor(weights, dtype=torch.float64, device=self.abs.device)
        return factors @ self.stacked()


def contrast(multi: Summary, text: Summary, epsilon: float) -> Importances:
    """The paper's importances: how a unit's activations differ between the modes (M§2.2)."""
    return Importances(
        _relative(multi.mean, text.mean, epsilon),
        _relative(multi.freq, text.freq, epsilon),
        (multi.var + text.var).sqrt(),
        _relative(multi.ms, text.ms, epsilon).sqrt(),
    )


def _relative(first: Tensor, second: Tensor, epsilon: float) -> Tensor:
    return (first - second).abs() / (first + second + epsilon)


def distribution(summary: Summary) -> Importances:
    """The released code's importances: mean |z|, share, standard deviation, root mean square of one mode (M§2.4-5)."""
    return Importances(summary.mean, summary.freq, summary.var.sqrt(), summary.ms.sqrt())


def ratio(forget: Tensor, retain: Tensor, epsilon: float) -> Tensor:
    """S = I(D_f) / (I(D_r) + eps), [C]: the paper's score, and selective pruning's with I = mean |z|.

    A unit that never runs has score 0; one that runs on forget persons alone has a very large one.
    """
    return forget / (retain + epsilon)


def code_score(
    forget: Importances, retain: Importances, weights: tuple[float, float, float, float], epsilon: float
) -> Tensor:
    """S = sum_k w_k (I_k(D_f) / (I_k(D_r) + eps) - 1), [C]: the released code's score (M§2.4-6)."""
    factors = torch.tensor(weights, dtype=torch.float64, device=forget.abs.device)
    return factors @ (ratio(forget.stacked(), retain.stacked(), epsilon) - 1)
