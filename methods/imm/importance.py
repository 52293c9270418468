"""How much each block of a decoder matters (IMM, arXiv 2503.02103; its formula is unknown, these are sheet 2.9's).

blocks   the decoder blocks l = 0..L-1, in order; each takes hidden states [B, T, D] first and returns them, alone or as
         the first of a tuple
I_nll    NLL(theta without block l) - NLL(theta); "without" is an identity skip: the hidden states pass through
I_acc    Acc(theta) - Acc(theta without block l)
I_grad   sum_i |theta_i dNLL/dtheta_i| / number of parameters, over the parameters of block l
I_bi     1 - mean_tokens cos(h_l, h_{l+1}), the block influence (ShortGPT, arXiv 2403.03853)

All four are 0, exactly, for a block that returns what it is given. Nothing here changes a model for longer than it
takes: hooks are removed, gradients are never stored in the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def skipped(block: nn.Module) -> Iterator[None]:
    """While it lasts, the block's output is its input.

    The block still runs, so that whatever else it returns or keeps (a cache, attentions) is there as always.
    """

    def pass_on(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        hidden = _given(args, kwargs)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = block.register_forward_hook(pass_on, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def skip_effects(blocks: Sequence[nn.Module], measure: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Some measures [M] of the whole model, and [L, M]: those without block l, minus those of the whole."""
    whole = measure()
    effects = []
    for block in blocks:
        with skipped(block):
            effects.append(measure() - whole)
    return whole, torch.stack(effects)


def completion_losses(logits: Tensor, ids: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Losses in nats of the wanted tokens, and whether greedy decoding would choose them, each [N] in row order.

    logits [B, T, V]; ids [B, T]; wanted [B, T], False at the first token, which nothing predicts.
    """
    chosen = logits[:, :-1][wanted[:, 1:]].float()
    targets = ids[:, 1:][wanted[:, 1:]]
    return F.cross_entropy(chosen, targets, reduction="none"), chosen.argmax(-1) == targets


def all_right(right: Tensor, wanted: Tensor) -> Tensor:
    """Rows [B] whose wanted tokens are all right; right [N] as `completion_losses` gives it for wanted [B, T]."""
    found = torch.ones_like(wanted)
    found[wanted] = right
    return found.all(1)


def first_order(blocks: Sequence[nn.Module], losses: Iterable[Tensor]) -> Tensor:
    """I_grad [L], float64, of the sum of `losses`: scalars, each with its own graph, taken one after the other.

    Frozen parameters count neither above nor below the line.
    """
    groups = [[weight for weight in block.parameters() if weight.requires_grad] for block in blocks]
    weights = list(chain.from_iterable(groups))
    gradients = [torch.zeros_like(weight) for weight in weights]
    for loss in losses:
        for gradient, part in zip(gradients, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
            if part is not None:
                gradient += part
    every = iter(gradients)
    means = [_mean_product(group, list(islice(every, len(group)))) for group in groups]
    return torch.tensor(means, dtype=torch.float64)


def _mean_product(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> float:
    """Mean |weight * gradient| over all entries, 0 of nothing."""
    products = [(w.detach() * g).double().abs().sum() for w, g in zip(weights, gradients, strict=True)]
    return sum(map(float, products)) / max(1, sum(weight.numel() for weight in weights))


def influence_sums(blocks: Sequence[nn.Module], run: Callable[[], object], tokens: Tensor) -> Tensor:
    """Sums of 1 - cos(h_l, h_{l+1}) over `tokens` [B, T] of what `run` passes through the model: [L], float64."""
    sums = torch.zeros(len(blocks), dtype=torch.float64)

    def watch(layer: int) -> Callable[..., None]:
        def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            before = _given(args, kwargs)[tokens].double()
            after = (output[0] if isinstance(output, tuple) else output)[tokens].double()
            sums[layer] = distances(before, after).sum().cpu()

        return note

    with ExitStack() as hooks:
        for layer, block in enumerate(blocks):
            hooks.callback(block.register_forward_hook(watch(layer), with_kwargs=True).remove)
        run()
    return sums


def distances(before: Tensor, after: Tensor) -> Tensor:
    """1 - cos of the rows of two matrices [N, D], exactly 0 for equal rows; a row of nothing but 0 is at distance 1.

    One root of the product of the squared norms, not a product of two roots: sqrt(s * s) is s in floating point.
    """
    product = (before * before).sum(-1) * (after * after).sum(-1)
    cosine = (before * after).sum(-1) / product.sqrt()
    return 1 - cosine.where(product > 0, torch.zeros_like(cosine))


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The hidden states among a block's arguments."""
    hidden: Tensor = args[0] if args else kwargs["hidden_states"]
    return hidden
