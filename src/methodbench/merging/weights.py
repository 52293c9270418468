"""Which weights the models have in which tensor."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from methodbench.errors import UserError, nearest
from methodbench.merging.config import EVERY_PARENT, MergeConfig

BLOCK = re.compile(r"(?:^|\.)(\d+)\.")  # "model.layers.3.mlp…" is in block 3


class Weights:
    """The settings' weights for a number of parents and the tensors that they have.

    Raises:
        UserError: the weights' number does not fit the parents', their sum is not allowed, or `layers` names nothing.
    """

    def __init__(self, settings: MergeConfig, parents: int, names: Sequence[str]) -> None:
        self._settings, self._parents = settings, parents
        self._everywhere = self._of_parents(settings.weights)
        for part in settings.layers:
            if not any(part in name for name in names):
                words = {word for name in names for word in name.split(".")}
                raise UserError(f"merge: key 'layers': no tensor's name has '{part}' in it; {nearest(part, words)}")
        self._last = max((block for name in names if (block := _block(name)) is not None), default=0)

    def of(self, name: str) -> tuple[float, ...]:
        """Weights in this tensor: of every parent for `linear` and `slerp`, of every model for the others."""
        parts = [part for part in self._settings.layers if part in name]
        if not parts:
            return self._everywhere
        value = self._settings.layers[max(parts, key=lambda part: (len(part), part))]
        if isinstance(value, tuple):
            value = gradient(value, (_block(name) or 0) / max(1, self._last))
        return self._of_parents((value,) * (self._parents - 1))

    def _of_parents(self, given: tuple[float, ...]) -> tuple[float, ...]:
        operator, parents = self._settings.operator, self._parents
        if operator not in EVERY_PARENT:
            weights = given * (parents - 1) if len(given) == 1 else given
            if len(weights) != parents - 1:
                self._refuse(given, f"1, or one for each of the {parents - 1} models before the base")
            return weights
        if operator == "slerp" and parents != 2:
            raise UserError(f"merge: operator 'slerp': given {parents} parents, allowed: 2")
        if len(given) == parents - 1:
            return (*given, 1 - math.fsum(given))
        if len(given) != parents:
            self._refuse(given, f"{parents - 1} (the last parent gets what is left to 1) or {parents}")
        total = math.fsum(given)
        if self._settings.normalize:
            if abs(total) < 1e-8:
                raise UserError("merge: key 'weights': given a sum of 0 with normalize, allowed: any other sum")
            return tuple(weight / total for weight in given)
        if abs(total - 1) > 1e-9:
            raise UserError(f"merge: key 'weights': given a sum of {total:.6g}, allowed: 1, or 'normalize: true'")
        return given

    def _refuse(self, given: Sequence[float], allowed: str) -> None:
        raise UserError(
            f"merge: key 'weights': given {len(given)} for {self._parents} parents and operator "
            f"'{self._settings.operator}', allowed: {allowed}"
        )


def gradient(values: Sequence[float], depth: float) -> float:
    """`values`, evenly spaced over depths 0 to 1, joined by straight lines."""
    place = depth * (len(values) - 1)
    left = min(int(place), max(0, len(values) - 2))
    right = min(left + 1, len(values) - 1)
    return values[left] + (place - left) * (values[right] - values[left])


def _block(name: str) -> int | None:
    found = BLOCK.search(name)
    return int(found.group(1)) if found else None
