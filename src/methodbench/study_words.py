"""The words of a study that name its own arms, tasks, curves and checkpoints: each must mean something there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from methodbench.arms import curve_arms, resolve, resolve_one, resolve_over, study_runtimes
from methodbench.errors import UserError, nearest
from methodbench.nodes import StudyGraph
from methodbench.study import MATRIX, MEASURED, Claim, Figure, Pair, Study


def check_words(graph: StudyGraph) -> None:
    """Claims, curves and figures must name arms and tasks that exist."""
    study, file = graph.study, graph.file
    arms = study_runtimes(study)
    evaluated = {(node.checkpoint.name, pair.runtime) for node in graph.evaluations for pair in node.pairs}
    evaluated |= {(checkpoint, arms[runtime].pattern) for checkpoint, runtime in evaluated}
    checkpoints = {name for entry in study.evaluate.values() for name in entry.checkpoints}
    words = {*arms, *(arm.pattern for arm in arms.values()), *checkpoints}
    words |= {f"{checkpoint}@{runtime}" for checkpoint in checkpoints for _, runtime in evaluated}
    tasks = {pair.task_name: pair for node in graph.evaluations for pair in node.pairs}

    def check(given: str, allowed: Iterable[str], where: str, what: str) -> None:
        if given not in set(allowed):
            raise UserError(f"{file}: {where}: unknown {what} '{given}'; {nearest(given, allowed)}")

    for name, curve in study.curves.items():
        for arm in curve.arms:
            check(arm, {*words, *study.checkpoints}, f"curves.{name}.arms", "arm")
    for claim in study.claims:
        where = f"claims.{claim.id}"
        _check_claim(claim, f"{file}: {where}")
        if claim.rank:
            check(claim.checkpoint, study.checkpoints, f"{where}.checkpoint", "checkpoint")
            continue
        task, _, metric = claim.metric.rpartition("/")
        check(task, tasks, f"{where}.metric", "benchmark")
        if claim.minus:
            _check_minus(claim, f"{file}: {where}")
            check(claim.minus.rpartition("/")[0], tasks, f"{where}.minus", "benchmark")
        allowed = study.curves if metric == "efficiency" else words
        for arm in (claim.left, claim.right, *claim.controls):
            check(arm, allowed, where, "curve" if metric == "efficiency" else "arm")
            if metric == "efficiency":
                curve_arms(study, arm, task)
    _check_pairs(study, file)
    for pair in study.pairs:
        where = f"pairs.{pair.id}"
        task = pair.metric.rpartition("/")[0]
        check(task, tasks, f"{where}.metric", "benchmark")
        for key, arm in pair_arms(pair).items():
            check(arm, words, f"{where}.{key}", "arm")
            resolve_one(study, arm, task)
    for figure in study.figures:
        where = f"figures.{figure.id}"
        _check_figure(figure, f"{file}: {where}")
        known: dict[str, tuple[Iterable[str], str]] = {
            "tasks": (tasks, "benchmark"),
            "arms": (words, "arm"),
            "curves": (study.curves, "curve"),
            "checkpoints": (study.checkpoints, "checkpoint"),
        }
        for key, (names, what) in known.items():
            for word in getattr(figure, key):
                check(word, names, f"{where}.{key}", what)
        if figure.task:
            check(figure.task, tasks, f"{where}.task", "benchmark")
        if figure.origin:
            check(figure.origin, words, f"{where}.origin", "arm")
        _check_arms(study, figure, f"{file}: {where}")


def _check_claim(claim: Claim, where: str) -> None:
    """It compares two arms, or correlates two columns; never both."""
    pair: dict[str, object] = {"left": claim.left, "right": claim.right, "metric": claim.metric}
    columns: dict[str, object] = {"checkpoint": claim.checkpoint, "rank": claim.rank}
    ranked = any(columns.values())
    for key, value in (columns if ranked else pair).items():
        if not value:
            raise UserError(
                f"{where}: missing key '{key}': a claim needs left, right and metric, or else checkpoint and rank"
            )
    for key, value in {**pair, "minus": claim.minus, "controls": claim.controls}.items():
        if ranked and value:
            raise UserError(f"{where}: key '{key}': a claim with 'rank' takes none, given {_shown(value)}")


def _check_minus(claim: Claim, where: str) -> None:
    """Two gains can be compared if both are differences on tasks of their own."""
    metrics = (claim.metric, claim.minus)
    if len({metric.rpartition("/")[0] for metric in metrics}) < 2:
        raise UserError(f"{where}: key 'minus': given '{claim.minus}', must be of another benchmark than 'metric'")
    if any(metric.endswith("/efficiency") for metric in metrics):
        raise UserError(f"{where}: key 'minus': a gain in efficiency is compared with no other")


def pair_arms(pair: Pair) -> dict[str, str]:
    """The keys of a pair that name arms, with what they name."""
    found = {"base": pair.base, "left": pair.left, "right": pair.right, "both": pair.both, "reverse": pair.reverse}
    return {key: arm for key, arm in found.items() if arm}


def _check_pairs(study: Study, file: Path) -> None:
    """Each is of different arms, on a metric of its own samples, and has a cell of the matrix to itself."""
    cells: dict[tuple[str, str, str], str] = {}
    for pair in study.pairs:
        where = f"{file}: pairs.{pair.id}"
        arms = pair_arms(pair)
        if len(set(arms.values())) < len(arms):
            given = ", ".join(f"{key} '{arm}'" for key, arm in arms.items())
            raise UserError(f"{where}: given {given}, must be different arms")
        if pair.first == pair.second:
            raise UserError(f"{where}: key 'second': given '{pair.second}', must be another method than 'first'")
        if pair.metric.endswith("/efficiency"):
            raise UserError(f"{where}: key 'metric': given '{pair.metric}', but pairs compare arms, not curves of arms")
        for first, second in [(pair.first, pair.second), *([(pair.second, pair.first)] if pair.reverse else [])]:
            before = cells.setdefault((pair.metric, first, second), pair.id)
            if before != pair.id:
                raise UserError(f"{where}: pair '{before}' has {first}, then {second}, on {pair.metric} already")
    ids = [name for pair in study.pairs for name in (pair.id, *([f"{pair.id}_reverse"] if pair.reverse else []))]
    taken = next((figure.id for figure in study.figures if study.pairs and figure.id == MATRIX), None)
    if taken:
        raise UserError(f"{file}: figures.{taken}: key 'id': given '{taken}', the name of the drawing of the pairs")
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice:
        raise UserError(f"{file}: pairs: two have the id '{twice}'; each needs one of its own")


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"'{value}'"


def _check_figure(figure: Figure, where: str) -> None:
    """Whatever its kind needs is there, and its numbers fit together."""
    needed: dict[str, tuple[str, ...]] = {"curve": ("task",), "measures": ("curves",), "plane": ("tasks",)}
    needed |= dict.fromkeys(("sweep", "bars", "stack", "profile"), ("task", "arms"))
    needed |= dict.fromkeys(("lengths", "heat"), ("tasks", "arms"))
    needed |= dict.fromkeys(("histogram", "layers", "map"), ("checkpoints", "x"))
    for key in needed[figure.kind]:
        if not getattr(figure, key):
            raise UserError(f"{where}: missing key '{key}': a figure of kind '{figure.kind}' needs it")
    if figure.kind == "plane" and (len(set(figure.tasks)) != 2 or len(figure.tasks) != 2 or len(figure.y) > 2):
        raise UserError(
            f"{where}: keys 'tasks' and 'y': given {', '.join(figure.tasks)} and {', '.join(figure.y)}; a figure of "
            "kind 'plane' has two different tasks, and one field or one for each of them"
        )
    if figure.kind in ("plane", "curve") and not figure.curves and not figure.arms:
        raise UserError(f"{where}: missing key 'curves' or 'arms': a figure of kind '{figure.kind}' needs one of them")
    if figure.kind == "curve" and figure.x == MEASURED:
        raise UserError(f"{where}: key 'x': given '{MEASURED}', must name a column of measures.csv after the dot")
    if figure.clip and figure.clip[0] >= figure.clip[1]:
        raise UserError(f"{where}: key 'clip': given {list(figure.clip)}, must be the lowest value, then the highest")


def _check_arms(study: Study, figure: Figure, where: str) -> None:
    """Its arms are scored where it looks for them, and it has a tick for each of what it names."""
    longest = max((study.curves[name].arms for name in figure.curves), key=len, default=())
    rows = [(name, column) for name in figure.checkpoints for column in figure.y]
    ticked: dict[str, tuple[str, Sequence[object]]] = {
        "profile": ("'y'", figure.y),
        "measures": ("the arms of its longest curve", longest),
        "map": ("its rows", rows),
    }
    what, named = ticked.get(figure.kind, ("'tasks'", figure.tasks))
    if figure.ticks and len(figure.ticks) != len(named):
        raise UserError(f"{where}: key 'ticks': given {len(figure.ticks)}, must be as many as {what} ({len(named)})")
    if figure.kind in ("lengths", "heat"):
        resolve_over(study, figure.arms, figure.tasks)
    elif figure.kind == "curve":
        for name in figure.curves:
            curve_arms(study, name, figure.task)
        for word in figure.arms:
            resolve(study, word, figure.task)
    elif figure.kind == "measures":
        for name in figure.curves:
            for word in study.curves[name].arms:
                if word.partition("@")[0] not in study.checkpoints:
                    raise UserError(
                        f"{where}.curves: curve '{name}' holds '{word}', which names no checkpoint; "
                        f"{nearest(word, study.checkpoints)}"
                    )
    elif figure.kind == "plane":
        paths = [word for name in figure.curves for word in study.curves[name].arms]
        for word in dict.fromkeys([*paths, *figure.arms, *([figure.origin] if figure.origin else [])]):
            one, other = (set(resolve(study, word, task)) for task in figure.tasks)
            if one != other:
                raise UserError(
                    f"{where}: '{word}' means {', '.join(sorted(map(str, one)))} on {figure.tasks[0]}, but "
                    f"{', '.join(sorted(map(str, other)))} on {figure.tasks[1]}; name an arm that both tasks score"
                )
