"""What the language family can be told: the generated world, the documentation's passages, the published sets."""

from __future__ import annotations

from benchmarks.language.published_tasks import DOCUMENTS, PUBLISHED
from benchmarks.language.words import QUESTIONS, VALUES, WORDINGS
from methodbench.config import config, field
from methodbench.errors import UserError, nearest

WORLD = ("pretrain", "train", "calibration", "facts", "text_calibration", "text")


@config
class LanguageConfig:
    """Sizes of the world's splits (a split of size 0 is not written), and which other sets there are."""

    entities: int = field(96, ge=0, le=999)  # 0: no generated world; a third each for tuning, calibration and test
    attributes: int = field(3, ge=1, le=5)  # facts of an entity
    values: int = field(12, ge=4, le=12)  # of an attribute; a blind guess is right in one of so many cases
    filler: float = field(0.4, ge=0, lt=1)  # share of the rows of `pretrain`, `train`, `text_calibration`
    end_token: str = field("<|end|>", min_length=1)  # closes every completion; as in `pretrain`

    pretrain: int = field(12_000, ge=0)  # about all entities, in all wordings
    train: int = field(2_000, ge=0)  # questions about the tuning third
    calibration: int = field(96, ge=0)  # about the calibration third; each fact once before any is asked otherwise
    facts: int = field(96, ge=0)  # about the test third
    text_calibration: int = field(500, ge=0)
    text: int = field(200, ge=0)  # windows of unseen sentences

    published: tuple[str, ...] = ()  # of PUBLISHED; all but the documentation need the model hub unless `stand_in`
    revisions: dict[str, str] = field(default_factory=dict)  # published name -> commit on the hub; default "main"
    most: dict[str, int] = field(default_factory=dict)  # published name -> so many of its rows, a fixed random sample
    stand_in: bool = False  # hand-made rows of the same schema instead: for trying a paper config offline
    docs_characters: int = field(600, ge=100, le=8000)  # of a window of `docs`
    wikitext_characters: int = field(8_000, ge=100)  # of a window of `wikitext2` and a text of `wikitext2_train`

    def __post_init__(self) -> None:
        if 0 < self.entities < 3:
            raise UserError(f"language: key 'entities': given {self.entities}, allowed: 0, or 3 and more")
        told = self.pretrain - self.fillers(self.pretrain)
        least = self.entities * self.attributes * WORDINGS
        if self.entities and self.pretrain and told < least:
            raise UserError(
                f"language: key 'pretrain': given {self.pretrain}, of which {told} rows tell facts, allowed: so many "
                f"that {least} do (every fact in {WORDINGS} wordings)"
            )
        third = self.entities // 3 * self.attributes * len(QUESTIONS)
        for split in ("calibration", "facts"):
            if self.entities and getattr(self, split) > third:
                raise UserError(
                    f"language: key '{split}': given {getattr(self, split)}, allowed: at most {third} "
                    f"(a third of the entities, each attribute in {len(QUESTIONS)} wordings)"
                )
        for key in ("published", "revisions", "most"):
            for name in getattr(self, key):
                if name not in PUBLISHED:
                    raise UserError(f"language: key '{key}': unknown set '{name}'; {nearest(name, PUBLISHED)}")
                if key == "revisions" and name in DOCUMENTS:
                    raise UserError(f"language: key 'revisions': '{name}' comes with Python, it has no revision")
        for name, count in self.most.items():
            if count < 1:
                raise UserError(f"language: key 'most.{name}': given {count}, allowed: 1 or more")
        if len(set(self.published)) < len(self.published):
            raise UserError(f"language: key 'published': given {list(self.published)}, a set may stand there once")

    def fillers(self, size: int) -> int:
        """How many of `size` rows are filler."""
        return round(size * self.filler)

    def told(self) -> tuple[str, ...]:
        """The attributes that entities have."""
        return tuple(VALUES)[: self.attributes]

    def splits(self) -> tuple[str, ...]:
        """Names of the ``<split>.jsonl`` files that `prepare` writes."""
        world = (name for name in WORLD if self.entities and getattr(self, name))
        return (*world, *self.published)
