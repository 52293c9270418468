"""What a merge can be told; no torch here.

Parents are the models x_1 … x_n and, LAST, the base b that deltas are taken from; `linear` and `slerp` treat the last
parent like any other model. All weights are alpha-like: the share of the model, so 1 is the model and 0 the base.

    linear           sum_n w_n x_n                                      weights sum to 1
    task_arithmetic  b + scale sum_n w_n (x_n - b)                      the same kernel as linear
    dare_linear      b + scale sum_n w_n m_n (x_n - b) / (1 - drop)     arXiv 2311.03099; m_n keeps with 1 - drop
    ties             b + scale elect_n(w_n trim(x_n - b))               arXiv 2306.01708
    dare_ties        b + scale elect_n(w_n m_n (x_n - b) / (1 - drop))
    slerp            sin(w a)/sin(a) x_1 + sin((1 - w) a)/sin(a) x_2    a: the angle between the tensors

In mergekit's words: `scale` is ``lambda``, `drop` is 1 - ``density`` of DARE, and slerp's ``t``, which goes from the
base to the other model, is our weight of the first parent where the last one is mergekit's base.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError

Operator = Literal["linear", "task_arithmetic", "dare_linear", "ties", "dare_ties", "slerp"]
EVERY_PARENT = ("linear", "slerp")  # the others take deltas from the last parent
DARE = ("dare_linear", "dare_ties")
SCALED = ("task_arithmetic", "dare_linear", "ties", "dare_ties")


@config
class MergeConfig:
    """An operator and its settings, what is written, and how the work is cut up (which changes no weight)."""

    operator: Operator = "linear"
    # linear: one a parent, or one less, and the last parent gets 1 - sum. slerp: the first parent's. The others: one a
    # model, or a single one for all models.
    weights: tuple[float, ...] = (0.5,)
    normalize: bool = False  # linear, one weight a parent: divide by their sum, as mergekit does
    drop: float = field(0.0, ge=0, le=1)  # DARE: chance that an entry of a delta is dropped; 1 gives the base
    # DARE: what kept entries are divided by, 1 - drop (the paper) or nothing. mergekit's "rescale: true" is neither: it
    # keeps each tensor's sum of |delta|, which is 1 - drop only on average.
    rescale: Literal["expectation", "none"] = "expectation"
    mask_seed: Literal["round", "constant"] = "round"  # DARE: masks differ from round to round, or are always the same
    round: int = field(1, ge=1)
    density: float = field(1.0, gt=0, le=1)  # TIES: share of the entries kept, the largest
    trim: Literal["tensor", "global"] = "tensor"  # TIES: of each tensor (mergekit), or of the model (MergeLM)
    ties_normalize: bool = True  # ties: divide by the weights of the models that agree; dare_ties never does
    scale: float = 1.0  # of the merged delta
    # Weights by place, instead of `weights`, the same for every model: part of a tensor's name -> a weight, or a list
    # that is run through from the first decoder block to the last (tensors outside of blocks take its beginning). The
    # longest part that a name contains decides; "" is everything else.
    layers: dict[str, float | tuple[float, ...]] = field(default_factory=dict)

    dtype: Literal["", "float32", "bfloat16", "float16"] = ""  # of what is written; "": each tensor's in the base
    shard_size: int = field(5_000_000_000, ge=1)  # bytes a file
    tokenizer_from: Literal["first", "last"] = "first"
    truncate_embeddings: bool = False  # vocabularies of different size: cut to the smallest
    # entries worked on at once; pieces of 128 KiB in float64 stay in a CPU's cache and in memory that is used again
    chunk: int = field(1 << 14, ge=1, le=1 << 24)

    def __post_init__(self) -> None:
        numbers = [*self.weights, self.scale]
        for part in self.layers.values():
            numbers += part if isinstance(part, tuple) else [part]
            if part == ():
                raise UserError("merge: key 'layers': given an empty list, allowed: a weight or a list of weights")
        if not self.weights or not all(math.isfinite(number) for number in numbers):
            raise UserError(f"merge: keys 'weights', 'scale', 'layers': given {numbers}, allowed: finite numbers")
        self._only_for("drop", self.drop == 0, DARE)
        self._only_for("rescale", self.rescale == "expectation", DARE)
        self._only_for("density", self.density == 1, ("ties",))
        self._only_for("trim", self.trim == "tensor", ("ties",))
        self._only_for("ties_normalize", self.ties_normalize, ("ties",))
        self._only_for("scale", self.scale == 1, SCALED)
        self._only_for("normalize", not self.normalize, ("linear",))

    def _only_for(self, key: str, unset: bool, operators: Iterable[str]) -> None:
        if not unset and self.operator not in operators:
            raise UserError(
                f"merge: key '{key}': given {getattr(self, key)!r} with operator '{self.operator}', "
                f"allowed: only with {' or '.join(operators)}"
            )
