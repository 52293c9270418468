"""What every declared method says of itself, before any of its code is loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from methodbench.config import parse
from methodbench.method import Method
from methodbench.reported import load_reported
from tests.contract.found import FAMILIES, METHODS, ROOT, own, smoke_pairs, smoke_transforms

HEAVY = ("torch", "transformers", "lm_eval", "mlflow", "datasets", "pandas", "numpy", "scipy", "matplotlib")
DECLARE = """
import importlib, sys
sys.path[:0] = sys.argv[2:]
importlib.import_module(sys.argv[1])
print(*sys.modules)
"""
FOLDERS = sorted(init.parent for kind in ("methods", "benchmarks") for init in (ROOT / kind).glob("*/__init__.py"))
OWN = [METHODS[name] for name in own()]


def folder_of(method: Method) -> Path:
    return ROOT / "methods" / method.entry.split(".")[1]


def test_there_is_something_to_test() -> None:
    assert {"plain", "pretrain", "fetch"} < set(METHODS) and OWN and FAMILIES


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_declaration(method: Method) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", method.name)
    assert yaml.safe_load(f"{method.name}: 1") == {method.name: 1}
    assert method.version >= 1
    assert method.summary and "\n" not in method.summary
    assert callable(method.load())
    fewest, most = method.parents
    assert 0 <= fewest <= most
    if method.kind == "runtime":
        assert most == 0 and not method.data, "a runtime runs one checkpoint and reads no data"
    if method.role == "method":
        assert re.match(r"arXiv \d{4}\.\d{5}: \S", method.paper), "a method names its paper"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_config_has_defaults_that_can_be_written_down(method: Method) -> None:
    defaults = parse(method.config, {}, method.name)
    text = json.dumps(asdict(defaults))  # nothing that JSON lacks: the graph hashes it, the score keeps it
    assert parse(method.config, json.loads(text), method.name) == defaults
    if method.neutral is not None:
        parse(method.config, method.neutral, f"{method.name}: neutral")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}.{folder.name}")
def test_declaring_imports_nothing_heavy(folder: Path) -> None:
    command = [sys.executable, "-c", DECLARE, f"{folder.parent.name}.{folder.name}", str(ROOT), str(ROOT / "src")]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert f"{folder.parent.name}.{folder.name}" in loaded
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}.{folder.name}")
def test_a_folder_explains_itself(folder: Path) -> None:
    readme = folder / "README.md"
    assert readme.exists() and len(readme.read_text(encoding="utf-8").split()) > 50


@pytest.mark.parametrize("method", [method for method in OWN if method.role == "method"], ids=lambda m: m.name)
def test_a_method_has_the_numbers_its_paper_reports(method: Method) -> None:
    reported = load_reported(ROOT, folder_of(method).name)
    assert reported.paper.startswith(method.paper.partition(":")[0]), "the numbers are of the paper that is named"
    assert reported.tables or reported.curves
    for table in reported.tables:
        named = {table.method} if table.method else set(table.rows)
        others = table.grade in ("I", "O")  # what a user or another paper says, perhaps of the model before
        assert others or named & set(METHODS), f"table {table.table}: no row is a method of this repository"


@pytest.mark.parametrize("method", OWN, ids=lambda method: method.name)
def test_a_method_runs_at_the_smoke_scale(method: Method) -> None:
    """There the rest of the contract finds settings for it."""
    run = {pair.method.name for pair in smoke_pairs().values()} | set(smoke_transforms())
    assert method.name in run
