"""What every transform promises: a whole checkpoint, repeatable to the byte, parents as they were.

Settings, parents and data are those of the method's smoke study; `fetch`, whose sources lie elsewhere, takes a folder.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from methodbench.builtin.fetch_config import FetchConfig
from methodbench.checkpoint import Checkpoint, digest_file, digest_folder
from methodbench.config import parse
from methodbench.joblog import Log
from methodbench.method import Method, Traits
from methodbench.nodes import UNSEEDED, CheckpointNode
from methodbench.transform import prepare, transform
from tests import pico
from tests.contract.broken import ScaleConfig
from tests.contract.found import METHODS, ROOT, smoke_transforms

AtSeed = Callable[[int], CheckpointNode]
TRANSFORMS = [name for name, method in METHODS.items() if method.kind == "transform"]
PLACE = Path("results/smoke/contract")
RECORD = {"name", "study", "seed", "method", "version", "config", "parents", "data", "identity", "sha256"}
RECORD |= {"code", "commit", "versions"}
HEX = set("0123456789abcdef")


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes' paths are relative: every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def make(node: CheckpointNode) -> Checkpoint:
    """Run the jobs that `node` needs, then its own, as the graph would."""
    log = Log("contract", stream=io.StringIO())
    for dataset, _ in node.data.values():
        prepare(dataset, log)
    for parent in node.parents:
        make(parent)
    transform(node, ROOT, log)
    return Checkpoint(node.path, node.name)


def again(node: CheckpointNode) -> Checkpoint:
    """Make it once more, from nothing."""
    shutil.rmtree(node.path)
    return make(node)


def weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """From the files: not every checkpoint is a language model."""
    files = sorted(checkpoint.path.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def weights_sha256(checkpoint: Checkpoint) -> str:
    """Over names, shapes and bytes of all weights, whatever files they lie in."""
    total = hashlib.sha256()
    for name, tensor in sorted(weights(checkpoint).items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def check_the_result_is_whole(node: CheckpointNode) -> None:
    checkpoint = make(node)
    assert all(torch.isfinite(tensor).all() for tensor in weights(checkpoint).values()), "a weight is not a number"
    record = checkpoint.provenance
    assert set(record) == RECORD
    assert (record["name"], record["method"], record["version"]) == (node.name, node.method.name, node.method.version)
    assert (record["identity"], record["study"]) == (node.identity, node.study)
    assert record["seed"] == (None if node.run == UNSEEDED else node.seed)
    assert parse(node.method.config, record["config"], "checkpoint.json") == node.config
    assert [(parent["identity"], parent["sha256"]) for parent in record["parents"]] == [
        (parent.identity, digest_folder(parent.path)) for parent in node.parents
    ]
    files = {name: dataset.path / f"{split}.jsonl" for name, (dataset, split) in node.data.items()}
    assert {name: entry["sha256"] for name, entry in record["data"].items()} == {
        name: digest_file(file) for name, file in files.items()
    }
    assert all(len(record[key]) == 64 and set(record[key]) <= HEX for key in ("sha256", "code", "identity"))


def check_the_seed_decides(at_seed: AtSeed) -> None:
    """The same seed gives the same folder and weights; another one gives others, or the method says it is unseeded."""
    node, other = at_seed(0), at_seed(1)
    first = make(node)
    folder, digest = first.provenance["sha256"], weights_sha256(first)
    repeated = again(node)
    assert weights_sha256(repeated) == digest, "the same seed gives other weights"
    if node.method.repeatable:
        assert repeated.provenance["sha256"] == folder, "the same seed gives other files"
    if node.run == UNSEEDED:
        assert (other.path, other.identity) == (node.path, node.identity)
    else:
        assert (other.path, other.identity) != (node.path, node.identity)
        assert weights_sha256(make(other)) != digest, "another seed gives the same weights"


def check_parents_are_untouched(node: CheckpointNode) -> None:
    """Comes first: a node that stands there already is not made again, and would touch nothing."""
    assert not node.path.exists()
    before = [digest_folder(make(parent).path) for parent in node.parents]
    make(node)
    assert [digest_folder(parent.path) for parent in node.parents] == before, "a parent was changed"


def check_the_neutral_setting_gives_the_parent_back(node: CheckpointNode) -> None:
    if node.method.neutral is None:
        return
    neutral = parse(node.method.config, {**asdict(node.config), **node.method.neutral}, "neutral")
    made = weights(make(replace(node, name="neutral", config=neutral)))
    parent = weights(make(node.parents[0]))
    assert made.keys() == parent.keys()
    assert all(torch.equal(made[name], parent[name]) for name in made), "the neutral setting moves the weights"


def check(at_seed: AtSeed) -> None:
    """All promises."""
    check_parents_are_untouched(at_seed(0))
    check_the_result_is_whole(at_seed(0))
    check_the_neutral_setting_gives_the_parent_back(at_seed(0))
    check_the_seed_decides(at_seed)


def fetched(folder: Path, name: str = "fetched") -> CheckpointNode:
    """A checkpoint that lies ready in a folder."""
    method = METHODS["fetch"]
    config = FetchConfig(folder=str(folder))
    return CheckpointNode(PLACE, "contract", name, UNSEEDED, 0, method, config, (), {}, Traits())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pico"
    pico.model().save_pretrained(path)
    pico.tokenizer().save_pretrained(path)
    return path


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_keeps_its_promises(name: str, folder: Path) -> None:
    examples: dict[str, AtSeed] = {"fetch": lambda seed: fetched(folder), **smoke_transforms()}
    check(examples[name])


# -- the checks themselves ---------------------------------------------------------------------------------------------


def scaled(entry: str, folder: Path) -> AtSeed:
    """A transform of broken.py on a fetched parent."""
    method = Method(
        name=entry,
        kind="transform",
        entry=f"tests.contract.broken:{entry}",
        config=ScaleConfig,
        summary="",
        parents=(1, 1),
        neutral={"weight": 0.0},
    )

    def at(seed: int) -> CheckpointNode:
        parent = fetched(folder, "parent")
        return CheckpointNode(
            PLACE, "contract", entry, f"seed{seed}", seed, method, ScaleConfig(), (parent,), {}, Traits()
        )

    return at


def test_a_sound_transform_passes(folder: Path) -> None:
    check(scaled("sound", folder))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("seedless", "another seed gives the same weights"),
        ("unrepeatable", "the same seed gives other weights"),
        ("not_a_number", "a weight is not a number"),
        ("never_neutral", "the neutral setting moves the weights"),
        ("eating_its_parent", "a parent was changed"),
    ],
)
def test_a_broken_promise_is_noticed(entry: str, said: str, folder: Path) -> None:
    with pytest.raises(AssertionError, match=said):
        check(scaled(entry, folder))
