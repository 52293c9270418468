"""General skill, which forgetting a person should not touch: shapes in pictures, and shapes in words (M§4.5).

A picture shows one to four shapes of one kind and colour. A text tells of two shapes of different kinds and colours.
Whether a scene is for training or for scoring is decided by its key alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from benchmarks.unlearning.portraits import FINER, lit

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (240, 215, 50),
    "pink": (245, 150, 190),
    "white": (250, 250, 250),
    "brown": (130, 80, 40),
    "black": (20, 20, 20),
}
COLOURS = tuple(PALETTE)
SHAPES = ("circle", "square", "triangle", "cross", "ring", "star")
COUNTS = ("one", "two", "three", "four")
PLACES = ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73))  # of up to four shapes, in shares of the side
NOISE = 4.0  # grey levels

# Two wordings each; the answer's last word, the value, follows.
SEEN = {
    "colour": (("what colour is shown", "tell me which colour is shown"), "the colour is"),
    "shape": (("which shape is shown", "tell me which shape is shown"), "the shape is a"),
    "count": (("how many shapes are shown", "tell me how many shapes are shown"), "the number is"),
}
TOLD = {"colour": ("what colour is the {shape}", "the {shape} is"), "shape": ("which shape is {colour}", "it is a")}


@dataclass(frozen=True)
class Scene:
    """A question about shapes. `png` is drawn by `draw_scene`; `story` stands before the question of a text."""

    kind: str
    question: str
    answer: str  # up to the value
    value: str
    shown: tuple[str, str, int] | None = None  # shape, colour, how many; None in a text


def seen_scene(rng: Random, kind: str) -> Scene:
    """A question about a picture, for `draw_scene` to draw."""
    shape, colour, count = rng.choice(SHAPES), rng.choice(COLOURS), rng.randrange(len(COUNTS))
    wordings, answer = SEEN[kind]
    value = {"colour": colour, "shape": shape, "count": COUNTS[count]}[kind]
    return Scene(kind, rng.choice(wordings), answer, value, (shape, colour, count + 1))


def told_scene(rng: Random, kind: str) -> Scene:
    """A question about a text of two shapes; either is asked for as often."""
    shapes, colours = rng.sample(SHAPES, 2), rng.sample(COLOURS, 2)
    asked = rng.randrange(2)
    story = f"there is a {colours[0]} {shapes[0]} and a {colours[1]} {shapes[1]}"
    question, answer = (text.format(shape=shapes[asked], colour=colours[asked]) for text in TOLD[kind])
    return Scene(kind, f"{story} {question}", answer, {"colour": colours, "shape": shapes}[kind][asked])


def draw_scene(scene: Scene, size: int, key: str) -> Image.Image:
    """The picture of a scene, `size` pixels a side, RGB; `key` alone decides places, sizes, background and noise."""
    assert scene.shown is not None
    shape, colour, count = scene.shown
    rng, side = Random(key), size * FINER
    fill = PALETTE[colour]
    grey = rng.randrange(95, 175)
    picture = Image.new("RGB", (side, side), (grey, grey, grey))
    draw = ImageDraw.Draw(picture)
    for x, y in rng.sample(PLACES, count):
        radius = side * rng.uniform(0.15, 0.21)
        x, y = (side * (place + rng.uniform(-0.04, 0.04)) for place in (x, y))
        _draw_shape(draw, shape, x, y, radius, fill, (grey, grey, grey))
    return lit(picture.reduce(FINER), rng.uniform(0.9, 1.1), NOISE, key)


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    x: float,
    y: float,
    radius: float,
    fill: tuple[int, int, int],
    background: tuple[int, int, int],
) -> None:
    def box(r: float, s: float) -> tuple[float, float, float, float]:
        return (x - r, y - s, x + r, y + s)

    if shape in ("circle", "ring"):
        draw.ellipse(box(radius, radius), fill=fill)
        if shape == "ring":
            draw.ellipse(box(radius * 0.55, radius * 0.55), fill=background)
    elif shape == "square":
        draw.rectangle(box(radius * 0.9, radius * 0.9), fill=fill)
    elif shape == "cross":
        draw.rectangle(box(radius, radius * 0.3), fill=fill)
        draw.rectangle(box(radius * 0.3, radius), fill=fill)
    else:
        corners, inner = (3, 0.5) if shape == "triangle" else (5, 0.42)
        points = []
        for step in range(2 * corners):
            reach = radius * (1 if step % 2 == 0 else inner)
            turn = math.pi * (step / corners - 0.5)
            points.append((x + reach * math.cos(turn), y + reach * math.sin(turn)))
        draw.polygon(points, fill=fill)


def texts() -> list[str]:
    """Every piece of text that a scene can be made of."""
    found = ["there is a and"]
    for wordings, answer in SEEN.values():
        found += [*wordings, answer]
    for question, answer in TOLD.values():
        found += [text.format(shape="", colour="") for text in (question, answer)]
    return [*found, *COLOURS, *SHAPES, *COUNTS]
