"""`amoeballm_extract`: an ordinary checkpoint, the same bytes every time, and what is said of its size."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from methodbench.checkpoint import Checkpoint, digest_folder, link_files
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.measures import read_measures
from methods.amoeballm import adapters as adapter_files
from methods.amoeballm.extract import amoeballm_extract
from methods.amoeballm.extract_config import ExtractConfig
from methods.amoeballm.supernet import Supernet
from tests.methods.amoeballm import cut_world


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    base = cut_world.model("llama")
    return cut_world.checkpoint(tmp_path_factory.mktemp("parent") / "model", base, cut_world.selection(base))


def extract(parent: Checkpoint, out: Path, **keys: Any) -> tuple[Checkpoint, str]:
    said = io.StringIO()
    config = parse(ExtractConfig, keys, "test")
    amoeballm_extract([parent], {}, config, 0, out, Log("extract", stream=said))
    return Checkpoint(out), said.getvalue()


def column(out: Path, name: str) -> list[float]:
    return read_measures(out / "measures.csv").numbers(name, "test")


def test_writes_the_masked_model(parent: Checkpoint, tmp_path: Path) -> None:
    made, said = extract(parent, tmp_path / "out", depth=2, width=0.5)
    model, tokenizer = made.load()
    base, own = parent.load()
    with cut_world.masked(base, cut_world.selection(base), 2, 0.5):
        torch.testing.assert_close(cut_world.logits(model), cut_world.logits(base), rtol=0, atol=5e-4)
    assert tokenizer.get_vocab() == own.get_vocab()
    assert f"{model.num_parameters():,} parameters" in said


def test_measures_tell_what_every_layer_keeps(parent: Checkpoint, tmp_path: Path) -> None:
    made, _ = extract(parent, tmp_path / "out", depth=2, width=0.5)
    base, _ = parent.load()
    mask = cut_world.selection(base).masks[0.5]
    assert column(made.path, "kept") == [1, 0, 0, 1]
    assert column(made.path, "groups") == [int(mask.groups[0].sum()), 0, 0, 0]
    assert column(made.path, "neurons") == [int(mask.neurons[0].sum()), 0, 0, int(mask.neurons[3].sum())]
    parameters = made.load()[0].num_parameters()
    assert column(made.path, "parameters") == [parameters] * 4
    assert column(made.path, "share") == pytest.approx([parameters / base.num_parameters()] * 4, rel=1e-5)


@pytest.mark.parametrize("folder", ["", "frozen"])
def test_measures_hand_on_the_times_of_the_shape(folder: str, parent: Checkpoint, tmp_path: Path) -> None:
    base, _ = parent.load()
    timed = cut_world.checkpoint(tmp_path / "timed", base, cut_world.selection(base))
    if folder:  # a tuned checkpoint has the model that was tuned in it, and that one's times
        link_files(timed.path, timed.path / folder)
    times = [{"depth": 2, "width": 0.5, "ms_per_token": 3.5, "latency": 0.25}]
    (timed.path / folder / "latency.json").write_text(json.dumps({"shapes": times}))
    made, _ = extract(timed, tmp_path / "out", depth=2, width=0.5)
    assert column(made.path, "latency") == [0.25] * 4
    assert column(made.path, "ms_per_token") == [3.5] * 4
    other, _ = extract(timed, tmp_path / "other", depth=3, width=0.5)
    assert "latency" not in read_measures(other.path / "measures.csv").columns


def test_the_same_bytes_every_time_and_only_for_what_it_was_told(parent: Checkpoint, tmp_path: Path) -> None:
    digests = [
        digest_folder(extract(parent, tmp_path / str(turn), width=width)[0].path)
        for turn, width in enumerate((0.75, 0.75, 0.5))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_leaves_the_selection_behind_and_the_parent_alone(parent: Checkpoint, tmp_path: Path) -> None:
    before = digest_folder(parent.path)
    made, _ = extract(parent, tmp_path / "out", depth=3)
    assert digest_folder(parent.path) == before
    assert not list(made.path.glob("subnets.*"))
    with pytest.raises(UserError, match="carries no selection of subnets"):
        extract(made, tmp_path / "again")


def test_layers_that_are_named_go(parent: Checkpoint, tmp_path: Path) -> None:
    made, _ = extract(parent, tmp_path / "out", layers=[3, 1])
    base, _ = parent.load()
    inner: Any = base.get_decoder()
    inner.layers = torch.nn.ModuleList([inner.layers[0], inner.layers[2]])
    base.config.num_hidden_layers = 2
    assert torch.equal(cut_world.logits(made.load()[0]), cut_world.logits(base))


def test_the_experts_of_a_tuned_checkpoint_are_folded_in(parent: Checkpoint, tmp_path: Path) -> None:
    base, _ = parent.load()
    subnets = cut_world.selection(base)
    torch.manual_seed(3)
    supernet = Supernet(base, subnets.masks, experts=3, top_k=2, rank=4, hidden=5)
    with torch.no_grad():
        for name, value in supernet.trained().items():
            if name.endswith(".b"):
                value.normal_(std=0.2)
    tuned = cut_world.checkpoint(tmp_path / "tuned", cut_world.model("mistral"), subnets)
    cut_world.checkpoint(tmp_path / "tuned" / "frozen", cut_world.model("llama"), None)
    adapter_files.write(tuned.path, supernet.adapters())
    made, _ = extract(tuned, tmp_path / "out", depth=2, width=0.75)
    supernet.set_shape(subnets.active(2, "test"), 0.75)
    with torch.no_grad():
        expected = supernet(cut_world.ids()).logits
    torch.testing.assert_close(cut_world.logits(made.load()[0]), expected, rtol=0, atol=5e-4)


def test_says_what_a_type_cannot_hold(tmp_path: Path) -> None:
    base = cut_world.model("qwen3")
    parent = cut_world.checkpoint(tmp_path / "model", base, cut_world.selection(base))
    _, said = extract(parent, tmp_path / "out", width=0.5)
    assert "the compensation of down_proj is left out" in said


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"depth": 2, "layers": [1]}, "keys 'depth' and 'layers': both are given"),
        ({"layers": [1, 1]}, r"key 'layers': given \[1, 1\], a layer may stand there once"),
        ({"layers": [4]}, r"model: key 'layers': given \[4\], allowed: 0 to 3"),
        ({"layers": [0, 1, 2, 3]}, "at least one layer must stay"),
        ({"depth": 1}, "model: key 'depth': given 1, allowed: 2 to 4"),
        ({"width": 0.9}, "model: key 'width': given 0.9, allowed: 1, 0.75, 0.5"),
        ({"width": 0}, "key 'width': given 0"),
    ],
)
def test_mistakes_are_one_sentence(parent: Checkpoint, tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        extract(parent, tmp_path / "out", **keys)
    assert not (tmp_path / "out").exists()
