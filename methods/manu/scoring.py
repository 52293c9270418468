"""Scores of every unit, and the null beside them (M§2.2, §2.4).

The null asks how large scores get without anything to find: the same score of as many random retain persons as there
are forget persons, against the other retain persons. Both sets have the same questions, so that the scores differ from
1 by the noise of the smaller set; a neuron above the null's range is about the forget persons.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.visual import Encoder, VisualRow
from methods.manu.collect import Counting, collect, collect_pooled
from methods.manu.config import ScoresConfig, Settings
from methods.manu.importance import Importances, code_score, contrast, distribution, ratio
from methods.manu.neurons import Part, every
from methods.manu.statistics import Moments, merged

ByPart = Mapping[str, Importances]


@dataclass(frozen=True)
class Scored:
    """One part's units: scores, the null's scores (None without one), importances on the forget rows; all [C], CPU."""

    part: Part
    score: Tensor
    null: Tensor | None
    forget: Importances


@dataclass(frozen=True)
class Sets:
    """The rows that are measured, and how the retain persons are parted for the null."""

    forget: list[VisualRow]
    retain: list[VisualRow]
    drawn: frozenset[str]  # retain persons that stand for forget persons; none if there are fewer than two

    @property
    def subset(self) -> list[VisualRow]:
        """Rows of the drawn persons."""
        return [row for row in self.retain if row.person in self.drawn]

    @property
    def rest(self) -> list[VisualRow]:
        """Rows of the other retain persons."""
        return [row for row in self.retain if row.person not in self.drawn]


def sets(
    forget: Sequence[VisualRow], retain: Sequence[VisualRow], config: ScoresConfig, settings: Settings, where: str
) -> Sets:
    """The rows that the config asks for, and random persons for the null.

    Where rows are left out, those kept are spread evenly over the file, for each mode apart.

    Raises:
        UserError: a mode has no row, or a person stands in both sets; `where` names the files.
    """
    both = {row.person for row in forget} & {row.person for row in retain}
    if both:
        raise UserError(f"{where}: person '{min(both)}' stands in both, a person is either forgotten or retained")
    kept: dict[str, list[VisualRow]] = {"forget": [], "retain": []}
    for mode in ("image", "text"):
        asked = [row for row in forget if row.mode == mode]
        others = [row for row in retain if row.mode == mode]
        if not asked or not others:
            raise UserError(f"{where}: both need rows of mode '{mode}'; given {len(asked)} and {len(others)}")
        asked = evenly(asked, config.items or len(asked))
        limit = len(asked) if settings.retain_items == "equal" else config.items or len(others)
        kept["forget"] += asked
        kept["retain"] += evenly(others, limit)
    persons = sorted({row.person for row in kept["retain"]})
    size = min(len({row.person for row in kept["forget"]}), len(persons) // 2)
    drawn = random.Random(f"null {config.null_seed}").sample(persons, size)
    return Sets(kept["forget"], kept["retain"], frozenset(drawn))


def evenly(rows: Sequence[VisualRow], many: int) -> list[VisualRow]:
    """At most `many` rows, at even distances."""
    if many >= len(rows):
        return list(rows)
    return [rows[place * len(rows) // many] for place in range(many)]


def scored(
    model: PreTrainedModel,
    encoder: Encoder,
    chosen: Sets,
    parts: Sequence[Part],
    config: ScoresConfig,
    settings: Settings,
    log: Log,
) -> list[Scored]:
    """The scores of every part, in the parts' order."""
    run = _Run(model, encoder, parts, config, settings, log, len(chosen.forget) + len(chosen.retain))
    with_null = bool(chosen.drawn)
    if config.mode == "code_buggy":
        forget, retain = run.pooled(chosen.forget), run.pooled(chosen.retain)
        nulls = (run.pooled(chosen.subset), run.pooled(chosen.rest)) if with_null else None
    else:
        sums = run.sums(chosen.forget)
        # Retain rows pass once: the null's two halves are sums whose sum is the whole.
        halves = [run.sums(rows) for rows in (chosen.subset, chosen.rest) if rows]
        forget, retain = run.importances([sums]), run.importances(halves)
        nulls = (run.importances(halves[:1]), run.importances(halves[1:])) if with_null else None
    score = _score(config, settings)
    found = []
    for part in parts:
        null = score(nulls[0][part.key], nulls[1][part.key]).cpu() if nulls else None
        values = score(forget[part.key], retain[part.key]).cpu()
        if not values.isfinite().all():
            raise UserError(f"manu: activations of '{part.path}' are not finite: its scores say nothing")
        about = Importances(*forget[part.key].stacked().cpu())
        found.append(Scored(part, values, null, about))
    return found


