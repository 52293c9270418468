"""Muon beside AdamW: which weights go where, one schedule for both, and a state that goes on exactly."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from methodbench.muon import MuonAdamW
from tests import pico


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(4, pico.VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids}


def optimizer(model: Any) -> MuonAdamW:
    return MuonAdamW(model, muon_rate=0.05, rate=0.01, weight_decay=0.0, betas=(0.9, 0.98))


def step(model: Any, opt: MuonAdamW) -> None:
    model(**batch()).loss.backward()
    opt.step()
    opt.zero_grad()


def test_every_weight_is_in_one_part_and_only_matrices_are_made_orthogonal() -> None:
    model = pico.model()
    muon, adamw = optimizer(model).parts
    sets = [{id(p) for group in part.param_groups for p in group["params"]} for part in (muon, adamw)]
    assert not sets[0] & sets[1]
    assert sets[0] | sets[1] == {id(p) for p in model.parameters()}
    named = {name for name, p in model.named_parameters() if id(p) in sets[0]}
    assert named and all("layers" in name and name.endswith("proj.weight") for name in named)


def test_a_schedule_moves_both_parts() -> None:
    model = pico.model()
    opt = optimizer(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda _: 0.5)
    step(model, opt)
    schedule.step()
    assert [part.param_groups[0]["lr"] for part in opt.parts] == [0.025, 0.005]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for group in opt.param_groups:
        group["lr"] = 0.0
    step(model, opt)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_restored_state_goes_on_exactly() -> None:
    model = pico.model()
    opt = optimizer(model)
    step(model, opt)
    other = pico.model(seed=1)
    other.load_state_dict(model.state_dict())
    restored = optimizer(other)
    restored.load_state_dict(deepcopy(opt.state_dict()))
    for group in (*opt.param_groups, *restored.param_groups):
        group["lr"] = 0.02  # through the groups that a schedule sees
    for pair in ((model, opt), (other, restored)):
        step(*pair)
    ours, theirs = dict(model.named_parameters()), dict(other.named_parameters())
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
