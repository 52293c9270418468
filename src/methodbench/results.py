"""Scores and samples of one study, read from disk and lined up item by item.

Files: ``results/SCALE/STUDY/seedN/scores/CHECKPOINT/RUNTIME/DATASET/TASK.json`` (see `score`).

A statistic needs matrices [seeds, items] in which the same column is the same item for every arm. An item that was
tried several times under one id is averaged first: the item, not the trial, is the unit that is resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from methodbench.arms import Arm, study_arms
from methodbench.benchmark import Metric, Task
from methodbench.errors import UserError, nearest
from methodbench.score import HEALTH, Score, read_samples, samples_path
from methodbench.study import Study
from methodbench.wording import listed, percent

Floats = NDArray[np.float64]

# Judged unless the study gives its own. A sample that was cut off at a limit or a budget is not judged by them, so that
# an arm that is cut by design stays usable; see `Results.sick`.
HEALTH_LIMITS = {"unparsable": 0.2, "empty": 0.05}

CUT = "cut"  # a column made here: 1 where a sample ended at a limit or a budget instead of by itself

WORDS = {
    "truncated": "were cut off at the token limit",
    "unclosed": "never closed their thinking",
    "unparsable": "ended without an answer that can be read",
    "empty": "were empty",
}


@dataclass(frozen=True)
class Samples:
    """One samples file as columns: `ids` [n] ascending and unique, every numeric field [n], the items' `kinds` [n]."""

    ids: NDArray[np.int64]
    columns: Mapping[str, Floats]
    kinds: NDArray[np.str_]


class Missing(Exception):
    """A number that cannot be given; the message is the reason, in words, for the report."""


@dataclass
class Results:
    """All scores of a study at a scale. Samples are read when first asked for, and kept."""

    root: Path
    scale: str
    study: Study
    scores: dict[tuple[Arm, str, int], Score]
    arms: dict[str, list[Arm]]  # task -> arms that the study asks for
    tasks: Mapping[str, Task] = field(default_factory=dict)  # what is declared of each task
    _samples: dict[tuple[Arm, str, int], Samples] = field(default_factory=dict)

    @staticmethod
    def load(root: Path, scale: str, study: Study, tasks: Mapping[str, Task] | None = None) -> Results:
        """Read every score file that the study asks for; what is not there yet is left out.

        Raises:
            UserError: a score file is not one, or the study judges an unknown health flag.
        """
        for flag in study.health:
            if flag not in HEALTH:
                raise UserError(f"study {study.study}: health: unknown flag '{flag}'; {nearest(flag, HEALTH)}")
        arms = study_arms(study)
        results = Results(root, scale, study, {}, arms, tasks or {})
        for task, wanted in arms.items():
            for arm in wanted:
                for seed in study.seeds:
                    path = results.path(arm, task, seed)
                    if path.exists():
                        results.scores[arm, task, seed] = _read(path)
        return results

    def path(self, arm: Arm, task: str, seed: int) -> Path:
        """Where the score of an arm lies; the samples lie beside it."""
        place = self.root / "results" / self.scale / self.study.study / f"seed{seed}" / "scores"
        return place / arm.checkpoint / arm.runtime / f"{task}.json"

    def seeds(self, arm: Arm, task: str) -> list[int]:
        """Seeds for which the arm has a score."""
        return [seed for seed in self.study.seeds if (arm, task, seed) in self.scores]

    def samples(self, arm: Arm, task: str, seed: int) -> Samples:
        """One score's samples.

        Raises:
            Missing: there is no score, or its samples file is gone or empty.
        """
        key = (arm, task, seed)
        if key not in self._samples:
            if key not in self.scores:
                raise Missing(f"`{arm}` has no score on {task} for seed {seed}")
            path = samples_path(self.path(arm, task, seed))
            if not path.exists():
                raise Missing(f"the samples of `{arm}` on {task} for seed {seed} are gone ({path.name})")
            self._samples[key] = _columns(read_samples(path))
            if not len(self._samples[key].ids):
                raise Missing(f"`{arm}` has no samples on {task} for seed {seed}")
        return self._samples[key]

    def matrix(self, arm: Arm, task: str, name: str) -> tuple[Floats | None, str]:
        """One field as [seeds, items], and "" or the reason why there is none."""
        try:
            return self.aligned([arm], task, [name])[0][0], ""
        except Missing as reason:
            return None, str(reason)

    def kinds(self, arm: Arm, task: str) -> list[str]:
        """The kinds of item among an arm's samples, sorted as words.

        Raises:
            Missing: there is no score, or a samples file is gone or empty.
        """
        if not self.seeds(arm, task):
            raise Missing(f"`{arm}` has no score on {task}")
        tables = [self.samples(arm, task, seed) for seed in self.seeds(arm, task)]
        return sorted({str(kind) for table in tables for kind in table.kinds})

    def aligned(
        self, arms: Sequence[Arm], task: str, names: Sequence[str], kind: str | None = None
    ) -> list[list[Floats]]:
        """``[arm][name]`` -> [seeds, items] over the seeds and items (of one kind) that all the arms share.

        Raises:
            Missing: an arm has no score, the arms share no seed or item, or a field was not recorded.
        """
        seeds = [seed for seed in self.study.seeds if all((arm, task, seed) in self.scores for arm in arms)]
        for arm in arms:
            if not self.seeds(arm, task):
                raise Missing(f"`{arm}` has no score on {task}")
        if not seeds:
            raise Missing(f"{listed([f'`{arm}`' for arm in arms])} have no seed in common on {task}")
        tables = {(arm, seed): self.samples(arm, task, seed) for arm in arms for seed in seeds}
        items = reduce(np.intersect1d, (_ids(table, kind) for table in tables.values()))
        if not len(items):
            of_kind = f" of kind '{kind}'" if kind is not None else ""
            raise Missing(f"{listed([f'`{arm}`' for arm in arms])} have no item{of_kind} in common on {task}")

        def matrix(arm: Arm, name: str) -> Floats:
            return np.stack([_pick(tables[arm, seed], name, items, f"`{arm}` on {task}") for seed in seeds])

        return [[matrix(arm, name) for name in names] for arm in arms]

    def primary(self, task: str) -> Metric:
        """The metric that arms are ranked by: the first one declared, else `exact_match`, else the first recorded."""
        if task in self.tasks:
            return self.tasks[task].wanted()[0]
        names = sorted({name for key, score in self.scores.items() if key[1] == task for name in score.metrics})
        return Metric("exact_match" if "exact_match" in names or not names else names[0])

    def declared(self, task: str, name: str) -> Metric | None:
        """What the task's family says of a metric; None of other fields, and where the task is not known."""
        metrics = self.tasks[task].metrics if task in self.tasks else ()
        return next((metric for metric in metrics if metric.name == name), None)

    def mean(self, arm: Arm, task: str, name: str) -> float:
        """The plain mean of a field ("a:b" is a ratio of sums) over all samples of all seeds.

        Raises:
            Missing: as `aligned`.
        """
        matrices = self.aligned([arm], task, field_parts(name))[0]
        below = matrices[1].mean() if len(matrices) > 1 else 1.0
        return float(matrices[0].mean() / below) if below else 0.0

    def cost(self, arm: Arm, task: str, key: str) -> float | None:
        """A cost of the score files, averaged over seeds; None where it was not recorded."""
        values = [self.scores[arm, task, seed].cost.get(key) for seed in self.seeds(arm, task)]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    def health(self, arm: Arm, task: str) -> dict[str, float]:
        """Share of samples with each health flag, over all seeds."""
        seeds = self.seeds(arm, task)
        return {
            flag: float(np.mean([self.scores[arm, task, seed].health.get(flag, 0.0) for seed in seeds] or [0.0]))
            for flag in HEALTH
        }

    def sick(self, arm: Arm, task: str) -> str:
        """Why the arm's numbers are invalid, in words; "" if they are valid or there are none.

        A flag is judged against `study.health`, else `HEALTH_LIMITS`; flags in neither are shown, not judged.
        "truncated" is judged as it is; the others over samples that were not cut off, relative to all samples.
        """
        for flag, limit in {**HEALTH_LIMITS, **self.study.health}.items():
            names = [flag] if flag == "truncated" else [flag, CUT]
            try:
                found = self.aligned([arm], task, names)[0]
            except Missing:
                continue
            share = float((found[0] * (1.0 - found[1]) if len(found) > 1 else found[0]).mean())
            if share > limit:
                return f"{percent(share)} of the answers {WORDS[flag]} (limit {percent(limit)})"
        return ""


