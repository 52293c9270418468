"""Rows with pictures and their encoding: what image-text models are trained on, measured on and asked.

A dataset of this kind is two files of JSON lines. Rows are ``{"person", "mode", "prompt", "completion", "pictures"}``:
in the mode "image" the prompt holds the placeholder ``<image>`` once and `pictures` names what may stand there, in the
mode "text" there is neither. ``pictures.jsonl`` beside them is ``{"picture": name, "png": base64, ...}``.

Each family of models wants pictures in its own form, and its processor knows it. The processor is slow, so what it
makes is kept: image tensors for each picture, token ids for each text and size of picture.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from methodbench.errors import UserError, nearest
from methodbench.sampling import stable_seed

PLACEHOLDER = "<image>"
MODES = ("image", "text")
IGNORED = -100  # the label of a token that has no loss
TOKEN_LEVEL = ("input_ids", "labels", "token_type_ids", "mm_token_type_ids")  # [T] in a row; all else is of images
KEPT_BYTES = 1 << 30  # of image tensors; the longest unused go first


@dataclass(frozen=True)
class VisualRow:
    """A question and its answer about a person, with the names of the pictures that may stand in the prompt."""

    person: str
    mode: str
    prompt: str
    completion: str
    pictures: tuple[str, ...] = ()


def read_rows(path: Path) -> list[VisualRow]:
    """The rows of a file, in its order; keys that a row does not need are passed over.

    Raises:
        UserError: no such file, or a line that is no row; file, line and key are named.
    """
    return [_row(entry, f"{path}: line {number}") for number, entry in _lines(path)]


def draw(row: VisualRow, seed: int, visit: int) -> str | None:
    """Name of the picture that the `visit`-th visit of a row takes, the same in every process; None in text rows."""
    if not row.pictures:
        return None
    return row.pictures[stable_seed(seed, row.person, row.prompt, row.completion, visit) % len(row.pictures)]


def decode_picture(png: str) -> Image.Image:
    """The RGB picture of a base64 PNG.

    Raises:
        UserError: the text is no base64, or its bytes are no picture.
    """
    try:
        return Image.open(io.BytesIO(base64.b64decode(png, validate=True))).convert("RGB")
    except (binascii.Error, UnidentifiedImageError, OSError) as error:
        raise UserError(f"a picture of {len(png)} characters is no base64 PNG: {error}") from error


def encode_picture(image: Image.Image) -> str:
    """A picture as base64 PNG; the same pixels give the same text."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


class Pictures:
    """The pictures of a ``pictures.jsonl`` by name; each is read from the file when it is asked for.

    Raises:
        UserError: no such file, or a line without `picture` or `png`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        place = 0
        for number, line in enumerate(_bytes_of(path).splitlines(keepends=True), 1):
            if line.strip():
                entry = _parsed(line.decode("utf-8"), f"{path}: line {number}")
                for key in ("picture", "png"):
                    if not isinstance(entry.get(key), str):
                        raise UserError(f"{path}: line {number}: key '{key}': expected text")
                self._places[entry["picture"]] = place
            place += len(line)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def names(self) -> list[str]:
        """All names, in the file's order."""
        return list(self._places)

    def image(self, name: str) -> Image.Image:
        """The picture `name`, RGB.

        Raises:
            UserError: there is none of that name, or its PNG is broken.
        """
        if name not in self._places:
            raise UserError(f"{self.path}: unknown picture '{name}'; {nearest(name, self._places)}")
        with self.path.open("rb") as file:
            file.seek(self._places[name])
            entry = json.loads(file.readline())
        try:
            return decode_picture(entry["png"])
        except UserError as error:
            raise UserError(f"{self.path}: picture '{name}': {error}") from error


