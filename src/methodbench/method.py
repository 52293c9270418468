"""What a folder under methods/ declares, and how the declarations are found.

A method is a *transform* (checkpoints -> a checkpoint) or a *runtime* (how a checkpoint is run: an lm-eval LM).
Declaring imports neither torch nor transformers: `entry` is a string, loaded only inside a job.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Literal

from methodbench.errors import UserError, nearest


@dataclass(frozen=True)
class Traits:
    """What is known of a checkpoint before it exists; None means unknown, and then nothing is refused early."""

    architecture: str | None = None  # transformers' model_type, e.g. "qwen3"
    tokens: frozenset[str] | None = None  # special tokens that are single ids, e.g. {"<think>", "</think>"}
    carries: frozenset[str] = frozenset()  # what a transform left beside the weights, e.g. {"tables"}


@dataclass(frozen=True)
class Resources:
    """What one job of a method takes on the machine."""

    threads: int = 1
    gpu: int = 0
    mem_mb: int = 2000


@dataclass(frozen=True)
class Method:
    """One transform or runtime.

    `entry` is "module:attribute". A transform is called as
    ``transform(parents, data, config, seed, out, log)``; a runtime is a class built as
    ``Runtime(checkpoint, config, **hflm)`` and is an `lm_eval` LM afterwards.
    """

    name: str
    kind: Literal["transform", "runtime"]
    entry: str
    config: type
    summary: str
    paper: str = ""  # arXiv id and title
    version: int = 1  # raise it when the same config gives different results: the graph then rebuilds
    parents: tuple[int, int] = (0, 0)  # transforms: fewest and most parents
    data: tuple[str, ...] = ()  # transforms: names of the data inputs that must be given
    seeded: bool = True  # False: the seed changes nothing, so one build serves all seeds
    repeatable: bool = True  # False: it measures the machine; the same seed gives the same weights, not the same files
    resources: Resources = Resources()
    role: Literal["method", "baseline", "control", "tool"] = "method"
    neutral: Mapping[str, Any] | None = (
        None  # config that gives the parent back (transform) or equals `plain` (runtime)
    )
    traits: Callable[[Any, tuple[Traits, ...]], Traits] | None = None  # transform: traits of what it makes
    fits: Callable[[Any, Traits], str | None] | None = None  # runtime: a sentence if it cannot run a checkpoint
    pictures: bool = False  # runtime: it runs image-text checkpoints, and those alone
    keywords: Mapping[str, Any] = dataclass_field(default_factory=dict)  # fixed arguments given to the entry

    def load(self) -> Any:
        """The transform function or the runtime class; imports its module now."""
        module, _, attribute = self.entry.partition(":")
        return getattr(importlib.import_module(module), attribute)


def discover_methods(root: Path) -> dict[str, Method]:
    """Built-in methods and every ``methods/*/__init__.py`` of `root` that has a ``METHODS`` list, by name.

    Raises:
        UserError: two folders declare the same name, or a folder cannot be imported.
    """
    found: dict[str, Method] = {}
    for module in ["methodbench.builtin", *folders(root, "methods")]:
        for method in declared(module, "METHODS"):
            if method.name in found:
                raise UserError(f"{module}: method '{method.name}' is already declared elsewhere; choose another name")
            found[method.name] = method
    return found


def find(methods: Mapping[str, Method], name: str, kind: str, where: str) -> Method:
    """The method of that name and kind, or a `UserError` that lists the allowed ones."""
    allowed = [m.name for m in methods.values() if m.kind == kind]
    if name not in allowed:
        raise UserError(f"{where}: unknown {kind} '{name}'; {nearest(name, allowed)}")
    return methods[name]


def folders(root: Path, kind: str) -> list[str]:
    """Importable module names of the folders under `root`/`kind`."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return [f"{kind}.{init.parent.name}" for init in sorted((root / kind).glob("*/__init__.py"))]


def declared(module: str, name: str) -> list[Any]:
    """What a folder lists under `name`; a folder that cannot be imported is a `UserError`."""
    try:
        return list(getattr(importlib.import_module(module), name, []))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{module.replace('.', '/')}/__init__.py: cannot be imported: {error}") from error
