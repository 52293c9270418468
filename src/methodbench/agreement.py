"""Do report, files and MLflow say the same? Recomputes a report's numbers from samples and reads MLflow's runs again.

Four comparisons: every score with its samples (`verify`); every claim and number that the report keeps for programs
with what the samples give now; the page's own tables with the same; every score and the report with its MLflow run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from methodbench.claims import Judgement, judge
from methodbench.graph import Graph
from methodbench.interactions import interactions
from methodbench.ledger import experiment, finished
from methodbench.numbers import NAME as NUMBERS
from methodbench.numbers import numbers_text
from methodbench.publication import finished_report
from methodbench.record import IDENTITY, FinishedNode, same, storable, valid_name
from methodbench.results import Results
from methodbench.stacked import pair_verdicts
from methodbench.tables import Row, measured_rows
from methodbench.track import recorded, shown
from methodbench.verdicts import NAME as VERDICTS
from methodbench.verify import verify
from methodbench.wording import count, effect, level, listed

CLOSE = 1e-4  # relative: the report keeps five digits of a number


@dataclass
class Agreement:
    """What differs, a sentence each, and what was compared."""

    wrong: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def add(self, found: Sequence[str], told: str) -> None:
        """One more comparison; of one that found nothing wrong `told` says that."""
        self.wrong += found
        if not found:
            self.told.append(told)


def check(graph: Graph, name: str, uri: str) -> Agreement:
    """All comparisons of one study, in the working directory. A missing report or store is told, it is not wrong.

    Raises:
        UserError: a score file is not one, or a claim names what the study does not score.
    """
    study, agreement = graph.study(name), Agreement()
    results = Results.load(Path(), graph.scale, study.study, study.tasks)
    wanted = sum(len(arms) for arms in results.arms.values()) * len(study.study.seeds)
    agreement.add(
        verify(Path(), graph.scale, study.study),
        f"scores: each of the {count(len(results.scores), 'score')} comes out of its samples again",
    )
    page = Path("reports") / graph.scale / f"{name}.md"
    reported = (page.parent / name / VERDICTS).exists() and page.exists()
    if not reported:
        agreement.told.append(f"report: there is none yet ({page})")
    elif len(results.scores) < wanted:
        missing = f"{wanted - len(results.scores)} of {wanted} scores are not there"
        agreement.told.append(f"report: was not compared, because {missing}")
    else:
        agreement.add(*_report(results, page))
    nodes = [node for node in finished(graph, study) if node.node.kind == "score"]
    if reported:
        nodes.append(finished_report(graph.scale, name, page, 0.0, 0.0))
    agreement.add(*_tracker(nodes, uri, experiment(graph.scale, name)))
    return agreement


def _report(results: Results, page: Path) -> tuple[list[str], str]:
    """The report's files for programs and its page, against what the samples give now."""
    folder = page.with_suffix("")
    judgements = judge(results)
    rows = {task: measured_rows(results, task) for task in results.arms}
    told, pairs = _read(folder / VERDICTS), pair_verdicts(interactions(results))
    sentences = [*_claims(judgements, told), *altered_pairs(pairs, told.get("pairs", []))]
    wrong = [f"{folder / VERDICTS}: {sentence}" for sentence in sentences]
    kept = _numbers(_read(folder / NUMBERS)) if (folder / NUMBERS).exists() else {}
    again = _numbers(json.loads(numbers_text(results, rows))) if kept else {}
    for key in sorted({*kept, *again}):
        old, new = kept.get(key), again.get(key)
        if not _close(old, new):
            wrong.append(f"{folder / NUMBERS}: {key} is {_shown(old)}, the samples give {_shown(new)}")
    cells = list(_cells(judgements, rows))
    lines = page.read_text(encoding="utf-8").splitlines()
    for start, texts in cells:
        if not any(line.startswith(start) and all(text in line for text in texts) for line in lines):
            wrong.append(f"{page}: no line '{start.strip('| ')}' says {' and '.join(texts)}, as the samples do")
    compared = [count(len(judgements), "claim"), *([count(len(pairs), "stack")] if pairs else [])]
    compared += [count(len(kept), "number")] if kept else []
    compared.append(f"{count(len(cells), 'row')} of the page")
    return wrong, f"report: {listed(compared)} come out of the samples again"


