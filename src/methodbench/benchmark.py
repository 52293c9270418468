"""What a folder under benchmarks/ declares: how its data is made, and the lm-eval tasks that score it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from methodbench.errors import UserError
from methodbench.method import declared, folders


@dataclass(frozen=True)
class Metric:
    """One number of a task, per sample and averaged."""

    name: str  # as in the task's metric_list or process_results
    direction: Literal["greater", "less"] = "greater"
    unit: str = "share"


@dataclass(frozen=True)
class Task:
    """One lm-eval task of a family, written `dataset/name` in a study.

    `yaml` is a path inside the family's folder; `split` is the file ``<split>.jsonl`` that the family's
    `prepare` writes and that the task reads. `chance` is the score of a blind guess. A task `to_forget` asks for what a
    model is meant to lose: its metrics say what is known, as those of other tasks, and less of it is better.
    """

    name: str
    yaml: str
    split: str
    metrics: tuple[Metric, ...]
    version: int = 1
    chance: float = 0.0
    to_forget: bool = False

    def wanted(self) -> tuple[Metric, ...]:
        """The metrics, each with the direction that is better in this task."""
        turned: dict[str, Literal["greater", "less"]] = {"greater": "less", "less": "greater"}
        return tuple(replace(one, direction=turned[one.direction]) if self.to_forget else one for one in self.metrics)


@dataclass(frozen=True)
class Family:
    """A folder under benchmarks/. `prepare` is "module:function", called as ``prepare(out, config, seed)``.

    `prepare` writes one ``<split>.jsonl`` for each split into the folder `out`; `splits(config)` names them
    before they exist, so that a study that asks for a missing one is refused while the graph is read. Where `recalls`
    is true, tasks ask on purpose for what training rows tell; the family's own tests say which splits may share items.
    """

    name: str
    prepare: str
    config: type
    tasks: tuple[Task, ...]
    summary: str
    version: int = 1
    recalls: bool = False

    def splits(self, config: Any) -> tuple[str, ...]:
        """Names of the files that `prepare` writes under `config` (the config class says so)."""
        return tuple(config.splits())

    def load(self) -> Any:
        """The prepare function; imports its module now."""
        module, _, attribute = self.prepare.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def folder(self, root: Path) -> Path:
        """Where the family's task YAML lies."""
        return root / "benchmarks" / self.name

    def task(self, name: str) -> Task | None:
        return next((task for task in self.tasks if task.name == name), None)


def discover_families(root: Path) -> dict[str, Family]:
    """Every ``benchmarks/*/__init__.py`` of `root` that has a ``FAMILY``, by name."""
    found: dict[str, Family] = {}
    for module in folders(root, "benchmarks"):
        for family in declared(module, "FAMILIES"):
            if family.name in found:
                raise UserError(f"{module}: benchmark family '{family.name}' is declared twice")
            found[family.name] = family
    return found
