"""math: procedural problems with worked traces, plain arithmetic, and the published math and STEM sets."""

from __future__ import annotations

from benchmarks.math.config import SCORED, TEMPLATED, MathConfig
from methodbench.benchmark import Family, Metric, Task

EXACT = Metric("exact_match")
ANSWERED = Metric("answered")
GUESSES = {"gpqa_diamond": 0.25, "mmlu_pro": 0.1}  # of MMLU-Pro most have ten options, some have fewer
GUESS = 0.11  # always the most frequent answer of the kind, default kinds and difficulty

FAMILIES = [
    Family(
        name="math",
        prepare="benchmarks.math.prepare:prepare",
        config=MathConfig,
        summary="Chains, stories, sums and routes with worked traces; plain arithmetic; eight published sets.",
        version=1,
        tasks=(
            Task("test", "tasks/test.yaml", "test", (EXACT, ANSWERED), chance=GUESS),
            Task("validation", "tasks/validation.yaml", "validation", (EXACT, ANSWERED), chance=GUESS),
            Task("demonstrated", "tasks/demonstrated.yaml", "demonstrated", (Metric("nll", "less", "nats"),)),
            Task("arithmetic", "tasks/arithmetic.yaml", "arithmetic", (EXACT, ANSWERED)),
            Task("arithmetic_choice", "tasks/arithmetic_choice.yaml", "arithmetic", (Metric("acc"),), chance=0.25),
            *(
                Task(name, f"tasks/{name}.yaml", name, (EXACT, ANSWERED), chance=GUESSES.get(name, 0))
                for name in SCORED
            ),
            *(
                Task(
                    f"{name}_templated",
                    f"tasks/{name}_templated.yaml",
                    name,
                    (EXACT, ANSWERED),
                    chance=GUESSES.get(name, 0),
                )
                for name in TEMPLATED
            ),
        ),
    )
]
