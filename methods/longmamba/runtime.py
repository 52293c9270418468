"""The runtimes of this folder: lm-eval LMs whose every pass goes through a filter or drops tokens."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from methodbench.checkpoint import Checkpoint
from methodbench.policy import Ordinary, Policy
from methodbench.runtime import GenerationLM
from methodbench.sampling import Sampling
from methods.longmamba.config import LongMambaConfig, TokenDroppingConfig
from methods.longmamba.dropping import Dropping
from methods.longmamba.filter import Filter
from methods.longmamba.tables import load_tables


class LengthAwareLM(GenerationLM):
    """A runtime whose rule looks at the length of its prompt."""

    def __init__(self, checkpoint: Checkpoint, config: Any, **hflm: Any) -> None:
        if config.max_length is not None:
            hflm["max_length"] = config.max_length
        super().__init__(checkpoint, config, **hflm)

    def _loglikelihood_tokens(
        self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """One row a pass: lm-eval pads rows on the right without a mask, and padding would count as prompt."""
        size = self.batch_size
        self.batch_size_per_gpu = 1  # lm-eval minds `override_bs` under "auto" alone
        try:
            found: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, disable_tqdm)
        finally:
            self.batch_size_per_gpu = size
        return found


class LongMambaLM(LengthAwareLM):
    """Token filtering in some channels.

    Raises:
        UserError: the checkpoint has no threshold tables, or none for this clamp.
    """

    settings: LongMambaConfig

    def __init__(self, checkpoint: Checkpoint, config: LongMambaConfig, **hflm: Any) -> None:
        super().__init__(checkpoint, config, **hflm)
        tables = load_tables(checkpoint.path, config.clamp, config.reduce, self.model.device)
        self.filter = Filter(self.model, tables, config)

    def around(self) -> AbstractContextManager[Any]:
        return self.filter

    def policy(self, sampling: Sampling, max_new_tokens: int) -> Policy:
        return FilteredRows(self.filter)

    def reading_record(self, row: int) -> dict[str, Any]:
        return self.filter.record(row)


class FilteredRows(Ordinary):
    """Ordinary decoding that tells the filter which rows go on, and asks it for their numbers."""

    def __init__(self, filter: Filter) -> None:
        self.filter = filter

    def keep(self, rows: Tensor) -> None:
        if len(rows):
            self.filter.keep(rows)

    def record(self, row: int) -> dict[str, Any]:
        return dict(self.filter.record(row))


class TokenDroppingLM(LengthAwareLM):
    """Tokens dropped between blocks.

    Raises:
        UserError: a layer that the model does not have.
    """

    settings: TokenDroppingConfig

    def __init__(self, checkpoint: Checkpoint, config: TokenDroppingConfig, **hflm: Any) -> None:
        super().__init__(checkpoint, config, **hflm)
        self.dropping = Dropping(self.model, config)

    def around(self) -> AbstractContextManager[Any]:
        return self.dropping

    def policy(self, sampling: Sampling, max_new_tokens: int) -> Policy:
        return DroppedRows(self.dropping)

    def reading_record(self, row: int) -> dict[str, Any]:
        return self.dropping.record(row)


class DroppedRows(Ordinary):
    """Ordinary decoding; a row's number is the share of its tokens that reached the last block."""

    def __init__(self, dropping: Dropping) -> None:
        self.dropping = dropping

    def keep(self, rows: Tensor) -> None:
        if len(rows):
            self.dropping.keep(rows)

    def record(self, row: int) -> dict[str, Any]:
        return dict(self.dropping.record(row))
