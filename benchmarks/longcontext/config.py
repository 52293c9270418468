"""What the longcontext family can be told: how long, which tasks, how many, and whose tokens are counted."""

from __future__ import annotations

from pathlib import Path

from methodbench.config import config, field
from methodbench.errors import UserError, nearest

DRAWN = (
    *("train", "calibration", "recall"),
    *("passkey", "needle", "multi_needle", "multi_value", "variable_tracking"),
    *("common_words", "frequent_words", "document_retrieval"),
)
RULER = tuple(
    f"ruler_{name}"
    for name in (
        *("niah_single_1", "niah_single_2", "niah_single_3"),
        *("niah_multikey_1", "niah_multikey_2", "niah_multikey_3", "niah_multivalue", "niah_multiquery"),
        *("vt", "cwe", "fwe", "qa_squad", "qa_hotpot"),
    )
)
LONGBENCH = tuple(
    f"longbench_{name}"
    for name in (
        *("qasper", "multifieldqa_en", "hotpotqa", "2wikimqa", "gov_report", "multi_news", "trec", "triviaqa"),
        *("samsum", "passage_count", "passage_retrieval_en", "lcc", "repobench-p"),
    )
)
PUBLISHED = (*RULER, "pg19", "pg19_validation", *LONGBENCH)
TEXTS = ("pg19_text",)  # published, too, but read by a method and not scored
REVISED = (
    "pg19",
    "pg19_validation",
    "longbench",
)  # what lies on the hub at a revision; RULER's sources are chosen by lm-eval
SHORTEST_RULER = 2048  # tokens: lm-eval's makers never return where a task's worked example does not fit
WORDS = 70  # words of the recall language
BLOCK = 4  # words of a block of a recall document


@config
class LongContextConfig:
    """Length, sizes and difficulty. A split of size 0 is not written."""

    length: int = field(256, ge=64)  # tokens of prompt and answer together; of a recall document or book window: all
    depths: tuple[float, ...] = field((0.0, 0.25, 0.5, 0.75, 1.0), min_length=1)  # where a needle lies, in turn

    train: int = field(0, ge=0)  # recall documents to train on
    calibration: int = field(0, ge=0)  # recall documents to calibrate a method on
    recall: int = field(100, ge=0)
    passkey: int = field(0, ge=0)
    needle: int = field(0, ge=0)
    multi_needle: int = field(0, ge=0)
    multi_value: int = field(0, ge=0)
    variable_tracking: int = field(0, ge=0)
    common_words: int = field(0, ge=0)
    frequent_words: int = field(0, ge=0)
    document_retrieval: int = field(0, ge=0)

    pairs: int = field(4, ge=1)  # recall: key-value pairs that a document holds
    keys: int = field(8, ge=1)
    values: int = field(8, ge=2)
    queries: int = field(12, ge=1)
    fillers: int = field(32, ge=2)  # filler words
    lag: int = field(7, ge=1)  # words back to the one that decides the next filler word
    regularity: float = field(0.5, ge=0, le=1)  # how often it does
    tail: int = field(32, ge=1)  # blocks at a document's end that hold the queries
    filler_loss: float = field(0.3, ge=0)  # weight of the filler beside the answers, in training

    tokenizer: str = ""  # a hub id or a folder; "" counts words, capitals, digits and symbols, as `pretrain` does
    tokenizer_revision: str = field("", pattern=r"^([0-9a-f]{40})?$")  # a hub id must be pinned to a full commit hash

    published: tuple[str, ...] = ()  # of PUBLISHED and TEXTS; needs the model hub unless `stand_in`
    revisions: dict[str, str] = field(default_factory=dict)  # of REVISED -> commit; default "main"
    windows: int = field(10, ge=1)  # pg19, pg19_validation: most windows a book
    books: int = field(100, ge=1)  # pg19, pg19_validation: the first so many books
    stand_in: bool = False  # hand-made rows of the same schema instead: for trying a paper config offline

    def __post_init__(self) -> None:
        for depth in self.depths:
            if not 0 <= depth <= 1:
                raise UserError(f"longcontext: key 'depths': given {depth}, allowed: 0 to 1")
        for name in self.published:
            if name not in (*PUBLISHED, *TEXTS):
                allowed = nearest(name, (*PUBLISHED, *TEXTS))
                raise UserError(f"longcontext: key 'published': unknown set '{name}'; {allowed}")
        for name in self.revisions:
            if name not in REVISED:
                raise UserError(f"longcontext: key 'revisions': unknown source '{name}'; {nearest(name, REVISED)}")
        if self.tokenizer and not self.tokenizer_revision and not is_folder(self.tokenizer):
            raise UserError(
                f"longcontext: key 'tokenizer_revision': '{self.tokenizer}' must be pinned to a full commit hash of 40 "
                "hex digits"
            )
        wanting = [name for name in self.published if name in RULER]
        if wanting and not self.tokenizer and not self.stand_in:
            raise UserError(f"longcontext: key 'tokenizer': '{wanting[0]}' is cut to a model's tokens, so it needs one")
        if wanting and self.length < SHORTEST_RULER and not self.stand_in:
            raise UserError(
                f"longcontext: key 'length': given {self.length}, allowed for '{wanting[0]}': at least {SHORTEST_RULER}"
            )
        if self.train or self.calibration or self.recall:
            self.check_recall()

    def check_recall(self) -> None:
        """Refuse a recall document that cannot hold what it should."""
        limits = {
            "tail": (self.tail, self.length // BLOCK - 2 * self.pairs),  # before it lie the pairs, at any depth
            "pairs": (self.pairs, self.keys),
            "queries": (self.queries, self.tail),
            "fillers": (self.fillers, WORDS - self.keys - self.values),
        }
        for key, (given, most) in limits.items():
            if given > most:
                raise UserError(
                    f"longcontext: key '{key}': given {given}, allowed with the other keys of recall: at most {most}"
                )

    def splits(self) -> tuple[str, ...]:
        """Names of the ``<split>.jsonl`` files that `prepare` writes."""
        return (*(name for name in DRAWN if getattr(self, name)), *self.published)


def is_folder(tokenizer: str) -> bool:
    """A path, whether or not it is there yet; anything else is a hub id."""
    return tokenizer.startswith(("/", ".", "~")) or Path(tokenizer).is_dir()
