"""The list of a scale's reports, reports/SCALE/index.md: every claim with its effect, what it cost, what was not run.

It is made from the studies' verdicts.json alone, so that it lists reports that came with a clone as well as one's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from methodbench.claims import VERDICTS, Verdict
from methodbench.errors import UserError, nearest
from methodbench.markdown import code, folded, plain, section, small, table
from methodbench.stacked import how_to_read, pair_blocks, pair_counts, pair_table
from methodbench.study import Study
from methodbench.verdicts import NAME
from methodbench.wording import count, listed, percent, tally

SCALE_SENTENCE = {
    "smoke": "**Smoke: no claims.** Models a few thousand weights large ran through the whole graph; their numbers "
    "say that everything works, and nothing about any method.",
    "mini": "**In miniature.** Small models on made problems: a verdict says whether the effect that a paper describes "
    "shows at this size, beside controls. It is never a reproduction of the paper's numbers.",
    "paper": "**At the paper's scale**: its models, data and settings, as far as the ledger below says so.",
}
TALLY: dict[Verdict, tuple[str, str]] = {  # of one claim, of several
    "holds": ("holds", "hold"),
    "holds, but a control explains it": ("holds, but a control explains it", "hold, but a control explains them"),
    "direction only": ("shows the direction only", "show the direction only"),
    "does not hold": ("does not hold", "do not hold"),
    "underpowered": ("is underpowered", "are underpowered"),
    "not comparable": ("could not be compared", "could not be compared"),
}
MEANING: dict[Verdict, str] = {
    "holds": "significant after correction for all comparisons of its study, large enough to count, and no control "
    "does as well.",
    "holds, but a control explains it": "the same, but a simpler arm, which lacks what the paper credits, gains at "
    "least half of the effect and is not significantly worse.",
    "direction only": "significant but too small to count; or not significant although the test was strong enough.",
    "does not hold": "significant the other way; or the interval excludes any effect that counts.",
    "underpowered": "not significant after that correction (although its interval alone may leave out zero), and an "
    "effect that counts could easily have been missed: it says nothing for or against the claim.",
    "not comparable": "an arm is missing or its answers are unusable; at scale smoke always.",
}
HOW_TO_READ = """
- **Effect**: what the claim's left side has over its right, with a 95 % interval over items and training seeds. \
Where a claim says that something falls, a negative effect bears it out; the verdict knows the direction.
- **Controls**: arms without the ingredient that the paper credits; the share is what one reaches alone.
- **Cost**: core time of the study's own jobs, as the jobs measured it: their wall time, times their threads.
""".strip()


def render_index(root: Path, scale: str, studies: Sequence[Study], paper: Sequence[str] = ()) -> Path:
    """Write the list of a scale's reports and return its path.

    paper: names of the studies at the papers' own scale, which a page of a smaller scale mentions.
    """
    folder = root / "reports" / scale
    told = {study.study: _told(folder, study.study) for study in studies}
    ordered = sorted(studies, key=lambda study: study.study)
    reported = [(study, found) for study in ordered for found in [told[study.study]] if found]
    claims = [claim for _, found in reported for claim in found["claims"]]
    blocks = [
        f"# Reports at scale {scale}",
        _summary(claims, len(reported)) if scale != "smoke" else "",
        SCALE_SENTENCE[scale],
        _studies(reported),
        section("Every claim", *_claims(reported), _how_to_read(claims)),
        section("Stacked methods", *_stacked(reported)),
        section("What was not run, and why", _not_run(root, scale, ordered, told, paper)),
        section("How to check", _how_to_check(scale)),
    ]
    path = folder / "index.md"
    write(path, "\n\n".join(block for block in blocks if block) + "\n")
    return path


def write(path: Path, text: str) -> None:
    """Write a file so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _told(folder: Path, study: str) -> dict[str, Any]:
    """What a study's verdicts.json holds; empty if it has no report."""
    file = folder / study / NAME
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _summary(claims: Sequence[Mapping[str, Any]], studies: int) -> str:
    if not claims:
        return ""
    found = [claim["verdict"] for claim in claims]
    parts = [
        f"{found.count(verdict)} {TALLY[verdict][found.count(verdict) > 1]}" for verdict in VERDICTS if verdict in found
    ]
    reports = f"{studies} report" if studies == 1 else f"{studies} reports"
    return f"**{count(len(claims), 'claim')} in {reports}: {'; '.join(parts)}.**"


def _studies(reported: Sequence[tuple[Study, Mapping[str, Any]]]) -> str:
    rows, total = [], 0.0
    for study, told in reported:
        counts = tally([claim["verdict"] for claim in told["claims"]], VERDICTS) + pair_counts(told.get("pairs", []))
        seconds = told["cost"] and told["cost"]["core_s"]
        total += seconds or 0.0
        parents = {
            name.partition("/")[0] for spec in study.checkpoints.values() for name in spec.parents if "/" in name
        }
        beside = small(f"on checkpoints of {listed(sorted(parents))}, counted there") if parents else ""
        rows.append(
            [
                f"[{plain(study.title or study.study)}]({study.study}.md)"
                + (small("made only when it is named") if study.optional else ""),
                "<br>".join(counts) or "no claims",
                str(told["arms"]),
                str(told["seeds"]),
                ("not known" if seconds is None else _minutes(seconds)) + beside,
            ]
        )
    if not rows:
        return "No study has a report yet."
    text = table(["study", "verdicts", "arms", "seeds", "cost"], rows, right=(2, 3, 4))
    return f"{text}\n\nAltogether {_minutes(total)}." if total and len(rows) > 1 else text


