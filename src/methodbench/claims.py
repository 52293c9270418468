"""Claims and their verdicts.

Rules, for the effect in the claimed direction:

    holds            significant and at least `at_least`, and no control explains it
    holds, but a     the same, but `left` does not beat a control significantly, and that control alone
    control ...      reaches half of the effect or more
    direction only   significant but smaller than `at_least`; or not significant although the test was strong enough
    does not hold    significant in the other direction; or not significant, and the interval excludes an effect
                     that counts
    underpowered     not significant, and an effect that counts could easily have been missed
    not comparable   an arm is missing or invalid, or the scale is smoke, which makes no claims

*Significant*: Holm-adjusted p < 0.05 over every comparison that the report prints: the claims and, for each of their
controls, `left` against the control. *An effect that counts*: `at_least`; where a claim gives none, 1 point of a
share, 5 % of an efficiency gain, 0.3 of a rank correlation, 5 % of the right side's mean of anything else. *Strong
enough*: the effect that the test finds with power 0.8 is no larger than that.

Why both conditions on a control. Not beating it is not enough: a control measured on few items is beaten by nobody
and would explain everything. Half of the effect is not enough: a strong control that is still clearly beaten leaves
a gain that is the method's own. Where a control reaches half and is beaten, the claim holds and the sentence below it
says how much the control reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from methodbench.compare import EFFICIENCY, MINUS, Comparison, compare, correlate
from methodbench.results import Results
from methodbench.stats import holm
from methodbench.study import Claim
from methodbench.wording import amount, change, count, effect, percent, probability

Key = tuple[str, str, str]  # left, right, metric; of a rank correlation its checkpoint, "" and columns
Verdict = Literal[
    "holds", "holds, but a control explains it", "direction only", "does not hold", "underpowered", "not comparable"
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
LEVEL = 0.05
EXPLAINS = 0.5  # share of the effect that a control must reach alone

NO_CLAIMS = "the smoke scale checks that everything runs; it makes no claims"


@dataclass(frozen=True)
class Control:
    """One control of a claim."""

    name: str
    against: Comparison  # left - control
    alone: Comparison  # control - right
    p: float  # of `against`, Holm-adjusted
    beaten: bool  # left is significantly better
    reaches: float  # share of the effect that the control gives alone
    explains: bool
    note: str


@dataclass(frozen=True)
class Judgement:
    """A claim, its verdict and why."""

    claim: Claim
    verdict: Verdict
    comparison: Comparison
    p: float  # Holm-adjusted
    controls: tuple[Control, ...]
    why: str


def judge(results: Results) -> list[Judgement]:
    """The verdict on every claim of a study, in the order of its file.

    Raises:
        UserError: a claim names an arm that means nothing or several things.
    """
    claims = results.study.claims
    if results.scale == "smoke":
        nothing = [Comparison(*_key(claim), reason=NO_CLAIMS) for claim in claims]
        return [
            Judgement(claim, "not comparable", empty, 1.0, (), _sentence(NO_CLAIMS))
            for claim, empty in zip(claims, nothing, strict=True)
        ]
    made: dict[Key, Comparison] = {}
    for claim in claims:
        if claim.rank and _key(claim) not in made:
            where = f"study {results.study.study}: claims.{claim.id}.rank"
            made[_key(claim)] = correlate(results, claim.checkpoint, claim.rank, where)

    def get(key: Key) -> Comparison:
        if key not in made:
            made[key] = compare(results, *key)
        return made[key]

    printed = dict.fromkeys(key for claim in claims for key in (_key(claim), *_against(claim)))
    tested = [key for key in printed if get(key).effect is not None]
    adjusted = dict(zip(tested, holm([_p(get(key)) for key in tested]), strict=True))
    judgements = []
    for claim in claims:
        main, p = get(_key(claim)), adjusted.get(_key(claim), 1.0)
        controls = tuple(
            _control(claim, main, get(key), get((name, claim.right, key[2])), adjusted.get(key, 1.0))
            for name, key in zip(claim.controls, _against(claim), strict=True)
        )
        verdict, why = decide(claim, main, p, controls, len(tested))
        judgements.append(Judgement(claim, verdict, main, p, controls, _sentence(why)))
    return judgements


def decide(
    claim: Claim, comparison: Comparison, p: float, controls: tuple[Control, ...], tests: int
) -> tuple[Verdict, str]:
    """The verdict by the rules above, and the reason in words. `p` is Holm-adjusted over `tests` comparisons."""
    found = comparison.effect
    if found is None:
        return "not comparable", comparison.reason
    unit, sign = comparison.unit, 1 if claim.direction == "greater" else -1
    gain, counts = sign * found.value, smallest_effect(claim.at_least, comparison)
    best = max(sign * found.low, sign * found.high)  # the most favourable end of the interval
    tested = f"{probability(p)} after correction for {count(tests, 'comparison')}"
    if found.se_seeds is None:
        tested += "; one seed, so the spread between seeds is unknown"
    seen, enough = effect(found, unit), amount(counts, unit)
    if p < LEVEL and gain < 0:
        return "does not hold", f"the effect goes the other way: {seen} ({tested})"
    if p < LEVEL and gain < claim.at_least:
        return "direction only", f"the effect is real but smaller than the {enough} that count here: {seen} ({tested})"
    if p < LEVEL:
        return _with_controls(f"{seen} ({tested})", controls)
    if best < counts:
        reach = f"at best {change(sign * best, unit)}" if best > 0 else "nothing in the claimed direction"
        return "does not hold", f"{seen}: {reach}, where {enough} would count ({tested})"
    reliable = amount(found.minimum_detectable, unit)
    if found.minimum_detectable > counts and found.p < LEVEL:
        return "underpowered", (
            f"{seen} would be significant on its own, but not among so many comparisons ({tested}); "
            "more seeds or items would tell"
        )
    if found.minimum_detectable > counts:
        return "underpowered", (
            f"{seen} is not significant ({tested}); with these items and seeds only effects of {reliable} or more "
            f"would be found reliably, and {enough} would count"
        )
    return "direction only", (
        f"{seen} points the right way but is not significant ({tested}), although an effect of {reliable} would "
        "have been found reliably"
    )


def smallest_effect(at_least: float, comparison: Comparison) -> float:
    """The smallest effect that counts, in the metric's unit: `at_least`, or by the unit where that is 0."""
    if at_least > 0:
        return at_least
    return {"share": 0.01, "gain": 0.05, "rho": 0.3, "number": 0.05 * abs(comparison.base)}[comparison.unit]


