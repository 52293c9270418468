"""Which heads and neurons go at every width: the selection's own ranking by fluctuation, and three plainer ones.

Fluctuation (FLAP's, as the official code has it): one pass of the whole, unpruned model over windows of text, with the
statistics taken where o_proj and down_proj read. The code goes layer by layer and hands on unpruned outputs, which is
the same numbers. From the frozen weights then come the scores, the masks of every ratio, and the constants that make up
for what was removed.

The statistics of a window do not depend on how many windows go at once, except for how the model's own matrix products
round then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.amoeballm import importance, texts
from methods.amoeballm.blocks import ATTENTION, MLP, Geometry, blocks, geometry, linear
from methods.amoeballm.config import UnitsConfig, WidthConfig
from methods.amoeballm.importance import COLUMNS
from methods.amoeballm.statistics import Fluctuation
from methods.amoeballm.subnets import Mask

UnitScore = Literal["taylor", "magnitude", "random"]
Scores = dict[str, Tensor]  # "groups" [L, G], "neurons" [L, I], float64, on the CPU


def fluctuation_masks(
    model: PreTrainedModel, tokenizer: Any, path: Path, config: WidthConfig, seed: int, log: Log
) -> tuple[dict[float, Mask], Scores]:
    """Mask of every ratio, and the scores that ranked, standardised in each layer.

    Args:
        model: unpruned; stays as it is.
        tokenizer: the model's.
        path: rows of text to calibrate on.
        config: ratios, score, mode and windows.
        seed: draws the windows.
        log: hears of the progress.

    Raises:
        UserError: too few windows for the score, no texts, or numbers that are not finite.
    """
    if config.windows < 2 and config.score in ("WIFV", "IFV"):
        raise UserError(
            f"width: key 'windows': given {config.windows}, allowed: 2 and more for score {config.score}, "
            "which sees how windows differ from those before"
        )
    sizes = geometry(model)
    windows = texts.windows(tokenizer, path, config.windows, config.window, seed)
    seen = observed(model, windows, config.batch_size, log)
    attention = _channel_scores(model, seen, "o_proj", config)
    mlp = _channel_scores(model, seen, "down_proj", config)
    _finite({"groups": attention, "neurons": mlp})
    scores = {
        "groups": importance.pooled(importance.standardised(attention), sizes.groups),
        "neurons": importance.standardised(mlp),
    }
    masks: dict[float, Mask] = {}
    for ratio in config.ratios:
        mask = _selected(scores, ratio, config.mode, sizes, log)
        if config.bias and config.score != "wanda_sp":
            biases = [
                _compensation(model, seen, name, kept)
                for name, kept in (("o_proj", mask.groups), ("down_proj", mask.neurons))
            ]
            mask = Mask(mask.groups, mask.neurons, *biases)
        masks[ratio] = mask
    return masks, scores


def unit_masks(
    score: UnitScore,
    model: PreTrainedModel,
    tokenizer: Any,
    path: Path | None,
    config: UnitsConfig,
    seed: int,
    log: Log,
) -> tuple[dict[float, Mask], Scores]:
    """Mask of every ratio without biases, and the scores that ranked; "adaptive" standardises them in each layer.

    Args:
        score: "taylor" of the windows' loss, "magnitude" of the weights, or "random".
        model: unpruned; stays as it is.
        tokenizer: the model's; for "taylor" only.
        path: rows of text; for "taylor" only.
        config: ratios, mode and windows.
        seed: draws the windows, or the scores.
        log: hears of the progress.

    Raises:
        UserError: no texts, or numbers that are not finite.
        ValueError: "taylor" without a path.
    """
    sizes = geometry(model)
    if score == "random":
        generator = torch.Generator().manual_seed(seed)
        scores = {
            "groups": importance.random((sizes.layers, sizes.groups), generator),
            "neurons": importance.random((sizes.layers, sizes.neurons), generator),
        }
    elif score == "magnitude":
        scores = _by_layer(model, sizes, importance.magnitude)
    elif path is None:
        raise ValueError("score taylor needs texts")
    else:
        windows = texts.windows(tokenizer, path, config.windows, config.window, seed)
        scores = taylor_scores(model, windows, config.batch_size, log)
    _finite(scores)
    if config.mode == "adaptive":
        scores = {kind: importance.standardised(values) for kind, values in scores.items()}
    return {ratio: _selected(scores, ratio, config.mode, sizes, log) for ratio in config.ratios}, scores


def observed(model: PreTrainedModel, windows: Tensor, batch_size: int, log: Log) -> dict[str, list[Fluctuation]]:
    """Statistics of the inputs of every block's "o_proj" and "down_proj" over windows [N, T] of token ids."""
    seen: dict[str, list[Fluctuation]] = {name: [] for name in COLUMNS}
    handles = []
    for block in blocks(model):
        for name in COLUMNS:
            part = linear(block, name)
            statistics = Fluctuation(part.in_features, part.weight.device)
            seen[name].append(statistics)
            handles.append(part.register_forward_pre_hook(_reader(statistics)))
    decoder: Any = model.get_decoder()
    try:
        with torch.no_grad(), _evaluating(model):
            for begin in range(0, len(windows), batch_size):
                decoder(input_ids=windows[begin : begin + batch_size].to(model.device), use_cache=False)
                log.progress(min(begin + batch_size, len(windows)), len(windows), "window")
    finally:
        for handle in handles:
            handle.remove()
    return seen


