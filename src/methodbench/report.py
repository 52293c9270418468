"""Writes reports/SCALE/STUDY.md with its figures and verdicts (the list of all reports: `index.py`).

The same results give the same bytes: no dates, no random order. What was measured comes from the score and samples
files alone; what the graph and the tracker know besides comes in a `ReportContext`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from methodbench import svg
from methodbench.appendix import choices, how_to_check, reported_beside, settings
from methodbench.claims import VERDICTS, Judgement, judge
from methodbench.context import ModelLine, ReportContext
from methodbench.drawings.matrix import draw_matrix
from methodbench.evidence import evidence
from methodbench.figures import draw
from methodbench.index import SCALE_SENTENCE, write
from methodbench.interactions import Stacked, interactions
from methodbench.joblog import duration
from methodbench.markdown import folded, plain, section, table
from methodbench.numbers import NAME as NUMBERS_FILE
from methodbench.numbers import numbers_text
from methodbench.overview import FEW, families_of_tasks, overview
from methodbench.results import HEALTH_LIMITS, Results
from methodbench.stacked import how_to_read, pair_blocks, pair_summary
from methodbench.study import MATRIX, Study
from methodbench.tables import (
    control_table,
    cost_table,
    health_table,
    item_table,
    measured_rows,
    result_tables,
    verdict_table,
)
from methodbench.verdicts import NAME as VERDICTS_FILE
from methodbench.verdicts import verdicts
from methodbench.verify import verify
from methodbench.wording import count, listed, number, percent

HOW_TO_READ = f"""
- **Interval**: 95 %, over items and training seeds together. Items are resampled in pairs (both arms answer the same \
problems); the spread between seeds is estimated apart and added. With a single seed it is unknown and left out.
- **Corrected** p-values: Holm's correction over every comparison tested in this report, so that many claims do not \
make a lucky one.
- **Least detectable**: the true effect that this many items and seeds would find four times out of five. A null \
result is news only if this is small.
- **Holds, but a control explains it**: a simpler arm, which lacks what the paper credits, gains at least half of the \
effect and is not significantly worse.
- **Efficiency gain**: the area under accuracy-per-token over the lengths that both curves reach, relative to the \
reference curve.
- **Invalid** numbers are struck out: more answers than allowed could not be used \
({", ".join(f"{flag} over {percent(limit)}" for flag, limit in HEALTH_LIMITS.items())} unless the study sets its own \
limits; answers that were cut off at a limit or a budget are not judged by these).
""".strip()

RANKED = """
- **rho**: Spearman's rank correlation of two columns of a checkpoint's `measures.csv` over its rows, such as its \
layers, averaged over seeds. Its p-value comes from permuting one column, alike in all seeds: seeds that repeat one \
pattern count as one. The interval covers rows and seeds."""


def render(root: Path, scale: str, study: Study, context: ReportContext | None = None) -> Path:
    """Write one study's report below `root`/reports and return its path.

    Raises:
        UserError: a claim or figure names what the study does not score, or a score file or reported.yaml is broken.
    """
    context = context or ReportContext()
    folder = root / "reports" / scale
    results = Results.load(root, scale, study, context.tasks)
    judgements = judge(results)
    stacks = interactions(results)
    told = verdicts(results, judgements, context, stacks)
    pairs = told.get("pairs", [])
    pictures = _figures(results, folder)
    _matrix(stacks, folder / study.study)
    tasks = list(results.arms)
    rows = {task: measured_rows(results, task) for task in tasks}
    groups = families_of_tasks(results)
    folds = {task for group in groups for task in group}

    def by_task(make: Callable[[str], str]) -> list[str]:
        return [_under(task, make(task), len(tasks) > 1, task in folds) for task in tasks]

    blocks = [
        f"# {plain(study.title or study.study)}",
        _summary(results, judgements, pairs),
        plain(study.about.strip()),
        section("Verdicts", *_claims(judgements, study, pairs), _evidence(results, judgements, context, folder)),
        section("Stacked methods", *_stacked(pairs, study)),
        section("What was run", _run(results, context), _models(context.models), _missing(results)),
        section(
            "Results",
            *(overview(results, context, group, rows) for group in groups),
            *by_task(lambda task: result_tables(results, context, task, rows[task], folder)),
        ),
        section("Figures", *pictures),
        section("Controls", _controls_intro(judgements), control_table(judgements), _items(results, judgements)),
        section(
            "Settings picked by a score",
            *([choices(results, tasks)] if groups else by_task(lambda task: choices(results, [task]))),
        ),
        section("Reported beside measured", *_reported(results, context)),
        section("Health", _health_intro(results), *by_task(lambda task: health_table(results, task))),
        section("Cost", _COST, *by_task(lambda task: cost_table(results, task, rows[task]))),
        section("Settings ledger", *settings(results)),
        section("How to check", how_to_check(results, context)),
    ]
    path = folder / f"{study.study}.md"
    write(folder / study.study / VERDICTS_FILE, json.dumps(told, indent=1) + "\n")
    write(folder / study.study / NUMBERS_FILE, numbers_text(results, rows))
    write(path, "\n\n".join(block for block in blocks if block) + "\n")
    return path


def _summary(results: Results, judgements: Sequence[Judgement], pairs: Sequence[Mapping[str, Any]]) -> str:
    """The verdicts, and those on stacked methods, in one paragraph of words each."""
    sentence = SCALE_SENTENCE[results.scale]
    if results.scale == "smoke":
        return sentence
    parts = []
    for verdict in VERDICTS:
        found = [judgement.claim.id for judgement in judgements if judgement.verdict == verdict]
        if found:
            parts.append(f"**{verdict}**: {listed(found)}")
    claims = f"Of {count(len(judgements), 'claim')}: {'; '.join(parts)}." if judgements else ""
    stacks = pair_summary(pairs) if pairs else ""
    return "\n\n".join(paragraph for paragraph in (claims, stacks, sentence) if paragraph)


def _claims(judgements: Sequence[Judgement], study: Study, pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    if not judgements:
        return [] if pairs else ["This study makes no claims."]
    ranked = any(judgement.claim.rank for judgement in judgements)
    return [verdict_table(judgements, study), folded("How to read this", HOW_TO_READ + (RANKED if ranked else ""))]


def _stacked(pairs: Sequence[Mapping[str, Any]], study: Study) -> list[str]:
    return [*pair_blocks(pairs, study.study), how_to_read()] if pairs else []


def _matrix(stacks: Sequence[Stacked], folder: Path) -> None:
    drawing = draw_matrix(stacks)
    if drawing is not None:
        svg.save(drawing, "What two methods do together beyond their sum", folder / f"{MATRIX}.svg")


def _evidence(results: Results, judgements: Sequence[Judgement], context: ReportContext, folder: Path) -> str:
    text = evidence(results, judgements, context, folder) if results.scale != "smoke" else ""
    return folded("Samples and MLflow runs behind every claim", text) if text else ""


def _run(results: Results, context: ReportContext) -> str:
    """What was run and on what, in a few lines."""
    arms = {arm for arms in results.arms.values() for arm in arms}
    runtimes = {arm.runtime for arm in arms}
    lines = [
        f"{count(len(arms), 'arm')} ({count(len({arm.checkpoint for arm in arms}), 'checkpoint')}, "
        f"{count(len(runtimes), 'way')} of running them), {count(len(results.study.seeds), 'seed')}: "
        f"{listed([str(seed) for seed in results.study.seeds])}"
    ]
    lines += _sizes(results)
    if context.machine:
        lines.append(f"Machine: {plain(context.machine)}")
    if context.commit:
        lines.append(
            f"Commit: `{context.commit}`" + (f", study `{context.config_file}`" if context.config_file else "")
        )
    if context.seconds:
        lines.append(
            f"Computing time: {duration(sum(context.seconds.values()))} in {count(len(context.seconds), 'job')}"
        )
    notes = [f"**Older code**: {plain(note)}" for note in context.stale]
    text = "\n".join(f"- {line}" for line in (lines if len(notes) > FEW else lines + notes))
    if len(notes) > FEW:
        items = "\n".join(f"- {note}" for note in notes)
        text += f"\n\n{folded(f'{len(notes)} results were made by older code', items)}"
    if not context.seconds:
        return text
    jobs = [[f"`{job}`", duration(seconds)] for job, seconds in sorted(context.seconds.items())]
    return f"{text}\n\n{folded('Time of every job', table(['job', 'wall'], jobs, right=(1,)))}"


def _sizes(results: Results) -> list[str]:
    """How many items each task has and what guessing gives; many tasks that agree share a line."""
    told: dict[str, list[str]] = {}
    for task in results.arms:
        sizes = sorted({score.n for (_, name, _), score in results.scores.items() if name == task})
        chance = results.tasks[task].chance if task in results.tasks else 0.0
        guess = f"; blind guessing gives {number(chance, 'share')} %" if chance else ""
        told.setdefault(f"{listed([str(size) for size in sizes]) or 'no'} items{guess}", []).append(f"`{task}`")
    return [
        line
        for text, tasks in told.items()
        for line in ([f"{listed(tasks)}: {text}"] if len(tasks) > FEW else [f"{task}: {text}" for task in tasks])
    ]


def _models(models: Sequence[ModelLine]) -> str:
    rows = [
        [
            f"`{model.name}`",
            f"`{model.method}`" if model.method else "",
            ", ".join(f"`{parent}`" for parent in model.parents),
            model.architecture,
            "" if model.parameters is None else f"{model.parameters:,}".replace(",", " "),
        ]
        for model in models
    ]
    return table(["checkpoint", "made by", "from", "architecture", "parameters"], rows, right=(4,)) if rows else ""


def _missing(results: Results) -> str:
    lost = [
        f"`{arm}` on {task} (seed {listed([str(seed) for seed in seeds])})"
        for task, arms in results.arms.items()
        for arm in arms
        for seeds in [[seed for seed in results.study.seeds if (arm, task, seed) not in results.scores]]
        if seeds
    ]
    return f"**Not scored yet**: {listed(lost)}." if lost else ""


def _figures(results: Results, folder: Path) -> list[str]:
    blocks = []
    for figure in results.study.figures:
        drawn = draw(results, figure, folder / results.study.study)
        caption = " ".join(plain(text) for text in (figure.caption, *(f"{note}." for note in drawn.notes)) if text)
        if drawn.path is None:
            blocks.append(f"*{plain(figure.title)}*: {caption}")
            continue
        place = drawn.path.relative_to(folder).as_posix()
        shown = f"![{plain(figure.title)}]({place})"
        blocks.append("\n\n".join(part for part in (shown, caption, drawn.table) if part))
    return blocks


def _controls_intro(judgements: Sequence[Judgement]) -> str:
    if not any(judgement.controls for judgement in judgements):
        return ""
    return (
        "A control is an arm without the ingredient that the paper credits. *Control − right* is what it gains over "
        "the claim's right side by itself; *left − control* is what is left for the method."
    )


def _items(results: Results, judgements: Sequence[Judgement]) -> str:
    text = item_table(judgements, results.study.seeds)
    return folded("Items on which the two sides differ, seed by seed", text) if text else ""


def _reported(results: Results, context: ReportContext) -> list[str]:
    blocks = reported_beside(results, context)
    return [SCALE_SENTENCE[results.scale], *blocks] if blocks else []


def _health_intro(results: Results) -> str:
    limits = {**HEALTH_LIMITS, **results.study.health}
    allowed = listed([f"{flag} {percent(limit)}" for flag, limit in limits.items() if limit < 1])
    if not results.scores:
        return ""
    return (
        "Answers that were cut off (*truncated*), never left their thinking (*unclosed*), hold no answer that can be "
        f"read (*unparsable*) or are *empty*. {f'Allowed at most: {allowed}' if allowed else 'No limit is set'}; "
        "answers cut off at a token limit or budget are left out when the other flags are judged."
    )


_COST = (
    "Means per answer. *Latent steps* were fed a mixture of embeddings instead of a token; *forced tokens* were put in "
    "by the method; ● marks arms that no other valid arm beats in both the metric and the tokens."
)


def _under(task: str, text: str, several: bool, fold: bool) -> str:
    """The task's name above its part: a heading, or a line that opens it where an overview stands above."""
    if not several or not text:
        return text
    return folded(f"<code>{task}</code>", text) if fold else f"### {task}\n\n{text}"


__all__ = ["ModelLine", "ReportContext", "render", "verify"]
