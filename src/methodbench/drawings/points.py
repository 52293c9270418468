"""The numbers behind a drawing: arms with their intervals, units, axis titles, and notes on what is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from methodbench.arms import Arm, labels
from methodbench.compare import measure
from methodbench.results import Missing, Results
from methodbench.stats import Estimate, Undefined
from methodbench.wording import Unit, listed

T = TypeVar("T")
WIDE = 100  # largest number / smallest one
PERCENT = re.compile(r"^(\d+) %")  # how a reason begins that is the same but for its number


@dataclass(frozen=True)
class Point:
    """One arm's place in a drawing."""

    arm: Arm
    values: tuple[Estimate, ...]  # one a drawn field


def measure_arms(
    results: Results, task: str, arms: Sequence[Arm], names: Sequence[str], notes: list[str]
) -> tuple[list[Point], tuple[Unit, ...]]:
    """The arms that can be drawn, and each field's unit over all of them; arms that cannot are noted."""
    found: list[Point] = []
    seen: list[set[Unit]] = [set() for _ in names]
    lost: dict[str, list[str]] = {}
    called = labels(arms)
    for arm in arms:
        try:
            sick = results.sick(arm, task)
            if sick:
                raise Missing(sick)
            measured = [measure(results, arm, task, name) for name in names]
        except (Missing, Undefined) as reason:
            lost.setdefault(str(reason).replace(f"`{arm}`", "it"), []).append(f"`{called[arm]}`")
            continue
        found.append(Point(arm, tuple(value for value, _ in measured)))
        for units, (_, unit) in zip(seen, measured, strict=True):
            units.add(unit)
    notes += [f"{listed(who)} left out: {reason}" for reason, who in lost.items()]
    return found, tuple(common_unit(units) for units in seen)


def over_tasks(
    results: Results, arms: Sequence[Arm], tasks: Sequence[str], take: Callable[[Arm, str], T], notes: list[str]
) -> dict[tuple[Arm, str], T]:
    """What `take` measures of each arm on each task that the study asks for; what cannot be drawn is noted.

    Arms that are lost for the same reason on the same tasks share a note.
    """
    found: dict[tuple[Arm, str], T] = {}
    lost: dict[tuple[Arm, str], dict[str, int | None]] = {}  # arm, reason without its number -> task -> the number
    for arm in arms:
        for task in [task for task in tasks if arm in results.arms[task]]:
            try:
                sick = results.sick(arm, task)
                if sick:
                    raise Missing(sick)
                found[arm, task] = take(arm, task)
            except (Missing, Undefined) as reason:
                said = str(reason).replace(f"`{arm}`", "it").replace(f" on {task}", "")
                share = PERCENT.match(said)
                lost.setdefault((arm, PERCENT.sub("", said)), {})[task] = int(share[1]) if share else None
    names = labels(arms)
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (arm, said), where in lost.items():
        shares = sorted({share for share in where.values() if share is not None})
        many = " to ".join(str(share) for share in dict.fromkeys((shares[0], shares[-1]))) + " %" if shares else ""
        alike.setdefault((many + said, tuple(where)), []).append(f"`{names[arm]}`")
    for (said, on_tasks), who in alike.items():
        on = "" if len(on_tasks) == len(tasks) else f" on {listed(list(on_tasks))}"
        notes.append(f"{listed(who)} left out{on}: {said}")
    return found


def explodes(values: Sequence[float]) -> bool:
    """Whether positive numbers differ so much, as a perplexity does that explodes, that only a logarithm shows them."""
    return min(values) > 0 and max(values) > WIDE * min(values)


def common_unit(units: Iterable[Unit]) -> Unit:
    """Percent only where all numbers of an axis are shares."""
    return "share" if set(units) == {"share"} else "number"


def as_drawn(estimates: Sequence[Estimate], unit: Unit) -> tuple[list[float], list[list[float]]]:
    """Values as drawn (shares in percent), and the lengths of the two arms of their intervals."""
    scale = 1.0 if unit == "number" else 100.0
    below = [max(0.0, estimate.value - estimate.low) * scale for estimate in estimates]
    above = [max(0.0, estimate.high - estimate.value) * scale for estimate in estimates]
    return [estimate.value * scale for estimate in estimates], [below, above]


def axis_title(name: str, unit: Unit) -> str:
    """``"exact match, %"``."""
    return words(name) + (", %" if unit == "share" else "")


def words(name: str) -> str:
    """``"exact_match"`` -> "exact match"; ``"latent:tokens"`` -> "latent / tokens"."""
    return name.replace("_", " ").replace(":", " / ")
