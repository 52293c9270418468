"""The report's smaller print: settings picked by scores, the paper's own numbers, every effective setting, hashes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from methodbench.arms import Arm, RuntimeArm, labels, study_runtimes
from methodbench.compare import measure
from methodbench.context import ReportContext
from methodbench.markdown import code, folded, plain, table
from methodbench.reported import Cell, Reported, ReportedTable, load_reported
from methodbench.results import Missing, Results
from methodbench.score import Score
from methodbench.stats import Undefined
from methodbench.study import Choice, Study
from methodbench.tables import on_its_own_items
from methodbench.wording import Unit, count, level, listed, number

# A printed unit -> the field that stands beside it; "": the task's metric, for a perplexity e to the mean of its nats.
BESIDE = {"percent": "", "tokens": "tokens", "perplexity": ""}


def choices(results: Results, tasks: Sequence[str]) -> str:
    """Every setting that a score picked: the candidates' scores, what was picked, and on which items.

    An arm that is scored on several tasks picks once, so that it has one row a seed.
    """
    runtimes = study_runtimes(results.study)
    arms = list(dict.fromkeys(arm for task in tasks for arm in results.arms[task]))
    picking = [arm for arm in arms if runtimes[arm.runtime].spec.choose]
    picked = {
        (arm, seed): results.scores[arm, task, seed].chosen
        for arm in picking
        for task in reversed(tasks)
        for seed in results.seeds(arm, task)
    }
    shares = all(0 <= tried["score"] <= 1 for chosen in picked.values() for tried in chosen.get("scores", ()))
    unit: Unit = "share" if shares else "number"
    names = labels(arms)
    rows = []
    for arm in picking:
        choice = runtimes[arm.runtime].spec.choose
        assert choice is not None
        keys = ", ".join(f"`{key}`" for key in choice.among)
        where = _picked_on(choice, [task for task in tasks if arm in results.arms[task]])
        for seed in [seed for seed in results.study.seeds if (arm, seed) in picked]:
            chosen = picked[arm, seed]
            tried = [f"{_values(one['values'])}: {number(one['score'], unit)}" for one in chosen.get("scores", ())]
            best = _values(chosen.get("values", {})) or "—"
            between = "; " if len(choice.among) > 1 else ", "
            rows.append([f"`{names[arm]}`", keys, str(seed), f"**{best}**", between.join(tried), where])
    scores = "candidates and their scores" + (", %" if shares else "")
    return table(["arm", "setting", "seed", "picked", scores, "picked on"], rows, right=(2,)) if rows else ""


def reported_beside(results: Results, context: ReportContext) -> list[str]:
    """The papers' tables with what was measured here beside the rows that name the same method or setting."""
    blocks = []
    for method in results.study.reported:
        reported = load_reported(context.repository, method)
        shown: set[tuple[str, ...]] = set()  # rows that stand beside ours already
        beside: list[str] = []
        others: list[str] = []
        for entry in reported.tables:
            arms = {row: _arms_of(results, entry, row) for row in entry.rows}
            rows = (entry.unit, *entry.rows)
            first = any(arms.values()) and (rows not in shown or results.scale == "paper")
            text = f"{_title(entry)}\n\n{_table(results, entry, arms if first else {})}"
            (beside if first else others).append(text)
            shown |= {rows} if first else set()
        blocks.append(f"Numbers in plain type were printed in {plain(reported.paper)}; columns named *here* are ours.")
        blocks += beside
        if others:
            blocks.append(folded(f"Further tables of {plain(reported.paper)}", "\n\n".join(others)))
        if reported.curves:
            blocks.append(folded(f"Points of its accuracy-against-length curves ({method})", _curves(reported)))
    return blocks


def settings(results: Results) -> list[str]:
    """Effective settings by method, library versions, first prompts and hashes, each folded."""
    groups: dict[str, dict[Arm, Score]] = {}
    for (arm, _, _), score in sorted(results.scores.items(), key=lambda item: _place(item[0])):
        groups.setdefault(str(score.settings.get("method", "?")), {}).setdefault(arm, score)
    blocks = [_effective(method, scores) for method, scores in groups.items()]
    versions = {
        name: sorted({str(score.settings.get("versions", {}).get(name, "—")) for score in results.scores.values()})
        for score in results.scores.values()
        for name in score.settings.get("versions", {})
    }
    if versions:
        rows = [[f"`{name}`", listed(found)] for name, found in sorted(versions.items())]
        blocks.append(folded("Library versions", table(["library", "version"], rows)))
    prompts = _prompts(results)
    if prompts:
        blocks.append(folded("First rendered prompt of each task, exactly as the model got it", "\n\n".join(prompts)))
    hashes = [
        [f"`{arm}`", task, str(seed), f"`{score.samples_sha256[:12]}`", f"`{score.identity[:12]}`", f"`{_code(score)}`"]
        for (arm, task, seed), score in sorted(results.scores.items(), key=lambda item: _place(item[0]))
    ]
    if hashes:
        head = ["arm", "task", "seed", "samples sha256", "identity", "code"]
        blocks.append(folded("Hashes of every score", table(head, hashes, right=(2,))))
    return blocks


