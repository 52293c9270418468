"""Arms: which checkpoint is run by which runtime, and what the names in claims, curves and figures stand for.

An arm is written as a runtime, a checkpoint, or "checkpoint@runtime" where one alone would be ambiguous. A runtime
with a sweep is a pattern (``short_w{window}``) that stands for one arm per setting.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import quote

from methodbench.errors import UserError, nearest
from methodbench.study import RuntimeSpec, Study

NAME = re.compile(r"[A-Za-z0-9_.+-]+")


class Arm(NamedTuple):
    """A checkpoint and the runtime that runs it."""

    checkpoint: str
    runtime: str

    def __str__(self) -> str:
        return f"{self.checkpoint}@{self.runtime}"


@dataclass(frozen=True)
class RuntimeArm:
    """One runtime after its sweep is unrolled. `pattern` is its key in the study's ``runtimes:``."""

    spec: RuntimeSpec
    values: Mapping[str, Any]  # swept key -> this arm's value; empty without a sweep
    pattern: str


def study_runtimes(study: Study) -> dict[str, RuntimeArm]:
    """Every runtime of a study by its final name, sweeps unrolled in the order of the file.

    Raises:
        UserError: a pattern names an unknown key, two settings share a name, or a name cannot be a folder.
    """
    found: dict[str, RuntimeArm] = {}
    for pattern, spec in study.runtimes.items():
        where = f"study {study.study}: runtimes.{pattern}"
        for combination in product(*spec.sweep.values()):
            values = dict(zip(spec.sweep, combination, strict=True))
            name = _name(pattern, values, where) if values else pattern
            if not NAME.fullmatch(name):
                raise UserError(f"{where}: the name '{name}' may hold letters, digits and _ . + - only")
            if name in found:
                raise UserError(f"{where}: two settings are both named '{name}'; put every swept key into the name")
            found[name] = RuntimeArm(spec, values, pattern)
    return found


def expand(name: str, runtimes: Mapping[str, RuntimeArm]) -> list[str]:
    """``"short_w{window}"`` -> the names of all its settings; an ordinary name stands for itself."""
    return [runtime for runtime, arm in runtimes.items() if name in (runtime, arm.pattern)]


def study_arms(study: Study) -> dict[str, list[Arm]]:
    """What the study asks to be scored: task ("dataset/task") -> arms, each once, in the order of the file."""
    found: dict[str, dict[Arm, None]] = {}
    known = study_runtimes(study)
    for job in study.evaluate.values():
        runtimes = [name for word in job.runtimes for name in expand(word, known)]
        for task, checkpoint, runtime in product(job.benchmarks, job.checkpoints, runtimes):
            found.setdefault(task, {})[Arm(checkpoint, runtime)] = None
    return {task: list(arms) for task, arms in found.items()}


def resolve(study: Study, word: str, task: str) -> tuple[Arm, ...]:
    """The arms scored on `task` that `word` stands for: one for a name, several for a sweep pattern.

    Raises:
        UserError: nothing of that name is scored on the task, or the name fits several checkpoints or runtimes.
    """
    arms = study_arms(study).get(task, [])
    runtimes = study_runtimes(study)
    found = _meant(word, arms, runtimes)
    where = f"study {study.study}"
    if not found:
        names = {name for arm in arms for name in _words(arm, runtimes[arm.runtime].pattern)}
        raise UserError(f"{where}: no arm '{word}' is scored on {task}; {nearest(word, names)}")
    swept = len({arm.runtime for arm in found}) == len(found) and len({arm.checkpoint for arm in found}) == 1
    is_pattern = word.rpartition("@")[2] in {arm.pattern for arm in runtimes.values() if arm.values}
    if len(found) > 1 and not (swept and is_pattern):
        raise UserError(f"{where}: '{word}' may mean {' or '.join(map(str, found[:4]))} on {task}; name one of them")
    return found


def resolve_over(study: Study, words: Sequence[str], tasks: Sequence[str]) -> tuple[Arm, ...]:
    """The arms that `words` stand for on any of these tasks; an arm need not be scored on all of them.

    Raises:
        UserError: as `resolve`, or a word means nothing on every one of the tasks.
    """
    found: dict[Arm, None] = {}
    arms, runtimes = study_arms(study), study_runtimes(study)
    for word in words:
        scored = [task for task in tasks if _meant(word, arms.get(task, []), runtimes)]
        for task in scored or tasks[:1]:
            found |= dict.fromkeys(resolve(study, word, task))
    return tuple(found)


def resolve_one(study: Study, word: str, task: str) -> Arm:
    """The single arm that `word` stands for.

    Raises:
        UserError: as `resolve`, or the word is a sweep pattern with several settings.
    """
    found = resolve(study, word, task)
    if len(found) > 1:
        raise UserError(f"study {study.study}: '{word}' stands for {len(found)} arms; name one, such as {found[0]}")
    return found[0]


def curve_arms(study: Study, curve: str, task: str) -> tuple[Arm, ...]:
    """All arms of a named curve that are scored on `task`."""
    if curve not in study.curves:
        raise UserError(f"study {study.study}: unknown curve '{curve}'; {nearest(curve, study.curves)}")
    return tuple(dict.fromkeys(arm for word in study.curves[curve].arms for arm in resolve(study, word, task)))


def candidate_name(runtime: str, values: Mapping[str, Any]) -> str:
    """The folder of one candidate of a choice: ``"tuned~a=0.05,b=none"``; any character is safe in a file's name."""
    shown = {key: quote(str("none" if value is None else value), safe="+") for key, value in values.items()}
    return f"{runtime}~{','.join(f'{key}={value}' for key, value in shown.items())}"


def labels(arms: Collection[Arm]) -> dict[Arm, str]:
    """The shortest names that tell these arms apart: runtimes alone, checkpoints alone, or both."""
    if len({arm.checkpoint for arm in arms}) == 1:
        return {arm: arm.runtime for arm in arms}
    if len({arm.runtime for arm in arms}) == 1:
        return {arm: arm.checkpoint for arm in arms}
    return {arm: str(arm) for arm in arms}


def _meant(word: str, arms: Sequence[Arm], runtimes: Mapping[str, RuntimeArm]) -> tuple[Arm, ...]:
    return tuple(arm for arm in arms if word in _words(arm, runtimes[arm.runtime].pattern))


def _words(arm: Arm, pattern: str) -> Iterator[str]:
    yield from (arm.runtime, arm.checkpoint, str(arm), pattern, f"{arm.checkpoint}@{pattern}")


def _name(pattern: str, values: Mapping[str, Any], where: str) -> str:
    try:
        return pattern.format(**{key: "none" if value is None else value for key, value in values.items()})
    except (KeyError, IndexError, ValueError):
        keys = ", ".join("{" + key + "}" for key in values)
        raise UserError(f"{where}: the name must be a pattern over the swept keys, such as {keys}") from None
