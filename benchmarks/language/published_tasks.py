"""The family's sets that no seed draws, and the tasks that score them; no torch, no lm_eval here."""

from __future__ import annotations

from methodbench.benchmark import Metric, Task

ACC = Metric("acc")
BOTH = (ACC, Metric("acc_norm"))  # acc_norm: the likelihood per character of the option
NLL_BYTE = (Metric("nll_byte", "less", "nats/byte"),)

# CPython's documentation; three disjoint parts: tuning, calibration, test.
DOCUMENTS = ("docs_train", "docs_calibration", "docs_calibration_choice", "docs", "docs_choice")
CHOICES: dict[str, tuple[tuple[Metric, ...], float]] = {  # set -> metrics of lm-eval's own task, a blind guess
    "mmlu": ((ACC,), 0.25),
    "boolq": ((ACC,), 0.5),
    "piqa": (BOTH, 0.5),
    "hellaswag": (BOTH, 0.25),
    "winogrande": ((ACC,), 0.5),
    "arc_easy": (BOTH, 0.25),
    "arc_challenge": (BOTH, 0.25),
    "openbookqa": (BOTH, 0.25),
}
UNSCORED = ("mmlu_validation", "wikitext2_train", "alpaca_gpt4")  # to calibrate or tune on; no task reads them
HUB = (*CHOICES, "wikitext2", *UNSCORED)
PUBLISHED = (*DOCUMENTS, *HUB)

TASKS: tuple[Task, ...] = (
    Task("docs", "tasks/docs.yaml", "docs", NLL_BYTE),
    Task("docs_choice", "tasks/docs_choice.yaml", "docs_choice", BOTH, chance=0.25),
    Task("wikitext2", "tasks/wikitext2.yaml", "wikitext2", NLL_BYTE),
    *(Task(name, f"tasks/{name}.yaml", name, metrics, chance=chance) for name, (metrics, chance) in CHOICES.items()),
)