def _claims(judgements: Sequence[Judgement], told: Mapping[str, Any]) -> Iterator[str]:
    kept = {claim["id"]: claim for claim in told["claims"]}
    for judgement in judgements:
        claim, found = kept.pop(judgement.claim.id, None), judgement.comparison.effect
        if claim is None:
            yield f"lacks claim {judgement.claim.id}"
            continue
        if claim["verdict"] != judgement.verdict:
            yield f"claim {claim['id']}: says '{claim['verdict']}', the samples give '{judgement.verdict}'"
        values = (found.value, found.low, found.high, judgement.p) if found else (None,) * 4
        for name, value in zip(("effect", "low", "high", "p"), values, strict=True):
            if not _close(claim[name], value):
                yield f"claim {claim['id']}: {name} is {_shown(claim[name])}, the samples give {_shown(value)}"
    yield from (f"holds claim {name}, which the study does not make" for name in kept)


def altered_pairs(again: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where the pairs of a verdicts.json are not what the samples give again."""
    kept = {pair["id"]: pair for pair in told}
    for pair in again:
        had = kept.pop(pair["id"], None)
        if had is None:
            yield f"lacks pair {pair['id']}"
            continue
        if had["word"] != pair["word"]:
            yield f"pair {pair['id']}: says '{had['word']}', the samples give '{pair['word']}'"
        for part in ("first_alone", "second_alone", "both", "interaction", "order"):
            for name in ("effect", "low", "high", "p"):
                old, new = ((one[part] or {}).get(name) for one in (had, pair))
                if not _close(old, new):
                    yield f"pair {pair['id']}: {name} of {part} is {_shown(old)}, the samples give {_shown(new)}"
    yield from (f"holds pair {name}, which the study does not make" for name in kept)


def _cells(judgements: Sequence[Judgement], rows: Mapping[str, Sequence[Row]]) -> Iterator[tuple[str, list[str]]]:
    """How each line of the page starts that holds a number, and what it must say."""
    for judgement in judgements:
        found = judgement.comparison.effect
        texts = [effect(found, judgement.comparison.unit)] if found else []
        yield f"| **{judgement.claim.id}**", [f"**{judgement.verdict}**", *texts]
    for row in [row for measured in rows.values() for row in measured]:
        if row.level is not None:
            yield f"| `{row.label}`", [level(row.level, row.unit)]


def _numbers(told: Mapping[str, Any]) -> dict[str, float | None]:
    """The single numbers of numbers.json by a name for people."""
    found: dict[str, float | None] = {}
    for entry in told["numbers"]:
        name = f"`{entry['arm']}` on {entry['task']}"
        for key in ("seeds", "items", "tokens", "prompt_tokens"):
            found[f"{key} of {name}"] = entry[key]
        for metric, values in entry["metrics"].items():
            for word, value in zip(("", "low end of ", "high end of "), values, strict=True):
                found[f"{word}{metric} of {name}"] = value
    return found


def _tracker(nodes: Iterable[FinishedNode], uri: str, name: str) -> tuple[list[str], str]:
    """Every node's metrics against the latest of its MLflow run."""
    runs, why = recorded(uri, name)
    if why:
        return [], f"MLflow: was not compared, because {why}"
    wrong, scores, values = [], 0, 0
    for node in nodes:
        key, scores, values = node.node.key, scores + 1, values + len(node.metrics)
        run = next((run for run in runs.get(key, ()) if run.data.tags.get(IDENTITY) == node.node.identity), None)
        if run is None:
            which = "its MLflow run shows another version of it" if runs.get(key) else "it has no run in MLflow"
            wrong.append(f"{key}: {which}; `methodbench track` and `methodbench report` make MLflow agree")
            continue
        for metric, value in node.metrics.items():
            had = run.data.metrics.get(valid_name(metric))
            if had is None or not same(had, storable(value)):
                wrong.append(f"{key}: '{metric}' is {_shown(value)}, its MLflow run says {_shown(had)}")
    runs_told = f"{count(scores, 'run')} ({count(values, 'value')})"
    return wrong, f"MLflow: {runs_told} of the store at {shown(uri)} say what the files say"


def _close(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return same(left, right) or math.isclose(left, right, rel_tol=CLOSE, abs_tol=1e-9)


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:.6g}"


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
