"""Searches on real models, and what every baseline's rule sees, against computations of their own."""

from __future__ import annotations

import io
import math
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.amoeballm.blocks import LINEARS, blocks, linear
from methods.amoeballm.calibrating import Calibration
from methods.amoeballm.config import DepthConfig, RankConfig
from methods.amoeballm.depths import ranked, searched
from methods.amoeballm.layer_scores import angular_distances, block_influence, likelihood_falls, taylor
from methods.amoeballm.selection import Found
from methods.amoeballm.texts import windows
from tests import pico
from tests.methods.amoeballm import depth_world as world

RULES = ("deepest", "shortgpt", "angular", "perplexity", "taylor", "magnitude", "random")
LOG = Log("test", stream=io.StringIO())
RANK = RankConfig(min_layers=2, keep_last=1, windows=6, window=12, batch_size=4)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write(tmp_path_factory.mktemp("depths") / "text.jsonl", world.text_rows())


def calibration(path: Path, model: PreTrainedModel | None = None, **settings: Any) -> Calibration:
    config = DepthConfig(**{"metric": "nll", "items": 6, "window": 12, "batch_size": 4, **settings})
    return Calibration(model or world.model(), pico.tokenizer(), path, config, 0)


def ranks(rule: Any, text: Path | None, config: RankConfig = RANK, seed: int = 0, **kind: Any) -> Found:
    return ranked(rule, world.model(**kind), pico.tokenizer(), text, config, seed, LOG)


def drawn(text: Path) -> Tensor:
    return windows(pico.tokenizer(), text, RANK.windows, RANK.window, 0)


@pytest.mark.parametrize("order", ["deep_first", "shallow_first"])
def test_searches_of_a_model(order: str, text: Path) -> None:
    """Exhaustive is what brute force finds; the others see what they say, and keep the last layer."""
    plain = calibration(text)
    values = {gone: plain.metric(gone) for count in range(4) for gone in combinations(range(5), count)}
    for search in ("dp", "greedy", "exhaustive"):
        one = calibration(text)
        removed, seen = searched(search, one, 6, 3, 1, order, LOG)  # type: ignore[arg-type]
        assert list(removed) == list(seen) == [0, 1, 2, 3]
        assert all(values[removed[count]] == seen[count] for count in removed)
        assert one.evaluations == 1 + (25 if search == "exhaustive" else 12)
        for count in (1, 2, 3):
            best = max(value for gone, value in values.items() if len(gone) == count)
            assert seen[count] == best if search == "exhaustive" or count == 1 else seen[count] <= best


def test_the_official_code_looks_at_the_deepest_layer_first(text: Path) -> None:
    for order, first in (("deep_first", [(), (4,), (3,)]), ("shallow_first", [(), (0,), (1,)])):
        one = calibration(text)
        asked: list[tuple[int, ...]] = []
        measured = one.metric
        one.metric = lambda gone, measured=measured, asked=asked: (asked.append(gone), measured(gone))[1]  # type: ignore
        searched("dp", one, 6, 2, 1, order, LOG)
        assert asked[:3] == first


def test_searches_that_would_not_end_or_see_nothing(text: Path) -> None:
    with pytest.raises(UserError, match=r"key 'search': given exhaustive, which is .* sets of up to 10 of 29 layers"):
        searched("exhaustive", calibration(text), 30, 10, 1, "deep_first", LOG)
    broken = world.model()
    with torch.no_grad():
        linear(blocks(broken)[1], "down_proj").weight.fill_(math.nan)
    with pytest.raises(UserError, match="without layers \\[\\] the model's likelihoods are not numbers"):
        searched("dp", calibration(text, broken), 6, 2, 1, "deep_first", LOG)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_keeps_the_last_layers(rule: str, text: Path) -> None:
    """Of every depth as many as were asked for; the last ones stay even where they would be the first to go."""
    for keep in (0, 1, 3):
        config = RankConfig(min_layers=1, keep_last=keep, windows=6, window=12, batch_size=4)
        removed, seen = ranks(rule, text, config)
        assert list(removed) == list(range(7 - max(1, keep)))
        for count, gone in removed.items():
            assert len(set(gone)) == count and list(gone) == sorted(gone)
            assert not set(gone) & set(range(6 - keep, 6))
        assert set(seen) == (set() if rule in ("deepest", "random") else set(removed) - {0})
    assert ranks(rule, text) == ranks(rule, text)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "angular"])
def test_rankings_are_nested(rule: str, text: Path) -> None:
    removed, _ = ranks(rule, text)
    assert all(set(removed[count]) < set(removed[count + 1]) for count in range(4))


def test_the_deepest_go_or_random_ones(text: Path) -> None:
    assert ranks("deepest", None)[0] == {0: (), 1: (4,), 2: (3, 4), 3: (2, 3, 4), 4: (1, 2, 3, 4)}
    drawn_ones = {ranks("random", None, seed=seed)[0][2] for seed in range(8)}
    assert len(drawn_ones) > 3


