"""What a study's YAML may hold: the user's words, checked key by key. `graph.py` turns them into nodes."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Literal

from methodbench.config import config, field, parse, read_yaml
from methodbench.errors import UserError

Scale = Literal["smoke", "mini", "paper"]
MEASURED = "measures."  # before a column of measures.csv, where an axis may be a field of the samples, too
MATRIX = "stacked_methods"  # the drawing of a study's pairs, where a figure's id is the drawing of that figure


@config
class DatasetSpec:
    """One prepared benchmark family, ``datasets: {math: {config: {...}}}``, or another study's dataset.

    ``datasets: {easy: {from: other/easy}}`` is the dataset `easy` of the study `other` at this scale: prepared once,
    where that study keeps it, with that study's config and seed. It has the same name here, and no other key.
    """

    source: str = field("", alias="from")  # another study's "study/dataset"
    family: str = ""  # default: the dataset's own name
    config: dict[str, Any] = field(default_factory=dict)
    seed: int = field(0, ge=0)


@config
class CheckpointSpec:
    """One node of the graph: a transform of its parents, or (without `method`) another study's checkpoint."""

    method: str = ""
    parents: tuple[str, ...] = field(default=(), alias="from")  # names here, or "study/checkpoint"
    data: dict[str, str] = field(default_factory=dict)  # input name -> "dataset/split"
    config: dict[str, Any] = field(default_factory=dict)


@config
class Choice:
    """Config values picked by a score. Picking on the split that is reported is possible, and labelled."""

    among: dict[str, tuple[Any, ...]] = field(min_length=1)  # key of the runtime's config -> values; all combinations
    on: str  # "dataset/task" that decides, e.g. math/validation
    metric: str = "exact_match"  # the best by its direction in the task; of equals the first combination

    def combinations(self) -> list[dict[str, Any]]:
        """Every candidate, the last key's values changing fastest."""
        return [dict(zip(self.among, values, strict=True)) for values in product(*self.among.values())]


@config
class RuntimeSpec:
    """One way to run a checkpoint. With `sweep`, the name is a pattern: ``swir_w{window}`` over its values."""

    method: str
    config: dict[str, Any] = field(default_factory=dict)
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    choose: Choice | None = None


@config
class EvaluateSpec:
    """One evaluate job per checkpoint and seed: the checkpoint is loaded once and serves all pairs."""

    checkpoints: tuple[str, ...] = field(min_length=1)
    runtimes: tuple[str, ...] = field(min_length=1)  # names or sweep patterns
    benchmarks: tuple[str, ...] = field(min_length=1)  # "dataset/task"
    slots: int = field(64, ge=1)  # rows decoded side by side; results differ by float rounding at most
    limit: int | None = field(None, ge=1)  # first items only
    max_gen_toks: int | None = field(None, ge=1)  # instead of the tasks' own limits
    chat_template: bool = False


@config
class CurveSpec:
    """Arms that belong together: by budget (ordered by their mean length when drawn) or one made from the other."""

    arms: tuple[str, ...] = field(min_length=1)  # arm names or sweep patterns; in figures of kind measures: checkpoints
    label: str = ""


@config
class Claim:
    """What the paper says, as a comparison that can fail: `left` against `right`, or a rank correlation.

    An arm is a runtime, a checkpoint, or "checkpoint@runtime" where one alone would be ambiguous; for the metric
    ``dataset/task/efficiency`` both sides and the controls are curves and the effect is the efficiency gain E[dE].

    With `checkpoint` and `rank` instead of `left`, `right` and `metric`, the effect is Spearman's rho between two
    columns of the file ``measures.csv`` that the checkpoint's transform left in its folder, over the file's rows; it
    takes no controls.

    With `minus`, the effect is what `left` gains over `right` on `metric` less what it gains on `minus`: what is
    forgotten of some things beyond what is lost of others.
    """

    id: str
    says: str
    left: str = ""
    right: str = ""
    metric: str = ""  # "dataset/task/metric"; a/b after the task means a ratio of sums, e.g. math/test/latent:tokens
    minus: str = ""  # "dataset/task/metric" of another task
    checkpoint: str = ""  # rank: a name in the study's `checkpoints`
    rank: tuple[str, str] | None = None  # two columns of measures.csv; `less` claims that one falls as the other rises
    direction: Literal["greater", "less"] = "greater"
    at_least: float = field(0.0, ge=0)  # smallest effect that counts, in the metric's unit; of a rank |rho|
    source: str = ""  # table or section of the paper
    controls: tuple[str, ...] = ()  # arms that must not do as well as `left`

    def metrics(self) -> tuple[str, ...]:
        """`metric`, and `minus` if it is given."""
        return (self.metric, self.minus) if self.minus else (self.metric,)


