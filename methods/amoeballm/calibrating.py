"""The metric of a set of removed layers on a calibration set (arXiv 2411.10606, stage 1; sheet 2.1). Higher is better.

accuracy  share of questions whose right option has the highest log-likelihood, of equal ones the first; the mean over
          kinds of the shares within a kind, whatever their sizes, as in the official code
gold      log-likelihood of the right option, averaged likewise
nll       mean log-probability of a token of windows of text: the negative log-likelihood, negated

Prefix cache (not in the official code): layers below the lowest removed one do what they do in the full model. Their
results are computed once, and an evaluation starts at the lowest removed layer, in batches of the same shape through
the same kernels: the metrics are equal to the bit. It takes layers x tokens x width numbers of memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methods.amoeballm.blocks import blocks, skipping
from methods.amoeballm.config import DepthConfig
from methods.amoeballm.scoring import Batch, Question, batched, question_reads, text_reads
from methods.amoeballm.stream import residual_stream

AT_ONCE = 512  # positions whose logits lie in memory together


class Calibration:
    """A model and a calibration set; `evaluations` counts the metrics computed.

    Args:
        model: stays as it is, and is put into evaluation mode.
        path: rows ``{"prompt", "options", "label"}``, with a ``"kind"`` or without, or ``{"text"}`` for nll.

    Raises:
        UserError: rows that the metric cannot use.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any, path: Path, config: DepthConfig, seed: int) -> None:
        self.model = model.eval()
        self.metric_name = config.metric
        self.questions: list[Question] = []
        if config.metric == "nll":
            reads = text_reads(tokenizer, path, config, seed)
        else:
            reads, self.questions = question_reads(tokenizer, path, config, seed)
        self._batches = batched(reads, config.batch_size, model.device)
        self._layers = len(blocks(model))
        self._prefix_cache = config.prefix_cache
        self._prefixes: list[list[Tensor]] | None = None  # of every batch: the inputs of all layers
        self.evaluations = 0

    @torch.inference_mode()
    def metric(self, removed: Collection[int]) -> float:
        """The metric of the model without the layers `removed`; higher is better."""
        self.evaluations += 1
        if self._prefix_cache and self._prefixes is None:
            self._prefixes = self._cached()
        found = [self._scored(number, frozenset(removed)) for number in range(len(self._batches))]
        # summed on the CPU, in order: additions of a GPU come in any
        values = torch.cat(found).cpu().double()
        slots = [slot for batch in self._batches for slot in batch.slots]
        sums = torch.zeros(max(slots) + 1, dtype=torch.float64).index_add_(0, torch.tensor(slots), values)
        return self._value(sums.tolist(), len(slots))

    def _value(self, sums: list[float], count: int) -> float:
        if self.metric_name == "nll":
            return sums[0] / count
        kinds: dict[str, list[float]] = {}
        for question in self.questions:
            options = sums[question.first : question.first + question.options]
            right = options[question.label]
            if self.metric_name == "accuracy":
                broken = any(map(math.isnan, options))
                right = math.nan if broken else float(options.index(max(options)) == question.label)
            kinds.setdefault(question.kind, []).append(right)
        return math.fsum(math.fsum(found) / len(found) for found in kinds.values()) / len(kinds)

    def _scored(self, number: int, removed: frozenset[int]) -> Tensor:
        """Log-probabilities of a batch's scored tokens, [S] float32."""
        batch = self._batches[number]
        start = 0
        given: dict[str, Tensor] = {"input_ids": batch.ids}
        if self._prefixes is not None:
            start = min(removed, default=self._layers - 1)
            given = {"inputs_embeds": self._prefixes[number][start].to(batch.ids.device)}
        active = [layer >= start and layer not in removed for layer in range(self._layers)]
        decoder: Any = self.model.get_decoder()
        with skipping(self.model, active):
            hidden = decoder(**given, use_cache=False).last_hidden_state  # [B, T, width]
        return self._log_probabilities(hidden, batch)

    def _log_probabilities(self, hidden: Tensor, batch: Batch) -> Tensor:
        head: Any = self.model.get_output_embeddings()
        states = hidden[batch.rows, batch.positions]  # [S, width]
        parts = zip(states.split(AT_ONCE), batch.tokens.split(AT_ONCE), strict=True)
        return torch.cat([head(part).float().log_softmax(-1).gather(1, ids[:, None])[:, 0] for part, ids in parts])

    def _cached(self) -> list[list[Tensor]]:
        """Inputs of all layers of the full model, on its device where they take at most half of the free memory."""
        device = self.model.device
        places = sum(batch.ids.numel() for batch in self._batches)
        needed = self._layers * places * self.model.config.hidden_size * self.model.dtype.itemsize
        if device.type == "cuda" and 2 * needed > torch.cuda.mem_get_info(device)[0]:
            device = torch.device("cpu")
        found = []
        for batch in self._batches:
            states = residual_stream(self.model, batch.ids)[:-1]
            found.append([state.to(device) for state in states])
        return found
