"""The weighted loss by hand, the trainer with and without weights, and what is told of a training."""

from __future__ import annotations

import io
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainerControl, TrainerState, TrainingArguments

from methodbench.joblog import Log, read_curves
from methodbench.training import AlikeInLength, Watch, WeightedTrainer, save, weighted_loss
from tests import pico

IGNORED = -100


def batch() -> dict[str, Tensor]:
    """Two rows, the second with a prompt and padding that carry no loss."""
    ids = torch.randint(4, pico.VOCABULARY, (2, 7), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[1, :2] = labels[1, 5:] = IGNORED
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def trainer(kind: type[Trainer], model: PreTrainedModel, folder: Path) -> Any:
    settings = TrainingArguments(output_dir=str(folder), report_to=[], use_cpu=True, disable_tqdm=True)
    return kind(model=model, args=settings)


def test_the_weighted_loss_by_hand() -> None:
    """Token t is predicted from those before it; the first is not predicted, and its weight counts for nothing."""
    logits = torch.tensor([[[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [5.0, 5.0, 5.0], [9.0, 0.0, 0.0]]])
    labels, weights = torch.tensor([[0, 1, 2, 1]]), torch.tensor([[7.0, 1.0, 0.5, 2.0]])

    def cost(row: list[float], target: int) -> float:
        return math.log(sum(math.exp(logit) for logit in row)) - row[target]

    costs = [cost([1, 2, 0], 1), cost([0, 0, 3], 2), cost([5, 5, 5], 1)]
    want = (1.0 * costs[0] + 0.5 * costs[1] + 2.0 * costs[2]) / 3.5
    assert float(weighted_loss(logits, labels, weights)) == pytest.approx(want, rel=1e-6)


def test_a_weight_of_0_and_an_ignored_label_cost_nothing() -> None:
    logits = torch.randn(2, 7, 11, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 11, (2, 7), generator=torch.Generator().manual_seed(1))
    weights = torch.rand(2, 7, generator=torch.Generator().manual_seed(2))
    weights[1, 4:] = 0
    ignored = labels.clone()
    ignored[1, 4:] = IGNORED
    assert torch.equal(weighted_loss(logits, labels, weights), weighted_loss(logits, ignored, weights))
    assert torch.allclose(weighted_loss(logits, labels, 3 * weights), weighted_loss(logits, labels, weights))


def test_without_weights_the_loss_is_transformers_own(tmp_path: Path) -> None:
    model = pico.model()
    ours = trainer(WeightedTrainer, model, tmp_path).compute_loss(model, batch())
    assert torch.equal(ours, trainer(Trainer, model, tmp_path).compute_loss(model, batch()))
    assert torch.equal(ours, model(**batch()).loss)


@pytest.mark.parametrize("kind", ["qwen3", "mamba", "mamba2"])
def test_weights_of_1_and_0_are_what_labels_are_without_weights(kind: str, tmp_path: Path) -> None:
    model, given = pico.model(kind), batch()
    weights = (given["labels"] != IGNORED).float()
    kinds = trainer(WeightedTrainer, model, tmp_path)
    loss, outputs = kinds.compute_loss(model, {**given, "weights": weights}, return_outputs=True)
    assert torch.allclose(loss, kinds.compute_loss(model, given))
    assert outputs.logits.shape == (2, 7, pico.VOCABULARY)
    weights[0, 3] = 50.0
    assert not torch.allclose(kinds.compute_loss(model, {**given, "weights": weights}), loss)


def test_batches_hold_rows_of_like_length_and_come_in_any_order() -> None:
    lengths = [5 + row % 40 for row in range(2_000)]
    sampler = AlikeInLength(lengths, 32, seed=3)
    order = list(sampler)
    assert sorted(order) == list(range(2_000)) and len(sampler) == 2_000
    batches = [[lengths[row] for row in order[begin : begin + 32]] for begin in range(0, 2_000, 32)]
    assert all(max(batch) - min(batch) <= 3 for batch in batches[:40])
    means = [sum(batch) / len(batch) for batch in batches[:40]]
    falls = sum(later < earlier for earlier, later in pairwise(means))
    assert 8 < falls < 31, "batches are sorted by length"
    assert list(AlikeInLength(lengths, 32, seed=3)) == order != list(AlikeInLength(lengths, 32, seed=4))
    sampler.set_epoch(1)
    assert list(sampler) != order


def test_a_step_is_one_point_of_the_curves_whoever_asks_for_more(tmp_path: Path) -> None:
    told = io.StringIO()
    log = Log("test", tmp_path / "curves.jsonl", stream=told, every=0)
    watch, state, control = Watch(log, {"reward": "rewards/mean"}), TrainerState(), TrainerControl()
    state.global_step, state.max_steps = 3, 10
    watch.on_log(None, state, control, {"loss": 2, "rewards/mean": 0.5, "grad_norm": 1.0, "epoch": 0.1})
    watch.on_log(None, state, control, {"train_runtime": 7.0})
    watch.on_step_end(None, state, control)
    state.is_world_process_zero = False  # of several processes one tells
    watch.on_log(None, state, control, {"loss": 2})
    watch.on_step_end(None, state, control)
    assert read_curves(tmp_path / "curves.jsonl") == [{"step": 3, "loss": 2.0, "grad_norm": 1.0, "reward": 0.5}]
    assert told.getvalue().count("\n") == 1 and "step 3/10  loss 2  reward 0.5" in told.getvalue()


def test_one_process_of_several_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        save(pico.model(), pico.tokenizer(), tmp_path / rank)
    assert not (tmp_path / "1").exists()
    assert {"model.safetensors", "tokenizer.json"} <= {file.name for file in (tmp_path / "0").iterdir()}
