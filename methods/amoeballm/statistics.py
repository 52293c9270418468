"""Statistics of a linear's input channels in one pass over windows of text, for the ranking of heads and neurons.

X     inputs of one window, [T, C]: T positions of C channels
mu    running mean over all positions of all windows, [C]
V     sum_t (X_tc - mu_c)^2 with the mean *after* this window, [C]
N     windows seen before
F     fluctuation, [C]: 0 after the first window; each other one makes it F (N-1)/N + V / (N+1). After n windows,

          F = 1/(n-1) sum_{i=2..n} (i-1)/i V_i

This is what the official code computes, not what it means: a Welford update would take (X - mu_new)(X - mu_old), but
its old mean is the new one by the time it is read [C]. Its constant factors cancel when scores are standardised, and
the first window never counts. F sums over positions, so that all windows must be equally long.

Departure: sums are float64 whatever the model computes in; the code's are float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Fluctuation:
    """Running mean, fluctuation and squares of C input channels; memory for C, not for the windows.

    Attributes:
        count: windows seen.
        mean: mu, [C] float64.
        fluctuation: F, [C] float64.
        squares: mean over windows of sum_t X^2, [C] float64; its root is Wanda's norm of a channel.
    """

    def __init__(self, width: int, device: torch.device | None = None) -> None:
        self.count = 0
        self.mean, self.fluctuation, self.squares = (
            torch.zeros(width, dtype=torch.float64, device=device) for _ in range(3)
        )
        self._length: int | None = None

    def add(self, inputs: Tensor) -> None:
        """Take in windows [B, T, C], or one window [T, C].

        Windows of a batch are taken one after another, each reduced on its own: how many come at once changes no bit.

        Raises:
            ValueError: windows of another length than those before.
        """
        for window in inputs if inputs.dim() == 3 else inputs[None]:
            self._add(window)

    def _add(self, window: Tensor) -> None:
        length = len(window)
        if self._length not in (None, length):
            raise ValueError(f"a window of {length} positions after windows of {self._length}")
        self._length = length
        wide = window.double()
        seen = self.count
        self.count += 1
        # mu N/(N+1) + m/(N+1), in a form that does not round where the mean stays the same
        self.mean += (wide.mean(0) - self.mean) / self.count
        if seen:
            deviation = (wide - self.mean).square().sum(0)
            self.fluctuation = self.fluctuation * ((seen - 1) / seen) + deviation / self.count
        self.squares += (wide.square().sum(0) - self.squares) / self.count