class Inputs:
    """Texts and pictures -> what the model of a processor takes; everything is computed once.

    Attributes:
        placeholder: what the processor wants where a text says ``<image>``.
        image_id: the token that image features replace.
    """

    def __init__(self, processor: Any) -> None:
        self.processor, self.tokenizer = processor, processor.tokenizer
        self.placeholder = placeholder_of(processor)
        self.image_id = int(self.tokenizer.convert_tokens_to_ids(processor.image_token))
        self._ids: dict[Hashable, dict[str, Tensor]] = {}
        self._images: OrderedDict[Hashable, dict[str, Tensor]] = OrderedDict()
        self._bytes = 0

    def __call__(
        self, text: str, images: Sequence[Image.Image] = (), names: Sequence[str] = ()
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Token-level tensors [T] and image tensors of one text.

        Args:
            text: with one ``<image>`` for each picture.
            images: in their order.
            names: of the pictures, one each; what is made of a picture is kept under its name.

        Raises:
            UserError: as many pictures as placeholders are needed.
        """
        if text.count(PLACEHOLDER) != len(images):
            raise UserError(
                f"a prompt holds {text.count(PLACEHOLDER)} times '{PLACEHOLDER}' but comes with {len(images)} pictures"
            )
        place = (text, tuple(image.size for image in images))
        known = self._images.get(tuple(names)) if images else {}
        if place not in self._ids or known is None:
            tokens, made = self._process(text, images)
            self._ids.setdefault(place, tokens)
            if known is None:
                known = self._keep(tuple(names), made)
        if images:
            self._images.move_to_end(tuple(names))
        return self._ids[place], known

    def _process(self, text: str, images: Sequence[Image.Image]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if not images:
            made = self.tokenizer([text], return_tensors="pt")
        else:
            made = self.processor(
                text=[text.replace(PLACEHOLDER, self.placeholder)], images=[list(images)], return_tensors="pt"
            )
        tokens = {name: made[name][0].long() for name in TOKEN_LEVEL if name in made}
        left = {name: made[name] for name in made if name not in (*TOKEN_LEVEL, "attention_mask")}
        return tokens, left

    def _keep(self, names: Hashable, made: dict[str, Tensor]) -> dict[str, Tensor]:
        self._images[names] = made
        self._bytes += _size(made)
        while self._bytes > KEPT_BYTES and len(self._images) > 1:
            self._bytes -= _size(self._images.popitem(last=False)[1])
        return made


class Encoder:
    """Rows -> model inputs.

    Args:
        processor: of the checkpoint.
        pictures: where the rows' pictures are; None if all rows are text.
        max_length: tokens of a row that are kept, from its beginning; None for all.
        prompt_loss: labels on the prompt's words, too; never on image tokens, which nobody has to say.
    """

    def __init__(
        self, processor: Any, pictures: Pictures | None, max_length: int | None = None, prompt_loss: bool = False
    ) -> None:
        self.inputs = Inputs(processor)
        self.pictures, self.max_length, self.prompt_loss = pictures, max_length, prompt_loss

    def encode(self, row: VisualRow, picture: str | None = None) -> dict[str, Any]:
        """Inputs of one row: ``input_ids`` and ``labels`` [T], and what else its model wants.

        The end token stands behind the completion. Labels are -100 on the prompt, unless `prompt_loss`; where prompt
        and completion share a token it belongs to the completion.

        Raises:
            UserError: the picture is unknown, or `max_length` cuts image tokens or the whole completion.
        """
        name = picture if picture is not None else next(iter(row.pictures), None)
        if row.mode == "text":
            name = None
        elif name is None or self.pictures is None:
            raise UserError(f"a row of '{row.person}' in the mode 'image' needs pictures and a pictures.jsonl")
        shown = [self.pictures.image(name)] if name is not None and self.pictures is not None else []
        names = [name] if name is not None else []
        prompt, _ = self.inputs(row.prompt, shown, names)
        tokens, images = self.inputs(row.prompt + row.completion, shown, names)
        ids = torch.cat([tokens["input_ids"], torch.tensor([self.inputs.tokenizer.eos_token_id])])
        labels = ids.clone()
        if not self.prompt_loss:
            labels[: _shared(prompt["input_ids"], ids)] = IGNORED
        labels[ids == self.inputs.image_id] = IGNORED
        encoded = {"input_ids": ids, "labels": labels}
        for key in tokens.keys() - {"input_ids"}:
            encoded[key] = torch.cat([tokens[key], tokens[key].new_zeros(1)])
        return {**self._cut(encoded, row), **images}

    def collate(self, encoded: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """A batch, padded on the right: input_ids, attention_mask and labels [B, T], image tensors one behind another.

        Rows with and without pictures may stand together.
        """
        return collate(encoded, pad_id(self.inputs.tokenizer))

    def _cut(self, encoded: dict[str, Tensor], row: VisualRow) -> dict[str, Tensor]:
        length = self.max_length
        if length is None or len(encoded["input_ids"]) <= length:
            return encoded
        cut = {key: tensor[:length] for key, tensor in encoded.items()}
        image = encoded["input_ids"] == self.inputs.image_id
        if image[length:].any() or (cut["labels"] == IGNORED).all():
            raise UserError(
                f"a row of '{row.person}' has {len(image)} tokens, of which key 'max_length' keeps {length}: not all "
                f"of its {int(image.sum())} image tokens and something of the answer"
            )
        return cut


def collate(encoded: Sequence[Mapping[str, Any]], pad: int, side: str = "right") -> dict[str, Tensor]:
    """Rows of `Inputs` or `Encoder` as one batch, padded on a side with `pad`.

    Image tensors stand one behind another in the order of the rows; of different sizes, they are filled up with zeros,
    as processors do it themselves (an all-zero picture is none).
    """
    longest = max(len(row["input_ids"]) for row in encoded)
    batch: dict[str, Tensor] = {}

    def padded(tensors: list[Tensor], value: int) -> Tensor:
        gaps = [longest - len(tensor) for tensor in tensors]
        ends = [(gap, 0) if side == "left" else (0, gap) for gap in gaps]
        return torch.stack(
            [torch.nn.functional.pad(tensor, end, value=value) for tensor, end in zip(tensors, ends, strict=True)]
        )

    batch["input_ids"] = padded([row["input_ids"] for row in encoded], pad)
    batch["attention_mask"] = padded([torch.ones_like(row["input_ids"]) for row in encoded], 0)
    for key in dict.fromkeys(key for row in encoded for key in row if key != "input_ids"):
        if key in TOKEN_LEVEL:
            zeros = [row[key] if key in row else torch.zeros_like(row["input_ids"]) for row in encoded]
            batch[key] = padded(zeros, IGNORED if key == "labels" else 0)
        else:
            batch[key] = _behind_another([row[key] for row in encoded if key in row])
    return batch


def placeholder_of(processor: Any) -> str:
    """What stands for a picture in the texts that a processor takes.

    Raises:
        UserError: the processor names no image token.
    """
    token = getattr(processor, "image_token", None)
    if not isinstance(token, str):
        raise UserError(f"{type(processor).__name__}: a processor without 'image_token' is not supported")
    vocabulary = processor.tokenizer.get_vocab()
    if token == "<|image_pad|>" and "<|vision_start|>" in vocabulary:  # Qwen's chat templates write these around it
        return f"<|vision_start|>{token}<|vision_end|>"
    return token


def pad_id(tokenizer: Any) -> int:
    """The padding token, or where there is none the end token (it is masked everywhere)."""
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def _behind_another(tensors: list[Tensor]) -> Tensor:
    shape = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    filled = []
    for tensor in tensors:
        gaps = [gap for want, have in zip(shape, tensor.shape[1:], strict=True) for gap in (want - have, 0)]
        filled.append(torch.nn.functional.pad(tensor, gaps[::-1]) if any(gaps) else tensor)
    return torch.cat(filled)


def _shared(prompt: Tensor, whole: Tensor) -> int:
    """How many leading tokens the two have in common."""
    length = min(len(prompt), len(whole))
    same = prompt[:length] == whole[:length]
    return length if bool(same.all()) else int(same.int().argmin())


def _size(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values() if isinstance(tensor, Tensor))


def _bytes_of(path: Path) -> bytes:
    if not path.exists():
        raise UserError(f"{path}: dataset file is missing; run snakemake to prepare it")
    return path.read_bytes()


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_bytes_of(path).decode("utf-8").split("\n"), 1):
        if line.strip():
            yield number, _parsed(line, f"{path}: line {number}")


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: is no JSON: {error}") from error
    if not isinstance(entry, dict):
        raise UserError(f"{where}: expected an object with keys, given {type(entry).__name__}")
    return entry


def _row(entry: Mapping[str, Any], where: str) -> VisualRow:
    for key in ("person", "mode", "prompt", "completion"):
        if not isinstance(entry.get(key), str):
            raise UserError(f"{where}: key '{key}': expected text, given {entry.get(key)!r}")
    mode, prompt, pictures = entry["mode"], entry["prompt"], entry.get("pictures", [])
    if mode not in MODES:
        raise UserError(f"{where}: key 'mode': given '{mode}'; {nearest(mode, MODES)}")
    if not isinstance(pictures, list) or not all(isinstance(name, str) for name in pictures):
        raise UserError(f"{where}: key 'pictures': expected a list of names, given {pictures!r}")
    wanted = 1 if mode == "image" else 0
    if prompt.count(PLACEHOLDER) != wanted:
        raise UserError(
            f"{where}: key 'prompt': holds '{PLACEHOLDER}' {prompt.count(PLACEHOLDER)} times, expected {wanted} in the "
            f"mode '{mode}'"
        )
    if bool(pictures) != bool(wanted):
        raise UserError(
            f"{where}: key 'pictures': given {len(pictures)} names, expected "
            f"{'one at least' if wanted else 'none'} in the mode '{mode}'"
        )
    return VisualRow(entry["person"], mode, prompt, entry["completion"], tuple(pictures))