def test_shortgpt_sees_how_far_a_block_turns_a_token(text: Path) -> None:
    """Against transformers' hidden states, the last of which must not be taken: it is normalised."""
    model = world.model()
    ids = drawn(text)
    with torch.no_grad():
        states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    assert len(states) == world.LAYERS + 1
    expected = [
        1 - float(nn.functional.cosine_similarity(before.double(), after.double(), dim=-1).mean())
        for before, after in pairwise(states)
    ]
    got = block_influence(model, ids, 4)
    assert got[:-1] == pytest.approx(expected[:-1], abs=1e-6)
    removed, seen = ranks("shortgpt", text)
    order = sorted(range(5), key=lambda layer: got[layer])
    assert removed[2] == tuple(sorted(order[:2]))
    assert seen[2] == pytest.approx(-got[order[0]] - got[order[1]])


def test_a_block_that_does_nothing_goes_first(text: Path) -> None:
    """By every rule that looks at what a block does; the likelihood falls by nothing (without another it may rise)."""
    model = world.model(layers=8)
    with torch.no_grad():
        for name in ("o_proj", "down_proj"):
            linear(blocks(model)[4], name).weight.zero_()
    depth = DepthConfig(metric="nll", items=6, window=12)
    falls = likelihood_falls(model, pico.tokenizer(), text, depth, 0, LOG)
    assert [layer for layer, fall in enumerate(falls) if fall == 0] == [4]
    for rule in ("shortgpt", "angular", "taylor"):
        removed, seen = ranked(rule, model, pico.tokenizer(), text, RANK, 0, LOG)  # type: ignore[arg-type]
        assert removed[1] == (4,), rule
        assert seen[1] == pytest.approx(0, abs=1e-6), rule


def test_angles_are_those_of_the_last_token(text: Path) -> None:
    model = world.model()
    ids = drawn(text)
    with torch.no_grad():
        states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    got = angular_distances(model, ids, 4)
    for start, stop in ((0, 1), (1, 4), (2, 5)):
        cosine = nn.functional.cosine_similarity(states[start][:, -1].double(), states[stop][:, -1].double(), dim=-1)
        assert got[start][stop] == pytest.approx(float(cosine.arccos().mean()) / math.pi, abs=1e-6)
    removed, seen = ranks("angular", text)
    for count in range(1, 5):
        assert removed[count] == tuple(range(removed[count][0], removed[count][0] + count))
        assert seen[count] == -min(got[start][start + count] for start in range(6 - count))


def test_perplexity_sees_each_layer_alone(text: Path) -> None:
    removed, seen = ranks("perplexity", text)
    plain = calibration(text, draw="random", prefix_cache=False)
    falls = [plain.metric(()) - plain.metric((layer,)) for layer in range(5)]
    order = sorted(range(5), key=lambda layer: falls[layer])
    assert removed[3] == tuple(sorted(order[:3]))
    assert seen[3] == pytest.approx(-sum(falls[layer] for layer in order[:3]))


def test_taylor_sees_weights_times_gradients(text: Path) -> None:
    """Of the loss of all windows at once, whatever the batches; the model is left as it was."""
    model = world.model()
    ids = drawn(text)
    got = taylor(model, ids, 4)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    for layer, block in enumerate(blocks(model)):
        weights = [linear(block, name).weight for name in LINEARS]
        expected = sum(float((weight * weight.grad).detach().abs().sum()) for weight in weights)
        assert got[layer] == pytest.approx(expected, rel=1e-4)


def test_taylor_keeps_four_layers_below_and_two_above_while_it_can(text: Path) -> None:
    config = RankConfig(min_layers=1, keep_last=1, windows=6, window=12, batch_size=4)
    removed, _ = ranks("taylor", text, config, layers=9)
    assert set(removed[3]) == {4, 5, 6}
    assert set(removed[4]) > {4, 5, 6} and removed[8] == tuple(range(8))


def test_magnitude_sees_the_weights(text: Path) -> None:
    model = world.model()
    with torch.no_grad():
        linear(blocks(model)[2], "up_proj").weight.mul_(0.1)
        linear(blocks(model)[5], "up_proj").weight.zero_()  # would go first, and stays
    removed, seen = ranked("magnitude", model, pico.tokenizer(), None, RANK, 0, LOG)
    assert removed[1] == (2,)
    total = sum(float(linear(blocks(model)[2], name).weight.detach().abs().sum()) for name in LINEARS)
    assert seen[1] == pytest.approx(-total, rel=1e-5)


def test_what_is_refused(text: Path) -> None:
    with pytest.raises(UserError, match="depth by taylor: needs rows of text; without them go deepest, magnitude"):
        ranks("taylor", None)
    with pytest.raises(UserError, match="depth by deepest: key 'min_layers': given 7, allowed: 1 to 6"):
        ranks("deepest", None, RankConfig(min_layers=7))
