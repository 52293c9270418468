"""The published sets: fetched from the model hub at a chosen revision, or stood in for by rows of our own making.

Where lm-eval has a task, its source, split and columns are used; `published_columns.py` has the columns of a row. Items
whose gold answer is no number, in sets that are graded by numbers, are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.reasoning import published_columns as columns
from benchmarks.reasoning.grading_published import VALUE
from benchmarks.reasoning.published_columns import Given, Row
from benchmarks.reasoning.stand_ins import STAND_INS
from methodbench.errors import UserError
from methodbench.hub import fetch_rows

HELD_OUT = 15  # of each so many training questions the last is for validation
SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
STEM = (  # lm-eval's tag mmlu_stem_tasks
    "abstract_algebra",
    "anatomy",
    "astronomy",
    "college_biology",
    "college_chemistry",
    "college_computer_science",
    "college_mathematics",
    "college_physics",
    "computer_security",
    "conceptual_physics",
    "electrical_engineering",
    "elementary_mathematics",
    "high_school_biology",
    "high_school_chemistry",
    "high_school_computer_science",
    "high_school_mathematics",
    "high_school_physics",
    "high_school_statistics",
    "machine_learning",
)
BBH = (  # the parts that reason rather than know, with answers that are an option, a word or a number
    "boolean_expressions",
    "date_understanding",
    "formal_fallacies",
    "logical_deduction_three_objects",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "multistep_arithmetic_two",
    "navigate",
    "object_counting",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "temporal_sequences",
    "tracking_shuffled_objects_three_objects",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "web_of_lies",
)


@dataclass(frozen=True)
class Source:
    """Where a set lies on the hub, how many rows it has there, and how one becomes ours."""

    hub: str
    parts: tuple[str | None, ...]  # subsets
    split: str
    n: int
    row: Callable[[Given, str], Row]
    numeric: bool = False  # items whose gold answer is no number are left out
    held_out: bool | None = None  # True: every `HELD_OUT`-th row alone; False: all others


GSM8K = Source("openai/gsm8k", ("main",), "train", 7473, columns.gsm8k)
MATH = Source("EleutherAI/hendrycks_math", SUBJECTS, "train", 7500, columns.math)
SOURCES = {
    "gsm8k": replace(GSM8K, split="test", n=1319, numeric=True),
    "gsm8k_train": GSM8K,
    "gsm8k_fit": replace(GSM8K, held_out=False),
    "gsm8k_validation": replace(GSM8K, held_out=True),
    "gsm8k_probe": replace(GSM8K, held_out=True, row=columns.gsm8k_probe),
    "math": replace(MATH, split="test", n=5000),
    "math_train": MATH,
    "math_fit": replace(MATH, held_out=False),
    "math_validation": replace(MATH, held_out=True),
    "math_probe": replace(MATH, held_out=True, row=columns.math_probe),
    "gsm_plus_mini": Source("qintongli/GSM-Plus", (None,), "testmini", 2400, columns.gsm_plus, numeric=True),
    "asdiv": Source("EleutherAI/asdiv", (None,), "validation", 2305, columns.asdiv, numeric=True),
    "svamp": Source("ChilleD/SVAMP", (None,), "train+test", 1000, columns.svamp, numeric=True),
    "mathqa": Source("regisss/math_qa", (None,), "test", 2985, columns.mathqa),
    "arc_challenge": Source("allenai/ai2_arc", ("ARC-Challenge",), "test", 1172, columns.lettered),
    "mmlu_stem": Source("cais/mmlu", STEM, "test", 3153, columns.mmlu),
    "commonsense_qa": Source("tau/commonsense_qa", (None,), "validation", 1221, columns.lettered),
    "agieval_aqua_rat": Source("hails/agieval-aqua-rat", (None,), "test", 254, columns.agieval),
    "agieval_logiqa_en": Source("hails/agieval-logiqa-en", (None,), "test", 651, columns.agieval),
    "agieval_sat_math": Source("hails/agieval-sat-math", (None,), "test", 220, columns.agieval),
    "bbh": Source("SaylorTwift/bbh", BBH, "test", 3896, columns.bbh),
}


def published_rows(name: str, revision: str, stand_in: bool) -> tuple[list[Row], dict[str, Any]]:
    """The rows of one set, and what to write beside them about where they come from.

    Raises:
        UserError: the hub cannot be reached or has no such revision, or the set has not the published size.
    """
    source = SOURCES[name]
    given: list[tuple[str, Given]]
    origin: dict[str, Any]
    if stand_in:
        given, origin = [(name, row) for row in STAND_INS[name]], {"stand_in": True}
    else:
        given, origin = fetch(name, source, revision)
        if source.held_out is not None:
            given = [row for place, row in enumerate(given) if (place % HELD_OUT == HELD_OUT - 1) == source.held_out]
    rows = [{"kind": name} | source.row(row, part) for part, row in given]
    kept = [row for row in rows if not source.numeric or VALUE.fullmatch(row["answer"].replace(",", ""))]
    origin |= {"n": len(kept), "left_out": len(rows) - len(kept)}
    return [{"id": place, **row} for place, row in enumerate(kept)], origin


def fetch(name: str, source: Source, revision: str) -> tuple[list[tuple[str, Given]], dict[str, Any]]:
    """The hub's rows, each with its subset, and where they came from."""
    where = f"reasoning: set '{name}'"
    given: list[tuple[str, Given]] = []
    fingerprints = []
    for part in source.parts:
        rows, fingerprint = fetch_rows(where, source.hub, part, source.split, revision)
        given += [(part or name, row) for row in rows]
        fingerprints.append(fingerprint)
    if len(given) != source.n:
        raise UserError(f"{where}, revision '{revision}': given {len(given)} rows, expected {source.n}")
    origin = {"hub": source.hub, "split": source.split, "revision": revision, "fingerprints": fingerprints}
    return given, origin
