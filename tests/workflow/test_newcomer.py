"""What CONTRIBUTING.md, README.md and config/README.md tell a newcomer works as it is written.

The toy method is taken out of CONTRIBUTING.md, file by file, and its commands are run in a copy of the project.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import pico

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^`(\S+)`\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)  # a file's name, then what is in it
STUDY = Path("config/smoke/shrink.yaml")
SEED0 = "results/smoke/shrink/seed0"


def toy() -> dict[str, str]:
    """The files of the toy method: name -> text."""
    return dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))


def commands() -> dict[str, str]:
    """The toy method's commands: program -> whole line."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^Then, in this order:\n\n```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    return {" ".join(line[:2]) if line[0] == "methodbench" else line[0]: shlex.join(line) for line in lines}


def run(root: Path, command: str, **more: str) -> str:
    """What a command says that is to succeed in the project `root`."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    outer = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    options = f"-p no:cacheprovider --basetemp={root.parent / 'pytest'}"
    environment = {**outer, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "PYTEST_ADDOPTS": options, **more}
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=root, env=environment, capture_output=True, text=True,
        check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the toy method in it. Linked is what nobody changes."""
    root = tmp_path_factory.mktemp("newcomer") / "project"
    for folder in ("methods", "config/smoke", "tests/methods"):
        (root / folder).mkdir(parents=True)
    for name in ("Snakefile", "pyproject.toml", "README.md", "config/README.md", "config/config.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    for name in ("src", "benchmarks", "profiles", "Makefile"):
        (root / name).symlink_to(ROOT / name)
    for linked in [*(ROOT / "methods").iterdir(), *(ROOT / "tests").iterdir()]:
        if linked.name != "methods":
            (root / linked.relative_to(ROOT)).symlink_to(linked)
    for name, text in toy().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def finished(project: Path) -> Path:
    """The project after its smoke study ran."""
    run(project, commands()["snakemake"])
    return project


@contextmanager
def edited(study: Path, before: str, after: str) -> Iterator[None]:
    text = study.read_text(encoding="utf-8")
    assert text.count(before) == 1
    study.write_text(text.replace(before, after), encoding="utf-8")
    yield
    study.write_text(text, encoding="utf-8")


def explained(said: str) -> dict[str, str]:
    """Node -> the first reason why it would be made again."""
    pairs = [line.split(": ", 1) for line in said.splitlines()]
    return {path: reason for path, reason in reversed(pairs)}


def test_the_toy_method_is_whole() -> None:
    assert {STUDY, Path("methods/shrinkage/__init__.py")} < set(map(Path, toy()))
    assert list(commands()) == ["methodbench list", "pytest", "snakemake", "methodbench explain", "methodbench docs"]


def test_the_method_and_its_study_are_listed(project: Path) -> None:
    said = run(project, commands()["methodbench list"])
    assert re.search(r"^transform +shrink +control", said, re.MULTILINE)
    assert re.search(r"^study +smoke/shrink", said, re.MULTILINE)


def test_the_contract_and_the_guards_pass(project: Path) -> None:
    said = run(project, commands()["pytest"] + " -rp")
    passed = re.findall(r"^PASSED (\S+)", said, re.MULTILINE)
    for name in (
        "contract/test_transforms.py::test_a_transform_keeps_its_promises[shrink]",
        "contract/test_methods.py::test_a_declaration[shrink]",
        "contract/test_methods.py::test_a_folder_explains_itself[methods.shrinkage]",
        "contract/test_methods.py::test_a_method_runs_at_the_smoke_scale[shrink]",
        "contract/test_studies.py::test_a_study_becomes_a_graph[smoke/shrink]",
        "guards/test_laws.py::test_neither_the_snakefile_nor_the_engine_names_a_method[Snakefile]",
        "guards/test_sources.py::test_a_source_file[methods/shrinkage/driver.py]",
        "methods/shrinkage/test_scaling.py::test_a_factor_scales_in_the_weights_own_dtype",
    ):
        assert f"tests/{name}" in passed


def test_its_code_is_clean(project: Path) -> None:
    for verb in ("check", "format --check"):
        run(project, f"ruff {verb} --no-cache methods/shrinkage tests/methods/shrinkage")


def test_the_tables_name_it(project: Path) -> None:
    said = run(project, commands()["methodbench docs"])
    assert "README.md, config/README.md: written" in said
    assert "[`shrink`](methods/shrinkage/)" in (project / "README.md").read_text(encoding="utf-8")
    assert "| `factor` | float | `0.5` |" in (project / "config/README.md").read_text(encoding="utf-8")


def test_its_study_ends_with_a_report(finished: Path) -> None:
    assert "Smaller weights answer worse" in (finished / "reports/smoke/shrink.md").read_text(encoding="utf-8")
    assert set(explained(run(finished, commands()["methodbench explain"])).values()) == {"is up to date"}


def test_a_changed_value_makes_its_own_part_again(finished: Path) -> None:
    with edited(finished / STUDY, "factor: 0.5", "factor: 0.25"):
        why = explained(run(finished, commands()["methodbench explain"]))
        dry = run(finished, commands()["snakemake"] + " --dry-run --quiet host")
    changed = {path: reason for path, reason in why.items() if reason != "is up to date"}
    assert changed == {
        f"{SEED0}/checkpoints/shrunk": "config.factor 0.5 -> 0.25",
        f"{SEED0}/scores/shrunk/main.json": "1 of 1 scores are missing or stale",
        f"{SEED0}/scores/shrunk/greedy/math/test.json": "its checkpoint changes",
    }
    assert set(re.findall(r"^ +output: (\S+)", dry, re.MULTILINE)) == {
        f"{SEED0}/checkpoints/shrunk",
        f"{SEED0}/scores/shrunk/main.json",
        "results/smoke/shrink/tracked.json",
        "reports/smoke/shrink.md",
        "reports/smoke/index.md",
    }


def test_a_model_folder_of_ones_own_is_shrunk_and_scored(project: Path) -> None:
    """As config/README.md writes it, in the place of the study's own model."""
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^  base: .*folder: ~/models/mine.*\n", text, re.MULTILINE)
    study = re.sub(r"^  base:\n(    .*\n)+", line, toy()[str(STUDY)], flags=re.MULTILINE)
    home = project.parent / "home"
    pico.model().save_pretrained(home / "models" / "mine")
    pico.tokenizer().save_pretrained(home / "models" / "mine")
    own = project / "config/smoke/own.yaml"
    own.write_text(study.replace("study: shrink", "study: own"), encoding="utf-8")
    try:
        score = "results/smoke/own/seed0/scores/shrunk/main.json"
        run(project, f"snakemake --cores all {score} --config scale=smoke", HOME=str(home))
    finally:
        own.unlink()
    assert (project / score).exists()
    shrunk = load_file(project / "results/smoke/own/unseeded/checkpoints/shrunk/model.safetensors")
    mine = load_file(home / "models" / "mine" / "model.safetensors")
    assert shrunk.keys() == mine.keys() and all(torch.equal(shrunk[name], mine[name] / 2) for name in mine)


def test_the_readmes_target_of_one_seed_is_planned_alone(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (target,) = re.findall(r"`snakemake --cores all (results/mini/\S+/seed0/scores/\S+)`", text)
    command = f"snakemake --cores all {target} --snakefile {ROOT / 'Snakefile'} --directory {tmp_path}"
    planned = re.findall(r"^ +output: (\S+)", run(ROOT, f"{command} --dry-run --quiet host"), re.MULTILINE)
    assert target in planned
    assert not [path for path in planned if path.startswith("reports/") or "/seed1/" in path]
