"""What the reasoning family can be told: which kinds, how hard, how many, and which published sets."""

from __future__ import annotations

from typing import Literal, get_args

from benchmarks.reasoning.published_tasks import PUBLISHED
from methodbench.config import config, field
from methodbench.errors import UserError, nearest

Kind = Literal[
    "sum",
    "difference",
    "products",
    "basic_arithmetic",
    "simple_equations",
    "modulo",
    "spell_backward",
    "word_sequence_reversal",
    "letter_counting",
    "caesar_cipher",
    "palindrome_generation",
    "count_bits",
    "number_filtering",
    "number_sorting",
    "rotate_matrix",
    "spiral_matrix",
    "manipulate_matrix",
    "leg_counting",
]
Range = tuple[int, int]  # fewest and most, both included
KINDS: tuple[Kind, ...] = get_args(Kind)
NEAR, FAR = KINDS[1:6], KINDS[6:]
SIZES = {  # split -> the groups of kinds that it holds
    "train": ("id", "near", "far"),
    "questions": ("id",),
    "validation": ("id",),
    "probe_id": ("id",),
    "probe_ood": ("near", "far"),
    "in_domain": ("id",),
    "near_domain": ("near",),
    "far_domain": ("far",),
    "passk_in": ("id",),
    "passk_far": ("far",),
}


@config
class ReasoningConfig:
    """Kinds, sizes and difficulty. A split of size 0 is not written."""

    id: tuple[Kind, ...] = field(("sum",), min_length=1)  # in-domain: what a model improves itself on
    near: tuple[Kind, ...] = NEAR  # other arithmetic
    far: tuple[Kind, ...] = FAR  # letters, lists, bits, grids and animals

    train: int = field(40_000, ge=0)  # all kinds with rationales, for pretraining
    questions: int = field(1_000, ge=0)  # in-domain, without rationales
    validation: int = field(400, ge=0)  # in-domain
    probe_id: int = field(200, ge=0)  # in-domain, with rationales
    probe_ood: int = field(340, ge=0)  # near and far, with rationales
    in_domain: int = field(500, ge=0)
    near_domain: int = field(500, ge=0)
    far_domain: int = field(720, ge=0)
    passk_in: int = field(100, ge=0)  # asked 16 times each
    passk_far: int = field(144, ge=0)
    shares: dict[Kind, float] = field(default_factory=dict)  # weight of a kind in `train`; 1 where not named
    # Share of a kind's rows in `train` whose answer has a slip; 0 where not named. What a model learns is as uneven
    # as what it reads, and there is something to be gained from its own right answers.
    slips: dict[Kind, float] = field(default_factory=dict)

    sum_terms: Range = (4, 6)
    difference_terms: Range = (3, 5)
    products_terms: Range = (3, 6)
    basic_arithmetic_terms: Range = (3, 3)
    simple_equations_largest: int = field(20, ge=9, le=50)  # solution; factor and constant are at most 9
    modulo_digits: Range = (4, 7)
    spell_backward_letters: Range = (4, 6)
    word_sequence_reversal_letters: Range = (2, 3)  # of a word; two or three words
    letter_counting_letters: Range = (4, 6)
    caesar_cipher_letters: Range = (3, 6)
    caesar_cipher_rotation: Range = (1, 5)
    palindrome_generation_letters: Range = (5, 7)
    count_bits_pairs: Range = (4, 6)
    number_filtering_numbers: Range = (4, 6)
    number_sorting_numbers: Range = (4, 7)
    leg_counting_instances: Range = (1, 5)

    published: tuple[str, ...] = ()  # of PUBLISHED; needs the model hub unless `stand_in`
    revisions: dict[str, str] = field(default_factory=dict)  # published name -> commit on the hub; default "main"
    stand_in: bool = False  # hand-made rows of the same schema instead: for trying a paper config offline

    def __post_init__(self) -> None:
        for key, (lowest, highest) in LIMITS.items():
            low, high = getattr(self, key)
            if not lowest <= low <= high <= highest:
                raise UserError(
                    f"reasoning: key '{key}': given [{low}, {high}], allowed: {lowest} <= first <= second <= {highest}"
                )
        groups = {"id": self.id, "near": self.near, "far": self.far}
        all_kinds = [kind for kinds in groups.values() for kind in kinds]
        for group, kinds in groups.items():
            for kind in kinds:
                if all_kinds.count(kind) > 1:
                    raise UserError(f"reasoning: key '{group}': given '{kind}', allowed: a kind once, in one group")
        for split, held in SIZES.items():
            if getattr(self, split) and not any(groups[group] for group in held):
                raise UserError(
                    f"reasoning: key '{split}': given {getattr(self, split)}, allowed: 0, as no kind is in "
                    f"{' or '.join(held)}"
                )
        for kind, share in self.shares.items():
            if kind not in all_kinds or share < 0:
                raise UserError(
                    f"reasoning: key 'shares.{kind}': given {share}, allowed: 0 or more, of a kind in id, near or far"
                )
        for kind, share in self.slips.items():
            if kind not in all_kinds or not 0 <= share <= 1:
                raise UserError(
                    f"reasoning: key 'slips.{kind}': given {share}, allowed: 0 to 1, of a kind in id, near or far"
                )
        if self.train and not any(self.shares.get(kind, 1) for kind in all_kinds):
            raise UserError("reasoning: key 'shares': given 0 for every kind, allowed: at least one above 0")
        for name in (*self.published, *self.revisions):
            if name not in PUBLISHED:
                raise UserError(f"reasoning: key 'published': unknown set '{name}'; {nearest(name, PUBLISHED)}")

    def kinds(self, split: str) -> tuple[Kind, ...]:
        """The kinds that `split` holds."""
        return tuple(kind for group in SIZES[split] for kind in getattr(self, group))

    def splits(self) -> tuple[str, ...]:
        """Names of the ``<split>.jsonl`` files that `prepare` writes."""
        return (*(name for name in SIZES if getattr(self, name)), *self.published)


LIMITS: dict[str, Range] = {  # a row has at most 48 tokens
    "sum_terms": (2, 8),
    "difference_terms": (2, 6),
    "products_terms": (2, 6),
    "basic_arithmetic_terms": (2, 4),
    "modulo_digits": (2, 9),
    "spell_backward_letters": (4, 8),
    "word_sequence_reversal_letters": (2, 3),
    "letter_counting_letters": (4, 7),
    "caesar_cipher_letters": (3, 7),
    "caesar_cipher_rotation": (1, 25),
    "palindrome_generation_letters": (5, 13),
    "count_bits_pairs": (3, 7),
    "number_filtering_numbers": (3, 8),
    "number_sorting_numbers": (3, 12),
    "leg_counting_instances": (1, 9),
}
