"""Published questions with worked solutions, to learn from: a row is what a training method reads.

Without a `template` a row has the published `messages` (a system and a user turn) and the solution as published, its
thinking opened by itself. With one it has a `prompt`, rendered from the user turn alone; where that opens the thinking,
the solution goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.math.config import Template
from benchmarks.math.stand_ins import DEMONSTRATIONS
from benchmarks.math.templates import OPENING, opened, render
from methodbench.errors import UserError
from methodbench.hub import fetch_rows

HUBS = {"openr1_math_46k": ("Elliott/Openr1-Math-46k-8192", "train")}
SIZES = {"openr1_math_46k": range(45_750, 45_850)}  # known as 45.8K only


def demonstration_rows(
    name: str, revision: str, stand_in: bool, template: Template
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of one set, and what to write beside them about where they come from.

    Raises:
        UserError: the hub cannot be reached or has no such revision, or the set has not the published size.
    """
    hub, split = HUBS[name]
    if stand_in:
        given: list[Any] = list(DEMONSTRATIONS[name])
        origin: dict[str, Any] = {"stand_in": True}
    else:
        given, fingerprint = fetch_rows(f"math: set '{name}'", hub, None, split, revision)
        origin = {"hub": hub, "split": split, "revision": revision, "fingerprint": fingerprint}
        size = SIZES[name]
        if len(given) not in size:
            raise UserError(
                f"math: set '{name}', revision '{revision}': given {len(given)} rows, "
                f"expected {size.start} to {size.stop - 1}"
            )
    rows = [{"id": index, "kind": name} | row(one, template) for index, one in enumerate(given)]
    return rows, origin | {"n": len(rows)}


def row(given: Mapping[str, Any], template: Template) -> dict[str, Any]:
    """Prompt (or messages), answer and demonstration of one row of the hub."""
    messages = [{"role": turn["role"], "content": turn["content"]} for turn in given["prompt"]]
    (solution,) = given["target"]
    told = str(solution["content"])
    asked: dict[str, Any] = {"messages": messages}
    if template:
        prompt = render(template, messages[-1]["content"].strip())
        asked = {"prompt": prompt}
        told = told.removeprefix(OPENING) if opened(prompt) else told
    return {**asked, "answer": str(given["reward_model"]["ground_truth"]).strip(), "demonstration": told}
