"""Fine-tuning of image-text models: what moves and what stays, whose tokens count, and that a kill changes no byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from methodbench.builtin.multimodal_sft import language_linears, multimodal_sft
from methodbench.builtin.multimodal_sft_config import MultimodalSftConfig
from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from methodbench.visual import Encoder, Pictures, draw, read_rows
from methodbench.visual_training import language_part, vision_part
from tests import pico, pico_vision
from tests.builtin.picture_rows import check_a_kill_changes_no_byte, pictures, quiet_log, rows, written

FULL = {"lora_rank": 0, "steps": 1, "batch_size": 8, "learning_rate": 1e-3}
LORA = {**FULL, "lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.5}


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parents")
    return {kind: pico_vision.checkpoint(folder / kind, kind) for kind in pico_vision.KINDS}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {
        "train": written(folder / "train.jsonl", rows()),
        "pictures": pictures(folder / "pictures.jsonl"),
    }


def run(parent: Path, data: dict[str, Path], work: Path, log: Log | None = None, **own: Any) -> dict[str, Tensor]:
    work.mkdir(exist_ok=True)
    config = parse(MultimodalSftConfig, own, "test")
    multimodal_sft([Checkpoint(parent)], data, config, 1, work / "out", log or quiet_log(work))
    return dict(Checkpoint(work / "out").load()[0].state_dict())


def moved(parent: Path, found: dict[str, Tensor]) -> set[str]:
    start = Checkpoint(parent).load()[0].state_dict()
    assert start.keys() == found.keys()
    return {name for name in start if not torch.equal(start[name], found[name])}


@pytest.mark.parametrize(
    "own",
    [{**LORA, "micro_batch": 4}, {**FULL, "optimizer": "muon"}],
    ids=["lora", "muon"],
)
def test_a_killed_training_ends_with_the_same_bytes(
    own: dict[str, Any], parents: dict[str, Path], data: dict[str, Path], tmp_path: Path
) -> None:
    def job(work: Path, log: Log) -> None:
        run(parents["llava"], data, work, log, **{**own, "steps": 12, "save_every": 5})

    check_a_kill_changes_no_byte(job, tmp_path)


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_low_rank_updates_move_the_language_models_linear_layers_alone(
    kind: str, parents: dict[str, Path], data: dict[str, Path], tmp_path: Path
) -> None:
    found = run(parents[kind], data, tmp_path / "job", **LORA)
    model, _ = Checkpoint(parents[kind]).load()
    linears = {f"{name}.weight" for name in language_linears(model)}
    assert len(linears) == 14, "two layers of seven"
    assert moved(parents[kind], found) == linears


@pytest.mark.parametrize("freeze", [True, False])
def test_all_weights_or_all_but_the_towers(
    freeze: bool, parents: dict[str, Path], data: dict[str, Path], tmp_path: Path
) -> None:
    found = moved(parents["llava"], run(parents["llava"], data, tmp_path / "job", **FULL, freeze_vision=freeze))
    model, _ = Checkpoint(parents["llava"]).load()
    names = {id(weight): name for name, weight in model.named_parameters()}
    tower, language = ({names[id(p)] for p in part(model).parameters()} for part in (vision_part, language_part))
    assert language <= found and "lm_head.weight" in found
    assert not found & tower if freeze else found & tower


def test_no_step_gives_the_parent_back(parents: dict[str, Path], data: dict[str, Path], tmp_path: Path) -> None:
    assert not moved(parents["llava"], run(parents["llava"], data, tmp_path / "job", steps=0))


def first_loss(parent: Path, data: dict[str, Path], prompt_loss: bool) -> float:
    """The loss of the first visit of all rows, row by row: the sum over tokens, divided by their number."""
    model, processor = Checkpoint(parent).load()
    encoder = Encoder(processor, Pictures(data["pictures"]), prompt_loss=prompt_loss)
    losses: list[float] = []
    for row in read_rows(data["train"]):
        batch = encoder.collate([encoder.encode(row, draw(row, 1, 0))])
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1]
        losses += F.cross_entropy(logits[labels != -100], labels[labels != -100], reduction="none").tolist()
    return sum(losses) / len(losses)


@pytest.mark.parametrize("prompt_loss", [False, True])
def test_the_loss_is_exact_to_the_token_however_a_batch_is_cut(
    prompt_loss: bool, parents: dict[str, Path], data: dict[str, Path], tmp_path: Path
) -> None:
    """Eight rows, batches of eight: the first step sees each once."""
    wanted = first_loss(parents["llava"], data, prompt_loss)
    for name, own in {"whole": {}, "cut": {"micro_batch": 2}}.items():
        run(parents["llava"], data, tmp_path / name, **FULL, **own, prompt_loss=prompt_loss)
        (loss,) = [point["loss"] for point in read_curves(tmp_path / name / "curves.jsonl") if "loss" in point]
        assert loss == pytest.approx(wanted, abs=1e-4)


def test_epochs_count_rows(parents: dict[str, Path], data: dict[str, Path], tmp_path: Path) -> None:
    """Eight rows, two and a half times, in batches of four: five steps."""
    run(parents["llava"], data, tmp_path / "job", epochs=2.5, batch_size=4)
    assert read_curves(tmp_path / "job" / "curves.jsonl")[-1]["step"] == 5


def test_what_cannot_be_trained_is_refused(parents: dict[str, Path], data: dict[str, Path], tmp_path: Path) -> None:
    pico.model().save_pretrained(tmp_path / "text")
    pico.tokenizer().save_pretrained(tmp_path / "text")
    with pytest.raises(UserError, match="text is no image-text checkpoint"):
        run(tmp_path / "text", data, tmp_path / "job")
    pico_vision.checkpoint(tmp_path / "small")
    file = tmp_path / "small" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": {"load_in_4bit": True}}))
    with pytest.raises(UserError, match="key 'quantization_config': quantised weights cannot be trained"):
        run(tmp_path / "small", data, tmp_path / "job")


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UserError, match="key 'micro_batch': given 3, allowed: a divisor of batch_size 4"):
        parse(MultimodalSftConfig, {"micro_batch": 3}, "test")
