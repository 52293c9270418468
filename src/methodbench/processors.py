"""Processors of image-text checkpoints, also where torchvision is not installed.

transformers' processors of some families hold a processor of videos, which needs torchvision, and cannot be opened
without it. Nothing here shows videos, so on such a machine they are opened without that part.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoProcessor, ProcessorMixin
from transformers.models.auto.auto_mappings import PROCESSOR_MAPPING_NAMES
from transformers.models.auto.processing_auto import processor_class_from_name
from transformers.utils.import_utils import is_torchvision_available

VIDEOS = "video_processor"


def load_processor(folder: Path) -> ProcessorMixin:
    """The processor of a checkpoint folder; it runs no code of the folder.

    Raises:
        ValueError: the folder has a tokenizer only.
        OSError: it has not even that.
    """
    kind = None if is_torchvision_available() else _class_of(folder)
    if kind is not None and VIDEOS in kind.get_attributes():
        return without_videos(kind).from_pretrained(folder, trust_remote_code=False)
    loaded = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    if not isinstance(loaded, ProcessorMixin):
        raise ValueError("it is an image-text model without the files of its processor")
    return loaded


def without_videos(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """A class of processors like `kind`, whose `video_processor` is None; what it saves is what `kind` would."""

    class Still(kind):  # type: ignore[misc, valid-type]
        """Pictures and texts only."""

        @classmethod
        def get_attributes(cls) -> list[str]:
            """The parts that are opened and saved."""
            return [name for name in kind.get_attributes() if name != VIDEOS]

        @classmethod
        def _get_arguments_from_pretrained(cls, *arguments: Any, **named: Any) -> list[Any]:
            parts: list[Any] = super()._get_arguments_from_pretrained(*arguments, **named)
            parts.insert(kind.get_attributes().index(VIDEOS), None)
            return parts

    Still.__name__ = Still.__qualname__ = kind.__name__  # it is written into the saved files
    return Still


def _class_of(folder: Path) -> type[ProcessorMixin] | None:
    """The class that AutoProcessor would take: the one that the folder's files name, else the model type's."""
    for file in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        path = folder / file
        named = json.loads(path.read_text(encoding="utf-8")).get("processor_class") if path.exists() else None
        if named:
            return _named(named)
    named = PROCESSOR_MAPPING_NAMES.get(AutoConfig.from_pretrained(folder, trust_remote_code=False).model_type)
    return _named(named) if named else None


def _named(name: str) -> type[ProcessorMixin] | None:
    kind: type[ProcessorMixin] | None = processor_class_from_name(name)
    return kind
