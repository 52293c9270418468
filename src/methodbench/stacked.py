"""Stacked methods on the pages: from the list `pairs` of a verdicts.json to a matrix and a table in Markdown.

A report and the list of reports show the same, so that both read it from that file's words alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from methodbench.claims import LEVEL
from methodbench.compare import Comparison
from methodbench.interactions import WORDS, Stacked
from methodbench.markdown import folded, plain, small, table
from methodbench.study import MATRIX
from methodbench.wording import count, effect, listed, tally

HOW_TO_READ = """
- **Alone** and **both**: what one method, or both, change against the base; 95 % interval over items and training \
seeds. All four arms answer the same items, so that the numbers of a line add up.
- **Interaction**: what the first method adds on top of the second less what it adds to the base: (both − second) − \
(first − base). At zero, both together do what their sum says.
- **Helps more / less together**: significant, and better / worse than the sum. *Less* may still be better than each \
alone. **Adds up**: no interaction that counts, and the test was strong enough. **Unclear**: it was not.
- **Order**: both in this order less both in the other one.
- \\* marks what is significant by Holm's correction over all interactions and orders of this study.
""".strip()


def pair_verdicts(stacks: Sequence[Stacked]) -> list[dict[str, Any]]:
    """What verdicts.json holds of a study's pairs, one entry for each order that was run."""
    return [
        {
            "id": one.id,
            "first": one.first,
            "second": one.second,
            "metric": one.metric,
            "first_alone": _numbers(one.first_alone),
            "second_alone": _numbers(one.second_alone),
            "both": _numbers(one.both),
            "interaction": {
                **_numbers(one.interaction),
                "p": one.p if one.interaction.effect else None,
                "least_detectable": one.interaction.effect.minimum_detectable if one.interaction.effect else None,
            },
            "order": None
            if one.order is None
            else {**_numbers(one.order), "p": one.p_order if one.order.effect else None},
            "word": one.word,
            "why": one.why,
        }
        for one in stacks
    ]


def drawn(pairs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is a matrix of them."""
    return any(pair["interaction"]["effect"] is not None for pair in pairs)


def pair_blocks(pairs: Sequence[Mapping[str, Any]], folder: str, page: str = "") -> list[str]:
    """The matrix in `folder` and the table; with the reasons, or, where `page` has them, links to it."""
    if not pairs:
        return []
    image = f"![Stacked methods: what two do together beyond their sum]({folder}/{MATRIX}.svg)"
    return [image if drawn(pairs) else "", pair_table(pairs, page)]


def pair_table(pairs: Sequence[Mapping[str, Any]], page: str = "") -> str:
    """A line for each order of each pair."""
    several = len({pair["metric"] for pair in pairs}) > 1
    rows = []
    for pair in pairs:
        name = plain(f"{pair['first']}, then {pair['second']}")
        place = _anchor(pair["id"])
        said = "" if page else plain(pair["why"])
        metric = f"`{pair['metric']}`" if several else ""
        told = ". ".join(part for part in (metric, said) if part)
        rows.append(
            [
                (f"[{name}]({page}#{place})" if page else f'**{name}**<a id="{place}"></a>')
                + (small(told) if told else ""),
                *(pair[part]["shown"] or "—" for part in ("first_alone", "second_alone", "both")),
                (pair["interaction"]["shown"] or "—") + _star(pair["interaction"]),
                f"**{pair['word']}**",
                (pair["order"]["shown"] or "—") + _star(pair["order"]) if pair["order"] else "",
            ]
        )
    head = ["", "first alone", "second alone", "both", "interaction [95 % interval]", "together", "order"]
    shown = "" if several else f"On `{pairs[0]['metric']}`:\n\n"
    return shown + table(head, rows)


def pair_counts(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """``["2 × adds up", "4 × unclear"]``."""
    return tally([pair["word"] for pair in pairs], WORDS)


def pair_summary(pairs: Sequence[Mapping[str, Any]]) -> str:
    """``"Of 6 stacks of two methods: 2 × adds up and 4 × unclear."``."""
    return f"Of {count(len(pairs), 'stack')} of two methods: {listed(pair_counts(pairs))}."


def how_to_read() -> str:
    """The terms, folded."""
    return folded("How to read this", HOW_TO_READ)


def _anchor(name: str) -> str:
    return "pair-" + "".join(c if c.isalnum() else "-" for c in name.lower())


def _star(part: Mapping[str, Any]) -> str:
    """``" \\*"`` behind what is significant."""
    return r" \*" if part["p"] is not None and part["p"] < LEVEL else ""


def _numbers(comparison: Comparison) -> dict[str, Any]:
    found = comparison.effect
    return {
        "effect": found.value if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "unit": comparison.unit if found else None,
        "shown": effect(found, comparison.unit) if found else "",
    }
