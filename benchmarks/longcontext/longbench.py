"""LongBench-E (arXiv 2308.14508): thirteen English tasks whose texts are spread evenly over their lengths.

The texts are the authors' archive, never cut. The prompts are lm-eval's, with the places put right where they differ
from the authors': what ends a prompt, and a blank line before the last question of two few-shot tasks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.longcontext.config import LongContextConfig
from benchmarks.longcontext.from_lm_eval import lm_eval_version, longbench_prompt
from benchmarks.longcontext.stand_ins import LONGBENCH_ITEMS
from methodbench.errors import UserError
from methodbench.hub import fetch_archive

HUB, ARCHIVE = "THUDM/LongBench", "data.zip"
SIZES = {"qasper": 224, "multifieldqa_en": 150, "multi_news": 294}  # the others: 300
SIZE = 300
ENDINGS = {"lcc": "\n", "repobench-p": "\n", "passage_count": " ", "passage_retrieval_en": " "}
BLANK_LINE = ("triviaqa", "samsum")
PLACE = re.compile(r"\{\{(context|question)\}\}")


def longbench_rows(name: str, config: LongContextConfig) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of one task, and where they come from.

    Raises:
        UserError: the hub cannot be reached or has no such revision, or the task has not its published size.
    """
    task = name.removeprefix("longbench_")
    source: dict[str, Any]
    if config.stand_in:
        given, source = list(LONGBENCH_ITEMS[task]), {"stand_in": True}
    else:
        revision, member = config.revisions.get("longbench", "main"), f"data/{task}_e.jsonl"
        given = fetch_archive(f"longcontext: set '{name}'", HUB, ARCHIVE, member, revision)
        expected = SIZES.get(task, SIZE)
        if len(given) != expected:
            raise UserError(
                f"longcontext: set '{name}', revision '{revision}': given {len(given)} rows, expected {expected}"
            )
        source = {"hub": HUB, "split": member, "revision": revision}
    template = prompt_template(task)
    return [row(template, item) for item in given], source | {"lm_eval": lm_eval_version()}


def prompt_template(task: str) -> str:
    """lm-eval's template, as the authors have it."""
    template = longbench_prompt(task)
    if task in BLANK_LINE:
        template = re.sub(r"\}\}\n+\{\{", "}}\n\n{{", template)
    ending = ENDINGS.get(task, "")
    return template if template.endswith(ending) else template + ending


def row(template: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Our columns from the authors'; `source` is the item's name in their archive."""
    places = {"context": str(item["context"]), "question": str(item["input"])}
    answers = [str(answer) for answer in item["answers"]]
    return {
        "source": str(item["_id"]),
        "prompt": PLACE.sub(lambda found: places[found[1]], template),
        "answer": answers[0],
        "answers": answers,
        "classes": [str(one) for one in item["all_classes"] or []],
    }