def _with_controls(head: str, controls: tuple[Control, ...]) -> tuple[Verdict, str]:
    lost = [control for control in controls if control.against.effect is None or control.alone.effect is None]
    if lost:
        reason = lost[0].against.reason or lost[0].alone.reason
        return "not comparable", f"{head}, but the control `{lost[0].name}` cannot be compared: {reason}"
    guilty = [control for control in controls if control.explains]
    if guilty:
        most = max(guilty, key=lambda control: control.reaches)
        return "holds, but a control explains it", f"{head}; but {most.note}"
    notes = [control.note for control in controls if control.reaches >= EXPLAINS or not control.beaten]
    beaten = f"; beats {count(len(controls), 'control')}" if controls and all(c.beaten for c in controls) else ""
    return "holds", "; ".join([head + beaten, *notes])


def _control(claim: Claim, main: Comparison, against: Comparison, alone: Comparison, p: float) -> Control:
    name = against.right
    if main.effect is None or against.effect is None or alone.effect is None:
        note = f"the control `{name}` cannot be compared"
        return Control(name, against, alone, p, False, 0.0, False, note)
    sign = 1 if claim.direction == "greater" else -1
    beaten = p < LEVEL and sign * against.effect.value > 0
    reaches = alone.effect.value / main.effect.value if main.effect.value else 0.0
    margin = effect(against.effect, against.unit)
    worse = "does worse:" if p < LEVEL else "is not clearly better than it:"
    outcome = "beats it by" if beaten else worse
    reached = (
        f"reaches {percent(max(0.0, reaches))} of the effect" if reaches < 10 else "reaches far more than the effect"
    )
    note = f"the control `{name}` alone {reached} and `{claim.left}` {outcome} {margin}"
    return Control(name, against, alone, p, beaten, reaches, not beaten and reaches >= EXPLAINS, note)


def _key(claim: Claim) -> Key:
    if claim.rank:
        return claim.checkpoint, "", ":".join(claim.rank)
    return claim.left, claim.right, MINUS.join(claim.metrics())


def _against(claim: Claim) -> list[Key]:
    return [(claim.left, name, MINUS.join(claim.metrics())) for name in claim.controls]


def _p(comparison: Comparison) -> float:
    return comparison.effect.p if comparison.effect else 1.0


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


__all__ = ["EFFICIENCY", "VERDICTS", "Control", "Judgement", "Verdict", "decide", "judge", "smallest_effect"]
