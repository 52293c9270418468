"""What the math family can be told: which problems, how hard, how many."""

from __future__ import annotations

from typing import Literal

from methodbench.config import config, field
from methodbench.errors import UserError, nearest

Kind = Literal["chain", "word", "route", "sum"]
Template = Literal["", "thought", "thought_plain", "qwen", "prime", "bare"]
Range = tuple[int, int]  # fewest and most, both included

SCORED = ("gsm8k", "math500", "aime24", "aime25", "gpqa_diamond", "amc", "olympiadbench", "mmlu_pro")
TEMPLATED = ("math500", "aime24", "aime25", "amc", "olympiadbench", "mmlu_pro")  # have a task that asks by `template`
DEMONSTRATED = ("openr1_math_46k",)  # to learn from: questions with worked solutions; no task reads them
PUBLISHED = (*SCORED, *DEMONSTRATED)


@config
class MathConfig:
    """Sizes and difficulty. A split of size 0 is not written."""

    train: int = field(40_000, ge=0)  # rows with worked traces
    validation: int = field(500, ge=0)
    test: int = field(1_200, ge=0)
    arithmetic: int = field(200, ge=0)  # plain questions for ordinary pretrained models
    demonstrated: int = field(0, ge=0)  # held out, each with a whole worked trace: how likely does a model find it?
    prompts: int = field(0, ge=0)  # to practise on: fresh problems, each with a whole worked trace as demonstration
    prompt_shares: dict[Kind, float] = field(default_factory=dict)  # weight of a kind in `prompts`; 1 where not named

    kinds: tuple[Kind, ...] = field(("chain", "word", "route", "sum"), min_length=1)  # in equal shares
    chain_operations: Range = (3, 7)
    word_quantities: Range = (2, 4)
    route_nodes: Range = (6, 8)
    route_edges: Range = (6, 9)
    sum_terms: Range = (4, 6)
    sum_digits: Range = (1, 1)

    recheck: float = field(0.35, ge=0, le=1)  # chance of a further full re-check, at most two: "overthinking"
    cut: float = field(0.25, ge=0, le=1)  # share of training traces that end at a random step, true answer kept
    empty: float = field(0.10, ge=0, le=1)  # share of training traces with no step at all
    empty_by_kind: dict[Kind, float] = field(default_factory=dict)  # the same for one kind; what is left may be cut

    published: tuple[str, ...] = ()  # of PUBLISHED; needs the model hub unless `stand_in`
    revisions: dict[str, str] = field(default_factory=dict)  # published name -> commit on the hub; default "main"
    tries: dict[str, int] = field(
        default_factory=dict
    )  # published name -> rows an item stands in; AIME 8, AMC 32, else 1
    template: Template = ""  # the whole text that asks, written beside every published question; see templates.py
    stand_in: bool = False  # hand-made rows of the same schema instead: for trying a paper config offline

    def __post_init__(self) -> None:
        for key in ("chain_operations", "word_quantities", "route_nodes", "route_edges", "sum_terms", "sum_digits"):
            low, high = getattr(self, key)
            lowest, highest = LIMITS[key]
            if not lowest <= low <= high <= highest:
                raise UserError(
                    f"math: key '{key}': given [{low}, {high}], allowed: {lowest} <= first <= second <= {highest}"
                )
        if self.cut + self.empty > 1:
            raise UserError(
                f"math: keys 'cut' and 'empty': given {self.cut} and {self.empty}, allowed: a sum of at most 1"
            )
        for kind, share in self.empty_by_kind.items():
            if not 0 <= share <= 1:
                raise UserError(f"math: key 'empty_by_kind.{kind}': given {share}, allowed: 0 to 1")
        for kind, share in self.prompt_shares.items():
            if kind not in self.kinds or share < 0:
                raise UserError(
                    f"math: key 'prompt_shares.{kind}': given {share}, allowed: 0 or more, of a kind in 'kinds'"
                )
        if self.prompts and not any(self.prompt_shares.get(kind, 1) for kind in self.kinds):
            raise UserError("math: key 'prompt_shares': given 0 for every kind, allowed: at least one above 0")
        for name in (*self.published, *self.revisions):
            if name not in PUBLISHED:
                raise UserError(f"math: key 'published': unknown set '{name}'; {nearest(name, PUBLISHED)}")
        for name, tries in self.tries.items():
            if name not in SCORED or tries < 1:
                raise UserError(
                    f"math: key 'tries.{name}': given {tries}, allowed: 1 or more, of a set that is scored; "
                    f"{nearest(name, SCORED)}"
                )

    def splits(self) -> tuple[str, ...]:
        """Names of the ``<split>.jsonl`` files that `prepare` writes."""
        sizes = ("train", "validation", "test", "arithmetic", "demonstrated", "prompts")
        return (*(name for name in sizes if getattr(self, name)), *self.published)


LIMITS: dict[str, Range] = {
    "chain_operations": (1, 20),
    "word_quantities": (2, 5),
    "route_nodes": (4, 12),
    "route_edges": (3, 30),
    "sum_terms": (2, 12),
    "sum_digits": (1, 3),
}
