"""`amoeballm_choose`: the best selected subnet within a budget of parameters or of time.

The paper mentions a search of shapes under a constraint and gives none. Here every selected shape within the budget
is cut out and measured on the calibration set, the first few are measured again on more of it, and the best of these
becomes an ordinary checkpoint. Equal metrics: the smaller subnet.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.amoeballm.architecture import target
from methods.amoeballm.blocks import geometry
from methods.amoeballm.calibrating import Calibration
from methods.amoeballm.config import DepthConfig
from methods.amoeballm.export import checked, extracted, opened, save
from methods.amoeballm.extract import described
from methods.amoeballm.extract_config import ChooseConfig
from methods.amoeballm.subnets import MEASURES
from methods.amoeballm.times import LATENCY, read_times, shape


@dataclass
class Candidate:
    """A selected shape; a row of `measures.csv`. What was not measured is nan."""

    depth: int
    width: float
    parameters: int
    share: float  # of the parent's parameters
    latency: float = math.nan  # of the full model's time a token
    metric: float = math.nan  # higher is better
    rechecked: float = math.nan  # the metric on more items
    pareto: int = 0  # no other measured shape is at least as good and as cheap, and better in one
    chosen: int = 0


def amoeballm_choose(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: ChooseConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the best subnet within the budget, and `measures.csv` with a row a selected shape.

    Raises:
        UserError: no selection, no times where time is the budget, or no shape within the budget.
    """
    (parent,) = parents
    where = str(parent.path)
    base, tokenizer, subnets, adapters = opened(parent)
    sizes = geometry(base)
    times = latencies(parent.path, required=config.latency is not None)
    candidates = []
    for depth, width in ((depth, width) for depth in subnets.depths() for width in subnets.widths()):
        aim = target(base, subnets, depth, width, config, where)
        parameters = sizes.parameters(aim.units, aim.biases)
        latency = times.get(shape(depth, width), math.nan)
        candidates.append(Candidate(depth, width, parameters, parameters / sizes.whole, latency))
    able = within(candidates, config, where)
    log.say(f"{len(able)} of {len(candidates)} shapes are within the budget")

    def measured(one: Candidate, items: int) -> float:
        model = extracted(base, subnets, adapters, one.depth, one.width, config, where)
        metric = Calibration(model, tokenizer, data["calibration"], calibration(config, items), seed).metric(())
        return float(metric)

    for done, one in enumerate(able, 1):
        one.metric = measured(one, config.items)
        log.progress(done, len(able), "shape", metric=one.metric)
    best = sorted(able, key=lambda one: (-one.metric, one.parameters))
    for one in best[: config.recheck]:
        one.rechecked = measured(one, config.recheck_items)
    winner = min(best[: max(1, config.recheck)], key=lambda one: (-_latest(one), one.parameters))
    winner.chosen = 1
    mark_pareto(able)
    made = extracted(base, subnets, adapters, winner.depth, winner.width, config, where)
    aim = target(base, subnets, winner.depth, winner.width, config, where)
    log.say(f"depth {winner.depth}, width {winner.width:g}: {described(aim, checked(made, sizes, aim))}")
    save(made, tokenizer, out)
    write_candidates(out / MEASURES, candidates)


def latencies(folder: Path, required: bool) -> dict[tuple[int, float], float]:
    """(depth, width) -> share of the full model's time a token; nothing where no times lie beside the weights.

    Raises:
        UserError: there are none though they are required.
    """
    times = read_times(folder)
    if required and not times:
        raise UserError(
            f"{folder / LATENCY}: is missing, key 'latency' needs it: "
            "put amoeballm_latency between the selection and this"
        )
    return {one: latency for one, (_, latency) in times.items()}


def within(candidates: Sequence[Candidate], config: ChooseConfig, where: str) -> list[Candidate]:
    """Those within the budget.

    Raises:
        UserError: none is.
    """
    key, budget = ("parameters", config.parameters) if config.latency is None else ("latency", config.latency)
    if budget is None:
        return list(candidates)
    costs = [one.share if key == "parameters" else one.latency for one in candidates]
    able = [one for one, cost in zip(candidates, costs, strict=True) if cost <= budget + 1e-9]
    if not able:
        least = min((cost for cost in costs if cost == cost), default=math.nan)
        raise UserError(
            f"{where}: key '{key}': given {budget:g}, allowed: {least:.4g} to 1, as the smallest selected subnet has"
        )
    return able


def calibration(config: ChooseConfig, items: int) -> DepthConfig:
    """How a subnet is measured on `items` items."""
    return DepthConfig(
        metric=config.metric,
        items=items,
        draw=config.draw,
        window=config.window,
        max_length=config.max_length,
        batch_size=config.batch_size,
        prefix_cache=False,
    )


def mark_pareto(measured: Sequence[Candidate]) -> None:
    """Mark shapes that no other one beats: by metric and time where times are known, else by metric and parameters."""
    timed = all(one.latency == one.latency for one in measured)

    def cost(one: Candidate) -> float:
        return one.latency if timed else one.share

    for one in measured:
        one.pareto = int(
            not any(
                other.metric >= one.metric
                and cost(other) <= cost(one)
                and (other.metric > one.metric or cost(other) < cost(one))
                for other in measured
            )
        )


def write_candidates(path: Path, candidates: Sequence[Candidate]) -> None:
    """A row a shape, most layers and widest first."""
    rows = [asdict(one) for one in candidates]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(rows[0])
        for row in rows:
            table.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row.values()])


def _latest(one: Candidate) -> float:
    return one.metric if math.isnan(one.rechecked) else one.rechecked
