"""`amoeballm_latency`: every selected shape is built as it would be extracted, and timed in turns."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.joblog import Log
from methodbench.measures import read_measures
from methods.amoeballm import latency
from methods.amoeballm import subnets as subnet_files
from methods.amoeballm.architecture import target
from methods.amoeballm.export import extracted
from methods.amoeballm.extract_config import LatencyConfig
from methods.amoeballm.latency import amoeballm_latency, decoded, shaped, timed
from tests.methods.amoeballm import cut_world

QUICK = {"prompt": 5, "new_tokens": 2, "rounds": 1}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    base = cut_world.model("llama")
    return cut_world.checkpoint(tmp_path_factory.mktemp("parent") / "model", base, cut_world.selection(base))


def measure(parent: Checkpoint, out: Path, **keys: Any) -> Path:
    config = parse(LatencyConfig, QUICK | keys, "test")
    amoeballm_latency([parent], {}, config, 0, out, Log("latency", stream=io.StringIO()))
    return out


def quiet() -> Log:
    return Log("latency", stream=io.StringIO())


def test_a_row_a_shape(parent: Checkpoint, tmp_path: Path) -> None:
    out = measure(parent, tmp_path / "out", batch_size=3)
    table = read_measures(out / "measures.csv")
    shapes = list(zip(table.numbers("depth", ""), table.numbers("width", ""), strict=True))
    assert shapes == [(depth, width) for depth in (4, 3, 2) for width in (1.0, 0.75, 0.5)]
    times = table.numbers("ms_per_token", "")
    assert all(time > 0 for time in [*times, *table.numbers("prefill_ms", "")])
    assert table.numbers("latency", "") == pytest.approx([time / times[0] for time in times], rel=1e-4)
    record = json.loads((out / "latency.json").read_text())
    assert record["measured"]["threads"] == torch.get_num_threads() and record["measured"]["batch_size"] == 3
    assert [row["parameters"] for row in record["shapes"]] == table.numbers("parameters", "")


def test_counts_the_extracted_models_parameters(parent: Checkpoint, tmp_path: Path) -> None:
    out = measure(parent, tmp_path / "out")
    base, _ = parent.load()
    table = read_measures(out / "measures.csv")
    config = LatencyConfig()
    expected = [
        extracted(base, cut_world.selection(base), None, depth, width, config, "").num_parameters()
        for depth in (4, 3, 2)
        for width in (1.0, 0.75, 0.5)
    ]
    assert table.numbers("parameters", "") == expected
    assert table.numbers("share", "") == pytest.approx([one / base.num_parameters() for one in expected], rel=1e-5)


def test_the_parent_is_linked_with_its_selection(parent: Checkpoint, tmp_path: Path) -> None:
    out = measure(parent, tmp_path / "out")
    assert (out / "model.safetensors").stat().st_ino == (parent.path / "model.safetensors").stat().st_ino
    assert subnet_files.read(out).removed == cut_world.REMOVED
    again = measure(Checkpoint(out), tmp_path / "again")  # its own record is written anew, the parent's stays
    assert (again / "latency.json").stat().st_ino != (out / "latency.json").stat().st_ino


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("width", [1.0, 0.5])
def test_a_shape_has_the_extracted_models_sizes_and_the_parents_memory(kind: str, width: float) -> None:
    base = cut_world.model(kind)
    subnets = cut_world.selection(base)
    config = LatencyConfig()
    aim = target(base, subnets, 3, width, config, "")
    made, real = shaped(base, aim), extracted(base, subnets, None, 3, width, config, "")
    sizes = {name: value.shape for name, value in real.named_parameters()}
    assert {name: value.shape for name, value in made.named_parameters()} == sizes
    assert made.config.to_dict() | {"dtype": None} == real.config.to_dict() | {"dtype": None}
    whole = dict(base.named_parameters())
    assert all(v.data_ptr() == whole[name].data_ptr() for name, v in made.named_parameters() if name in whole)


def test_decoding_feeds_the_prompt_once_and_then_single_tokens() -> None:
    base = cut_world.model()
    prompt = cut_world.ids(2, 7)
    fed: list[torch.Tensor] = []
    hook = base.register_forward_pre_hook(lambda _, __, named: fed.append(named["input_ids"]), with_kwargs=True)
    decoded(base, prompt, 4)
    hook.remove()
    assert [tuple(one.shape) for one in fed] == [(2, 7)] + [(2, 1)] * 4
    ids = prompt
    for token in fed[1:]:
        call: Any = base
        assert torch.equal(token, call(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1))
        ids = torch.cat([ids, token], 1)


def test_shapes_take_turns_and_the_median_leaves_the_first_round_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = cut_world.model(), cut_world.model()
    turns: list[str] = []
    times = iter([99.0, 99.0, 1.0, 10.0, 5.0, 20.0, 3.0, 90.0])

    def fake(model: PreTrainedModel, *_: Any) -> tuple[float, float]:
        turns.append("first" if model is first else "second")
        time = next(times)
        return time, 2 * time

    monkeypatch.setattr(latency, "decoded", fake)
    found = timed([first, second], cut_world.ids(), LatencyConfig(rounds=3), quiet())
    assert turns == ["first", "second"] * 4
    assert found == [(3.0, 6.0), (20.0, 40.0)]
