"""Methods on top of each other: what two do together beyond the sum of what each does alone, and what their order does.

For arms base, A, B and AB (first A, then B) of one metric, over the seeds and items that all four share:

    A alone  A - base          B alone  B - base          both  AB - base
    interaction  (AB - B) - (A - base)          order  AB - BA

Words for an interaction, in this order:

    adds up              the whole interval is smaller than what counts; or it is not significant although the test was
                         strong enough
    helps more together  significant, and better than the sum
    helps less together  significant, and worse than the sum
    unclear              not significant, and an interaction that counts could easily have been missed
    not comparable       an arm is missing or invalid, or the scale is smoke

*Significant*, *what counts* and *strong enough* are those of `claims`, except that Holm's correction is over all
interactions and effects of the order that the study asks for, apart from its claims. An arm that is applied in the
other order, BA, has an interaction of its own, (BA - A) - (B - base).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from methodbench.claims import LEVEL, NO_CLAIMS, smallest_effect
from methodbench.compare import Comparison, compare, compare_sum
from methodbench.results import Results
from methodbench.stats import holm
from methodbench.study import Pair
from methodbench.wording import amount, count, effect, probability

Word = Literal["helps more together", "helps less together", "adds up", "unclear", "not comparable"]
Parts = tuple[Comparison, Comparison, Comparison]  # the first alone, the second alone, both
WORDS: tuple[Word, ...] = get_args(Word)


@dataclass(frozen=True)
class Stacked:
    """Two methods in one order. A pair with `reverse` gives two of them, the effect of the order with the first."""

    id: str  # the pair's, with "_reverse" where its second method comes first
    first: str
    second: str
    metric: str
    first_alone: Comparison
    second_alone: Comparison
    both: Comparison
    interaction: Comparison
    p: float  # Holm-adjusted, of the interaction
    better: int  # 1 where a greater metric is better, -1 where a smaller one is
    word: Word
    why: str
    counts: float = 0.0  # smallest interaction that counts
    order: Comparison | None = None
    p_order: float = 1.0  # Holm-adjusted

    @property
    def significant(self) -> bool:
        """Whether there is an interaction, however small."""
        return self.interaction.effect is not None and self.p < LEVEL


def interactions(results: Results) -> list[Stacked]:
    """Every pair of a study in the order of its file, each that has a `reverse` in both orders.

    Raises:
        UserError: a pair names an arm that means nothing or several things.
    """
    stacks = [(pair, turned) for pair in results.study.pairs for turned in orders(pair)]
    if results.scale == "smoke":
        return [_untested(results, pair, turned) for pair, turned in stacks]
    found = [_interaction(results, pair, turned) for pair, turned in stacks]
    ordered = [
        compare(results, pair.both, pair.reverse, pair.metric) if pair.reverse and not turned else None
        for pair, turned in stacks
    ]
    tested = [one for one in (*found, *ordered) if one is not None and one.effect is not None]
    p_values = holm([one.effect.p for one in tested if one.effect])
    adjusted = {id(one): p for one, p in zip(tested, p_values, strict=True)}
    told = []
    for (pair, turned), interaction, order in zip(stacks, found, ordered, strict=True):
        p, better = adjusted.get(id(interaction), 1.0), _better(results, pair)
        word, why = decide(pair.at_least, interaction, p, len(tested), better)
        first, second, both = _parts(results, pair, turned, interaction)
        told.append(
            Stacked(
                *_names(pair, turned),
                metric=pair.metric,
                first_alone=first,
                second_alone=second,
                both=both,
                interaction=interaction,
                p=p,
                better=better,
                word=word,
                why=_sentence(why),
                counts=smallest_effect(pair.at_least, interaction),
                order=order,
                p_order=adjusted.get(id(order), 1.0),
            )
        )
    return told


def decide(at_least: float, comparison: Comparison, p: float, tests: int, better: int) -> tuple[Word, str]:
    """The word for an interaction by the rules above, and the reason. `p` is Holm-adjusted over `tests` tests."""
    found, unit = comparison.effect, comparison.unit
    if found is None:
        return "not comparable", comparison.reason
    counts = smallest_effect(at_least, comparison)
    seen, enough, reliable = effect(found, unit), amount(counts, unit), amount(found.minimum_detectable, unit)
    tested = f"{probability(p)} after correction for {count(tests, 'test')}"
    if found.se_seeds is None:
        tested += "; one seed, so the spread between seeds is unknown"
    if max(abs(found.low), abs(found.high)) < counts:
        return "adds up", f"{seen}: any interaction is smaller than the {enough} that would count ({tested})"
    if p < LEVEL:
        more = better * found.value > 0
        return "helps more together" if more else "helps less together", f"{seen} ({tested})"
    if found.minimum_detectable <= counts:
        return "adds up", (
            f"{seen} is not significant ({tested}), although an interaction of {reliable} would have been found "
            "reliably"
        )
    if found.p < LEVEL:
        return "unclear", (
            f"{seen} would be significant on its own, but not among so many tests ({tested}); more seeds or items "
            "would tell"
        )
    return "unclear", (
        f"{seen} is not significant ({tested}); with these items and seeds only interactions of {reliable} or more "
        f"would be found reliably, and {enough} would count"
    )


def orders(pair: Pair) -> Iterator[bool]:
    """Whether the pair's methods are turned, for each order in which they were run."""
    yield from (False, True) if pair.reverse else (False,)


def _names(pair: Pair, turned: bool) -> tuple[str, str, str]:
    return (f"{pair.id}_reverse", pair.second, pair.first) if turned else (pair.id, pair.first, pair.second)


def _arms(pair: Pair, turned: bool) -> tuple[str, str, str]:
    """The arms of the first method, of the second, of both."""
    return (pair.right, pair.left, pair.reverse) if turned else (pair.left, pair.right, pair.both)


def _interaction(results: Results, pair: Pair, turned: bool) -> Comparison:
    first, second, both = _arms(pair, turned)
    return compare_sum(results, {both: 1, pair.base: 1, first: -1, second: -1}, pair.metric, pair.base)


def _parts(results: Results, pair: Pair, turned: bool, interaction: Comparison) -> Parts:
    """What the first does alone, the second, and both: over what all four arms share, so that the numbers add up.

    Where there is no interaction, each part that can be compared stands for itself.
    """
    arms = _arms(pair, turned)

    def against_base(arm: str) -> Comparison:
        if interaction.effect is None:
            return compare(results, arm, pair.base, pair.metric)
        weights = {other: int(other == arm) for other in arms} | {pair.base: -1}
        return compare_sum(results, weights, pair.metric, pair.base)

    first, second, both = map(against_base, arms)
    return first, second, both


def _untested(results: Results, pair: Pair, turned: bool) -> Stacked:
    nothing = Comparison(pair.both, pair.base, pair.metric, reason=NO_CLAIMS)
    better, why = _better(results, pair), _sentence(NO_CLAIMS)
    return Stacked(
        *_names(pair, turned), pair.metric, nothing, nothing, nothing, nothing, 1.0, better, "not comparable", why
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _better(results: Results, pair: Pair) -> int:
    task, _, name = pair.metric.rpartition("/")
    wanted = results.tasks[task].wanted() if task in results.tasks else ()
    declared = next((metric.direction for metric in wanted if metric.name == name), "greater")
    return 1 if (pair.direction or declared) == "greater" else -1