def _score(config: ScoresConfig, settings: Settings) -> Callable[[Importances, Importances], Tensor]:
    weights, epsilon = settings.weights, settings.epsilon
    if config.mode == "paper":
        return lambda forget, retain: ratio(forget.weighted(weights), retain.weighted(weights), epsilon)
    if config.mode == "selective_pruning":
        return lambda forget, retain: ratio(forget.abs, retain.abs, epsilon)
    return lambda forget, retain: code_score(forget, retain, weights, epsilon)


Sums = dict[str, dict[str, Moments]]  # by mode, then by part


@dataclass
class _Run:
    """One job's passes, and how many rows of it are done."""

    model: PreTrainedModel
    encoder: Encoder
    parts: Sequence[Part]
    config: ScoresConfig
    settings: Settings
    log: Log
    total: int
    done: int = 0

    @property
    def counting(self) -> Counting:
        config = self.config
        return Counting(
            tau=config.tau,
            signed=config.signed,
            clamp=self.settings.clamp,
            last=config.tokens == "last",
            batch_size=config.batch_size,
            pictures=config.pictures_per_row,
        )

    def heard(self, mode: str) -> list[Part]:
        """The parts that rows of a mode are measured on: the code hears each tower in one mode only (M§2.4-1)."""
        if self.config.mode in ("code", "code_buggy"):
            return [part for part in self.parts if (part.tower == "language") == (mode == "text")]
        return [part for part in self.parts if mode == "image" or part.tower == "language"]

    def sums(self, rows: Sequence[VisualRow]) -> Sums:
        """The sums of both modes."""
        found: Sums = {}
        for mode in ("image", "text"):
            some, parts = [row for row in rows if row.mode == mode], self.heard(mode)
            found[mode] = collect(self.model, self.encoder, some, parts, self.counting, self._tell) if parts else {}
            self.done += len(some)
        return found

    def importances(self, sums: Sequence[Sums]) -> ByPart:
        """Importances of every part, of several sums together."""
        return {part.key: self._importances(part, sums) for part in self.parts}

    def _importances(self, part: Part, sums: Sequence[Sums]) -> Importances:
        variance = self.settings.variance
        by_mode = {
            mode: merged([each[mode][part.key] for each in sums if part.key in each[mode]] or [self._empty(part)])
            for mode in ("image", "text")
        }
        if self.config.mode == "paper":
            multi, text = (by_mode[mode].summary(variance) for mode in ("image", "text"))
            return contrast(multi, text, self.settings.epsilon)
        return distribution(merged(list(by_mode.values())).summary(variance))

    def _empty(self, part: Part) -> Moments:
        return self.counting.moments(part)

    def pooled(self, rows: Sequence[VisualRow]) -> ByPart:
        """The released code's statistics: one value for all layers of a map."""
        found: dict[tuple[str, str], Importances] = {}
        for mode in ("image", "text"):
            some, parts = [row for row in rows if row.mode == mode], self.heard(mode)
            towers = {part.tower for part in parts}
            everywhere = [part for part in self._all_layers() if part.tower in towers]
            if everywhere:
                found |= collect_pooled(self.model, self.encoder, some, everywhere, self.counting, self._tell)
            self.done += len(some)
        return {part.key: found[part.tower, part.name] for part in self.parts}

    def _all_layers(self) -> list[Part]:
        """The hooks of the released code stand in every layer, also of those that it does not prune (M§2.4-4)."""
        wanted = {(part.tower, part.name) for part in self.parts}
        return [part for part in every(self.model, "rows") if (part.tower, part.name) in wanted]

    def _tell(self, rows: int) -> None:
        self.log.progress(min(self.total, self.done + rows), self.total, "row")


def quantiles(values: Sequence[Tensor]) -> dict[str, float]:
    """The 1, 5, 25, 50, 75, 95 and 99 % quantiles of several parts' scores together."""
    whole = torch.cat(list(values)).sort().values
    shares = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    return {str(share): float(whole[round(share * (len(whole) - 1))]) for share in shares}
