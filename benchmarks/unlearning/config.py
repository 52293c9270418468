"""What the unlearning family can be told: how many persons, whom to forget, shares of rows, numbers of items."""

from __future__ import annotations

from typing import Literal, get_args

from benchmarks.unlearning.published_tasks import BENCHMARKS, published_splits
from methodbench.config import config, field
from methodbench.errors import UserError, nearest

Ratio = Literal[5, 10, 15]  # per cent of the fictitious persons, as MLLMU-Bench has it (M§4.1)
PublishedSet = Literal["mllmu_5", "mllmu_10", "mllmu_15", "clear_1", "clear_5", "clear_10"]
RATIOS: tuple[Ratio, ...] = get_args(Ratio)
MODES = ("image", "text")
SETS = ("forget", "test", "retain", "unseen", "membership", "validation_forget", "validation_retain")  # of each ratio
SHARED_SETS = ("real", "general")  # the same for all ratios
TRAINING = ("faces", "pictures", "base", "all", "vocabulary")
TRAINING_OF_RATIO = ("retain", "forget", "keep", "relearn")


@config
class UnlearningConfig:
    """The procedural world of people, its splits, and the published sets. With `people: 0` there is no such world."""

    people: int = field(60, ge=0, le=1000)  # fictitious persons, of whom some are to be forgotten
    known: int = field(20, ge=1, le=200)  # persons learnt in pretraining alone; stand in for celebrities
    holdout: int = field(20, ge=1, le=200)  # persons never trained on; membership is judged against them
    attributes: int = field(5, ge=2, le=8)  # facts of a person
    forget: tuple[Ratio, ...] = field(RATIOS, min_length=1)  # per cent of `people`; the sets are nested

    size: int = field(32, ge=16, le=512)  # pixels, of every picture's side
    renderings: int = field(16, ge=1, le=99)  # training pictures of a person
    test_renderings: int = field(4, ge=1, le=99)  # pictures of a person with wider nuisance, reported alone
    faces: int = field(5000, ge=1)  # labelled pictures of nobody, to train a vision tower on
    scenes: int = field(1000, ge=1)  # pictures of shapes, and as many texts about shapes: general skill

    text_share: float = field(0.25, ge=0, lt=1)  # of the rows about persons and scenes, in `base`, `all` and `retain_*`
    replay_share: float = field(0.25, ge=0, lt=1)  # rows of `base`'s kinds in `all` and `retain_*`
    general_share: float = field(0.25, ge=0, lt=1)  # rows about scenes in `base` and in the replay

    retain_items: int = field(90, ge=1)  # most items of a mode in `retain_*` and `validation_retain_*`
    real_items: int = field(60, ge=1)  # most items of a mode in `real`
    general_items: int = field(60, ge=1)  # items of a mode in `general`

    sets: tuple[PublishedSet, ...] = ()  # published; they need the model hub unless `stand_in`
    revisions: dict[str, str] = field(default_factory=dict)  # mllmu or clear -> commit on the hub; default "main"
    stand_in: bool = False  # hand-made rows of the same schema instead: for trying a paper config offline
    picture_side: int = field(0, ge=0)  # published pictures are scaled down to this shorter side; 0: not at all

    def __post_init__(self) -> None:
        if list(self.forget) != sorted(set(self.forget)):
            raise UserError(f"unlearning: key 'forget': given {list(self.forget)}, allowed: each once, ascending")
        if self.people and self.people <= self.forgotten(self.forget[-1]):
            raise UserError(f"unlearning: key 'people': given {self.people}, allowed: at least one more than forgotten")
        if not self.people and not self.sets:
            raise UserError("unlearning: key 'people': given 0, allowed: 0 only if 'sets' names a published set")
        for name in self.revisions:
            if name not in BENCHMARKS:
                raise UserError(f"unlearning: key 'revisions': unknown set '{name}'; {nearest(name, BENCHMARKS)}")

    def forgotten(self, ratio: int) -> int:
        """How many persons `ratio` per cent are: rounded, at least one."""
        return max(1, round(ratio * self.people / 100))

    def splits(self) -> tuple[str, ...]:
        """Names of the ``<split>.jsonl`` files that `prepare` writes."""
        published = published_splits(self.sets)
        if not self.people:
            return published
        return (
            *TRAINING,
            *(f"{name}_{mode}" for name in SHARED_SETS for mode in MODES),
            *(f"{name}_{ratio}" for ratio in self.forget for name in TRAINING_OF_RATIO),
            *(f"{name}_{ratio}_{mode}" for ratio in self.forget for name in SETS for mode in MODES),
            *published,
        )
