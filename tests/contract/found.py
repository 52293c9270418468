"""What is there to be held to the contract: every declared method and family, and the smoke studies' use of them.

A method needs settings and data that suit a model of a few thousand parameters. Its smoke study has them already, so
the contract reads them there: a new method with a smoke study is tested without a line of test code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from methodbench.benchmark import discover_families
from methodbench.graph import Graph
from methodbench.method import discover_methods
from methodbench.nodes import CheckpointNode, Pair

ROOT = Path(__file__).parents[2]
METHODS = discover_methods(ROOT)
FAMILIES = discover_families(ROOT)
SMOKE = Graph(ROOT, "smoke")


def own() -> list[str]:
    """Names of the methods that a folder under methods/ declares."""
    return [name for name, method in METHODS.items() if method.entry.startswith("methods.")]


def smoke_pairs() -> dict[str, Pair]:
    """Every runtime with its settings in a smoke study, once each: "study/runtime" -> its first pair.

    Where settings are to be chosen, they are the first candidate's: the others need not suit the checkpoint.
    """
    found: dict[str, Pair] = {}
    for study in SMOKE.study_names():
        for node in SMOKE.study(study).evaluations:
            for pair in node.pairs:
                config = pair.candidates[0] if pair.candidates else pair.config
                found.setdefault(f"{study}/{pair.runtime}", replace(pair, config=config))
    return found


def smoke_checkpoints() -> dict[str, CheckpointNode]:
    """The checkpoints that smoke studies evaluate, by what a pair knows of its own: the identity."""
    nodes = [node.checkpoint for study in SMOKE.study_names() for node in SMOKE.study(study).evaluations]
    return {node.identity: node for node in nodes}


def smoke_transforms() -> dict[str, Callable[[int], CheckpointNode]]:
    """Every transform in the smoke studies: method -> the first checkpoint that it makes, for any seed."""
    found: dict[str, Callable[[int], CheckpointNode]] = {}
    for study in SMOKE.study_names():
        for node in SMOKE.study(study).checkpoints:

            def at(seed: int, study: str = study, name: str = node.name) -> CheckpointNode:
                return SMOKE.checkpoint(study, name, seed)

            found.setdefault(node.method.name, at)
    return found
