"""longcontext: something to recall, find, follow or count in texts of any length; RULER, PG-19 and LongBench-E."""

from __future__ import annotations

from benchmarks.longcontext.config import LONGBENCH, RULER, LongContextConfig
from methodbench.benchmark import Family, Metric, Task

EXACT = Metric("exact_match")
RECOVERED = Metric("recovered")
ANSWERED = Metric("answered")
ONE = ("passkey", "needle", "multi_needle", "document_retrieval")
BOOKS = ("pg19", "pg19_validation")
SEVERAL = ("multi_value", "variable_tracking", "common_words", "frequent_words")

FAMILIES = [
    Family(
        name="longcontext",
        prepare="benchmarks.longcontext.prepare:prepare",
        config=LongContextConfig,
        summary="Recall, needles, variables, counts and documents at any length; RULER, PG-19 and LongBench-E.",
        version=1,
        tasks=(
            Task(
                "recall",
                "tasks/recall.yaml",
                "recall",
                (Metric("recall"), Metric("answer_nll", "less", "nats"), Metric("filler_nll", "less", "nats")),
                chance=0.125,
            ),
            *(Task(name, f"tasks/{name}.yaml", name, (EXACT, ANSWERED)) for name in ONE),
            *(Task(name, f"tasks/{name}.yaml", name, (RECOVERED, ANSWERED)) for name in SEVERAL),
            *(Task(name, f"tasks/{name}.yaml", name, (RECOVERED, ANSWERED)) for name in RULER),
            *(Task(name, f"tasks/{name}.yaml", name, (Metric("nll", "less", "nats"),)) for name in BOOKS),
            *(Task(name, f"tasks/{name}.yaml", name, (Metric("score"), ANSWERED)) for name in LONGBENCH),
        ),
    )
]
