"""unlearning: a procedural world of persons, some of whom a model is to forget, and the published sets."""

from __future__ import annotations

from benchmarks.unlearning.config import MODES, RATIOS, UnlearningConfig
from benchmarks.unlearning.published_tasks import TASKS
from methodbench.benchmark import Family, Metric, Task

FORMS: dict[str, tuple[Metric, ...]] = {
    "cloze": (Metric("exact_match"), Metric("substring")),
    "generation": (Metric("rouge_l"), Metric("slot"), Metric("answered")),
    "classification": (Metric("acc"), Metric("answered")),
    "choice": (Metric("acc"),),
    "membership": (Metric("member"),),
}
ALL_FORMS = ("cloze", "generation", "classification", "choice")
BRIEF = ("cloze", "choice")
OF_RATIO = {  # set -> how it is asked
    "forget": ALL_FORMS,
    "test": ALL_FORMS,
    "retain": ALL_FORMS,
    "unseen": BRIEF,
    "validation_forget": BRIEF,
    "validation_retain": BRIEF,
    "membership": ("membership",),
}
TO_FORGET = ("forget_", "test_", "unseen_", "membership_", "validation_forget_")
OF_ALL = {"real": ALL_FORMS, "general": ALL_FORMS}
# A blind guess. Of cloze: 12 values of every attribute; in general 8 colours, 6 shapes and, in pictures, 4 counts.
CLOZE = {"image": 1 / 12, "text": 1 / 12}
CLOZE_GENERAL = {"image": (1 / 8 + 1 / 6 + 1 / 4) / 3, "text": (1 / 8 + 1 / 6) / 2}
OTHERS = {"generation": 0.0, "classification": 0.25, "choice": 0.25, "membership": 0.5}


def _task(name: str, split: str, mode: str, form: str) -> Task:
    guess = OTHERS.get(form) if form in OTHERS else (CLOZE_GENERAL if split.startswith("general") else CLOZE)[mode]
    to_forget = split.startswith(TO_FORGET)
    return Task(name, f"tasks/{form}_{mode}.yaml", split, FORMS[form], chance=guess or 0.0, to_forget=to_forget)


FAMILIES = [
    Family(
        name="unlearning",
        prepare="benchmarks.unlearning.prepare:prepare",
        config=UnlearningConfig,
        summary="Persons with faces and facts in pictures and in texts, some to be forgotten; published sets.",
        version=1,
        recalls=True,
        tasks=(
            *(
                _task(f"{name}_{ratio}_{mode}" + f"_{form}" * (form != name), f"{name}_{ratio}_{mode}", mode, form)
                for name, forms in OF_RATIO.items()
                for ratio in RATIOS
                for mode in MODES
                for form in forms
            ),
            *(
                _task(f"{name}_{mode}_{form}", f"{name}_{mode}", mode, form)
                for name, forms in OF_ALL.items()
                for mode in MODES
                for form in forms
            ),
            *TASKS,
        ),
    )
]
