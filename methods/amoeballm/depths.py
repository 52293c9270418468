"""Which layers go at every depth: by a search over a calibration set, or by a baseline's rule.

Both give (number removed -> layers, ascending; number removed -> what was seen of them, higher is better). What a
search saw includes 0, the full model, one evaluation more than the paper's count. What a ranking rule saw is minus the
sum of the scores of the removed layers, which is what the rule minimises; angular saw minus a distance.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from transformers import PreTrainedModel

from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.amoeballm.blocks import blocks
from methods.amoeballm.calibrating import Calibration
from methods.amoeballm.config import DepthConfig, RankConfig, Rule, Search
from methods.amoeballm.layer_scores import angular_distances, block_influence, likelihood_falls, magnitude, taylor
from methods.amoeballm.selection import (
    MOST_SUBSETS,
    Found,
    contiguous,
    dynamic,
    exhaustive,
    greedy,
    ranking,
    steps,
    subsets,
)
from methods.amoeballm.subnets import most_removed, removed_of
from methods.amoeballm.texts import windows

# Shortened LLaMA's Taylor+ keeps the first four and the last two blocks. Here they come last: they go only where
# nothing else is left, which few layers would otherwise not allow.
TAYLOR_FIRST, TAYLOR_LAST = 4, 2
WITHOUT_TEXT = ("deepest", "magnitude", "random")


def searched(
    search: Search,
    calibration: Calibration,
    layers: int,
    most: int,
    keep_last: int,
    order: str,
    log: Log,
) -> Found:
    """Search the sets of up to `most` of all but the `keep_last` uppermost layers.

    Args:
        order: "deep_first" or "shallow_first", in which a search looks at the layers.

    Raises:
        UserError: an exhaustive search of too many sets, or a model whose metric is not a number.
    """
    candidates = list(range(layers - keep_last))
    if order == "deep_first":
        candidates.reverse()
    count = subsets if search == "exhaustive" else steps
    total = 1 + count(len(candidates), most)
    if search == "exhaustive" and total > MOST_SUBSETS:
        raise UserError(
            f"depth: key 'search': given exhaustive, which is {total} sets of up to {most} of {len(candidates)} "
            f"layers, allowed: {MOST_SUBSETS}; take dp"
        )
    started = calibration.evaluations

    def metric(removed: tuple[int, ...]) -> float:
        value = calibration.metric(removed)
        if value != value:
            raise UserError(f"depth: without layers {list(removed)} the model's likelihoods are not numbers")
        log.progress(calibration.evaluations - started, total, "evaluation", removed=len(removed), metric=value)
        return value

    full = metric(())
    removed, seen = {"dp": dynamic, "greedy": greedy, "exhaustive": exhaustive}[search](metric, candidates, most)
    return removed, {0: full, **seen}


def ranked(
    rule: Rule,
    model: PreTrainedModel,
    tokenizer: Any,
    path: Path | None,
    config: RankConfig,
    seed: int,
    log: Log,
) -> Found:
    """Remove layers by a baseline's `rule`; layer_scores.py says what each looks at.

    Args:
        path: rows of text; deepest, magnitude and random need none.

    Raises:
        UserError: text is needed and missing, or more layers must stay than there are.
    """
    layers = len(blocks(model))
    most = most_removed(layers, config.min_layers, config.keep_last, f"depth by {rule}")
    candidates = list(range(layers - config.keep_last - 1, -1, -1))  # of equal layers the deepest goes
    if rule == "deepest":
        return removed_of(candidates, most), {}
    if rule == "random":
        Random(f"layers {seed}").shuffle(candidates)
        return removed_of(candidates, most), {}
    if rule == "magnitude":
        return _lowest(magnitude(model), candidates, most)
    if path is None:
        raise UserError(f"depth by {rule}: needs rows of text; without them go {', '.join(WITHOUT_TEXT)}")
    if rule == "perplexity":
        depth = DepthConfig(
            metric="nll", items=config.windows, window=config.window, batch_size=config.batch_size, draw="random"
        )
        return _lowest(likelihood_falls(model, tokenizer, path, depth, seed, log), candidates, most)
    model.eval()
    ids = windows(tokenizer, path, config.windows, config.window, seed)
    if rule == "shortgpt":
        return _lowest(block_influence(model, ids, config.batch_size), candidates, most)
    if rule == "taylor":
        kept = (*range(TAYLOR_FIRST), *range(layers - TAYLOR_LAST, layers))
        return _lowest(taylor(model, ids, config.batch_size), candidates, most, kept)
    distances = angular_distances(model, ids, config.batch_size)
    return contiguous(lambda start, stop: distances[start][stop], layers, most, config.keep_last)


def _lowest(scores: list[float], candidates: list[int], most: int, last: tuple[int, ...] = ()) -> Found:
    removed = removed_of(ranking(scores, candidates, last), most)
    return removed, {count: -sum(scores[layer] for layer in gone) for count, gone in removed.items() if count}
