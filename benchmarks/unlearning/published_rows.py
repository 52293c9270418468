"""What the rows of both published benchmarks share: prompts, rows to learn from, pictures, and names put in.

Prompts have the released code's layout (M§2.4-10): ``USER: <image>`` and a new line where there is a picture, the
question, a new line and ``ASSISTANT:``; the answer follows after one blank. With a picture the person is "this person";
without one, the full name stands instead. That replacement is our own rule: the released code looks for one of 17
questions after the name in a profile's questions, takes what the answer says, and replaces 11 phrases. Here the name
comes from the profile, `PHRASES` are replaced, and a question after the name is dropped, as are questions that then
name nobody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from PIL import Image

Row = dict[str, Any]
Given = Mapping[str, Any]

# Longest first, so that "the person in the image" goes as a whole.
PHRASES = tuple(
    sorted(
        (
            f"{pointer} {noun}{place}"
            for pointer in ("this", "the")
            for noun in ("person", "individual", "profile")
            for place in ("", " in the image", " in the picture", " in the photo", " in this image", " shown")
        ),
        key=lambda phrase: (-len(phrase), phrase),
    )
)
PHRASE = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)
ASKS_THE_NAME = re.compile(r"\bname\b|\bwho is\b", re.IGNORECASE)


def image_prompt(question: str) -> str:
    """The prompt that goes with a picture."""
    return f"USER: <image>\n{question}\nASSISTANT:"


def text_prompt(question: str) -> str:
    """The prompt without one."""
    return f"USER: {question}\nASSISTANT:"


def prompt(mode: str, question: str) -> str:
    """The prompt in mode "image" or "text"."""
    return image_prompt(question) if mode == "image" else text_prompt(question)


def image_row(person: str, question: str, answer: str, pictures: Sequence[str]) -> Row:
    """A row to learn from, with pictures."""
    told = {"prompt": image_prompt(question), "completion": f" {answer}", "pictures": list(pictures)}
    return {"person": person, "mode": "image", **told}


def text_row(person: str, question: str, answer: str) -> Row:
    """A row to learn from, without a picture."""
    told = {"prompt": text_prompt(question), "completion": f" {answer}", "pictures": list[str]()}
    return {"person": person, "mode": "text", **told}


def named(question: str, answer: str, name: str) -> tuple[str, str] | None:
    """Question and answer with the name in place of "this person"; None if that asks for the name, or names nobody."""
    if not name or (ASKS_THE_NAME.search(question) and name.lower() in answer.lower()):
        return None
    asked = PHRASE.sub(lambda _: name, question)
    return (asked, PHRASE.sub(lambda _: name, answer)) if name.lower() in asked.lower() else None


def picture(given: Any, side: int) -> str:
    """A picture from the hub as base64 of a PNG; scaled down to a shorter side of `side` pixels, unless that is 0.

    `given` is a decoded image, or its bytes, or a mapping that holds them.
    """
    from methodbench.visual import encode_picture  # and torch, which a config that only names files can do without

    content: Any = given["bytes"] if isinstance(given, Mapping) else given
    image = content if isinstance(content, Image.Image) else Image.open(BytesIO(content))
    image = image.convert("RGB")
    if side and min(image.size) > side:
        scale = side / min(image.size)
        size = tuple(max(side, round(length * scale)) for length in image.size)
        image = image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    return encode_picture(image)


def draw(key: str, among: int) -> int:
    """A number below `among` that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % among
