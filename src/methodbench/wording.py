"""Numbers as a person reads them: percent for shares, points for their differences, few digits, a real minus sign."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the statistics load slowly, and who plans a run needs none
    from methodbench.stats import Estimate

Unit = Literal["share", "gain", "rho", "number"]  # 0..1; a relative change; a correlation; anything else (tokens)


def number(value: float, unit: Unit = "number", *, signed: bool = False) -> str:
    """One number without its unit: 0.873 as a share is "87.3"; 4217.3 is "4217"; 0.01234 is "0.0123"."""
    shown = value * 100 if unit in ("share", "gain") else value
    size = abs(shown)
    if unit != "number":
        digits = 2 if unit == "rho" else 1
    elif size == 0:
        digits = 0
    else:
        digits = min(6, max(0, 2 - math.floor(math.log10(size))))
    text = f"{shown:+.{digits}f}" if signed else f"{shown:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def level(estimate: Estimate, unit: Unit) -> str:
    """``"87.3 [86.1, 88.5]"``: a level with its interval; the unit stands in the column's head."""
    return f"{number(estimate.value, unit)} [{number(estimate.low, unit)}, {number(estimate.high, unit)}]"


def effect(estimate: Estimate, unit: Unit) -> str:
    """``"+8.1 points [+6.0, +10.2]"``: a difference with its unit and interval."""
    low, high = number(estimate.low, unit, signed=True), number(estimate.high, unit, signed=True)
    return f"{change(estimate.value, unit)} [{low}, {high}]"


def change(value: float, unit: Unit) -> str:
    """``"+8.1 points"`` of a share, ``"+35.0 %"`` of a gain, ``"rho −0.43"`` of a correlation, else ``"+12.0"``."""
    return ("rho " if unit == "rho" else "") + number(value, unit, signed=True) + amount_unit(unit)


def amount(value: float, unit: Unit) -> str:
    """``"8.1 points"``: a size without a sign."""
    return number(abs(value), unit) + amount_unit(unit)


def amount_unit(unit: Unit) -> str:
    """What stands behind a difference of that unit."""
    return {"share": " points", "gain": " %", "rho": "", "number": ""}[unit]


def probability(p: float) -> str:
    """``"p < 0.001"``, ``"p = 0.012"``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def percent(share: float) -> str:
    """``"20 %"``: a share in running text."""
    return f"{100 * share:.0f} %".replace("-", "−")


def count(many: int, noun: str) -> str:
    """``"1 seed"``, ``"3 seeds"``."""
    return f"{many} {noun}" if many == 1 else f"{many} {noun}s"


def tally(found: Sequence[str], order: Sequence[str]) -> list[str]:
    """``["2 × holds", "4 × underpowered"]``: how often each of `order` was found, without those that were not."""
    return [f"{found.count(word)} × {word}" for word in order if word in found]


def listed(words: list[str]) -> str:
    """``"a"``, ``"a and b"``, ``"a, b and c"``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
