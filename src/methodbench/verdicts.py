"""The file verdicts.json: a report's verdicts for programs, such as the list of reports, the tracker and `verify`.

Of the study: `study`; `arms` and `seeds`, how many; `scores` and `missing`, how many of those asked for are there and
how many are not; `cost`, null where it is not known, else `jobs`, their `wall_s` and `core_s`, seconds in all, the
latter times the threads that each job was given.

Of each of its `claims`, in the order of the study's file: `id`, `says`, `verdict`, `why` and `source` as on the page;
`effect` with `low`, `high` (95 %) and corrected `p`, `unit` and `least_detectable` (null without an effect); `shown`,
the effect with its interval in words; `controls`, each with `name`, `outcome` (explains, beaten, not beaten, not
comparable) and `reaches`, the share of the effect that it gives alone; `anchor`, the claim's place on the page.

Of each of its `pairs`, only in a study that has some, and twice where both orders were run: `id`; `first` and `second`,
the methods; `metric`; `first_alone`, `second_alone`, `both` (less the base) and `interaction`, each with `effect`,
`low`, `high`, `unit` and `shown`, the interaction also with corrected `p` and `least_detectable`; `order`, the same
with `p`, or null; `word` and `why`.

Files that older reports left hold less: of the study `study`, `arms`, `seeds`; of a claim `id` to `why`, `effect`,
`low`, `high` and `p`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from methodbench.claims import Control, Judgement
from methodbench.context import ReportContext
from methodbench.interactions import Stacked
from methodbench.results import Results
from methodbench.stacked import pair_verdicts
from methodbench.wording import effect

NAME = "verdicts.json"


def verdicts(
    results: Results, judgements: Sequence[Judgement], context: ReportContext, stacks: Sequence[Stacked] = ()
) -> dict[str, Any]:
    """What verdicts.json holds of a study."""
    arms = {arm for arms in results.arms.values() for arm in arms}
    wanted = sum(len(found) for found in results.arms.values()) * len(results.study.seeds)
    cost = {
        "jobs": len(context.seconds),
        "wall_s": round(sum(context.seconds.values()), 1),
        "core_s": round(sum(wall * context.threads.get(job, 1) for job, wall in context.seconds.items()), 1),
    }
    return {
        "study": results.study.study,
        "arms": len(arms),
        "seeds": len(results.study.seeds),
        "scores": len(results.scores),
        "missing": wanted - len(results.scores),
        "cost": cost if context.seconds else None,
        "claims": [_claim(judgement) for judgement in judgements],
        **({"pairs": pair_verdicts(stacks)} if stacks else {}),
    }


def anchor(claim: str) -> str:
    """Where a claim stands on its study's page: ``"C2a"`` -> ``"claim-c2a"``."""
    return "claim-" + re.sub(r"[^a-z0-9]+", "-", claim.lower())


def _claim(judgement: Judgement) -> dict[str, Any]:
    claim, found = judgement.claim, judgement.comparison.effect
    return {
        "id": claim.id,
        "says": claim.says,
        "verdict": judgement.verdict,
        "why": judgement.why,
        "source": claim.source,
        "effect": found.value if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "p": judgement.p if found else None,
        "unit": judgement.comparison.unit if found else None,
        "least_detectable": found.minimum_detectable if found else None,
        "shown": effect(found, judgement.comparison.unit) if found else "",
        "controls": [
            {"name": control.name, "outcome": _outcome(judgement, control), "reaches": control.reaches}
            for control in judgement.controls
        ],
        "anchor": anchor(claim.id),
    }


def _outcome(judgement: Judgement, control: Control) -> str:
    if control.against.effect is None or control.alone.effect is None:
        return "not comparable"
    if control.explains and judgement.verdict == "holds, but a control explains it":
        return "explains"
    return "beaten" if control.beaten else "not beaten"
