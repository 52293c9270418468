"""A checkpoint: a folder that `from_pretrained` opens, plus `checkpoint.json` that says where it comes from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from methodbench.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RECORDS = ("checkpoint.json", "curves.jsonl")  # of each checkpoint itself, never its parent's
PROCESSORS = ("processor_config.json", "preprocessor_config.json")  # files of checkpoints that read more than text
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """A model folder. `name` is its place in the study, for messages and logs."""

    path: Path
    name: str = ""

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The content of `checkpoint.json`; empty for a folder made elsewhere."""
        file = self.path / "checkpoint.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def check(self) -> None:
        """Refuse a folder that cannot be loaded safely.

        Raises:
            UserError: no folder, no config.json, no safetensors, or pickled weights.
        """
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such checkpoint folder")
        if not (self.path / "config.json").exists():
            raise UserError(f"{self.path}: is not a checkpoint: config.json is missing")
        if list(self.path.glob("*.safetensors")):
            return
        pickled = sorted(file.name for file in self.path.iterdir() if file.suffix in PICKLED)
        if pickled:
            raise UserError(
                f"{self.path}/{pickled[0]}: pickled weights can run code when they are opened and are refused; "
                "convert them to safetensors first"
            )
        raise UserError(f"{self.path}: is broken: no .safetensors file in it")

    @cached_property
    def image_text(self) -> bool:
        """Is it an image-text model?

        Where a model type names a text model and an image-text one, it is the latter if there is a processor's file.

        Raises:
            UserError: config.json is no JSON.
        """
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        )

        kind = self._config().get("model_type", "")
        if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
            return False
        both = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        return not both or any((self.path / file).exists() for file in PROCESSORS)

    @property
    def quantized(self) -> bool:
        """Are the weights packed, so that single values can be neither zeroed nor trained?

        Raises:
            UserError: config.json is no JSON.
        """
        return "quantization_config" in self._config()

    def _config(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.path / "config.json").read_text(encoding="utf-8")))
        except ValueError as error:
            raise UserError(f"{self.path}/config.json: is no JSON: {error}") from error

    def load(self, **kwargs: Any) -> tuple[PreTrainedModel, Any]:
        """The model in evaluation mode on the job's device, and its tokenizer, or its processor if it reads pictures.

        Raises:
            UserError: the folder is not a safe, whole checkpoint.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

        from methodbench.processors import load_processor
        from methodbench.scans.install import use_fast_scans

        self.check()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind: Any = AutoModelForImageTextToText if self.image_text else AutoModelForCausalLM
        try:
            model: PreTrainedModel = kind.from_pretrained(
                self.path, use_safetensors=True, trust_remote_code=False, **kwargs
            )
            if self.image_text:
                words: Any = load_processor(self.path)
            else:
                words = AutoTokenizer.from_pretrained(self.path, trust_remote_code=False)
        except Exception as error:  # safetensors and transformers raise a dozen kinds here
            raise UserError(f"{self.path}: cannot be opened as a checkpoint: {' '.join(str(error).split())}") from error
        use_fast_scans(model.config.model_type)
        torch.nn.Module.to(model, device)  # transformers' own wrapper is typed for its subclass only
        return model.eval(), words


def digest_folder(folder: Path) -> str:
    """sha256 over names and contents of all files, dot files left out (Snakemake writes a time stamp into one)."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            total.update(str(file.relative_to(folder)).encode() + b"\0")
            total.update(digest_file(file).encode())
    return total.hexdigest()


def digest_file(file: Path) -> str:
    """sha256 of one file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link `source` to `target` (unchanged weights take no space twice); copy across file systems."""
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def link_files(parent: Path, out: Path, leave: Collection[str] = ()) -> None:
    """Make the folder `out` of a parent's files, linked, those in its folders too.

    Left behind are dot files, the records of how each checkpoint was made, and what `leave` names (relative paths).
    """
    out.mkdir(parents=True)
    for file in sorted(parent.rglob("*")):
        place = file.relative_to(parent)
        hidden = any(part.startswith(".") for part in place.parts)
        if file.is_file() and not hidden and str(place) not in (*RECORDS, *leave):
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, out / place)
