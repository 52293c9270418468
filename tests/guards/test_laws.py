"""Who may know whom: the laws of the design that a reader of one file cannot see being broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from methodbench.benchmark import discover_families
from methodbench.method import discover_methods
from tests.guards.sources import BENCHMARKS, CODE, ENGINE, METHODS, ROOT, imports, packages, shown, tree

FOLDERS = sorted(init.parent.name for init in (ROOT / "methods").glob("*/__init__.py"))
OWN = [method for method in discover_methods(ROOT).values() if method.entry.startswith("methods.")]
# lm-eval's LM class is what a runtime is; MLflow is one tracker among those that might be.
ALLOWED = {
    "lm_eval": (
        r"src/methodbench/(evaluate|multimodal|runtime|spans)\.py|methods/\w+/\w*runtime\w*\.py|benchmarks/\w+/from_lm_eval\.py"
    ),
    "mlflow": r"src/methodbench/(track|warm)\.py",
    "snakemake": r"(?!)",  # the Snakefile alone
}


def names_of_methods(text: str) -> set[str]:
    """Folders of methods as words, and methods' names as words of code: quoted, in backticks, or with an underscore.

    A method may be called by an everyday verb, so its bare name in a sentence proves nothing.
    """
    found = {name for name in FOLDERS if re.search(rf"\b{name}\b", text, re.IGNORECASE)}
    for method in OWN:
        quoted = rf"[\"'`]{method.name}[\"'`:]"
        if re.search(quoted, text) or ("_" in method.name and re.search(rf"\b{method.name}\b", text)):
            found.add(method.name)
    return found


def test_the_laws_are_about_something() -> None:
    assert FOLDERS and OWN and discover_families(ROOT)
    assert names_of_methods(f"if method == '{OWN[0].name}':") >= {OWN[0].name}
    assert names_of_methods(f"from methods.{FOLDERS[0]} import METHODS") >= {FOLDERS[0]}


@pytest.mark.parametrize("file", [ROOT / "Snakefile", *ENGINE], ids=shown)
def test_neither_the_snakefile_nor_the_engine_names_a_method(file: Path) -> None:
    assert not names_of_methods(file.read_text(encoding="utf-8"))


def test_neither_the_snakefile_nor_the_engine_names_a_benchmark() -> None:
    for file in ENGINE:
        assert not packages(tree(file)) & {"benchmarks", "methods"}, shown(file)
    for family in discover_families(ROOT):
        assert not re.search(rf"\b{family}\b", (ROOT / "Snakefile").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", [*METHODS, *BENCHMARKS], ids=shown)
def test_a_folder_imports_itself_and_the_engine_alone(file: Path) -> None:
    kind, folder = file.relative_to(ROOT).parts[:2]
    ours = {name for name in imports(tree(file)) if name.split(".")[0] in ("methods", "benchmarks")}
    assert {name for name in ours if name.split(".")[:2] != [kind, folder]} == set()


@pytest.mark.parametrize("library", ALLOWED)
def test_a_library_is_known_where_the_design_says(library: str) -> None:
    knowing = [shown(file) for file in CODE if library in packages(tree(file))]
    assert [file for file in knowing if not re.fullmatch(ALLOWED[library], file)] == []