@config
class Pair:
    """Two methods on one model: what each does alone, both one after the other, and what they do beyond their sum.

    The interaction is ``(both - right) - (left - base)``: what `first` adds on top of `second` less what it adds to the
    base. Where the methods can also come in the other order, `reverse` is that arm, and ``both - reverse`` what the
    order does. The report puts all pairs into a matrix, a row for each `first` and a column for each `second`.
    """

    id: str
    first: str  # a method's name as the report shows it
    second: str
    base: str  # arms, as in claims: neither method
    left: str  # `first` alone
    right: str  # `second` alone
    both: str  # `first`, then `second`
    metric: str  # "dataset/task/metric", as in claims, but no efficiency
    reverse: str = ""  # `second`, then `first`
    at_least: float = field(0.0, ge=0)  # smallest interaction that counts, in the metric's unit; default as of claims
    direction: Literal["greater", "less"] | None = None  # what is better; default the metric's own, else greater


@config
class Figure:
    """One drawing of the report.

    curve: metric `y` against `x` (mean per sample) along each of `curves`, and a named point for each of `arms`; an `x`
    of ``measures.COLUMN`` is the mean of that column of the ``measures.csv`` of each arm's checkpoint, such as its
    parameters; sweep: `y` against the swept value of the pattern in `arms`; bars: `y` for each of `arms`; stack: shares
    of several sample fields `y` for each of `arms`; profile: the fields `y` side by side, such as pass_1, pass_2 and
    pass_4, a line for each of `arms`. These five are drawn on one `task`.

    lengths: `y` over `tasks`, a line for each of `arms`, a panel for each `y`; heat: mean of `y` by the samples' kind
    (rows) and by `tasks` (columns), a panel for each of `arms`; plane: `y` on the first of two `tasks` (to the right)
    against `y`, or the second `y`, on the other (up): each of `curves` is a path through its arms in the order given,
    each of `arms` a point; through the arm `origin` run dashed lines, and a table below gives every arm's gains over
    it on both axes and the gap between them.

    These four draw the file ``measures.csv`` that the transform of a checkpoint left in its folder. histogram: how
    its column `x` spreads for each of `checkpoints`, all seeds pooled; measures: means of its columns `y`, a panel
    each, along the checkpoints of each of `curves`, where one without the file keeps its place; layers: its columns
    `y`, a panel each, against its column `x`, a line for each of `checkpoints`; map: shaded cells, a row for each of
    `checkpoints` and each of its columns `y` (shares, 0 to 1), such as whether a layer is kept, a column for each value
    of the column `x`.
    """

    id: str
    kind: Literal[
        "curve", "sweep", "bars", "stack", "profile", "lengths", "heat", "plane", "histogram", "measures", "layers",
        "map",
    ]  # fmt: skip
    title: str
    task: str = ""  # curve, sweep, bars, stack, profile: "dataset/task"
    tasks: tuple[str, ...] = ()  # lengths, heat: from left to right; plane: two
    ticks: tuple[str, ...] = ()  # names of `tasks` (default their datasets); profile: `y`; measures: places; map: rows
    curves: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()  # histogram, layers, map: names in the study's `checkpoints`
    origin: str = ""  # plane: the arm that the others are compared with
    x: str = ""  # curve: a field (default tokens) or measures.COLUMN; histogram, layers, map: a column; others: a name
    y: tuple[str, ...] = field(default=("exact_match",), min_length=1)  # "a:b" is a ratio of sums; or columns
    reference: float | None = None  # lengths: a level of the first `y` to compare with, drawn dashed
    reference_label: str = "chance"
    by: str = ""  # histogram: a column; one panel for each of its values
    clip: tuple[float, float] | None = None  # histogram: lowest and highest value; what lies outside is put at the edge
    marks: dict[str, float] = field(default_factory=dict)  # histogram: label -> where a vertical line stands
    caption: str = ""


@config
class Study:
    """One file of config/<scale>/."""

    study: str = field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = ""
    about: str = ""  # paragraphs that open the report
    optional: bool = False  # made only when it is named, not with `studies: all`
    seeds: tuple[int, ...] = field(default=(0,), min_length=1)
    datasets: dict[str, DatasetSpec] = field(default_factory=dict)
    checkpoints: dict[str, CheckpointSpec] = field(min_length=1)
    runtimes: dict[str, RuntimeSpec] = field(default_factory=dict)
    evaluate: dict[str, EvaluateSpec] = field(default_factory=dict)  # job name -> what it scores
    curves: dict[str, CurveSpec] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    pairs: tuple[Pair, ...] = ()  # methods put one on top of the other
    figures: tuple[Figure, ...] = ()
    reported: tuple[str, ...] = ()  # methods whose reported.yaml stands beside the measured numbers
    health: dict[str, float] = field(default_factory=dict)  # flag -> highest share at which a score still counts


def read_study(path: Path) -> Study:
    """The checked study in one YAML file.

    Raises:
        UserError: unreadable file, unknown key, wrong type or range, or a key beside a dataset's `from`.
    """
    values = read_yaml(path)
    study = parse(Study, values, str(path))
    for name, dataset in study.datasets.items():
        # The file is asked, for a key may repeat its default and would be ignored all the same.
        beside = [key for key in values["datasets"][name] if key != "from"]
        if dataset.source and beside:
            raise UserError(
                f"{path}: datasets.{name}: key '{beside[0]}': given beside 'from', which allows no other key; "
                f"'{dataset.source}' has its own"
            )
    return study