def how_to_check(results: Results, context: ReportContext) -> str:
    """The commands that make and check this report."""
    study, scale = results.study.study, results.scale
    commands = [
        f"snakemake --cores all --config scale={scale} studies={study}   # make it again; what is finished stays",
        f"methodbench verify --scale {scale} --study {study}   # report = samples = MLflow",
        f"methodbench explain reports/{scale}/{study}.md   # what would be made again, and why",
    ]
    if context.tracking:
        commands.append(f"mlflow ui --backend-store-uri {context.tracking}   # the same runs, with curves")
    return code("\n".join(commands), "bash")


def _picked_on(choice: Choice, tasks: Sequence[str]) -> str:
    if not any(on_its_own_items(choice, task) for task in tasks):
        return f"{choice.on}, other items"
    its = "the items" if len(tasks) == 1 else f"{choice.on}, items"
    return f"**{its} it is reported on (paper protocol)**"


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(str(value) for value in values.values())


def _arms_of(results: Results, entry: ReportedTable, row: str) -> list[Arm]:
    """Our arms that a printed row speaks of: same method, and same value of the option that varies."""
    if entry.unit not in BESIDE or not _tasks_of(results, entry):
        return []
    runtimes = study_runtimes(results.study)
    arms = list(dict.fromkeys(arm for arms in results.arms.values() for arm in arms))
    models = {arm.checkpoint for arm in arms if _plain(_origin(results.study, arm.checkpoint)) == _plain(entry.model)}
    if models or results.scale == "paper":
        arms = [arm for arm in arms if arm.checkpoint in models]
    if entry.varies:
        wanted = (entry.method, {entry.varies: row})
        return [arm for arm in arms if _setting(runtimes[arm.runtime]) == wanted]
    named = [arm for arm in arms if row in (arm.runtime, arm.checkpoint)]
    by_method = [arm for arm in arms if runtimes[arm.runtime].spec.method == row and not runtimes[arm.runtime].values]
    return (named or by_method)[:1]


def _origin(study: Study, checkpoint: str) -> str:
    """The checkpoint that this one goes back to: of several parents the last, which is what was changed."""
    while parents := study.checkpoints[checkpoint].parents:
        if parents[-1] not in study.checkpoints:  # another study's
            break
        checkpoint = parents[-1]
    return checkpoint


def _setting(runtime: RuntimeArm) -> tuple[str, dict[str, str]]:
    return runtime.spec.method, {key: str(value) for key, value in runtime.values.items()}


def _title(entry: ReportedTable) -> str:
    over = f", {entry.benchmark}" if entry.benchmark else ""
    varies = f", by `{entry.varies}` of `{entry.method}`" if entry.varies else ""
    note = f" {plain(entry.note)}" if entry.note else ""
    name = f"Table {entry.table}" if str(entry.table)[:1].isdigit() else str(entry.table).capitalize()
    model = "all models" if entry.model == "*" else entry.model
    return f"**{name}**, {model}{over}: {entry.metric}, {entry.unit}{varies}.{note}"


def _table(results: Results, entry: ReportedTable, arms: Mapping[str, Sequence[Arm]]) -> str:
    ours = {arm for found in arms.values() for arm in found}
    tasks = [task for task in _tasks_of(results, entry) if ours & set(results.arms[task])] if ours else []
    head = ["", *(f"{name} (n = {entry.n[name]})" if name in entry.n else name for name in entry.columns)]
    head += [f"*here*: {task}, {'%' if entry.unit == 'percent' else entry.unit}" for task in tasks]
    digits = max(
        len(f"{value:g}".partition(".")[2])
        for values in entry.rows.values()
        for value in (0.0, *values)
        if isinstance(value, float)
    )
    rows = [
        [
            f"`{row}`",
            *(_cell(value, digits) for value in values),
            *(_measured(results, arms.get(row, ()), task, entry.unit) for task in tasks),
        ]
        for row, values in entry.rows.items()
    ]
    return table(head, rows, right=range(1, len(head)))


