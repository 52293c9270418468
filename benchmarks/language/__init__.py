"""language: texts, facts and choices by likelihood, of a generated world, CPython's documentation and published sets.

No task asks for a worked answer, so a model of any size, and any part of one, can be compared.
"""

from __future__ import annotations

from benchmarks.language.config import LanguageConfig
from benchmarks.language.published_tasks import TASKS
from methodbench.benchmark import Family, Metric, Task

FAMILIES = [
    Family(
        name="language",
        prepare="benchmarks.language.prepare:prepare",
        config=LanguageConfig,
        summary="Texts, facts and choices by likelihood: a generated world, CPython's documentation, published sets.",
        version=1,
        recalls=True,  # facts are asked for as `pretrain` tells them; tuning and calibration never hold them
        tasks=(
            Task("facts", "tasks/facts.yaml", "facts", (Metric("acc"),), chance=0.25),
            Task("recalled", "tasks/recalled.yaml", "facts", (Metric("exact_match"),), chance=1 / 12),
            Task("text", "tasks/text.yaml", "text", (Metric("nll", "less", "nats"),)),
            *TASKS,
        ),
    )
]
