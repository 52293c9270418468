"""``methodbench merge``: two folders in, one out, one line at the end; a mistake is one sentence and exit 2."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from methodbench import cli
from methodbench.merging.command import HELP
from methodbench.merging.config import MergeConfig
from tests.merging.folders import BASE, TUNED, merged, read, same, write


@pytest.fixture
def parents(tmp_path: Path) -> list[str]:
    return [str(write(tmp_path / "tuned", TUNED)), str(write(tmp_path / "base", BASE))]


def test_a_merge_from_the_command_line(parents: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["merge", *parents, "--out", str(tmp_path / "out"), "--operator", "dare_linear", "--weights", "0.5"]
    command += ["--drop", "0.2", "--dtype", "float32", "--shard-size", "1.5KB", "--seed", "3", "--round", "2"]
    assert cli.main(command) == 0
    (said,) = capfd.readouterr().err.splitlines()
    assert "1,184 entries" in said and "of the deltas kept" in said and said.endswith(f": {tmp_path / 'out'}")
    settings = {"operator": "dare_linear", "drop": 0.2, "dtype": "float32", "shard_size": 1500, "round": 2}
    assert same(read(tmp_path / "out"), merged(tmp_path / "python", *map(Path, parents), seed=3, **settings))
    told = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert told == json.loads((tmp_path / "python" / "merge.json").read_text())


def test_lists_flags_and_layers(parents: list[str], tmp_path: Path) -> None:
    command = ["merge", *parents, "--out", str(tmp_path / "out"), "--weights", "1,3", "--normalize"]
    command += ["--layers", '{"mlp": 0.25, "lm_head": [0, 1]}', "--no-truncate-embeddings"]
    assert cli.main(command) == 0
    told = json.loads((tmp_path / "out" / "merge.json").read_text())["settings"]
    assert told["weights"] == [1.0, 3.0] and told["normalize"] and told["layers"] == {"mlp": 0.25, "lm_head": [0, 1]}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--operator", "liner"], "methodbench merge: key 'operator': given 'liner', input should be 'linear', "),
        (["--weights", "a,b"], "methodbench merge: key 'weights': given 'a,b', "),
        (["--drop", "0.2"], "merge: key 'drop': given 0.2 with operator 'linear', allowed: only with dare_linear"),
        (["--weights", "0.5,0.6"], "merge: key 'weights': given a sum of 1.1, allowed: 1, or 'normalize: true'"),
        (["--shard-size", "many"], "methodbench merge: key 'shard_size': given 'many', "),
        (["--layers", "{"], "methodbench merge: key 'layers': given '{', "),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(
    more: list[str], said: str, parents: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["merge", *parents, "--out", str(tmp_path / "out"), *more]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"methodbench: {said}")
    assert not (tmp_path / "out").exists()


def test_a_missing_folder_is_said(parents: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["merge", str(tmp_path / "nowhere"), parents[1], "--out", str(tmp_path / "out")]) == 2
    assert capfd.readouterr().err == f"methodbench: {tmp_path}/nowhere: no such checkpoint folder\n"


def test_every_key_has_an_option_that_is_explained() -> None:
    assert HELP.keys() == {field.name for field in dataclasses.fields(MergeConfig)}


def test_a_merge_loads_torch_and_no_model_library(parents: list[str], tmp_path: Path) -> None:
    arguments = ["merge", *parents, "--out", str(tmp_path / "out")]
    program = (
        "import sys; from methodbench.cli import main; "
        "assert 'torch' not in sys.modules; "
        f"assert main({arguments!r}) == 0; "
        "print([name for name in ('torch', 'transformers', 'pandas', 'lm_eval', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['torch']"
