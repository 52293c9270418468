"""Gradient drop: which entries, the two neutral shares, the place in a step, and a resumed run."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from transformers import Trainer, TrainerCallback, TrainingArguments

from methodbench.joblog import Log
from methodbench.training import go, quiet
from methods.mifo.gradient_drop import drop_gradients
from methods.mifo.gradient_drop_callback import GradientDrop
from tests import pico


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def dropped(share: float, seed: int = 0) -> list[Tensor]:
    gradients = [numbers(40, 50, seed=1), numbers(3000, seed=2)]
    drop_gradients(gradients, share, torch.Generator().manual_seed(seed))
    return gradients


# -- the mathematics ---------------------------------------------------------------------------------------------------


def test_a_share_of_0_changes_nothing_and_of_1_leaves_nothing() -> None:
    before = [numbers(40, 50, seed=1), numbers(3000, seed=2)]
    assert all(torch.equal(one, other) for one, other in zip(dropped(0.0), before, strict=True))
    assert not any(gradient.any() for gradient in dropped(1.0))


def test_a_kept_entry_keeps_its_value_and_about_the_share_is_dropped() -> None:
    before = torch.cat([numbers(2000, seed=1), numbers(3000, seed=2)])
    for share in (0.1, 0.5, 0.9):
        after = torch.cat([gradient.flatten() for gradient in dropped(share)])
        gone = after == 0
        assert torch.equal(after[~gone], before[~gone])  # nothing is rescaled
        assert abs(int(gone.sum()) - 5000 * share) < 5 * math.sqrt(5000 * share * (1 - share))


def test_one_stream_runs_through_all_tensors_and_a_larger_share_drops_more_of_the_same() -> None:
    drawn = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    first, second = dropped(0.5)
    assert torch.equal(first.flatten() == 0, drawn < 0.5)
    assert not torch.equal(second[:2000] == 0, first.flatten() == 0)
    half, more = (torch.cat([part.flatten() for part in dropped(share)]) == 0 for share in (0.5, 0.6))
    assert bool((more | ~half).all()) and int(more.sum()) > int(half.sum())
    other = torch.cat([part.flatten() for part in dropped(0.5, seed=1)]) == 0
    assert not torch.equal(half, other)


def test_what_is_no_number_goes_when_it_is_dropped() -> None:
    gradient = torch.tensor([math.nan, math.inf])
    drop_gradients([gradient], 1.0, torch.Generator().manual_seed(0))
    assert gradient.tolist() == [0, 0]


# -- in a trainer ------------------------------------------------------------------------------------------------------


class Seen(TrainerCallback):
    """The gradients as the optimiser gets them, one row a step."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.rows.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))


class Killed(Exception):
    pass


class Kill(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise Killed


def trained(work: Path, *callbacks: TrainerCallback, decay: float = 0.0, clip: float = 0.0) -> Tensor:
    """All weights of a pico model after 4 steps of AdamW with a state saved after each second one."""
    model = pico.model("llama")
    tokens = torch.randint(4, pico.VOCABULARY, (16, 12), generator=torch.Generator().manual_seed(0))
    arguments = TrainingArguments(
        **quiet(work),
        max_steps=4,
        save_steps=2,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        weight_decay=decay,
        max_grad_norm=clip,
        seed=0,
    )
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, callbacks=list(callbacks))
    go(trainer, work, Log("test", stream=io.StringIO()))
    return parameters_to_vector(model.parameters()).detach()


def test_the_neutral_shares(tmp_path: Path) -> None:
    before = parameters_to_vector(pico.model("llama").parameters()).detach()
    plain = trained(tmp_path / "plain")
    assert torch.equal(trained(tmp_path / "none", GradientDrop(0.0, 0)), plain) and not torch.equal(plain, before)
    assert torch.equal(trained(tmp_path / "all", GradientDrop(1.0, 0)), before)
    decayed = trained(tmp_path / "decayed", GradientDrop(1.0, 0), decay=0.1)
    assert not torch.equal(decayed, before), "a dropped gradient is no freeze: weight decay goes on"


def test_masks_differ_by_step_and_seed_and_come_after_the_clip(tmp_path: Path) -> None:
    runs = []
    for name, callback in (("half", GradientDrop(0.5, 0)), ("other", GradientDrop(0.5, 1)), ("none", None)):
        seen = Seen()
        trained(tmp_path / name, *([callback] if callback else []), seen, clip=0.01)
        runs.append(seen.rows)
    half, other, none = runs
    gone = [row == 0 for row in half]
    idle = none[0] == 0  # embeddings of tokens that the batch lacks
    assert torch.equal(half[0], none[0].masked_fill(gone[0] & ~idle, 0))
    assert float(none[0].norm()) == pytest.approx(0.01, rel=1e-3)
    assert float(half[0].norm()) == pytest.approx(0.01 * math.sqrt(0.5), rel=0.05)
    assert not torch.equal(gone[0][~idle], gone[1][~idle])
    assert not torch.equal(gone[0], other[0] == 0)


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", GradientDrop(0.5, 3))
    with pytest.raises(Killed):
        trained(tmp_path / "cut", GradientDrop(0.5, 3), Kill(3))
    assert torch.equal(trained(tmp_path / "cut", GradientDrop(0.5, 3)), whole)
    assert not torch.equal(trained(tmp_path / "seed", GradientDrop(0.5, 4)), whole)
