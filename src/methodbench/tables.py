"""The report's tables of what was measured: verdicts, controls, results, health and cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from methodbench.arms import Arm, labels, resolve, study_runtimes
from methodbench.claims import LEVEL, Control, Judgement
from methodbench.compare import EFFICIENCY, Comparison, measure
from methodbench.context import ReportContext
from methodbench.markdown import folded, plain, small, table
from methodbench.results import Missing, Results
from methodbench.score import HEALTH, samples_path
from methodbench.stats import Estimate, Undefined
from methodbench.study import Choice, Claim, Study
from methodbench.verdicts import anchor
from methodbench.wording import Unit, amount, effect, level, number, percent, probability


@dataclass(frozen=True)
class Row:
    """One arm on one task."""

    arm: Arm
    label: str
    level: Estimate | None
    unit: Unit
    sick: str  # why its numbers are invalid
    missing: str  # why it has none
    tokens: float | None


def measured_rows(results: Results, task: str) -> list[Row]:
    """Every arm of a task, best first; arms without a valid number come last."""
    metric = results.primary(task)
    names = labels(results.arms[task])
    rows = []
    for arm in results.arms[task]:
        found: Estimate | None = None
        unit: Unit = "share"
        missing = ""
        try:
            found, unit = measure(results, arm, task, metric.name)
        except (Missing, Undefined) as reason:
            missing = str(reason)
        row = Row(arm, names[arm], found, unit, results.sick(arm, task), missing, results.cost(arm, task, "tokens"))
        rows.append(row)
    sign = -1 if metric.direction == "greater" else 1
    return sorted(rows, key=lambda row: (row.level is None, bool(row.sick), sign * row.level.value if row.level else 0))


def verdict_table(judgements: Sequence[Judgement], study: Study) -> str:
    """One line a claim, the reason for its verdict in small print below the claim."""
    rows = []
    for judgement in judgements:
        claim, found = judgement.claim, judgement.comparison
        shown = effect(found.effect, found.unit) if found.effect else "—"
        least = amount(found.effect.minimum_detectable, found.unit) if found.effect else "—"
        against = _told(claim)
        rows.append(
            [
                f'**{claim.id}**<a id="{anchor(claim.id)}"></a>',
                plain(claim.says) + small(f"{against}. {plain(judgement.why)}"),
                f"**{judgement.verdict}**",
                shown,
                least,
                plain(claim.source),
            ]
        )
    return table(["", "claim", "verdict", "effect [95 % interval]", "least detectable", "source"], rows)


def control_table(judgements: Sequence[Judgement]) -> str:
    """Every control of every claim: what it reaches alone, and whether the claimed arm beats it."""
    rows = [
        [
            judgement.claim.id,
            f"`{control.name}`",
            _effect(control.alone),
            _share(control),
            _effect(control.against),
            probability(control.p) if control.against.effect else "—",
            _outcome(judgement, control),
        ]
        for judgement in judgements
        for control in judgement.controls
    ]
    head = ["claim", "control", "control − right", "of the effect", "left − control", "corrected", "so the control is"]
    return table(head, rows) if rows else ""


def item_table(judgements: Sequence[Judgement], seeds: Sequence[int]) -> str:
    """For 0/1 metrics: the items on which the two sides differ, and the exact McNemar test, seed by seed."""
    rows = [
        [judgement.claim.id, str(seeds[place]), str(only_left), str(only_right), probability(p)]
        for judgement in judgements
        for place, (only_left, only_right, p) in enumerate(judgement.comparison.items)
    ]
    head = ["claim", "seed", "only left right", "only right right", "exact McNemar (uncorrected)"]
    return table(head, rows, right=(1, 2, 3)) if rows else ""


def result_tables(results: Results, context: ReportContext, task: str, rows: Sequence[Row], folder: Path) -> str:
    """All arms on one task: those with names of their own, then the settings of sweeps, folded."""
    metric = results.primary(task)
    others = [other.name for other in results.tasks[task].metrics[1:]] if task in results.tasks else []
    unit = ", %" if all(row.unit == "share" for row in rows) else ""
    head = ["arm", metric.name.replace("_", " ") + unit, "seed by seed", *(name.replace("_", " ") for name in others)]
    head += ["tokens", "seeds × items", "health", "samples by seed"]

    def lines(part: Sequence[Row]) -> str:
        cells = [_result(results, context, task, row, others, folder) for row in part]
        return table(head, cells, right=(1, *range(3, 4 + len(others))))

    return apart(results, rows, lines)


def health_table(results: Results, task: str) -> str:
    """Share of the answers with each flag, of every arm that has any."""
    names = labels(results.arms[task])
    rows = []
    for arm in results.arms[task]:
        shares = results.health(arm, task)
        if any(share > 0 for share in shares.values()):
            verdict = results.sick(arm, task)
            rows.append([f"`{names[arm]}`", *(number(shares[flag], "share") for flag in HEALTH), verdict or "valid"])
    head = ["arm", *(f"{flag}, %" for flag in HEALTH), "judged"]
    return table(head, rows, right=range(1, 5)) if rows else ""


def cost_table(results: Results, task: str, measured: Sequence[Row]) -> str:
    """Tokens by kind, time and memory; ● marks arms that no other arm beats in both the metric and the tokens."""
    rows = [row for row in measured if row.level is not None and row.tokens is not None]
    best = pareto(rows, results.primary(task).direction == "greater")
    head = [
        "arm",
        "best trade",
        "prompt tokens",
        "ordinary tokens",
        "latent steps",
        "forced tokens",
        "wall, s a seed",
        "peak memory, MB",
    ]

    def lines(part: Sequence[Row]) -> str:
        cells = []
        for row in part:
            cost = {
                key: results.cost(row.arm, task, key)
                for key in ("prompt_tokens", "latent", "forced", "wall_s", "peak_mb")
            }
            ordinary = max(0.0, (row.tokens or 0.0) - (cost["latent"] or 0.0) - (cost["forced"] or 0.0))
            parts = [
                _known(cost["prompt_tokens"], 0),
                f"{ordinary:.1f}",
                *(_known(cost[key], 1) for key in ("latent", "forced")),
            ]
            parts += [_known(cost[key], 0) for key in ("wall_s", "peak_mb")]
            cells.append([f"`{row.label}`", "●" if row.arm in best else "", *parts])
        return table(head, cells, right=range(2, 8))

    return apart(results, rows, lines) if rows else ""


def pareto(rows: Sequence[Row], greater: bool) -> set[Arm]:
    """Arms with a valid number that no other valid arm beats in metric and tokens at once."""
    valid = [
        (row.arm, (1 if greater else -1) * row.level.value, row.tokens)
        for row in rows
        if row.level is not None and row.tokens is not None and not row.sick
    ]
    return {
        arm
        for arm, value, tokens in valid
        if not any(v >= value and t <= tokens and (v > value or t < tokens) for _, v, t in valid)
    }


def on_its_own_items(choice: Choice | None, task: str) -> bool:
    """Whether a setting was picked on the very items that the score is reported on."""
    return choice is not None and choice.on == task


def tags(results: Results, context: ReportContext, tasks: Sequence[str], arm: Arm) -> list[str]:
    """What a reader must know of an arm: its part in the study, and a choice made on items that are reported."""
    spec = study_runtimes(results.study)[arm.runtime].spec
    controls = {
        control
        for claim in results.study.claims
        for metric in claim.metrics()
        for task in [metric.rpartition("/")[0]]
        if task in tasks and not metric.endswith(f"/{EFFICIENCY}")
        for name in claim.controls
        for control in resolve(results.study, name, task)
    }
    role = "control" if arm in controls else _role(context, results.study, arm)
    own = [task for task in tasks if on_its_own_items(spec.choose, task)]
    chosen = f"chosen on {'these very items' if len(tasks) == 1 else f'the items of {own[0]}'}" if own else ""
    return [tag for tag in (role if role in ("baseline", "control") else "", chosen) if tag]


def _role(context: ReportContext, study: Study, arm: Arm) -> str:
    """The runtime's, but under ordinary decoding that of the transform that made the checkpoint.

    A tool, such as one that cuts out what another selected, has its parent's role.
    """

    def role(method: str) -> str:
        return context.methods[method].role if method in context.methods else ""

    runtime, transform, name = role(study_runtimes(study)[arm.runtime].spec.method), "", arm.checkpoint
    while name in study.checkpoints:
        made = study.checkpoints[name]
        transform = role(made.method)
        if transform != "tool" or len(made.parents) != 1:
            break
        name = made.parents[0]
    return transform if runtime == "baseline" and transform in ("method", "control") else runtime


def apart(results: Results, rows: Sequence[Row], lines: Callable[[Sequence[Row]], str]) -> str:
    """A table of the arms with names of their own, and below it the settings of sweeps, folded."""
    runtimes = study_runtimes(results.study)
    named = [row for row in rows if not runtimes[row.arm.runtime].values]
    swept = [row for row in rows if runtimes[row.arm.runtime].values]
    if not named or not swept:
        return lines(rows)
    return f"{lines(named)}\n\n{folded(f'{len(swept)} settings of the sweeps', lines(swept))}"


def _known(value: float | None, digits: int) -> str:
    return "—" if value is None else f"{value:.{digits}f}"


def _result(
    results: Results, context: ReportContext, task: str, row: Row, others: Sequence[str], folder: Path
) -> list[str]:
    seeds = results.seeds(row.arm, task)
    told = tags(results, context, [task], row.arm)
    name = f"`{row.label}`" + (small(", ".join(told)) if told else "")
    if row.level is None:
        return [name, "—", "", *("" for _ in others), "", "", row.missing, ""]
    shown, per_seed = level(row.level, row.unit), " · ".join(number(seed, row.unit) for seed in row.level.per_seed)
    health = ", ".join(
        f"{number(share, 'share')} % {flag}" for flag, share in results.health(row.arm, task).items() if share >= 0.005
    )
    if row.sick:
        shown, per_seed, health = f"~~{shown}~~", f"~~{per_seed}~~", f"**invalid**: {row.sick}"
    extra = [_mean(results, row.arm, task, name) for name in others]
    tokens = "—" if row.tokens is None else number(row.tokens)
    size = f"{row.level.n_seeds} × {row.level.n_items}"
    return [name, shown, per_seed, *extra, tokens, size, health, links(results, context, task, row.arm, seeds, folder)]


def links(results: Results, context: ReportContext, task: str, arm: Arm, seeds: Sequence[int], folder: Path) -> str:
    """Each seed's samples, and its MLflow run where the address is known."""
    found = []
    for seed in seeds:
        path = results.path(arm, task, seed)
        found.append(f"[{seed}]({relative(samples_path(path), folder)})")
        run = context.runs.get(path.relative_to(results.root).as_posix())
        found += [f"([run]({run}))"] if run else []
    return " ".join(found)


