"""The family's published sets and the tasks that score them; no torch, no lm_eval here.

A set is a benchmark at one forget ratio: mllmu_5 is MLLMU-Bench (arXiv 2410.22108) with 5 per cent of its persons to be
forgotten, clear_5 is CLEAR (arXiv 2410.18057). Its splits for training and for statistics are ``<set>_forget``,
``<set>_keep`` (the other persons, both modes) and ``<set>_retain`` (what a model learns from that never saw those to be
forgotten); ``mllmu_all`` and ``mllmu_pictures`` are the same at every ratio.
"""

from __future__ import annotations

from collections.abc import Sequence

from methodbench.benchmark import Metric, Task

MLLMU = {"mllmu_5": 5, "mllmu_10": 10, "mllmu_15": 15}  # set -> per cent of the persons
CLEAR = {"clear_1": 1, "clear_5": 5, "clear_10": 10}
PUBLISHED = (*MLLMU, *CLEAR)
BENCHMARKS = ("mllmu", "clear")  # what `revisions` may name: one dataset on the hub each
MODES = ("image", "text")
FORMS = ("classification", "cloze", "generation")

ANSWERED = Metric("answered")
METRICS = {
    "classification": (Metric("acc"), ANSWERED),
    "choice": (Metric("acc"),),
    "cloze": (Metric("substring"), Metric("exact_match"), ANSWERED),
    "generation": (Metric("rouge_l"), ANSWERED),
    "caption": (Metric("rouge_l_recall"), Metric("named"), ANSWERED),
    "qa": (Metric("rouge_l_recall"), ANSWERED),
}
CHANCE = {"classification": 0.25, "choice": 0.25}


def benchmark_of(name: str) -> str:
    """``mllmu_5`` -> ``mllmu``."""
    return name.partition("_")[0]


def scored_splits(name: str) -> tuple[str, ...]:
    """The files of one set that tasks read."""
    if name in MLLMU:
        parts = (*(f"{name}_{part}" for part in ("forget", "test", "retain")), "mllmu_real")
        return tuple(f"{part}_{mode}_{form}" for part in parts for mode in MODES for form in FORMS)
    own = (f"{name}_forget_image", f"{name}_forget_text", f"{name}_retain_text")
    return (*own, "clear_retain_image", "clear_real_faces", "clear_real_world")


def published_splits(sets: Sequence[str]) -> tuple[str, ...]:
    """All files of these sets, each once."""
    found: list[str] = []
    for name in sets:
        shared = benchmark_of(name)
        found += [f"{shared}_all", f"{shared}_pictures", f"{name}_forget", f"{name}_keep", f"{name}_retain"]
        found += scored_splits(name)
    return tuple(dict.fromkeys(found))


def mllmu_tasks() -> tuple[Task, ...]:
    """For every set, mode and form; options are scored by the letter that is told and by likelihood."""
    found: dict[str, Task] = {}
    for name in MLLMU:
        for split in scored_splits(name):
            _, mode, form = split.rsplit("_", 2)
            found[split] = task(split, f"mllmu_{mode}_{form}", split, form)
            if form == "classification":
                chosen = split.removesuffix(form) + "choice"
                found[chosen] = task(chosen, f"mllmu_{mode}_choice", split, "choice")
    return tuple(found.values())


def clear_tasks() -> tuple[Task, ...]:
    """Captions and names of portraits, questions of TOFU, and the two sets of what is real."""
    found: dict[str, Task] = {}
    for name in CLEAR:
        for split in scored_splits(name):
            if split.endswith("_image"):
                found[f"{split}_caption"] = task(f"{split}_caption", "clear_image_caption", split, "caption")
                found[f"{split}_name"] = task(f"{split}_name", "clear_image_name", split, "choice", chance=0.0)
            elif split.endswith("_text"):
                found[f"{split}_qa"] = task(f"{split}_qa", "clear_text_qa", split, "qa")
            else:
                found[split] = task(split, "clear_image_name", split, "choice", chance=0.0)
    return tuple(found.values())


def task(name: str, yaml: str, split: str, form: str, chance: float | None = None) -> Task:
    """One task; `chance` is the form's unless given. CLEAR's is not told: how many options there are, the hub says."""
    blind = CHANCE.get(form, 0.0) if chance is None else chance
    to_forget = any(part in f"{split}_" for part in ("_forget_", "_test_"))
    return Task(name, f"tasks/{yaml}.yaml", split, METRICS[form], chance=blind, to_forget=to_forget)


TASKS: tuple[Task, ...] = (*mllmu_tasks(), *clear_tasks())
