"""pass@k of one question: the chance that at least one of k of its samples is right."""

from __future__ import annotations

from math import comb


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate from `n` samples of which `c` are right: 1 - C(n-c, k) / C(n, k).

    That is the share of the k-subsets of the samples that hold a right one.

    Raises:
        ValueError: not 0 <= c <= n or not 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, given n={n}, c={c}, k={k}")
    return 1 - comb(n - c, k) / comb(n, k)
