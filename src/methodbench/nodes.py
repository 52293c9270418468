"""The graph's nodes: what is made, from what, where it lies, and the identity that says whether it is stale.

An identity is a hash of everything that could change what a node holds: method and its version, config, identities of
parents and data, seed. Paths are relative to the working directory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from methodbench.benchmark import Family, Task
from methodbench.method import Method, Traits
from methodbench.study import Choice, Study

UNSEEDED = "unseeded"


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON: the same config in another order is the same config."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class DatasetNode:
    """A prepared benchmark family."""

    place: Path  # results/SCALE/STUDY
    name: str
    family: Family
    config: Any
    seed: int

    @property
    def study(self) -> str:
        """The study that prepares it; others may use it."""
        return self.place.name

    @property
    def path(self) -> Path:
        return self.place / "datasets" / self.name

    @cached_property
    def identity(self) -> str:
        return digest([self.family.name, self.family.version, asdict(self.config), self.seed])


@dataclass(frozen=True)
class CheckpointNode:
    """A checkpoint that a transform makes, for one seed or for all."""

    place: Path
    study: str
    name: str
    run: str  # "seed0", or "unseeded" where the seed changes nothing
    seed: int
    method: Method
    config: Any
    parents: tuple[CheckpointNode, ...]
    data: Mapping[str, tuple[DatasetNode, str]]  # input name -> dataset, split
    traits: Traits

    @property
    def path(self) -> Path:
        return self.place / self.run / "checkpoints" / self.name

    @cached_property
    def identity(self) -> str:
        return digest(
            [
                self.method.name,
                self.method.version,
                asdict(self.config),
                [parent.identity for parent in self.parents],
                {name: [node.identity, split] for name, (node, split) in self.data.items()},
                None if self.run == UNSEEDED else self.seed,
            ]
        )


@dataclass(frozen=True)
class Pair:
    """One score to come: a runtime on a task."""

    runtime: str
    method: Method
    config: Any
    choice: Choice | None
    candidates: tuple[Any, ...]  # with a choice: the config of each of its combinations
    dataset: DatasetNode
    task: Task
    choice_task: tuple[DatasetNode, Task] | None
    limit: int | None
    max_gen_toks: int | None
    chat_template: bool
    path: Path
    checkpoint_identity: str
    seed: int

    @property
    def task_name(self) -> str:
        return f"{self.dataset.name}/{self.task.name}"

    @cached_property
    def identity(self) -> str:
        return self.score_identity(self.config, self.dataset, self.task, self.choice)

    def score_identity(self, config: Any, dataset: DatasetNode, task: Task, choice: Choice | None = None) -> str:
        """What would make the score of `config` on `task` stale."""
        picked = None
        if choice is not None and self.choice_task is not None:
            picked = [asdict(choice), self.choice_task[0].identity, self.choice_task[1].version]
        return digest(
            [
                self.method.name,
                self.method.version,
                asdict(config),
                picked,
                dataset.identity,
                task.name,
                task.version,
                self.limit,
                self.chat_template,
                self.checkpoint_identity,
                self.seed,
                # Only where it is given: scores made before this key existed stay valid.
                *([{"max_gen_toks": self.max_gen_toks}] if self.max_gen_toks is not None else []),
            ]
        )


@dataclass(frozen=True)
class EvaluateNode:
    """One evaluate job: a checkpoint is loaded once and serves all its pairs."""

    name: str
    checkpoint: CheckpointNode
    seed: int
    pairs: tuple[Pair, ...]
    slots: int
    path: Path  # the index of finished pairs, written last

    @cached_property
    def identity(self) -> str:
        return digest([pair.identity for pair in self.pairs])

    @property
    def datasets(self) -> list[DatasetNode]:
        found = {pair.dataset.path: pair.dataset for pair in self.pairs}
        found.update({pair.choice_task[0].path: pair.choice_task[0] for pair in self.pairs if pair.choice_task})
        return list(found.values())


@dataclass(frozen=True)
class StudyGraph:
    """One study's nodes."""

    study: Study
    file: Path
    datasets: Mapping[str, DatasetNode]  # own ones and those of other studies
    checkpoints: tuple[CheckpointNode, ...]  # own ones, all seeds, in the order of the file
    evaluations: tuple[EvaluateNode, ...]

    @property
    def tasks(self) -> dict[str, Task]:
        """Every task that is scored, by "dataset/task"."""
        return {pair.task_name: pair.task for node in self.evaluations for pair in node.pairs}