def _claims(reported: Sequence[tuple[Study, Mapping[str, Any]]]) -> list[str]:
    """A table a study, its claims in the order of its file."""
    return [
        f"### [{study.study}]({study.study}.md), {count(told['seeds'], 'seed')}\n\n"
        f"{_claim_table(told['claims'], f'{study.study}.md')}"
        for study, told in reported
        if told["claims"]
    ]


def _claim_table(claims: Sequence[Mapping[str, Any]], page: str) -> str:
    rows = [
        [
            f"[{plain(claim['id'])}]({page}#{claim['anchor']})",
            plain(claim["says"]),
            f"**{claim['verdict']}**",
            claim["shown"] or "—",
            _controls(claim),
        ]
        for claim in claims
    ]
    return table(["", "claim", "verdict", "effect [95 % interval]", "controls"], rows)


def quoted(root: Path, report: str, names: Sequence[str]) -> str:
    """Some claims, or some stacks, of ``reports/REPORT.md``, as a table for a page in the folder `root`.

    Raises:
        UserError: there is no such report, it has no such claim or stack, or claims and stacks are mixed.
    """
    page, (scale, study) = f"reports/{report}.md", report.split("/")
    told = _told(root / "reports" / scale, study)
    claims = {claim["id"]: claim for claim in told.get("claims", [])}
    pairs = {pair["id"]: pair for pair in told.get("pairs", [])}
    if names and all(name in pairs for name in names):
        return pair_table([pairs[name] for name in names], page)
    for name in names:
        if name not in claims:
            raise UserError(f"{page} has no claim '{name}'; {nearest(name, [*claims, *pairs])}")
    return _claim_table([claims[name] for name in names], page)


def _stacked(reported: Sequence[tuple[Study, Mapping[str, Any]]]) -> list[str]:
    """The matrix and table of each study that puts methods on top of each other."""
    blocks = []
    for study, told in reported:
        page = f"{study.study}.md"
        shown = [block for block in pair_blocks(told.get("pairs", []), study.study, page) if block]
        if shown:
            blocks += [f"### [{study.study}]({page}), {count(told['seeds'], 'seed')}", *shown]
    return [*blocks, how_to_read()] if blocks else []


def _controls(claim: Mapping[str, Any]) -> str:
    """What the controls say, in a word; "" where there are none or the effect itself is not there."""
    if not claim["verdict"].startswith("holds"):
        return ""
    names: dict[str, list[str]] = {}
    for control in claim["controls"]:
        share = percent(control["reaches"]) if abs(control["reaches"]) < 10 else "far more"
        shown = f"`{control['name']}`" + (f" ({share})" if control["outcome"] == "explains" else "")
        names.setdefault(control["outcome"], []).append(shown)
    words = {"explains": "explained by", "beaten": "beats", "not beaten": "does not clearly beat"}
    return "; ".join(f"{word} {listed(names[outcome])}" for outcome, word in words.items() if outcome in names)


def _minutes(seconds: float) -> str:
    """``"0.4 core-minutes"``, ``"26 core-minutes"``."""
    minutes = seconds / 60
    return f"{minutes:.1f} core-minutes" if minutes < 9.95 else f"{minutes:.0f} core-minutes"


def _how_to_read(claims: Sequence[Mapping[str, Any]]) -> str:
    if not claims:
        return ""
    found = {claim["verdict"] for claim in claims}
    meanings = [f"- **{verdict}**: {MEANING[verdict]}" for verdict in VERDICTS if verdict in found]
    return folded("How to read this", "\n".join([*meanings, HOW_TO_READ]))


def _not_run(
    root: Path, scale: str, studies: Sequence[Study], told: Mapping[str, Mapping[str, Any]], paper: Sequence[str]
) -> str:
    lines = []
    for study in studies:
        title, found = plain(study.title or study.study), told[study.study]
        if found.get("missing"):
            share = f"{found['missing']} of {found['missing'] + found['scores']} scores"
            lines.append(f"**{title}**: {share} are not there yet.")
        if found:
            continue
        command = f"`snakemake --cores all --config scale={scale} studies={study.study}`"
        about = plain(re.split(r"(?<=[.!?])\s", study.about.strip(), maxsplit=1)[0])
        why = f"optional, run by name only. {about}" if study.optional else "no report yet."
        lines.append(f"**{title}**: {why} Run it with {command}.")
    if paper and scale != "paper":
        done = [name for name in paper if (root / "reports" / "paper" / f"{name}.md").exists()]
        ran = listed([f"[{name}](../paper/{name}.md)" for name in done])
        left = listed([f"`{name}`" for name in paper if name not in done])
        if ran:
            lines.append(f"**The papers' own scale** (`config/paper`): {ran} have reports.")
        if left:
            lines.append(
                f"**The papers' own scale** (`config/paper`): {left}. These need GPUs, and weights and data from the "
                "Hugging Face hub; they are checked as far as a machine without either can, and not run."
            )
    return "\n".join(f"- {line}" for line in lines)


def _how_to_check(scale: str) -> str:
    lead = (
        "A claim's link leads to its verdict on the study's page; the samples and the MLflow run of every number stand "
        "below it. Both lie in `results/`, which no clone holds: the first command makes it."
    )
    commands = [
        f"snakemake --cores all --config scale={scale}   # make it all again; what is finished stays",
        f"methodbench verify --scale {scale} --study STUDY   # report = samples = MLflow",
    ]
    return f"{lead}\n\n{code(chr(10).join(commands), 'bash')}"