def _tasks_of(results: Results, entry: ReportedTable) -> list[str]:
    """Our tasks that a table's columns speak of; below the paper's scale any, unless it is about one benchmark."""
    tasks = [task for task in results.arms if _comparable(results, task, entry.unit)]
    if entry.benchmark and len(entry.columns) > 1:
        return [task for task in tasks if _is_version(task, entry)]
    return [task for task in tasks if results.scale != "paper" or _named_in(results, task, entry.columns)]


def _comparable(results: Results, task: str, unit: str) -> bool:
    """Nats stand beside a perplexity, and nowhere else."""
    return bool(BESIDE[unit]) or (unit == "perplexity") == (results.primary(task).unit == "nats")


def _is_version(task: str, entry: ReportedTable) -> bool:
    """Is it one of the columns, lengths or parts of a benchmark? ``books_10k/pg19``: 10k of PG-19; ``x/pg19_a``: a."""
    dataset, _, name = task.rpartition("/")
    version = dataset.rpartition("_")[2] if _plain(name) == _plain(entry.benchmark) else ""
    named = {_plain(entry.benchmark + column) for column in entry.columns}
    return version in entry.columns or _plain(name) in named


def _measured(results: Results, arms: Sequence[Arm], task: str, unit: str) -> str:
    for arm in arms:
        if arm in results.arms[task] and not results.sick(arm, task):
            try:
                found, shown = measure(results, arm, task, BESIDE[unit] or results.primary(task).name)
            except (Missing, Undefined):
                continue
            if unit == "perplexity":
                value, low, high = (math.exp(nats) for nats in (found.value, found.low, found.high))
                found, shown = replace(found, value=value, low=low, high=high), "number"
            return level(found, shown)
    return "—"


def _curves(reported: Reported) -> str:
    rows = [
        [str(curve.table), curve.model, curve.benchmark, f"`{name}`", ", ".join(f"{y:g} @ {x:g}" for y, x in points)]
        for curve in reported.curves
        for name, points in curve.points.items()
    ]
    return table(["table", "model", "benchmark", "method", "accuracy @ mean length"], rows)


def _effective(method: str, scores: Mapping[Arm, Score]) -> str:
    """One method's settings: what all its arms share as JSON, what differs as a table."""
    flat = {arm: _flat(score.settings) for arm, score in scores.items()}
    keys = sorted({key for values in flat.values() for key in values})
    same = {key: value for key in keys for value in [next(iter(flat.values())).get(key)] if _agree(flat, key)}
    text = code(json.dumps(same, indent=1, sort_keys=True, default=str), "json")
    differing = [key for key in keys if key not in same]
    if differing:
        names = labels(scores)
        rows = [[f"`{names[arm]}`", *(_value(values.get(key)) for key in differing)] for arm, values in flat.items()]
        text += "\n\n" + table(["arm", *(f"`{key}`" for key in differing)], rows)
    return folded(f"Effective settings of <code>{method}</code> ({count(len(scores), 'arm')})", text)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("versions", "first_prompt", "code", "commit", "checkpoint", "method")
    config = settings.get("config") or {}
    return {**config, **{key: value for key, value in settings.items() if key not in (*left_out, "config")}}


def _agree(flat: Mapping[Arm, Mapping[str, Any]], key: str) -> bool:
    return len({json.dumps(values.get(key), sort_keys=True, default=str) for values in flat.values()}) == 1


def _prompts(results: Results) -> list[str]:
    """One prompt a task, and one more where a runtime renders it otherwise."""
    found: dict[tuple[str, str], str] = {}
    for (arm, task, _), score in sorted(results.scores.items(), key=lambda item: _place(item[0])):
        prompt = str(score.settings.get("first_prompt", ""))
        if prompt:
            found.setdefault((task, prompt), f"`{task}`, as given to `{arm}`:\n\n{code(prompt, 'text')}")
    return list(found.values())


def _place(key: tuple[Arm, str, int]) -> tuple[str, str, int]:
    arm, task, seed = key
    return task, str(arm), seed


def _code(score: Score) -> str:
    return str(score.settings.get("code", ""))[:12]


def _value(value: object) -> str:
    return f"`{json.dumps(value, default=str)}`"


def _cell(value: Cell, digits: int) -> str:
    return "—" if value is None else value if isinstance(value, str) else f"{value:.{digits}f}"


def _named_in(results: Results, task: str, columns: Sequence[str]) -> bool:
    """Is the task a column, or the split that it asks: ``math500_templated`` asks ``math500``?"""
    split = results.tasks[task].split if task in results.tasks else ""
    return not {_plain(task.rpartition("/")[2]), _plain(split)}.isdisjoint(_plain(column) for column in columns)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
