"""AmoebaLLM (arXiv 2411.10606, NeurIPS 2024): subnets of any depth and width from one fine-tuning.

Selection, fine-tuning and extraction, and the selections that it is compared with: each leaves the same files beside
the weights, so that every one of them can be fine-tuned and cut out in the same way. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from methodbench.method import Method, Resources
from methods.amoeballm.config import (
    GreedyConfig,
    RankConfig,
    SelectConfig,
    UnitsConfig,
    WidthConfig,
    needs_subnets,
    subnet_traits,
)
from methods.amoeballm.extract_config import ChooseConfig, ExtractConfig, LatencyConfig
from methods.amoeballm.finetune_config import FinetuneConfig, IndividualConfig, tuned_traits

PAPER = "arXiv 2411.10606: AmoebaLLM: Constructing Any-Shape Large Language Models for Efficient and Instant Deployment"
RESOURCES = Resources(threads=1, mem_mb=3000)


def _selection(
    name: str,
    entry: str,
    config: type,
    summary: str,
    *,
    data: tuple[str, ...] = ("text",),
    seeded: bool = True,
    role: Literal["method", "baseline", "control"] = "baseline",
    paper: str = "",
    **keywords: Any,
) -> Method:
    return Method(
        name=name,
        kind="transform",
        entry=f"methods.amoeballm.select:{entry}",
        config=config,
        summary=summary,
        paper=paper,
        parents=(1, 1),
        data=data,
        seeded=seeded,
        role=role,
        traits=subnet_traits,
        resources=RESOURCES,
        keywords=keywords,
    )


def _after(name: str, entry: str, config: type, summary: str, **more: Any) -> Method:
    settings: Mapping[str, Any] = {"paper": PAPER, "parents": (1, 1), "traits": needs_subnets, "resources": RESOURCES}
    return Method(
        name=name,
        kind="transform",
        entry=f"methods.amoeballm.{entry}",
        config=config,
        summary=summary,
        **{**settings, **more},
    )


METHODS = [
    _selection(
        "amoeballm_select",
        "select_calibrated",
        SelectConfig,
        "which layers go, by dynamic programming on questions, and which heads and neurons, by fluctuation",
        data=("calibration", "text"),
        role="method",
        paper=PAPER,
    ),
    _after(
        "amoeballm_finetune",
        "finetune:amoeballm_finetune",
        FinetuneConfig,
        "one fine-tuning of all selected subnets: a mixture of LoRAs that knows the shape, distilled from the largest",
        data=("train",),
        traits=tuned_traits,
    ),
    _after(
        "amoeballm_individual",
        "finetune:amoeballm_individual",
        IndividualConfig,
        "fine-tuning of one selected subnet alone, cut out",
        data=("train",),
        role="baseline",
    ),
    _after(
        "amoeballm_extract",
        "extract:amoeballm_extract",
        ExtractConfig,
        "a selected subnet as an ordinary, smaller checkpoint",
        seeded=False,
        role="tool",
    ),
    _after(
        "amoeballm_choose",
        "choose:amoeballm_choose",
        ChooseConfig,
        "the best selected subnet within a budget of parameters or measured latency, cut out",
        data=("calibration",),
        role="tool",
    ),
    _after(
        "amoeballm_latency",
        "latency:amoeballm_latency",
        LatencyConfig,
        "the time that every selected shape takes on this machine; the weights stay",
        seeded=False,
        repeatable=False,
        role="tool",
        traits=tuned_traits,
        neutral={},
    ),
    _selection(
        "select_greedy",
        "select_calibrated",
        GreedyConfig,
        "layers one at a time, the least missed first: as many evaluations as the dynamic programme",
        data=("calibration", "text"),
    ),
    _selection(
        "select_deepest", "select_ranked", RankConfig, "the deepest layers go first", role="control", rule="deepest"
    ),
    _selection(
        "select_shortgpt",
        "select_ranked",
        RankConfig,
        "layers that change their input least go first: ShortGPT's Block Influence",
        paper="arXiv 2403.03853: ShortGPT: Layers in Large Language Models are More Redundant Than You Expect",
        rule="shortgpt",
    ),
    _selection(
        "select_angular",
        "select_ranked",
        RankConfig,
        "the run of layers with the smallest angle between its input and output goes",
        paper="arXiv 2403.17887: The Unreasonable Ineffectiveness of the Deeper Layers",
        rule="angular",
    ),
    _selection(
        "select_shortened",
        "select_ranked",
        RankConfig,
        "layers by what each alone costs, in perplexity or to first order: Shortened LLaMA",
        paper="arXiv 2402.02834: Shortened LLaMA: Depth Pruning for Large Language Models",
    ),
    _selection(
        "select_flap",
        "select_flap",
        WidthConfig,
        "heads and neurons by fluctuation; all layers stay: FLAP",
        paper="arXiv 2312.11983: Fluctuation-based Adaptive Structured Pruning for Large Language Models",
    ),
    _selection(
        "select_llm_pruner",
        "select_units",
        UnitsConfig,
        "heads and neurons by first-order Taylor importance; all layers stay: LLM-Pruner",
        paper="arXiv 2305.11627: LLM-Pruner: On the Structural Pruning of Large Language Models",
        score="taylor",
    ),
    _selection(
        "select_magnitude",
        "select_units",
        UnitsConfig,
        "layers, heads and neurons with the smallest weights go",
        data=(),
        seeded=False,
        role="control",
        score="magnitude",
    ),
    _selection(
        "select_random",
        "select_units",
        UnitsConfig,
        "layers, heads and neurons drawn at random go",
        data=(),
        role="control",
        score="random",
    ),
]