def field_parts(name: str) -> list[str]:
    """``"latent:tokens"`` -> ``["latent", "tokens"]``, a ratio of sums; another name stands alone."""
    parts = name.split(":")
    if len(parts) > 2 or not all(parts):
        raise UserError(f"field '{name}': expected a name, or two as 'above:below' for a ratio of sums")
    return parts


def _read(path: Path) -> Score:
    try:
        return Score.load(path)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: is not a score file ({' '.join(str(error).split())})") from None


def _ids(samples: Samples, kind: str | None) -> NDArray[np.int64]:
    return samples.ids if kind is None else samples.ids[samples.kinds == kind]


def _columns(rows: Sequence[Mapping[str, object]]) -> Samples:
    """Numeric fields of the samples; trials of one item are averaged; a field that a sample lacks is nan there."""
    names = {name for row in rows for name, value in row.items() if isinstance(value, int | float)} - {"id"}
    numbers = np.array([int(str(row["id"])) for row in rows], dtype=np.int64)
    ids, first, place, trials = np.unique(numbers, return_index=True, return_inverse=True, return_counts=True)
    table: dict[str, list[object]] = {name: [row.get(name) for row in rows] for name in sorted(names)}
    table[CUT] = [int(row.get("finish") in ("length", "budget")) for row in rows]
    columns = {}
    for name, values in table.items():
        column = [float(value) if isinstance(value, int | float) else np.nan for value in values]
        columns[name] = np.bincount(place, weights=column, minlength=len(ids)) / trials
    kinds = np.array([str(rows[row].get("kind", "")) for row in first], dtype=np.str_)
    return Samples(ids, columns, kinds)


def _pick(samples: Samples, name: str, items: NDArray[np.int64], who: str) -> Floats:
    """One field of these items."""
    if name not in samples.columns:
        raise Missing(f"{who} has no field '{name}' in its samples")
    picked = samples.columns[name][np.searchsorted(samples.ids, items)]
    if np.isnan(picked).any():
        raise Missing(f"{who}: the field '{name}' is not a number in every sample")
    return picked
