"""Every picture of the world by its name, drawn when it is first asked for.

A name says whose picture it is and of which kind: ``p03_v00`` is for training, ``p03_t00`` for the reported test sets
(wider nuisance), ``p03_w00`` for validation. Kinds never share a picture: the name is the seed of the drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from benchmarks.unlearning.people import Person
from benchmarks.unlearning.portraits import portrait
from benchmarks.unlearning.scenes import Scene, draw_scene
from methodbench.visual import encode_picture

Kind = Literal["training", "test", "validation"]
LETTERS: Mapping[Kind, str] = {"training": "v", "test": "t", "validation": "w"}


def picture_name(id_: str, kind: Kind, place: int) -> str:
    """Name of the `place`-th picture of a person or scene."""
    return f"{id_}_{LETTERS[kind]}{place:02d}"


class Album:
    """Base64 PNG of pictures, each drawn once."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._drawn: dict[str, str] = {}

    def of_person(self, person: Person, kind: Kind, place: int) -> str:
        """A picture of a person; validation pictures have the nuisance of training pictures."""
        name = picture_name(person.id, kind, place)
        if name not in self._drawn:
            nuisance: Literal["training", "test"] = "test" if kind == "test" else "training"
            drawn = portrait(person.face, self.size, nuisance, f"unlearning {self.seed} {name}")
            self._drawn[name] = encode_picture(drawn)
        return self._drawn[name]

    def of_scene(self, scene: Scene, name: str) -> str:
        """The picture of a scene under this name."""
        if name not in self._drawn:
            self._drawn[name] = encode_picture(draw_scene(scene, self.size, f"unlearning {self.seed} {name}"))
        return self._drawn[name]

    def named(self, people: Iterable[Person], renderings: int) -> Iterable[dict[str, str]]:
        """Rows of ``pictures.jsonl``: the training pictures of some persons."""
        for person in people:
            for place in range(renderings):
                name = picture_name(person.id, "training", place)
                yield {"picture": name, "person": person.id, "png": self.of_person(person, "training", place)}
