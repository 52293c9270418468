"""What moved between two versions of a report, or of a lock file, and whether it is more than noise.

Both versions of a number have a 95 % interval; as two independent estimates they differ by chance alone by more than
hypot(half width, half width) one time in twenty. So |difference| is given in units of that length (1.0 is z = 1.96).
Two runs that share items or seeds are not independent: they differ by chance less often, so that "beyond" is safe and
"within" is not proof that nothing changed. Where an interval is cut at a bound, its longer half counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methodbench.errors import UserError, nearest
from methodbench.numbers import NAME as NUMBERS
from methodbench.pins import pin_changes, read_pins
from methodbench.verdicts import NAME as VERDICTS
from methodbench.wording import count, number, percent

CHANCE = 0.05  # of a number beyond its intervals, if nothing changed


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of the interval's width, on its longer side."""
        return max(self.value - self.low, self.high - self.value)


@dataclass(frozen=True)
class Told:
    """What a report leaves for programs. `numbers` is None where it was published before it left them."""

    where: str
    verdicts: Mapping[str, str]  # claim, or "stack" and a pair -> verdict
    effects: Mapping[str, Interval]  # the same -> effect
    numbers: Mapping[str, Interval] | None  # "arm  task/metric" -> level
    invalid: frozenset[str] = frozenset()  # keys of `numbers` that do not count


@dataclass(frozen=True)
class Move:
    """One number that both versions have."""

    name: str
    before: Interval
    after: Interval
    note: str = ""

    @property
    def difference(self) -> float:
        return self.after.value - self.before.value

    @property
    def reach(self) -> float:
        """|difference| in units of the combined half widths; above 1 it is beyond the intervals."""
        apart = abs(self.difference)
        if apart == 0:
            return 0.0
        noise = math.hypot(self.before.half, self.after.half)
        return apart / noise if noise else math.inf


def differences(first: Path, second: Path) -> list[str]:
    """Lines that tell what changed from `first` to `second`: two reports, or two locks.

    A report is its folder, its page or one of its JSON files.

    Raises:
        UserError: a path does not exist or is neither, or one is a report and the other a lock.
    """
    sides = [(path, *_text(path)) for path in (first, second)]
    kinds = [text.lstrip().startswith("{") for _, _, text in sides]
    if kinds[0] != kinds[1]:
        report, lock = (first, second) if kinds[0] else (second, first)
        raise UserError(f"diff: {report} is a report and {lock} is not; give two reports or two lock files")
    if not kinds[0]:
        before, after = (read_pins(text, str(path)) for path, _, text in sides)
        return list(pin_changes(before, after))
    told = [_told(file, text) for _, file, text in sides]
    return list(report_changes(told[0], told[1]))


def report_changes(before: Told, after: Told) -> Iterator[str]:
    """Lines on the claims, the numbers (furthest beyond their intervals first) and what only one has; then a sum."""
    changed = [name for name in before.verdicts if after.verdicts.get(name, "") not in ("", before.verdicts[name])]
    if changed:
        yield "verdicts that changed"
        yield from _columns([[name, f"{before.verdicts[name]} -> {after.verdicts[name]}"] for name in changed])
    effects = moves(before.effects, after.effects)
    yield from _moved("effects", effects)
    for name in before.verdicts:
        if name in after.verdicts and (name in before.effects) != (name in after.effects):
            yield f"{name}: has no effect in {(before if name in after.effects else after).where}"
    levels: list[Move] = []
    if before.numbers is not None and after.numbers is not None:
        notes = {
            name: f", invalid in {' and '.join(one.where for one in (before, after) if name in one.invalid)}"
            for name in before.invalid | after.invalid
        }
        levels = moves(before.numbers, after.numbers, notes)
        yield from _moved("numbers of arms", levels)
    for one, other in ((before, after), (after, before)):
        alone = [
            name if name.startswith("stack ") else f"claim {name}"
            for name in one.verdicts
            if name not in other.verdicts
        ]
        if one.numbers is not None and other.numbers is not None:
            alone += [name for name in one.numbers if name not in other.numbers]
        if alone:
            yield f"only in {one.where} ({len(alone)})"
            yield from (f"  {name}" for name in alone)
    for one in (before, after):
        if one.numbers is None:
            yield f"{one.where} has no {NUMBERS}: verdicts and effects alone are compared"
    every = [*effects, *levels]
    beyond = sum(move.reach > 1 for move in every)
    both = sum(name in after.verdicts for name in before.verdicts)
    yield (
        f"{len(changed)} of {count(both, 'verdict')} changed; {beyond} of {count(len(every), 'number')} moved beyond "
        f"their intervals; about {CHANCE * len(every):.0f} would by chance ({percent(CHANCE)}, were all independent)"
    )


