"""What a report needs to know besides scores and samples; the graph and the tracker know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from methodbench.benchmark import Task
from methodbench.method import Method


@dataclass(frozen=True)
class ModelLine:
    """One checkpoint of the study, as the report names it."""

    name: str
    method: str = ""  # the transform that made it
    architecture: str = ""
    parameters: int | None = None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportContext:
    """Everything is optional: what is not known is not said."""

    repository: Path = Path()  # where methods/*/reported.yaml lies
    config_file: str = ""  # the study's YAML, relative to the repository
    tasks: Mapping[str, Task] = field(default_factory=dict)  # "dataset/task" -> what is declared of it
    methods: Mapping[str, Method] = field(default_factory=dict)
    models: tuple[ModelLine, ...] = ()
    runs: Mapping[str, str] = field(default_factory=dict)  # "results/…/T.json" -> address of its MLflow run
    stale: tuple[str, ...] = ()  # sentences about results made by older code
    seconds: Mapping[str, float] = field(default_factory=dict)  # job -> wall seconds
    threads: Mapping[str, int] = field(default_factory=dict)  # job -> its threads, where there are more than one
    machine: str = ""
    commit: str = ""
    tracking: str = ""  # MLflow store
