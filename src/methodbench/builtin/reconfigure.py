"""The same weights under a config.json in which some keys have other values, such as a longer context or a RoPE base.

No paper: a change that some published runs make beside their method, as an arm of its own. Nothing is trained, and the
weights are linked, not copied. What a key may be is what transformers gives the parent's config when it opens it, so an
old name in the file (``rope_theta``) is written as it is read (``rope_parameters.rope_theta``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from methodbench.builtin.reconfigure_config import ReconfigureConfig
from methodbench.checkpoint import Checkpoint, link_files
from methodbench.errors import UserError, nearest
from methodbench.joblog import Log

FIXED = ("model_type", "architectures", "transformers_version")  # say what the weights are


def reconfigure(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: ReconfigureConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Write the parent's files, linked, and its config.json with `config.values` to `out`."""
    (parent,) = parents
    settings = AutoConfig.from_pretrained(parent.path, trust_remote_code=False)
    for key, value in config.values.items():
        put(settings, key, value)
    link_files(parent.path, out, leave=("config.json",))
    settings.save_pretrained(out)
    _check_it_stays(out, config.values)


def put(settings: PreTrainedConfig, key: str, value: Any) -> None:
    """Set one key, given as ``a`` or ``a.b``.

    Raises:
        UserError: there is no such key, it may not be changed, or the value is of another type than the one it had.
    """
    table: Any = settings.to_dict()
    *path, last = key.split(".")
    for step in path:
        table = _known(table, step, key)
    old = _known(table, last, key)
    if key in FIXED:
        raise UserError(f"reconfigure: key 'values.{key}': says what the weights are and cannot be changed")
    if not _fits(old, value, inside=bool(path)):
        raise UserError(f"reconfigure: key 'values.{key}': given {value!r}, allowed: a value like {old!r}")
    target: Any = settings
    for step in path:
        target = target[step] if isinstance(target, dict) else getattr(target, step)
    if isinstance(target, dict):
        target[last] = value
    else:
        setattr(target, last, value)


def _known(table: Any, step: str, key: str) -> Any:
    keys = table if isinstance(table, dict) else {}
    if step not in keys:
        raise UserError(f"reconfigure: key 'values.{key}': unknown key '{step}'; {nearest(step, keys)}")
    return keys[step]


def _fits(old: Any, value: Any, inside: bool) -> bool:
    """Of the same type; a whole number may stand for a real one, and anything for what is not given.

    Inside a table, whose entries have no declared type, any number may stand for any other: published files have
    ``rope_theta: 10000``.
    """
    if old is None:
        return True
    if type(old) is float or (inside and type(old) is int):
        return type(value) in (int, float)
    return type(value) is type(old)


def _check_it_stays(out: Path, values: Mapping[str, Any]) -> None:
    """Some keys are computed from others whenever the file is opened."""
    found: Any = AutoConfig.from_pretrained(out, trust_remote_code=False).to_dict()
    for key, value in values.items():
        kept = found
        for step in key.split("."):
            kept = kept[step]
        if kept != value:
            raise UserError(
                f"reconfigure: key 'values.{key}': given {value!r}, but the model's config makes {kept!r} of it"
            )
