"""Tokens dropped between blocks: what later blocks see, what comes back, rows of a batch, decoding after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methodbench.errors import UserError
from methods.longmamba.config import TokenDroppingConfig
from methods.longmamba.dropping import Dropping
from methods.longmamba.step_sizes import StepSizes
from tests.methods.longmamba.models import Noted, cache_of, logits, model, padded, tokens

KINDS = ("mamba", "falcon_mamba", "mamba2")
S = 40


def dropping(kind: str, **changed: Any) -> Dropping:
    return Dropping(model(kind), TokenDroppingConfig(**{"layers": (0,), "min_keep": 1, **changed}))


@torch.no_grad()
def by_hand(kind: str, config: TokenDroppingConfig, ids: Tensor) -> Tensor:
    """Block after block, on one row, with the tokens chosen one layer at a time."""
    core, noted, left = model(kind).base_model, Noted(), []
    assert isinstance(core.layers, nn.ModuleList)
    hidden = model(kind).get_input_embeddings()(ids)
    with StepSizes(model(kind), noted):
        for layer, block in enumerate(core.layers):
            output = block(hidden, cache_params=None)
            hidden = output[0] if isinstance(output, tuple) else output
            if layer in config.layers:
                count = max(config.min_keep, int(config.keep * config.beta ** sorted(config.layers).index(layer)))
                importance = noted.prompt[layer][0].double().norm(dim=-1)
                importance[-config.keep_last :] = torch.inf
                places = importance.topk(min(count, len(importance))).indices.sort().values
                left.append((hidden, places))
                hidden = hidden[:, places]
    for full, places in reversed(left):
        hidden = full.index_copy(1, places, hidden)
    head, norm = model(kind).get_output_embeddings(), core.get_submodule("norm_f")
    found: Tensor = head(norm(hidden))
    return found


@pytest.mark.parametrize("changed", [{"keep": S}, {"keep": 1, "min_keep": S}, {"keep": 1000}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_that_is_short_enough_keeps_every_bit(kind: str, changed: dict[str, Any]) -> None:
    plain = logits(model(kind), tokens(S))
    with dropping(kind, **changed) as context:
        assert torch.equal(logits(model(kind), tokens(S)), plain)
        assert context.record(0) == {"kept": 1.0}


@pytest.mark.parametrize(
    ("changed", "share"),
    [
        ({"keep": 13}, 13 / S),
        ({"keep": 13, "keep_last": 9}, 13 / S),
        ({"keep": 20, "layers": (0, 1), "beta": 0.5}, 10 / S),
        ({"keep": 20, "layers": (1, 0), "beta": 0.1, "min_keep": 7}, 7 / S),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_later_blocks_see_the_most_important_tokens_and_the_last(
    kind: str, changed: dict[str, Any], share: float
) -> None:
    context = dropping(kind, **changed)
    with context:
        ours = logits(model(kind), tokens(S))
        assert context.record(0) == {"kept": share}
    assert torch.allclose(ours, by_hand(kind, context.config, tokens(S)), atol=1e-4)
    assert not torch.allclose(ours, logits(model(kind), tokens(S)), atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_a_padded_batch_is_as_it_is_alone(kind: str) -> None:
    """Padding is dropped first, and a row shorter than what is kept loses nothing."""
    rows = [tokens(length, seed) for seed, length in enumerate((S, 12, 27))]
    with dropping(kind, keep=15, layers=(0, 1), beta=0.9) as context:
        alone = [(logits(model(kind), row), context.record(0)) for row in rows]
        ids, mask = padded(rows)
        together = logits(model(kind), ids, attention_mask=mask)
        for row, (want, record) in enumerate(alone):
            assert torch.allclose(together[row, -want.shape[1] :], want[0], atol=1e-4)
            assert context.record(row) == record
        assert [record["kept"] for _, record in alone] == [13 / S, 1.0, round(13 / 27, 6)]
        context.keep(torch.tensor([1, 2]))
        assert context.record(1) == alone[2][1]


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_generated_tokens_are_never_dropped(kind: str) -> None:
    """The states that the shortened prompt left go on, as in one pass over what each layer kept and the new tokens."""
    ids, context = tokens(S + 3), dropping(kind, keep=13)
    with context:
        output = model(kind)(input_ids=ids[:, :S], use_cache=True)
        for place in range(S, S + 3):
            output = model(kind)(input_ids=ids[:, place : place + 1], **cache_of(output))
            assert context.record(0) == {"kept": 13 / S}
        last = output.logits[:, -1]
        logits(model(kind), tokens(1))
        assert context.record(0) == {"kept": 1.0}, "a prompt of one token is a new one"
    seen = Noted()
    with StepSizes(model(kind), seen):
        logits(model(kind), ids)
    prompt = seen.prompt[0][0, :S].double().norm(dim=-1)
    prompt[-1] = torch.inf
    after = torch.full((3,), torch.inf, dtype=torch.float64)
    places = torch.cat([prompt, after]).topk(16).indices
    with dropping(kind, keep=16, keep_last=4) as context:  # the same 13 of the prompt, and the 3 new ones
        whole = logits(model(kind), ids)[:, -1]
    assert set(range(S - 1, S + 3)) <= set(places.tolist())
    assert torch.allclose(last, whole, atol=1e-4)


def test_a_layer_that_the_model_does_not_have() -> None:
    with pytest.raises(UserError, match=r"^token_dropping: key 'layers': given 2, allowed: 0 to 1$"):
        dropping("mamba2", layers=(0, 2))
