"""reasoning: procedural kinds in and out of a model's domain with worked rationales, and the published sets."""

from __future__ import annotations

from benchmarks.reasoning.config import ReasoningConfig
from benchmarks.reasoning.published_tasks import TASKS
from methodbench.benchmark import Family, Metric, Task

GENERATED = (Metric("exact_match"), Metric("lenient"), Metric("answered"))
CHOSEN = (Metric("acc"),)
TRIED = tuple(Metric(f"pass_{k}") for k in (1, 2, 4, 8, 16))
# Always the kind's most frequent answer, at default kinds and difficulty; measured, and tested to 0.02.
GUESS = {"validation": 0.07, "in_domain": 0.07, "near_domain": 0.09, "far_domain": 0.05}

FAMILIES = [
    Family(
        name="reasoning",
        prepare="benchmarks.reasoning.prepare:prepare",
        config=ReasoningConfig,
        summary="Eighteen procedural kinds with worked rationales, in-domain, near and far; published sets.",
        version=1,
        tasks=(
            *(Task(name, f"tasks/{name}.yaml", name, GENERATED, chance=chance) for name, chance in GUESS.items()),
            *(
                Task(f"{name}_choice", f"tasks/{name}_choice.yaml", name, CHOSEN, chance=0.25)
                for name in ("in_domain", "near_domain", "far_domain")
            ),
            *(Task(name, f"tasks/{name}.yaml", name, TRIED) for name in ("passk_in", "passk_far")),
            *TASKS,
        ),
    )
]
