"""The methods that MANU is compared with, as declarations. No torch here."""

from __future__ import annotations

from methodbench.method import Method, Resources
from methods.manu.prompting_config import SystemPromptConfig
from methods.manu.unlearn_config import GradDiffConfig, KlMinConfig, NpoConfig, UnlearnConfig

TRAINING = Resources(threads=1, mem_mb=2500)
TOFU = "arXiv 2401.06121: TOFU: A Task of Fictitious Unlearning for LLMs"

BASELINES: list[Method] = [
    Method(
        name="unlearn_ga",
        kind="transform",
        entry="methods.manu.unlearn:unlearn",
        config=UnlearnConfig,
        summary="gradient ascent on the rows to forget",
        paper=TOFU,
        parents=(1, 1),
        data=("forget", "pictures"),
        role="baseline",
        neutral={"steps": 0},
        resources=TRAINING,
        keywords={"objective": "ga"},
    ),
    Method(
        name="unlearn_graddiff",
        kind="transform",
        entry="methods.manu.unlearn:unlearn",
        config=GradDiffConfig,
        summary="gradient ascent on the rows to forget, descent on those to retain",
        paper=TOFU,
        parents=(1, 1),
        data=("forget", "retain", "pictures"),
        role="baseline",
        neutral={"steps": 0},
        resources=TRAINING,
        keywords={"objective": "graddiff"},
    ),
    Method(
        name="unlearn_klmin",
        kind="transform",
        entry="methods.manu.unlearn:unlearn",
        config=KlMinConfig,
        summary="gradient ascent, and on the rows to retain descent and a divergence from the model before",
        paper=TOFU,
        parents=(1, 2),
        data=("forget", "retain", "pictures"),
        role="baseline",
        neutral={"steps": 0},
        resources=TRAINING,
        keywords={"objective": "klmin"},
    ),
    Method(
        name="unlearn_npo",
        kind="transform",
        entry="methods.manu.unlearn:unlearn",
        config=NpoConfig,
        summary="negative preference: ascent on the rows to forget that weakens with the distance from a reference",
        paper="arXiv 2404.05868: Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning",
        parents=(1, 2),
        data=("forget", "pictures"),
        role="baseline",
        neutral={"steps": 0},
        resources=TRAINING,
        keywords={"objective": "npo"},
    ),
    Method(
        name="system_prompt",
        kind="runtime",
        entry="methods.manu.prompting:SystemPromptLM",
        config=SystemPromptConfig,
        summary="an instruction not to disclose facts about persons before every prompt; the model is not changed",
        paper="arXiv 2410.22108: Protecting Privacy in Multimodal Large Language Models with MLLMU-Bench",
        role="baseline",
        neutral={"instruction": ""},
        pictures=True,
    ),
]