def taylor_scores(model: PreTrainedModel, windows: Tensor, batch_size: int, log: Log) -> Scores:
    """First-order scores of all units from the mean loss of windows [N, T] of token ids.

    Gradients are summed over the batches in the model's own number format.
    """
    parameters = list(model.parameters())
    before = [(parameter.requires_grad, parameter.grad) for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None
    try:
        for block in blocks(model):
            for names in (ATTENTION, MLP):
                for parameter in _coupled(block, names).values():
                    parameter.requires_grad_(True)
        with _evaluating(model):
            for begin in range(0, len(windows), batch_size):
                ids = windows[begin : begin + batch_size].to(model.device)
                loss = model(input_ids=ids, labels=ids, use_cache=False).loss
                (loss * (len(ids) / len(windows))).backward()
                log.progress(min(begin + batch_size, len(windows)), len(windows), "window", loss=loss.item())
        return _by_layer(model, geometry(model), _taylor)
    finally:
        for parameter, (required, gradient) in zip(parameters, before, strict=True):
            parameter.requires_grad_(required)
            parameter.grad = gradient


def _reader(statistics: Fluctuation) -> Any:
    def read(_: Any, args: tuple[Tensor, ...]) -> None:
        statistics.add(args[0])

    return read


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _channel_scores(
    model: PreTrainedModel, seen: Mapping[str, list[Fluctuation]], name: str, config: WidthConfig
) -> Tensor:
    """[L, C]."""
    rows = []
    for block, statistics in zip(blocks(model), seen[name], strict=True):
        weight = linear(block, name).weight.detach()
        row = importance.channel_scores(config.score, weight, statistics.fluctuation, statistics.squares)
        rows.append((row.square() if name == "o_proj" and config.square_attention else row).cpu())
    return torch.stack(rows)


def _compensation(model: PreTrainedModel, seen: Mapping[str, list[Fluctuation]], name: str, kept: Tensor) -> Tensor:
    """[L, hidden] float32."""
    rows = []
    for block, statistics, mask in zip(blocks(model), seen[name], kept, strict=True):
        weight = linear(block, name).weight.detach()
        rows.append(importance.compensation(weight, statistics.mean, mask.to(weight.device)).float().cpu())
    return torch.stack(rows)


def _coupled(block: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Parameters that go with the units: weights, and biases of the linears whose outputs the units are."""
    found = {}
    for name in names:
        part = linear(block, name)
        found[name] = part.weight
        if part.bias is not None and name not in COLUMNS:
            found[f"{name}.bias"] = part.bias
    return found


def _by_layer(model: PreTrainedModel, sizes: Geometry, score: Any) -> Scores:
    """``score(parameters, units)`` of every block's attention and MLP."""
    kinds = {"groups": (ATTENTION, sizes.groups), "neurons": (MLP, sizes.neurons)}
    with torch.no_grad():
        return {
            kind: torch.stack([score(_coupled(block, names), units).cpu() for block in blocks(model)])
            for kind, (names, units) in kinds.items()
        }


def _taylor(parameters: Mapping[str, Any], units: int) -> Tensor:
    return importance.taylor(parameters, {name: part.grad for name, part in parameters.items()}, units)


def _finite(scores: Mapping[str, Tensor]) -> None:
    """Refuse scores that cannot rank.

    Raises:
        UserError: some are infinite or not a number.
    """
    for kind, values in scores.items():
        bad = (~values.isfinite()).any(1).nonzero().flatten().tolist()
        if bad:
            raise UserError(
                f"the scores of layer {bad[0]}'s {kind} are not finite: its activations or weights overflow; "
                "load the model in bfloat16 or float32"
            )


def _selected(
    scores: Mapping[str, Tensor], ratio: float, mode: Literal["adaptive", "uniform"], sizes: Geometry, log: Log
) -> Mask:
    if mode == "adaptive":
        weight = importance.group_weight(sizes.per_group, sizes.head_dim)
        groups, neurons = importance.adaptive(scores["groups"], scores["neurons"], ratio, weight)
    else:
        groups = importance.uniform(scores["groups"], ratio, "up")
        neurons = importance.uniform(scores["neurons"], ratio, "nearest")
    log.say(
        f"width {ratio:g} keeps {100 * groups.double().mean():.1f} % of groups, "
        f"{100 * neurons.double().mean():.1f} % of neurons"
    )
    return Mask(groups, neurons)