def relative(path: Path, folder: Path) -> str:
    """`path` as a link in a file of `folder`."""
    return Path(os.path.relpath(path, folder)).as_posix()


def _mean(results: Results, arm: Arm, task: str, name: str) -> str:
    try:
        found, unit = measure(results, arm, task, name)
    except (Missing, Undefined):
        return "—"
    return number(found.value, unit) + (" %" if unit == "share" else "")


def _outcome(judgement: Judgement, control: Control) -> str:
    """Only an effect that is there can be explained."""
    if control.explains and judgement.verdict == "holds, but a control explains it":
        return "**explains the effect**"
    if control.against.effect is None:
        return "not comparable"
    if control.p < LEVEL:
        return "beaten" if control.beaten else "better itself"
    return "not clearly beaten"


def _effect(comparison: Comparison) -> str:
    return effect(comparison.effect, comparison.unit) if comparison.effect else plain(comparison.reason)


def _share(control: Control) -> str:
    return percent(control.reaches) if control.alone.effect and abs(control.reaches) < 10 else "—"


def _told(claim: Claim) -> str:
    """What is compared with what."""
    if claim.rank:
        x, y = (f"`{column}`" for column in claim.rank)
        return f"Rank correlation (Spearman's rho) of {x} and {y} in the measures of `{claim.checkpoint}`"
    return f"`{claim.left}` against `{claim.right}`, {', less the difference in '.join(map(_metric, claim.metrics()))}"


def _metric(metric: str) -> str:
    task, _, name = metric.rpartition("/")
    shown = "accuracy per token" if name == EFFICIENCY else name.replace("_", " ").replace(":", " / ")
    return f"{shown} on {task}"
