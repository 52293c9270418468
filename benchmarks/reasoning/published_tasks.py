"""The family's published sets and the tasks that score them; no torch, no lm_eval here.

Every generated answer has three scores, because a model that was tuned on one answer's form may lose the others' form
and nothing else: `exact_match` by the published extractor, `lenient` by the last number, expression or option, and
`answered`, whether the lenient rule reads anything. Sets of options have a likelihood besides, ``<set>_choice``.
"""

from __future__ import annotations

from methodbench.benchmark import Metric, Task

# To improve on, no task reads them: the published training sets, and the same cut in two, `fit` to learn from and
# `validation` to choose by; `probe` is the latter with worked solutions behind whole prompts.
QUESTIONS = tuple(f"{name}_{part}" for name in ("gsm8k", "math") for part in ("train", "fit", "validation", "probe"))
NUMBERS = ("gsm8k", "gsm_plus_mini", "asdiv", "svamp")
CHANCE = {  # by a blind guess among the options; of bbh the mean over its parts, some of which have none
    "mathqa": 0.2,
    "arc_challenge": 0.25,
    "mmlu_stem": 0.25,
    "commonsense_qa": 0.2,
    "agieval_aqua_rat": 0.2,
    "agieval_logiqa_en": 0.25,
    "agieval_sat_math": 0.25,
    "bbh": 0.25,
}
PUBLISHED: tuple[str, ...] = (*QUESTIONS, *NUMBERS, "math", *CHANCE)

TRIES = (1, 4, 8, 16)  # the k of pass@k

EXACT = Metric("exact_match")
LENIENT = Metric("lenient")
ANSWERED = Metric("answered")

TASKS: tuple[Task, ...] = (
    *(Task(name, f"tasks/{name}.yaml", name, (EXACT, LENIENT, ANSWERED)) for name in NUMBERS),
    Task("math", "tasks/math.yaml", "math", (EXACT, LENIENT, Metric("strict_colon"), ANSWERED)),
    Task("math_passk", "tasks/math_passk.yaml", "math", (*(Metric(f"pass_{k}") for k in TRIES), ANSWERED)),
    *(
        Task(name, f"tasks/{name}.yaml", name, (EXACT, LENIENT, ANSWERED), chance=chance)
        for name, chance in CHANCE.items()
    ),
    *(
        Task(f"{name}_choice", f"tasks/{name}_choice.yaml", name, (Metric("acc"),), chance=chance)
        for name, chance in CHANCE.items()
        if name != "bbh"  # some of its parts have no options
    ),
)
