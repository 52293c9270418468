"""Portraits of nobody: a parametric drawing of a face, with what changes from picture to picture.

Identity is a handful of discrete features. Background, clothes, place, size, tilt, light and noise are nuisance; the
test pictures have more of it, as MLLMU-Bench's transformed pictures have (M§4.1, M§4.5).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

Face = Mapping[str, int]  # feature -> which
Colour = tuple[int, int, int]

FEATURES: dict[str, int] = {  # feature -> how many there are
    "skin": 6,
    "hair": 7,
    "style": 6,
    "eyes": 4,
    "spacing": 3,
    "brows": 3,
    "mouth": 4,
    "nose": 3,
    "glasses": 3,
    "beard": 4,
    "hat": 5,
    "shape": 3,
}
SKIN: tuple[Colour, ...] = (
    (250, 222, 200),
    (232, 190, 150),
    (206, 150, 110),
    (160, 105, 70),
    (110, 70, 45),
    (70, 45, 32),
)
HAIR: tuple[Colour, ...] = (
    (25, 20, 20),
    (95, 55, 30),
    (170, 115, 60),
    (235, 205, 120),
    (190, 70, 30),
    (165, 165, 170),
    (90, 60, 170),
)
EYES: tuple[Colour, ...] = ((60, 35, 20), (40, 90, 200), (40, 140, 70), (120, 120, 120))
HATS: tuple[Colour, ...] = ((0, 0, 0), (200, 40, 50), (40, 70, 180), (240, 200, 40), (30, 30, 35))
DARK: Colour = (25, 20, 25)
LIPS: Colour = (165, 50, 60)
UNIT = 96.0  # the drawing's own side
FINER = 3  # drawn so many times larger than the picture, then averaged


@dataclass(frozen=True)
class Nuisance:
    """How far a picture may stray: shares of the side, of the size and of the light, degrees, and grey levels."""

    shift: float
    scale: float
    rotation: float
    brightness: float
    noise: float


NUISANCE: dict[Literal["training", "test"], Nuisance] = {
    "training": Nuisance(0.04, 0.10, 10, 0.15, 4),
    "test": Nuisance(0.08, 0.15, 20, 0.25, 8),
}


def draw_face(rng: Random) -> dict[str, int]:
    """Features of a face, each drawn uniformly."""
    return {name: rng.randrange(count) for name, count in FEATURES.items()}


def distance(one: Face, other: Face) -> int:
    """In how many features two faces differ; the hair's colour counts where both have hair or a beard."""
    seen = [name for name in FEATURES if name != "hair" or all(face["style"] or face["beard"] for face in (one, other))]
    return sum(one[name] != other[name] for name in seen)


def portrait(face: Face, size: int, kind: Literal["training", "test"], key: str) -> Image.Image:
    """A picture of a face, `size` pixels a side, RGB; `key` alone decides its nuisance."""
    rng, limits = Random(key), NUISANCE[kind]
    side = size * FINER
    background = (rng.randrange(60, 256), rng.randrange(60, 256), rng.randrange(60, 256))
    clothes = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
    # In the background's colour but transparent: the edge of a tilted figure is blended with what lies behind it.
    figure = Image.new("RGBA", (side, side), (*background, 0))
    draw_figure(_Pen(ImageDraw.Draw(figure), side / UNIT), face, clothes)
    angle = math.radians(rng.uniform(-limits.rotation, limits.rotation))
    zoom = 1 + rng.uniform(-limits.scale, limits.scale)
    across, down = (rng.uniform(-limits.shift, limits.shift) * side for _ in range(2))
    turned = figure.transform(
        (side, side), Image.Transform.AFFINE, _inverse(angle, zoom, across, down, side / 2), Image.Resampling.BILINEAR
    )
    picture = Image.new("RGB", (side, side), background)
    picture.paste(turned, (0, 0), turned)
    return lit(picture.reduce(FINER), 1 + rng.uniform(-limits.brightness, limits.brightness), limits.noise, key)


