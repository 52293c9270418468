"""Running rows through a model and taking in the activations of its parts (M§2.3, §2.4).

A hidden unit's activation is the input of fc2 or down_proj, a row's is the output of its linear map. The language
model's positions are those of the attention mask (or the last of each row); the vision tower's are all patches. Batches
hold pictures of one size, so that no patch is padding, and what is measured does not depend on the batch size.

The language model's head does not run: nothing of it is measured, and over a large vocabulary it costs most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from methodbench.visual import Encoder, VisualRow
from methods.manu.importance import Importances
from methods.manu.neurons import HIDDEN, Part
from methods.manu.statistics import Moments, Pooled

Take = Callable[[Part, Tensor], None]


class Progress(Protocol):
    """Told how many rows are done."""

    def __call__(self, rows: int) -> None: ...


@dataclass(frozen=True)
class Counting:
    """How activations are counted: the keys of `ScoresConfig`, and the settings of its mode."""

    tau: float
    signed: bool
    clamp: float | None
    last: bool  # only the last token of each row, in the language model
    batch_size: int
    pictures: int  # of each row

    def moments(self, part: Part) -> Moments:
        """Empty sums for a part, on its device."""
        return Moments(part.width, self.tau, self.signed, self.clamp, part.linear.weight.device)


class Watch:
    """Within its context, hands every part's activations to `take`; leaves the model as it was."""

    def __init__(self, parts: Iterable[Part], take: Take) -> None:
        self.parts, self.take = list(parts), take
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Watch:
        for part in self.parts:
            if part.name == HIDDEN:
                self._handles.append(part.linear.register_forward_pre_hook(self._input(part)))
            else:
                self._handles.append(part.linear.register_forward_hook(self._output(part)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _input(self, part: Part) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, given: self.take(part, given[0])

    def _output(self, part: Part) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda module, given, made: self.take(part, made)


def collect(
    model: PreTrainedModel,
    encoder: Encoder,
    rows: Sequence[VisualRow],
    parts: Sequence[Part],
    counting: Counting,
    progress: Progress | None = None,
) -> dict[str, Moments]:
    """The sums of every part over the rows, by `Part.key`, in one pass.

    A part that never runs (a vision tower on rows without pictures) keeps empty sums.
    """
    found = {part.key: counting.moments(part) for part in parts}
    positions: Tensor | None = None

    def take(part: Part, z: Tensor) -> None:
        flat = z.reshape(-1, z.shape[-1])
        if part.tower == "language" and positions is not None:
            flat = flat[positions]
        found[part.key].add(flat)

    with Watch(parts, take):
        done = 0
        for batch, size in batches(sorted(rows, key=_length), encoder, counting):
            positions = measured(batch["attention_mask"], counting.last, model.device)
            forward(model, batch)
            done += size
            if progress is not None:
                progress(done)
    return found


def measured(mask: Tensor, last: bool, device: torch.device) -> Tensor | None:
    """Which of the B T positions count, as indices; None if all do."""
    if last:
        places = torch.arange(1, mask.shape[1] + 1) * mask.bool().cpu()
        mask = torch.nn.functional.one_hot(places.argmax(1), mask.shape[1])
    if bool(mask.all()):
        return None
    return mask.flatten().nonzero().flatten().to(device)


@torch.inference_mode()
def forward(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> None:
    """Run the model without its head, without gradients."""
    bare: nn.Module = getattr(model, "model", model)
    moved = {name: tensor.to(model.device) for name, tensor in batch.items() if name != "labels"}
    for name, tensor in moved.items():
        if tensor.is_floating_point():
            moved[name] = tensor.to(model.dtype)
    bare(**moved, use_cache=False)


def batches(rows: Iterable[VisualRow], encoder: Encoder, counting: Counting) -> Iterator[tuple[dict[str, Tensor], int]]:
    """Batches of rows whose image tensors have one shape, in the order in which they fill, and their sizes."""
    waiting: dict[object, list[dict[str, Any]]] = {}
    for row in rows:
        for picture in row.pictures[: counting.pictures] or (None,):
            encoded = encoder.encode(row, picture)
            images = {name: tensor for name, tensor in encoded.items() if name not in ("input_ids", "labels")}
            shape = tuple(sorted((name, *tensor.shape[1:]) for name, tensor in images.items() if tensor.dim() > 1))
            queue = waiting.setdefault(shape, [])
            queue.append(encoded)
            if len(queue) == counting.batch_size:
                yield encoder.collate(queue), len(queue)
                queue.clear()
    for queue in waiting.values():
        if queue:
            yield encoder.collate(queue), len(queue)


def _length(row: VisualRow) -> int:
    return len(row.prompt) + len(row.completion)


def collect_pooled(
    model: PreTrainedModel,
    encoder: Encoder,
    rows: Sequence[VisualRow],
    parts: Sequence[Part],
    counting: Counting,
    progress: Progress | None = None,
) -> dict[tuple[str, str], Importances]:
    """The released code's statistics, by tower and map: all layers of `parts` in one, batches in the rows' order."""
    found: dict[tuple[str, str], Pooled] = {}
    for part in parts:
        found.setdefault((part.tower, part.name), Pooled(counting.tau, counting.clamp or float("inf")))

    def take(part: Part, z: Tensor) -> None:
        found[part.tower, part.name].layer(z if z.dim() == 3 else z[None])

    with Watch(parts, take):
        done = 0
        for batch, size in batches(rows, encoder, counting):
            forward(model, batch)
            for pooled in found.values():
                pooled.batch()
            done += size
            if progress is not None:
                progress(done)
    return {name: Importances(*pooled.result()) for name, pooled in found.items()}
