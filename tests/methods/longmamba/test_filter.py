"""The filter around whole models of all four architectures: invariants 1, 4, 5 and 9, rows of a batch, every mode."""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from methodbench.errors import UserError
from methods.longmamba import filtering as rules
from methods.longmamba.filter import WHOLE, Filter, chosen_channels
from methods.longmamba.step_sizes import StepSizes
from tests.methods.longmamba.models import (
    KINDS,
    LONG,
    TRAINED,
    cache_of,
    filtering,
    halfway,
    logits,
    model,
    padded,
    settings,
    step_sizes,
    tables,
    tokens,
)

MODES = ("dt_thre", "bound", "norm", "alpha", "channelwise_topk", "all_topk", "silence")
SHORTEST = TRAINED * 3 // 2  # min_len by default
DECODED = 4


def near(ours: Tensor, theirs: Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))


def same_record(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    return ours == {name: pytest.approx(value, abs=1e-5) for name, value in theirs.items()}


# -- invariant 1: where nothing is to be filtered ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_bit_changes_without_a_global_channel_or_below_the_shortest_prompt(kind: str, mode: str) -> None:
    """Invariant 1: theta = 1, S <= L, S < min_len."""
    cases: list[tuple[int, dict[str, Any]]] = [
        (LONG, {"theta": 1.0}),
        (TRAINED, {"channels": "all"}),
        (SHORTEST - 1, {"channels": "all"}),
        (LONG, {"channels": "all", "min_len": LONG + 1}),
    ]
    for length, changed in cases:
        ids = tokens(length)
        plain = logits(model(kind), ids)
        with filtering(kind, mode=mode, **changed) as filter:
            assert torch.equal(logits(model(kind), ids), plain)
            assert filter.record(0)["kept"] == 1.0
    plain = logits(model(kind), tokens(LONG))
    with filtering(kind, mode=mode, channels="all"):
        assert not near(logits(model(kind), tokens(LONG)), plain)
    assert torch.equal(logits(model(kind), tokens(LONG)), plain)


@pytest.mark.parametrize("lookup", ["nearest", "floor", "interpolate"])
@pytest.mark.parametrize("kind", KINDS)
def test_thresholds_of_the_training_length_change_no_bit(kind: str, lookup: str) -> None:
    """Invariant 1: S <= L even where the shortest prompt is told to be shorter."""
    for length in (2, TRAINED // 2 + 1, TRAINED):
        plain = logits(model(kind), tokens(length))
        with filtering(kind, channels="all", min_len=1, lookup=lookup):
            assert torch.equal(logits(model(kind), tokens(length)), plain)


# -- invariant 9: which channels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", ["global", "local", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_channels_keep_every_bit_of_their_step_sizes(kind: str, channels: str, mode: str) -> None:
    """Invariant 9."""
    filter = filtering(kind, channels=channels, mode=mode)
    before, after = step_sizes(filter, tokens(LONG, rows=2))
    for layer, chosen in filter.chosen.items():
        others = torch.ones(before[layer].shape[-1], dtype=torch.bool)
        others[chosen] = False
        assert torch.equal(after[layer][..., others], before[layer][..., others])
    assert any(not torch.equal(after[layer], before[layer]) for layer in before)
    is_all = sum(map(len, filter.chosen.values())) == sum(delta.shape[-1] for delta in before.values())
    assert is_all == (channels == "all")


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_theta_chooses_a_subset(kind: str) -> None:
    """Invariant 9; global and local channels are all there are."""
    for table in tables(kind).layers.values():
        chosen = [
            set(chosen_channels(table, settings(kind, theta=theta)).tolist())
            for theta in sorted((0.0, 1e-40, 1e-5, halfway(kind), 0.5, 0.99, 1.0))
        ]
        assert all(larger <= smaller for smaller, larger in pairwise(chosen))
        assert len(chosen[0]) == len(table.log_decay) and not chosen[-1]
        local = set(chosen_channels(table, settings(kind, channels="local")).tolist())
        assert local == chosen[0] - set(chosen_channels(table, settings(kind)).tolist())


# -- the modes ---------------------------------------------------------------------------------------------------------


def chosen_step_sizes(kind: str, mode: str, **changed: Any) -> list[tuple[Tensor, Tensor, Tensor, Any]]:
    """Of every layer's filtered channels: numbers, step sizes before and after [S, C'], and the layer's table."""
    filter = filtering(kind, mode=mode, channels="all", **changed)
    before, after = step_sizes(filter, tokens(LONG))
    return [
        (chosen, before[layer][0][:, chosen], after[layer][0][:, chosen], filter.tables.layers[layer])
        for layer, chosen in filter.chosen.items()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_rule_keeps_what_exceeds_the_tables_threshold(kind: str) -> None:
    for chosen, before, after, table in chosen_step_sizes(kind, "dt_thre"):
        threshold = table.thresholds[list(tables(kind).grid).index(LONG)][chosen]
        assert torch.equal(after, torch.where(before > threshold, before, 0.0))
        assert (after == 0).any()


@pytest.mark.parametrize("b", [1.0, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_bound_stays_within_the_budget_and_one_token_more_would_not(kind: str, b: float) -> None:
    for chosen, before, after, table in chosen_step_sizes(kind, "bound", b=b):
        budget = b * table.budgets[chosen].double()
        sums = after.double().sum(0)
        next_one = before.masked_fill(after > 0, -torch.inf).amax(0).double()
        assert (sums <= budget).all() and (sums + next_one > budget).logical_or(next_one.isinf()).all()
        assert ((after == 0) | (after == before)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_modes_keep_what_they_say(kind: str) -> None:
    for chosen, before, after, table in chosen_step_sizes(kind, "norm"):
        assert torch.allclose(after.double().sum(0), table.budgets[chosen].double(), rtol=1e-5)
        assert torch.allclose(after / before, (after / before)[:1].expand_as(after), rtol=1e-5)
    place = list(tables(kind).grid).index(LONG)
    for chosen, _, after, table in chosen_step_sizes(kind, "alpha"):
        kept = (table.shares[place][chosen].double() * LONG).round()
        assert torch.equal((after > 0).sum(0), kept.long())
    for _, before, after, _ in chosen_step_sizes(kind, "channelwise_topk"):
        assert (after > 0).sum(0).unique().tolist() == [TRAINED]
        assert torch.equal(after.sort(0).values[-TRAINED:], before.sort(0).values[-TRAINED:])
    for _, before, after, _ in chosen_step_sizes(kind, "all_topk"):
        kept = after > 0
        assert torch.equal(kept, kept[:, :1].expand_as(kept)) and int(kept[:, 0].sum()) == TRAINED
        assert set(before.double().norm(dim=1).topk(TRAINED).indices.tolist()) == set(
            kept[:, 0].nonzero()[:, 0].tolist()
        )
    for _, _, after, _ in chosen_step_sizes(kind, "silence"):
        assert (after == 0).all()


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_every_length_keeps_the_tokens_that_its_share_says(kind: str) -> None:
    """r of S is a fraction that must not lose a token to rounding on its way through the table."""
    filter = filtering(kind, mode="alpha", channels="all")
    for place, length in enumerate(filter.tables.grid.tolist()[2:8], start=2):
        _, after = step_sizes(filter, tokens(length))
        for layer, table in filter.tables.layers.items():
            exact = table.shares[place].double() * length
            assert torch.equal((after[layer][0] > 0).sum(0), exact.round().long())
            assert (exact - exact.round()).abs().max() < 1e-4


# -- invariant 4: after the prompt -------------------------------------------------------------------------------------


@torch.no_grad()
def generated(kind: str, ids: Tensor, prompt: int) -> Tensor:
    """Logits of a prefill of `prompt` tokens and of single tokens after it."""
    of = model(kind)
    output = of(input_ids=ids[:, :prompt], use_cache=True)
    found = [output.logits]
    for place in range(prompt, ids.shape[1]):
        output = of(input_ids=ids[:, place : place + 1], **cache_of(output))
        found.append(output.logits)
    return torch.cat(found, 1)


@pytest.mark.parametrize("decode_filter", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_decoding_goes_on_as_one_pass_would(kind: str, decode_filter: bool) -> None:
    """Invariant 4: generated tokens are not filtered, or by the threshold of the prompt's length."""
    ids = tokens(LONG + DECODED, rows=2)
    with filtering(kind, channels="all", decode_filter=decode_filter) as filter:
        ours = generated(kind, ids, LONG)
        record = filter.record(1)

    def by_hand(layer: int, delta: Tensor, decoding: bool) -> Tensor:
        assert not decoding
        lengths = torch.tensor([LONG, LONG])
        threshold = rules.lookup(filter.tables.layers[layer].thresholds, filter.tables.grid, lengths, "nearest")
        late = torch.arange(delta.shape[1]) >= LONG
        return torch.where((delta > threshold[:, None]) | (late[:, None] & (not decode_filter)), delta, 0.0)

    with StepSizes(model(kind), by_hand):
        theirs = logits(model(kind), ids)
    assert near(ours, theirs)
    with filtering(kind, channels="all") as filter:
        logits(model(kind), ids[:, :LONG])
        assert filter.record(1) == record, "what is generated changes nothing in the record of the prompt"


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_leave_take_their_lengths_along(kind: str) -> None:
    """With generated tokens filtered, as each row's own prompt says."""
    of, rows = model(kind), [tokens(length, seed) for seed, length in enumerate((LONG, SHORTEST - 4, 60))]
    after = tokens(3, 9)
    alone = []
    for row in rows:
        with filtering(kind, channels="all", decode_filter=True) as filter:
            alone.append((generated(kind, torch.cat([row, after], 1), row.shape[1])[:, -2:], filter.record(0)))
    ids, mask = padded(rows)
    with filtering(kind, channels="all", decode_filter=True) as filter:
        output = of(input_ids=ids, attention_mask=mask, use_cache=True, **positions(kind, mask))
        kept = torch.tensor([1, 2])
        (cache,) = (value for name, value in cache_of(output).items() if name != "use_cache")
        cache.reorder_cache(kept)
        filter.keep(kept)
        mask = mask[kept]
        for place in range(3):
            mask = torch.cat([mask, torch.ones(2, 1, dtype=torch.int64)], 1)
            seen = {"attention_mask": mask, **positions(kind, mask, last=True)} if kind == "zamba2" else {}
            output = of(input_ids=after[:, place : place + 1].expand(2, 1), **cache_of(output), **seen)
        for row, whole in enumerate((1, 2)):
            assert near(output.logits[row, -1], alone[whole][0][0, -1])
            assert same_record(filter.record(row), alone[whole][1])


def positions(kind: str, mask: Tensor, last: bool = False) -> dict[str, Tensor]:
    if "position_ids" not in inspect.signature(model(kind).forward).parameters:
        return {}
    found = (mask.cumsum(1) - 1).clamp(min=0)
    return {"position_ids": found[:, -1:] if last else found}


# -- invariant 5: a prompt in parts ------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("parts", [(20, 20), (7, 32, 1), (1, 39), (13, 13, 13, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_in_parts_is_the_whole_prompt(kind: str, parts: tuple[int, ...]) -> None:
    """Invariant 5, in Mamba-1 and Falcon-Mamba, too. A last part may be one token, and decoding goes on after it."""
    of, ids = model(kind), tokens(LONG + DECODED, rows=2)
    with filtering(kind, channels="all") as filter:
        whole = generated(kind, ids, LONG)
        record = filter.record(0)
    for ended in (True, False):
        with filtering(kind, channels="all") as filter:
            filter.expect(torch.tensor([LONG, LONG]))
            found, cache, start = [], {"use_cache": True}, 0
            for size in [*parts, *[1] * DECODED]:
                if ended and start == LONG:
                    filter.expect(None)
                output = of(input_ids=ids[:, start : start + size], **cache)
                found.append(output.logits)
                cache, start = cache_of(output), start + size
            assert same_record(filter.record(0), record)
        assert near(torch.cat(found, 1), whole)


def test_what_is_expected_ends_with_the_context() -> None:
    filter = filtering("mamba2", channels="all")
    with filter:
        filter.expect(torch.tensor([LONG]))
        logits(filter.model, tokens(7))
    plain = logits(filter.model, tokens(7))
    with filter:
        assert torch.equal(logits(filter.model, tokens(7)), plain)


@pytest.mark.parametrize("mode", WHOLE)
def test_a_rule_that_needs_the_whole_prompt_refuses_parts(mode: str) -> None:
    with (
        pytest.raises(UserError, match=f"longmamba: key 'mode': '{mode}' needs a prompt in one part; allowed: dt_thre"),
        filtering("mamba2", mode=mode) as filter,
    ):
        filter.expect(torch.tensor([LONG]))


# -- rows of a batch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_a_padded_batch_is_as_it_is_alone(kind: str, mode: str) -> None:
    """Its own length decides: the logits and the record."""
    rows = [tokens(length, seed) for seed, length in enumerate((LONG, SHORTEST - 4, 60, SHORTEST))]
    alone = []
    for row in rows:
        with filtering(kind, mode=mode, channels="all") as filter:
            alone.append((logits(model(kind), row), filter.record(0)))
    ids, mask = padded(rows)
    with filtering(kind, mode=mode, channels="all") as filter:
        together = logits(model(kind), ids, attention_mask=mask, **positions(kind, mask))
        for row, (want, record) in enumerate(alone):
            assert near(together[row, -want.shape[1] :], want[0])
            assert same_record(filter.record(row), record)
    assert alone[1][1]["kept"] == 1.0
    assert mode == "norm" or alone[0][1]["kept"] < 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_is_what_the_step_sizes_say(kind: str) -> None:
    filter = filtering(kind)
    before, after = step_sizes(filter, tokens(LONG))
    kept, decay, channels = 0.0, 0.0, 0
    with filter:
        logits(filter.model, tokens(LONG))
        record = filter.record(0)
    for layer, chosen in filter.chosen.items():
        if len(chosen):
            shares = (after[layer][0][:, chosen] > 0).double().mean(0)
            realised = after[layer][0][:, chosen].double().sum(0) / filter.tables.layers[layer].budgets[chosen]
            assert record[f"kept_{layer}"] == pytest.approx(float(shares.mean()), abs=1e-6)
            assert record[f"decay_{layer}"] == pytest.approx(float(realised.mean()), abs=1e-6)
            kept, decay, channels = kept + float(shares.sum()), decay + float(realised.sum()), channels + len(chosen)
    assert record["kept"] == pytest.approx(kept / channels, abs=1e-6)
    assert record["decay"] == pytest.approx(decay / channels, abs=1e-6)
    assert before.keys() == after.keys()


def test_one_token_is_a_prompt_of_its_own_where_nothing_stands_before_it() -> None:
    with filtering("mamba2", channels="all") as filter:
        logits(filter.model, tokens(LONG))
        assert filter.record(0)["kept"] < 1.0
        logits(filter.model, tokens(1))
        assert filter.record(0)["kept"] == 1.0


def test_defaults_are_the_released_ones() -> None:
    made = Filter(model("mamba2"), tables("mamba2"), settings("mamba2"))
    assert made.min_len == SHORTEST
