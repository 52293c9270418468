"""Sessions on a pico model: the loss against plain ones, what is frozen, and what is left as it was."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from methodbench.config import parse
from methodbench.errors import UserError
from methods.mifo.demonstrations import Example
from methods.mifo.importance import random_masks
from methods.mifo.mifo_config import InterleaveConfig
from methods.mifo.session import Learner, Outcome, padded
from tests import pico

WHOLE: dict[str, Any] = {"share": 1.0, "trigger": 8}


def config(session: dict[str, Any] | None = None, **keys: Any) -> InterleaveConfig:
    own = {"learning_rate": 1e-3, "micro_batch": 3, "max_length": 64, **(session or {})}
    return parse(InterleaveConfig, {"trigger": 8, **keys, "session": own}, "test")


def examples(count: int = 5, seed: int = 0) -> list[Example]:
    """Prompts and demonstrations of several lengths."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        prompt, length = 2 + number % 3, 4 + 3 * number % 7
        ids = torch.randint(4, pico.VOCABULARY, (prompt + length,), generator=generator).tolist()
        made.append(Example((*ids, pico.EOS), prompt))
    return made


def weights(model: PreTrainedModel) -> list[Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


def masks_of(model: PreTrainedModel, share: float = 0.5, seed: int = 0) -> list[Tensor]:
    return random_masks(weights(model), share, torch.Generator().manual_seed(seed))


def session(learner: Learner, rows: Sequence[Example], masks: Sequence[Tensor] | None = None, seed: int = 0) -> Outcome:
    start = [weight.detach().clone() for weight in learner.weights.values()]
    return learner.learn(rows, masks, start, torch.Generator().manual_seed(seed))


def gradients(
    model: PreTrainedModel, settings: InterleaveConfig, rows: Sequence[Example]
) -> tuple[float, list[Tensor]]:
    """The loss of one batch and its gradients, by the code under test."""
    learner, outcome = Learner(model, settings), Outcome()
    learner._gradients(rows, weights(model), torch.Generator().manual_seed(0), outcome)
    found = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad()
    return outcome.loss, found


def plain(model: PreTrainedModel, rows: Sequence[Example], reduction: str) -> tuple[float, list[Tensor]]:
    """The same of plain fine-tuning: cross-entropy of the demonstrations' tokens, one forward pass."""
    ids, predicting, inputs = padded(rows, torch.device("cpu"))
    logits = model(**inputs).logits[:, :-1]
    losses = F.cross_entropy(logits[predicting], ids[:, 1:][predicting], reduction="none")
    lengths = [row.length for row in rows]
    divisors = [length * len(rows) if reduction == "sequence" else sum(lengths) for length in lengths]
    scale = torch.cat([torch.full((n,), 1 / divisor) for n, divisor in zip(lengths, divisors, strict=True)])
    loss = (losses * scale).sum()
    loss.backward()
    found = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad()
    return float(loss.detach()), found


@pytest.mark.parametrize("reduction", ["sequence", "token"])
@pytest.mark.parametrize("tokens", ["entropy", "all", "random"])
def test_all_tokens_are_plain_fine_tuning(reduction: str, tokens: str) -> None:
    """Invariant 8, bit for bit."""
    model, rows = pico.model("llama"), examples()
    settings = config({"reduction": reduction, "micro_batch": 8}, share=1.0, tokens=tokens)
    loss, found = gradients(model, settings, rows)
    wanted_loss, wanted = plain(model, rows, reduction)
    assert loss == wanted_loss
    assert len(found) == len(wanted) and all(map(torch.equal, found, wanted))


def test_all_tokens_are_the_librarys_own_loss() -> None:
    model, rows = pico.model("llama"), examples()
    ids, predicting, inputs = padded(rows, torch.device("cpu"))
    labels = torch.full_like(ids, -100)
    labels[:, 1:][predicting] = ids[:, 1:][predicting]
    loss, _ = gradients(model, config({"reduction": "token"}, share=1.0), rows)
    with torch.no_grad():
        wanted = float(model(**inputs, labels=labels).loss)
    assert loss == pytest.approx(wanted, abs=1e-6)


def test_micro_batches_change_no_more_than_rounding() -> None:
    model, rows = pico.model("llama"), examples(7)
    settings = config({"micro_batch": 8}, share=0.3)
    loss, found = gradients(model, settings, rows)
    for size in (1, 3):
        other, parts = gradients(model, replace(settings, session=replace(settings.session, micro_batch=size)), rows)
        assert other == pytest.approx(loss, rel=1e-5)
        assert all(torch.allclose(a, b, atol=1e-6, rtol=1e-4) for a, b in zip(found, parts, strict=True))


def test_the_chosen_tokens_are_the_demonstrations_most_uncertain() -> None:
    """Invariants 9 and 10 on a model: each example alone, without padding, in double precision."""
    model, rows = pico.model("llama"), examples()
    total, count = 0.0, 0
    for row in rows:
        with torch.no_grad():
            logp = model(torch.tensor([row.ids])).logits[0].double().log_softmax(-1)[row.prompt - 1 : -1]
        entropy = -(logp.exp() * logp).sum(-1)
        losses = -logp.gather(1, torch.tensor(row.ids[row.prompt :])[:, None])[:, 0]
        chosen = entropy.topk(-(-row.length // 5)).indices  # ceil(n / 5)
        total, count = total + float(losses[chosen].sum()) / row.length / len(rows), count + len(chosen)
    learner = Learner(model, config(share=0.2))
    outcome = session(learner, rows)
    assert outcome.selected == count and outcome.tokens == sum(row.length for row in rows)
    assert outcome.loss == pytest.approx(total, rel=1e-5)


def test_what_is_frozen_stays_and_the_rest_moves() -> None:
    """Invariant 6: warm moments, weight decay, several steps."""
    model = pico.model("llama")
    learner = Learner(model, config({"passes": 2, "weight_decay": 0.1}, trigger=3))
    session(learner, examples())
    for seed in range(2):
        before, masks = weights(model), masks_of(model, seed=seed)
        outcome = session(learner, examples(seed=seed), masks)
        assert outcome.steps == 4, "two passes over batches of 3 and 2"
        for old, new, mask in zip(before, weights(model), masks, strict=True):
            assert torch.equal(old[mask], new[mask])
            seen = ~mask & (new != 0)
            assert float((old != new)[seen].double().mean()) > 0.99


def test_a_gradient_of_0_is_no_freeze() -> None:
    """What the paper writes: warm moments and weight decay move what is masked."""
    model = pico.model("llama")
    learner = Learner(model, config(freeze="gradient"))
    session(learner, examples())
    before, masks = weights(model), masks_of(model)
    session(learner, examples(), masks)
    pairs = zip(before, weights(model), masks, strict=True)
    moved = [(old != new)[mask].double().mean() for old, new, mask in pairs]
    assert min(map(float, moved)) > 0.9


def test_the_moments_know_nothing_of_what_is_frozen() -> None:
    model, masks = pico.model("llama"), masks_of(pico.model("llama"))
    learner = Learner(model, config())
    session(learner, examples(), masks)
    for weight, mask in zip(learner.weights.values(), masks, strict=True):
        assert not learner.optimizer.state[weight]["exp_avg"][mask].any()


def test_nothing_frozen_and_everything_frozen() -> None:
    """Invariant 7, bit for bit."""
    free, none, everything = (pico.model("llama") for _ in range(3))
    start = weights(everything)
    for model, masks in ((free, None), (none, masks_of(none, 0.0)), (everything, masks_of(everything, 1.0))):
        learner = Learner(model, config({"passes": 3}))
        session(learner, examples(), masks)
    assert all(map(torch.equal, weights(free), weights(none)))
    assert not any(map(torch.equal, weights(free), start))
    assert all(map(torch.equal, weights(everything), start))


def test_the_norm_is_that_of_what_is_applied_or_of_what_is_not() -> None:
    """Seen in the first moments, which are a tenth of the applied gradient."""
    masks = masks_of(pico.model("llama"))

    def norm(clip: str) -> float:
        learner = Learner(pico.model("llama"), config({"max_grad_norm": 0.01}, share=1.0, clip=clip))
        session(learner, examples(), masks)
        return 10 * float(torch.stack([one["exp_avg"].norm() for one in learner.optimizer.state.values()]).norm())

    assert norm("after") == pytest.approx(0.01, rel=1e-3)
    assert 0.003 < norm("before") < 0.0099


def test_tied_weights_are_one() -> None:
    """Invariant 14: counted once, frozen in both places."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = LlamaConfig(
            vocab_size=pico.VOCABULARY,
            hidden_size=16,
            num_hidden_layers=1,
            intermediate_size=16,
            num_attention_heads=2,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
        model = LlamaForCausalLM(shape)
    learner = Learner(model, config())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert sum(name.endswith(("lm_head.weight", "embed_tokens.weight")) for name in learner.weights) == 1
    assert sum(map(torch.numel, learner.weights.values())) == model.num_parameters()
    before, masks = weights(model), masks_of(model)
    session(learner, examples(), masks)
    changed = before[0] != model.lm_head.weight
    assert changed.any() and not changed[masks[0]].any()


def test_a_session_leaves_no_trace_but_the_weights() -> None:
    model = pico.model("llama")
    model.train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    learner = Learner(model, config(tokens="random"))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    session(learner, examples(), masks_of(model))
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(weight.grad is None for weight in model.parameters())


def test_dropout_is_off() -> None:
    """Two sessions of a model with dropout, in training, do the same."""
    kept = []
    for seed in range(2):
        model = pico.model("gpt2")
        model.train()
        assert any(isinstance(module, torch.nn.Dropout) and module.p for module in model.modules())
        torch.manual_seed(seed)
        session(Learner(model, config()), examples())
        kept.append(weights(model))
    assert all(map(torch.equal, *kept))


def test_no_tokens_no_session() -> None:
    model = pico.model("llama")
    before = weights(model)
    assert session(Learner(model, config(share=0.0)), examples()) == Outcome()
    assert all(map(torch.equal, before, weights(model)))


def test_moments_persist_or_are_reset() -> None:
    steps = {}
    for kind in ("persist", "reset"):
        learner = Learner(pico.model("llama"), config({"optimizer": kind}))
        for _ in range(3):
            session(learner, examples())
        steps[kind] = {float(state["step"]) for state in learner.optimizer.state.values()}
    assert steps == {"persist": {3.0}, "reset": {1.0}}


def test_random_tokens_follow_their_generator() -> None:
    def after(seed: int) -> list[Tensor]:
        model = pico.model("llama")
        outcome = session(Learner(model, config(tokens="random")), examples(), seed=seed)
        assert outcome.selected == sum(-(-row.length // 5) for row in examples())
        return weights(model)

    assert all(map(torch.equal, after(0), after(0)))
    assert not all(map(torch.equal, after(0), after(1)))


@pytest.mark.parametrize("key", ["anchor_l2", "anchor_kl"])
def test_anchors_hold(key: str) -> None:
    """An anchor changes nothing in the first step, where the distance is 0, and then holds the model near its start."""
    start = pico.model("llama")

    def after(weight: float, passes: int) -> tuple[list[Tensor], float]:
        model = copy.deepcopy(start)
        own = {key: weight, "passes": passes, "weight_decay": 0.0, "max_grad_norm": 1e6, "learning_rate": 1e-2}
        session(Learner(model, config(own, share=1.0)), examples())
        if key == "anchor_l2":
            pairs = zip(weights(model), weights(start), strict=True)
            return weights(model), float(sum((a - b).square().sum() for a, b in pairs))
        _, predicting, inputs = padded(examples(), torch.device("cpu"))
        with torch.no_grad():
            logp, other = (one(**inputs).logits[:, :-1][predicting].log_softmax(-1) for one in (model, start))
        return weights(model), float((logp.exp() * (logp - other)).sum(-1).mean())

    once = zip(after(0.0, 1)[0], after(10.0, 1)[0], strict=True)
    # At its minimum a KL's gradient is rounding, which Adam enlarges where there is no other.
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in once)
    assert 0 < after(10.0, 12)[1] < 0.5 * after(0.0, 12)[1]


def test_weights_that_would_not_change_are_refused() -> None:
    with pytest.raises(UserError, match=r"weight 'model.embed_tokens.weight' is stored as bfloat16; .* float32"):
        Learner(pico.model("llama").bfloat16(), config())
    frozen = pico.model("llama").requires_grad_(False)
    with pytest.raises(UserError, match="none of its weights is trained"):
        Learner(frozen, config())


def test_sharded_weights_are_refused() -> None:
    class FullyShardedDataParallel(torch.nn.Module):
        """Called as torch's; making a real one takes two processes."""

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

    with pytest.raises(UserError, match="weights are sharded"):
        Learner(FullyShardedDataParallel(pico.model("llama")), config())
    zero = pico.model("llama")
    zero.lm_head.weight.ds_id = 0
    with pytest.raises(UserError, match="weights are sharded"):
        Learner(zero, config())


def test_a_config_is_checked() -> None:
    with pytest.raises(UserError, match="key 'history': given 1"):
        config(history=1.0)
    with pytest.raises(UserError, match="'betas'"):
        config({"betas": [0.9, 1.0]})
