"""Reads a document once and scores all of its spans: what a task of several likelihoods a text comes down to.

The likelihood of a span given all text before it is the same in one pass over the whole document as in a pass that ends
with the span, as long as a token's output depends on earlier tokens alone. A runtime whose rule looks at the length of
its prompt takes the whole document's length for all spans; that is then how the task is defined for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from methodbench.errors import UserError

TOKENS_AT_ONCE = 8192  # on a CPU: what outgrows its caches takes twice as long


@dataclass(frozen=True)
class Document:
    """Token ids, and the first and one-past-last token of every span."""

    ids: list[int]
    spans: list[tuple[int, int]]


@dataclass(frozen=True)
class Reading:
    """What a pass over a document gave: (log-likelihood, is greedy) of every span, and a runtime's own numbers."""

    scores: list[tuple[float, bool]]
    record: dict[str, Any] = field(default_factory=dict)


def encode(tokenizer: PreTrainedTokenizerBase, text: str, spans: Sequence[Sequence[Any]], **settings: Any) -> Document:
    """Tokens of a text, and of each span [start, end, ...] of characters: those that begin inside it.

    A byte-level tokenizer may leave the blank at a token's start out of its place; then a blank alone has no width.

    Raises:
        UserError: a span holds no token, or nothing stands before it.
    """
    encoded = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True, **settings)
    places = zip(encoded["offset_mapping"], encoded["special_tokens_mask"], strict=True)
    starts = [-1 if added and end == start else start for (start, end), added in places]  # -1: put before the text
    found = []
    for start, end, *_ in spans:
        inside = [place for place, begins in enumerate(starts) if start <= begins < end]
        if not inside or inside[0] == 0:
            raise UserError(f"document: the span {text[start:end][:40]!r} at {start} has no token or nothing before it")
        found.append((inside[0], inside[-1] + 1))
    return Document(list(encoded["input_ids"]), found)


@torch.inference_mode()
def read(model: PreTrainedModel, documents: Sequence[Document], rows: int) -> Iterator[tuple[int, int, Reading]]:
    """Pass over every document, at most `rows` of one length at a time (on a CPU perhaps fewer), the longest first.

    Yields:
        (index of the document, its row in the pass, what the pass gave), right after the pass.
    """
    order = sorted(range(len(documents)), key=lambda index: -len(documents[index].ids))  # memory fails at once, if ever
    for _, same in groupby(order, key=lambda index: len(documents[index].ids)):
        indices = list(same)
        together = rows
        if model.device.type == "cpu":
            together = max(1, min(rows, TOKENS_AT_ONCE // len(documents[indices[0]].ids)))
        for first in range(0, len(indices), together):
            batch = indices[first : first + together]
            scores = score(model, [documents[index] for index in batch])
            for row, index in enumerate(batch):
                yield index, row, Reading(scores[row])


def score(model: PreTrainedModel, documents: Sequence[Document]) -> list[list[tuple[float, bool]]]:
    """(log-likelihood, is greedy) of every span of documents of equal length."""
    device = model.device
    ids = torch.tensor([document.ids for document in documents], device=device)
    wanted = sorted({place - 1 for document in documents for span in document.spans for place in range(*span)})
    before = torch.tensor(wanted, device=device)  # the places whose output predicts a scored token
    logits = model(input_ids=ids, use_cache=False, logits_to_keep=before).logits
    targets = ids[:, before + 1]
    likelihood = logits.log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1).double().cpu()
    greedy = (logits.argmax(-1) == targets).cpu()
    column = {place: number for number, place in enumerate(wanted)}
    found = []
    for row, document in enumerate(documents):
        pairs = []
        for first, last in document.spans:
            columns = [column[place - 1] for place in range(first, last)]
            pairs.append((float(likelihood[row, columns].sum()), bool(greedy[row, columns].all())))
        found.append(pairs)
    return found