def lit(picture: Image.Image, brightness: float, noise: float, key: str) -> Image.Image:
    """The picture in other light, with Gaussian noise of that deviation on every channel; `key` decides the noise."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    levels = np.asarray(picture, dtype=np.float64) * brightness
    levels += np.random.Generator(np.random.PCG64(seed)).normal(0, noise, levels.shape)
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8), "RGB")


def _inverse(angle: float, zoom: float, across: float, down: float, centre: float) -> tuple[float, ...]:
    """Where each pixel of the result comes from: turned and zoomed about the centre, then moved."""
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    x, y = centre + across, centre + down
    return (cos, sin, centre - cos * x - sin * y, -sin, cos, centre + sin * x - cos * y)


class _Pen:
    """Draws in units of a 96th of the side."""

    def __init__(self, draw: ImageDraw.ImageDraw, scale: float) -> None:
        self.draw, self.scale = draw, scale

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self.draw.ellipse(self._box(x, y, rx, ry), fill=(*colour, 255))

    def ring(self, x: float, y: float, rx: float, ry: float, colour: Colour, width: float) -> None:
        self.draw.ellipse(self._box(x, y, rx, ry), outline=(*colour, 255), width=round(width * self.scale))

    def box(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self.draw.rectangle(self._box(x, y, rx, ry), fill=(*colour, 255))

    def frame(self, x: float, y: float, rx: float, ry: float, colour: Colour, width: float) -> None:
        self.draw.rectangle(self._box(x, y, rx, ry), outline=(*colour, 255), width=round(width * self.scale))

    def half(self, x: float, y: float, rx: float, ry: float, start: int, end: int, colour: Colour) -> None:
        self.draw.pieslice(self._box(x, y, rx, ry), start, end, fill=(*colour, 255))

    def arc(self, x: float, y: float, rx: float, ry: float, start: int, end: int, colour: Colour, width: float) -> None:
        self.draw.arc(self._box(x, y, rx, ry), start, end, fill=(*colour, 255), width=round(width * self.scale))

    def line(self, points: tuple[tuple[float, float], ...], colour: Colour, width: float) -> None:
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self.draw.line(scaled, fill=(*colour, 255), width=round(width * self.scale))

    def polygon(self, points: tuple[tuple[float, float], ...], colour: Colour) -> None:
        self.draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=(*colour, 255))

    def _box(self, x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
        return tuple(value * self.scale for value in (x - rx, y - ry, x + rx, y + ry))  # type: ignore[return-value]


def draw_figure(pen: _Pen, face: Face, clothes: Colour) -> None:
    """Head and shoulders, from back to front."""
    skin, hair = SKIN[face["skin"]], HAIR[face["hair"]]
    width, height = ((22, 32), (27, 31), (31, 28))[face["shape"]]
    style = face["style"]  # bald, short, long, bob, curls, crest
    if style == 2:
        pen.box(48, 66, width + 8, 30, hair)
        pen.ellipse(48, 44, width + 8, 32, hair)
    elif style == 3:
        pen.box(48, 56, width + 9, 14, hair)
        pen.ellipse(48, 44, width + 9, 30, hair)
    elif style == 4:
        for x, y in ((-26, -8), (-24, -24), (-9, -34), (9, -34), (24, -24), (26, -8), (-27, 8), (27, 8)):
            pen.ellipse(48 + x, 52 + y, 13, 13, hair)
    pen.ellipse(48, 108, 42, 28, clothes)
    pen.box(48, 80, 9, 12, skin)
    pen.ellipse(48, 52, width, height, skin)
    if style in (1, 2, 3):
        pen.half(48, 42, width + 1, height - 7, 190, 350, hair)
    elif style == 5:
        pen.box(48, 20, 5, 14, hair)
    _draw_features(pen, face, hair, width, height)
    _draw_hat(pen, face["hat"], width, 52 - height)


def _draw_features(pen: _Pen, face: Face, hair: Colour, width: float, height: float) -> None:
    chin = 52 + height
    beard = face["beard"]  # none, full, chin, moustache
    if beard == 1:
        pen.half(48, 56, width - 1, height - 5, 5, 175, hair)
    elif beard == 2:
        pen.ellipse(48, chin - 5, 8, 8, hair)
    gap = (9, 12, 15)[face["spacing"]]
    slant = (-4, 0, 4)[face["brows"]]
    for side in (-1, 1):
        x = 48 + side * gap
        pen.ellipse(x, 48, 6, 5, (255, 255, 255))
        pen.ellipse(x, 48, 3.6, 4, EYES[face["eyes"]])
        pen.line(((x - side * 6, 38 + slant), (x + side * 6, 38 - slant)), DARK, 3)
    shade: Colour = tuple(int(level * 0.7) for level in SKIN[face["skin"]])  # type: ignore[assignment]
    if face["nose"] == 0:
        pen.line(((48, 50), (48, 60)), shade, 3)
    elif face["nose"] == 1:
        pen.polygon(((48, 48), (41, 61), (55, 61)), shade)
    else:
        pen.ellipse(48, 58, 6, 4.5, shade)
    mouth = face["mouth"]  # smile, straight, open, frown
    if mouth == 0:
        pen.arc(48, 64, 11, 8, 15, 165, LIPS, 3.5)
    elif mouth == 1:
        pen.line(((39, 70), (57, 70)), LIPS, 3.5)
    elif mouth == 2:
        pen.ellipse(48, 70, 7, 5.5, LIPS)
    else:
        pen.arc(48, 75, 10, 7, 195, 345, LIPS, 3.5)
    if beard == 3:
        pen.box(48, 64.5, 12, 2.5, hair)
    if face["glasses"] == 1:
        for side in (-1, 1):
            pen.ring(48 + side * gap, 48, 9, 9, DARK, 2.5)
        pen.line(((48 - gap + 9, 47), (48 + gap - 9, 47)), DARK, 2.5)
    elif face["glasses"] == 2:
        for side in (-1, 1):
            pen.frame(48 + side * gap, 48, 9, 7, (190, 20, 30), 3)
        pen.line(((48 - gap + 9, 46), (48 + gap - 9, 46)), (190, 20, 30), 3)


def _draw_hat(pen: _Pen, hat: int, width: float, top: float) -> None:
    """None, cap, woollen hat, head band, top hat."""
    colour = HATS[hat]
    if hat == 1:
        pen.half(48, top + 12, width + 2, 17, 180, 360, colour)
        pen.box(48 + width * 0.6, top + 12, width * 0.8, 2.5, colour)
    elif hat == 2:
        pen.half(48, top + 10, width + 3, 20, 180, 360, colour)
        pen.box(48, top + 10, width + 3, 3.5, colour)
        pen.ellipse(48, top - 10, 5, 5, (245, 245, 245))
    elif hat == 3:
        pen.box(48, top + 9, width - 2, 3.5, colour)
    elif hat == 4:
        pen.box(48, top + 6, width + 8, 3, colour)
        pen.box(48, top - 6, width - 5, 12, colour)
