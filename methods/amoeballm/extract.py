"""`amoeballm_extract`: one subnet of a selection becomes an ordinary checkpoint (sheet 2.7; no official code)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.amoeballm.architecture import Target, target
from methods.amoeballm.blocks import geometry
from methods.amoeballm.export import checked, extracted, opened, save, write_measures
from methods.amoeballm.extract_config import ExtractConfig
from methods.amoeballm.subnets import Subnets
from methods.amoeballm.times import read_times, shape


def amoeballm_extract(
    parents: Sequence[Checkpoint], data: Mapping[str, Path], config: ExtractConfig, seed: int, out: Path, log: Log
) -> None:
    """Write the subnet, its tokenizer, and `measures.csv` with a row a layer of the parent.

    Raises:
        UserError: no selection, no such subnet, or a model type that cannot hold it; each with the file and the key.
    """
    (parent,) = parents
    where = str(parent.path)
    base, tokenizer, subnets, adapters = opened(parent)
    subnets, depth = wanted(subnets, config, where)
    sizes = geometry(base)
    aim = target(base, subnets, depth, config.width, config, where)
    made = extracted(base, subnets, adapters, depth, config.width, config, where)
    parameters = checked(made, sizes, aim)
    log.say(described(aim, parameters))
    save(made, tokenizer, out)
    times = read_times(parent.path).get(shape(depth, config.width))
    write_measures(out, subnets, depth, config.width, sizes, parameters, times)


def wanted(subnets: Subnets, config: ExtractConfig, where: str) -> tuple[Subnets, int]:
    """The depth, and the selection with the config's own layers in it if the config names some.

    Raises:
        UserError: a layer that the model does not have, or none is left.
    """
    if not config.layers:
        return subnets, subnets.layers if config.depth is None else config.depth
    given = f"{where}: key 'layers': given {list(config.layers)}"
    if not all(0 <= layer < subnets.layers for layer in config.layers):
        raise UserError(f"{given}, allowed: 0 to {subnets.layers - 1}")
    if len(config.layers) == subnets.layers:
        raise UserError(f"{given}, at least one layer must stay")
    count = len(config.layers)
    own = {**subnets.removed, count: tuple(sorted(config.layers))}
    return replace(subnets, removed=own), subnets.layers - count


def described(aim: Target, parameters: int) -> str:
    """One line about the subnet for the log."""
    text = (
        f"{aim.architecture} of {len(aim.layers)} layers, {aim.groups} key-value heads, {aim.neurons} neurons: "
        f"{parameters:,} parameters"
    )
    if aim.dropped:
        text += f"; the compensation of {', '.join(sorted(aim.dropped))} is left out, the type has no bias there"
    return text
