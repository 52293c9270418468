"""Rows to tune on, as token ids with labels.

    {"prompt", "completion"}   prompt cut to `max_source` tokens, completion with its end token to `max_target`, both on
                               the right, as the official code cuts; the completion, or the ``demonstration`` in its
                               place, is learnt
    {"text"}                   cut to both together; all of it is learnt

Rows begin with the beginning token where the tokenizer sets one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from methodbench.errors import UserError
from methods.amoeballm.losses import IGNORED
from methods.amoeballm.texts import read_rows, solution

Encoded = dict[str, list[int]]  # "input_ids" and "labels", of equal length


def encoded_rows(path: Path, tokenizer: Any, max_source: int, max_target: int, room: int | None) -> list[Encoded]:
    """All rows of a split.

    Raises:
        UserError: a row has neither form, has no token to learn, or is longer than the model's `room`.
    """
    begins = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    if tokenizer("a")["input_ids"][:1] != begins:
        begins = []
    ends = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    rows = []
    for number, row in enumerate(read_rows(path), 1):
        answer = solution(row)
        if "prompt" in row and answer is not None:
            source = (begins + ids(row["prompt"]))[:max_source]
            target = (ids(answer) + ends)[:max_target]
            labels = [IGNORED] * len(source) + target
        elif "text" in row:
            source, target = [], (begins + ids(row["text"]))[: max_source + max_target]
            labels = target
        else:
            raise UserError(f"{path}: line {number} has neither 'prompt' and 'completion' nor 'text'")
        if all(label == IGNORED for label in labels[1:]):  # nothing predicts the first token
            raise UserError(f"{path}: line {number} has no token to learn")
        if room is not None and len(labels) > room:
            raise UserError(
                f"{path}: line {number} has {len(labels)} tokens, the model takes {room}: "
                f"lower 'max_source' or 'max_target'"
            )
        rows.append({"input_ids": source + target, "labels": labels})
    return rows


class Collate:
    """Rows -> a batch padded on the right: ids, attention mask and labels [B, T]."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[Mapping[str, list[int]]]) -> dict[str, Tensor]:
        ids = [torch.tensor(row["input_ids"]) for row in rows]
        labels = [torch.tensor(row["labels"]) for row in rows]
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad),
            "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        }
