"""What a calibration set asks of a model: token sequences, and which tokens of them are scored at which positions.

A question's option is read after the prompt, and its log-likelihood is the sum over its tokens. The last token of an
option is never fed, so that options of one token each (the letters of MMLU) share one sequence, the prompt: one forward
pass answers the question, as in the official code. Prompt and option are tokenised together and parted where the
prompt's own tokens end, as lm-eval does; the blank before a letter belongs to the option (" A").

Departure from the official code: prompts that are too long lose their beginning, not the question at their end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from methodbench.errors import UserError
from methods.amoeballm.config import DepthConfig
from methods.amoeballm.texts import read_rows, windows


@dataclass(frozen=True)
class Read:
    """A sequence to feed. `scored`: (position, token that should follow, index of the likelihood it adds to)."""

    ids: tuple[int, ...]
    scored: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Question:
    """A row: the likelihoods of its options are `first` to ``first + options - 1``."""

    first: int
    options: int
    label: int
    kind: str


@dataclass(frozen=True)
class Batch:
    """Sequences padded on the right, and S scored tokens."""

    ids: Tensor  # [B, T]
    rows: Tensor  # [S], of `ids`
    positions: Tensor  # [S], of `ids`
    tokens: Tensor  # [S]
    slots: tuple[int, ...]  # S likelihoods that the tokens add to


def batched(reads: Iterable[Read], size: int, device: torch.device) -> list[Batch]:
    """Batches of sequences of similar length, shortest first.

    Padding needs no mask: it stands to the right of every scored position, which a causal model cannot see.
    """
    ordered = sorted(reads, key=lambda read: len(read.ids))
    return [_batch(ordered[start : start + size], device) for start in range(0, len(ordered), size)]


def _batch(reads: Sequence[Read], device: torch.device) -> Batch:
    ids = torch.zeros(len(reads), len(reads[-1].ids), dtype=torch.long)
    for row, read in enumerate(reads):
        ids[row, : len(read.ids)] = torch.tensor(read.ids)
    scored = [(row, *entry) for row, read in enumerate(reads) for entry in read.scored]
    *places, slots = zip(*scored, strict=True)
    rows, positions, tokens = (torch.tensor(part, device=device) for part in places)
    return Batch(ids.to(device), rows, positions, tokens, slots)


def text_reads(tokenizer: Any, path: Path, config: DepthConfig, seed: int) -> list[Read]:
    """Windows of text; every token but the first is scored and adds to likelihood 0.

    Raises:
        UserError: the rows are no texts, or all of them are shorter than a window.
    """
    drawn = windows(tokenizer, path, config.items, config.window, seed if config.draw == "random" else 0)
    return [
        Read(tuple(ids[:-1]), tuple((place, token, 0) for place, token in enumerate(ids[1:]))) for ids in drawn.tolist()
    ]


def question_reads(tokenizer: Any, path: Path, config: DepthConfig, seed: int) -> tuple[list[Read], list[Question]]:
    """Sequences of up to ``config.items`` questions, and the questions.

    Raises:
        UserError: a row is no question, or an option has more tokens than may be read.
    """
    rows = read_rows(path)
    numbers: Sequence[int] = range(min(config.items, len(rows)))
    if config.draw == "random":
        numbers = sorted(Random(f"calibration {seed}").sample(range(len(rows)), len(numbers)))
    reads: list[Read] = []
    questions: list[Question] = []
    first = 0
    for number in numbers:
        row = rows[number]
        where = f"{path}: row {number + 1}"
        _check(row, where)
        reads += question_read(tokenizer, row, first, config.max_length, where)
        questions.append(Question(first, len(row["options"]), row["label"], str(row.get("kind", ""))))
        first += len(row["options"])
    return reads, questions


def _check(row: Mapping[str, Any], where: str) -> None:
    for key in ("prompt", "options", "label"):
        if key not in row:
            hint = "; texts can be calibrated on by key 'metric': nll" if "text" in row else ""
            raise UserError(f'{where}: has no key \'{key}\'; questions are rows {{"prompt", "options", "label"}}{hint}')
    label, options = row["label"], row["options"]
    if not isinstance(options, list) or len(options) < 2 or not all(isinstance(option, str) for option in options):
        raise UserError(f"{where}: key 'options': given {options!r}, allowed: a list of two or more strings")
    if not isinstance(label, int) or not 0 <= label < len(options):
        raise UserError(f"{where}: key 'label': given {label!r}, allowed: 0 to {len(options) - 1}")


def question_read(tokenizer: Any, row: Mapping[str, Any], first: int, longest: int, where: str) -> list[Read]:
    """The sequences that answer a question, whose options' likelihoods are `first` and those after it.

    Of the special tokens that the tokenizer adds to a text the first of a text stays; a last one would part prompt and
    option.

    Raises:
        UserError: prompt or option has no token, or an option has more than may be read.
    """
    begin = [token for token in tokenizer("")["input_ids"] if token == tokenizer.bos_token_id]

    def encoded(text: str) -> list[int]:
        return begin + list(tokenizer(text, add_special_tokens=False)["input_ids"])

    ends = len(encoded(row["prompt"]))
    together = [encoded(row["prompt"] + option) for option in row["options"]]
    # every option is read after the same prompt, cut for the longest of them
    room = longest - (max(map(len, together)) - ends - 1)
    if ends == 0 or room < 1 or any(len(ids) <= ends for ids in together):
        raise UserError(f"{where}: prompt and options must have a token each, and fit key 'max_length': {longest}")
    found: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
    for number, ids in enumerate(together):
        prompt, option = ids[:ends][-room:], ids[ends:]
        fed = (*prompt, *option[:-1])
        scored = ((len(prompt) - 1 + place, token, first + number) for place, token in enumerate(option))
        found.setdefault(fed, []).extend(scored)
    return [Read(fed, tuple(scored)) for fed, scored in found.items()]