def moves(
    before: Mapping[str, Interval], after: Mapping[str, Interval], notes: Mapping[str, str] | None = None
) -> list[Move]:
    """Every number of both, furthest beyond its intervals first; `notes` are said behind the number of that name."""
    found = [Move(name, before[name], after[name], (notes or {}).get(name, "")) for name in before if name in after]
    return sorted(found, key=lambda move: (-move.reach, move.name))


def _moved(title: str, found: Sequence[Move]) -> Iterator[str]:
    moved = [move for move in found if move.reach > 0]
    if not found:
        return
    yield f"{title}: {len(moved)} of {len(found)} differ"
    yield from _columns(
        [
            [
                *move.name.split("  "),
                f"{number(move.before.value)} -> {number(move.after.value)}",
                number(move.difference, signed=True),
                _against_noise(move.reach) + move.note,
            ]
            for move in moved
        ]
    )


def _against_noise(reach: float) -> str:
    if math.isinf(reach):
        return "beyond intervals of no width"
    return f"{reach:.2f} x its intervals, {'beyond' if reach > 1 else 'within'}"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _text(path: Path) -> tuple[Path, str]:
    """The file that a path stands for, and its text."""
    file = path
    if not path.exists():
        raise UserError(f"{path}: does not exist; {nearest(path.name, _siblings(path))}")
    if path.is_dir() or path.suffix == ".md":
        folder = path if path.is_dir() else path.with_suffix("")
        file = folder / VERDICTS
        if not file.is_file():
            reports = [found.parent.name for found in path.parent.glob(f"*/{VERDICTS}")]
            reports += [found.parent.name for found in path.glob(f"*/{VERDICTS}")] if path.is_dir() else []
            raise UserError(f"{path}: is no report, there is no {file}; {nearest(path.stem, reports)}")
    try:
        return file, file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no text; give a report's folder, page or {VERDICTS}, or a lock file") from None


def _siblings(path: Path) -> list[str]:
    folder = next((parent for parent in path.parents if parent.is_dir()), Path())
    return [found.name for found in folder.iterdir() if not found.name.startswith(".")]


def _told(file: Path, text: str) -> Told:
    """A report's verdicts and numbers; `file` is either of its JSON files, and the other one lies beside it."""
    given = _parsed(file, text)
    beside = {VERDICTS: NUMBERS, NUMBERS: VERDICTS}.get(file.name)
    other = file.with_name(beside) if beside else None
    more = _parsed(other, other.read_text(encoding="utf-8")) if other is not None and other.is_file() else {}
    both = {**more, **given}
    if "claims" not in both and "numbers" not in both:
        raise UserError(f"{file}: is neither a {VERDICTS} nor a {NUMBERS} of a report")
    try:
        stacks = [
            {**pair["interaction"], "id": f"stack {pair['id']}", "verdict": pair["word"]}
            for pair in both.get("pairs", [])
        ]
        claims, arms = [*both.get("claims", []), *stacks], both.get("numbers")
        levels = {
            f"{arm['arm']}  {arm['task']}/{metric}": (Interval(*bounds), bool(arm["invalid"]))
            for arm in arms or ()
            for metric, bounds in arm["metrics"].items()
        }
        return Told(
            where=str(file.parent if beside else file),
            verdicts={claim["id"]: claim["verdict"] for claim in claims},
            effects={
                claim["id"]: Interval(claim["effect"], claim["low"], claim["high"])
                for claim in claims
                if claim["effect"] is not None
            },
            numbers=None if arms is None else {name: level for name, (level, _) in levels.items()},
            invalid=frozenset(name for name, (_, invalid) in levels.items() if invalid),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{file}: is broken or of another version ({type(error).__name__}: {error})") from None


def _parsed(file: Path, text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise UserError(f"{file}: is no JSON: {error}") from None
