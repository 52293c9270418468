"""Sessions woven into a planted reinforcement: when they come, what they freeze, and an independent loop."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from methods.mifo.importance import jaccard, top_masks
from methods.mifo.interleave import MEASURES, run
from tests import pico
from tests.methods.mifo.weaving import ROWS, Planted, config, interleaving, steps, weights


def after(settings: Any, batches: int = 6, seed: int = 0) -> tuple[list[Tensor], Any]:
    model, own = pico.model("llama"), interleaving(settings, seed)
    run(Planted(model), model, batches, own)
    return weights(model), own


def test_no_session_changes_nothing() -> None:
    """Invariant 12: a buffer that never fills."""
    model = pico.model("llama")
    planted = Planted(model)
    for _ in range(6):
        planted()
    made, own = after(config(trigger=10**9))
    assert all(map(torch.equal, made, weights(model)))
    assert own.measures == [] and len(own.buffer.waiting) > 8, "questions were buffered all the same"


def test_sessions_come_when_the_buffer_is_full() -> None:
    """Invariant 3, with what was planted: the sums of candidates decide."""
    planted, waiting, due, candidates = Planted(pico.model("llama")), 0, [], []
    for step in range(1, 9):
        planted.call = step - 1
        waiting += sum(sum(verdicts) <= 1 for _, verdicts in planted.questions())
        if waiting >= 4:
            due.append(step)
            candidates.append(waiting)
            waiting = 0
    _, own = after(config(), 8)
    assert len(due) >= 3 and max(candidates) > 4
    assert [row["step"] for row in own.measures] == due
    assert [row["buffered"] for row in own.measures] == candidates
    assert [row["sft_steps"] for row in own.measures] == [math.ceil(count / 4) for count in candidates]
    assert len(own.buffer.waiting) == waiting
    assert own.measures[-1]["total_demonstrations"] == sum(candidates) > own.measures[-1]["unique_demonstrations"]
    assert own.questions == 32


def test_sessions_keep_their_distance() -> None:
    _, own = after(config(min_rl_steps=3, accuracy=1.0), 8)
    assert [row["step"] for row in own.measures] == [3, 6]
    assert [row["buffered"] for row in own.measures] == [12, 12]
    _, often = after(config(accuracy=1.0), 8)
    assert [row["step"] for row in often.measures] == list(range(1, 9))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_what_reinforcement_moved_most_is_frozen(alpha: float) -> None:
    """Invariant 4 on a model: the maps of several intervals, again from the formulas, and nothing in them moved."""
    model, own = pico.model("llama"), interleaving(config(history=alpha, frozen=0.3, accuracy=1.0))
    planted = Planted(model)
    own.begin(model)
    history, last = [torch.zeros_like(one) for one in weights(model)], None
    for step in range(1, 4):
        start = weights(model)
        rows, right = planted()
        own.watch(rows, [], right)
        end = weights(model)
        measures = own.after_batch(step)
        assert measures is not None
        raw = [alpha * c + (1 - alpha) * (new - old).abs() for c, new, old in zip(history, end, start, strict=True)]
        masks = top_masks(raw, 0.3)
        history = [one * mask for one, mask in zip(raw, masks, strict=True)]
        assert all(map(torch.equal, own.masks, masks)) and all(map(torch.equal, own.change, history))
        for old, new, mask in zip(end, weights(model), masks, strict=True):
            assert torch.equal(old[mask], new[mask]) and not torch.equal(old, new)
        assert measures["frozen"] == sum(int(mask.sum()) for mask in masks) == int(0.3 * model.num_parameters())
        assert measures["frozen_max_diff"] == 0
        distance = math.sqrt(sum(float((a - b).double().square().sum()) for a, b in zip(end, start, strict=True)))
        assert measures["delta_rl"] == pytest.approx(distance, rel=1e-6)
        assert measures["concentration"] > 1.5
        if last is not None:
            assert measures["jaccard"] == jaccard(last, masks)
        last = masks
        assert all(map(torch.equal, own.start, weights(model))), "the next interval starts after the session"


@pytest.mark.parametrize("freeze", ["exact", "gradient"])
def test_the_table_says_if_the_freeze_held(freeze: str) -> None:
    _, own = after(config(freeze=freeze, accuracy=1.0))
    worst = [row["frozen_max_diff"] for row in own.measures]
    assert (max(worst[1:]) > 1e-4) == (freeze == "gradient")


def test_the_controls_freeze_as_much_elsewhere() -> None:
    frozen = {}
    for kind in ("critical", "random", "bottom"):
        _, own = after(config(mask=kind, accuracy=1.0, frozen=0.4), 2)
        frozen[kind] = own.masks
        assert sum(int(mask.sum()) for mask in own.masks) == own.measures[-1]["frozen"] > 0
        assert own.measures[-1]["frozen_max_diff"] == 0
    assert len({sum(int(mask.sum()) for mask in masks) for masks in frozen.values()}) == 1
    assert jaccard(frozen["critical"], frozen["bottom"]) == 0
    assert 0.2 < jaccard(frozen["critical"], frozen["random"]) < 0.3  # 0.16 / 0.64 if they are independent
    _, again = after(config(mask="random", accuracy=1.0, frozen=0.4), 2)
    assert jaccard(again.masks, frozen["random"]) == 1
    assert again.measures[-1]["jaccard"] < 0.3, "each session has its own"
    _, other = after(config(mask="random", accuracy=1.0, frozen=0.4), 2, seed=1)
    assert jaccard(other.masks, frozen["random"]) < 0.3
    _, free = after(config(mask="none", accuracy=1.0), 2)
    assert free.masks == [] and free.measures[-1]["frozen"] == 0


def test_no_mask_is_a_share_of_nothing_frozen() -> None:
    """Invariant 7 through the driver."""
    settings: dict[str, Any] = {"accuracy": 1.0}
    assert all(map(torch.equal, after(config(mask="none", **settings))[0], after(config(frozen=0.0, **settings))[0]))


def test_everything_frozen_is_reinforcement_alone() -> None:
    alone, _ = after(config(trigger=10**9))
    everything, own = after(config(frozen=1.0, accuracy=1.0))
    assert len(own.measures) == 6 and all(map(torch.equal, alone, everything))


def test_an_independent_loop_of_the_rival() -> None:
    """Invariant 13: all wrong, all tokens, nothing frozen, the newest first, the surplus kept: ReLIFT's loop."""
    settings = config(
        {"reduction": "token", "entropy": 0.001, "micro_batch": 8},
        accuracy=0.0,
        tokens="all",
        mask="none",
        trigger=3,
        overflow="take_keep",
        order="lifo",
    )
    made, own = after(settings, 12)
    assert len(own.measures) >= 3

    model, tokenizer = pico.model("llama"), pico.tokenizer()
    planted, waiting, sessions = Planted(model), [], 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for _ in range(12):
        failed = [number for number, verdicts in planted.questions() if not any(verdicts)]
        planted()
        waiting = failed + waiting
        if len(waiting) < 3:
            continue
        batch, waiting, sessions = waiting[:3], waiting[3:], sessions + 1
        terms, count = [], 0
        for number in batch:
            prompt = tokenizer(ROWS[number]["prompt"])["input_ids"]
            answer = [*tokenizer(ROWS[number]["demonstration"])["input_ids"], pico.EOS]
            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
            p = logits.softmax(-1)
            terms.append(F.cross_entropy(logits, torch.tensor(answer), reduction="sum") + 0.001 * (p * p.log()).sum())
            count += len(answer)
        (torch.stack(terms).sum() / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert sessions == len(own.measures) and waiting == own.buffer.waiting
    for one, other in zip(made, weights(model), strict=True):
        assert torch.allclose(one, other, atol=2e-5), "more than rounding, which Adam makes larger"


@pytest.mark.parametrize("stop", range(1, 7))
@pytest.mark.parametrize(
    "keys", [{}, {"mask": "random", "tokens": "random", "overflow": "take_keep", "order": "lifo", "dedup": "run"}]
)
def test_a_run_goes_on_from_what_it_remembers(stop: int, keys: dict[str, Any]) -> None:
    """Invariant 15 without a trainer: stopped after any batch, every later weight, map and measure is the same."""
    settings = config(accuracy=0.5, trigger=6, **keys)
    model, own = pico.model("llama"), interleaving(settings)
    own.begin(model)
    steps(Planted(model), own, 1, stop)
    kept = copy.deepcopy((own.tensors(), own.facts()))
    second = copy.deepcopy(model)
    steps(Planted(model, call=stop), own, stop + 1, 8)

    other = interleaving(settings)
    other.begin(second)
    other.restore(*kept)
    steps(Planted(second, call=stop), other, stop + 1, 8)
    assert len(own.measures) > 2
    assert all(map(torch.equal, weights(model), weights(second)))
    for name, value in own.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name
    assert own.tensors().keys() == other.tensors().keys() and repr(own.facts()) == repr(other.facts())


def test_learning_shows_in_the_table() -> None:
    """The demonstrations' loss before each session falls from session to session."""
    model = pico.model("llama")
    own = interleaving(config({"learning_rate": 3e-3}, accuracy=1.0, share=1.0, mask="none"))
    run(Planted(model), model, 10, own)
    losses = [row["nll"] for row in own.measures]
    assert losses[-1] < 0.5 * losses[0]
    assert all(set(row) == set(MEASURES) for row in own.measures)
    assert own.measures[0]["loss"] == pytest.approx(losses[0], rel=0.2)
