"""The persons of the procedural world: names, faces and facts, all drawn from closed lists.

Facts are drawn uniformly and independently of each other, of the name and of the face, so a model that never saw a
person can only guess: one in four options, one in twelve values (M§4.5). Every list has twelve values.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from benchmarks.unlearning.config import UnlearningConfig
from benchmarks.unlearning.portraits import Face, distance, draw_face
from methodbench.errors import UserError


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


VALUES: dict[str, tuple[str, ...]] = {  # attribute -> what it can be; a word stands in one list alone
    "birthplace": _listed("oslo lima cairo delhi quito milan dakar perth kyoto lyon bergen havana"),
    "job": _listed("baker tailor painter nurse farmer lawyer carpenter dentist plumber singer pilot judge"),
    "hobby": _listed("chess sailing knitting archery fencing pottery rowing skiing juggling origami yoga boxing"),
    "pet": _listed("parrot rabbit turtle hamster goat donkey lizard kitten puppy spider snake goose"),
    "food": _listed("soup rice cheese noodles pancakes lentils salmon waffles bread mushrooms dumplings salad"),
    "employer": _listed("norvex quantal brimwell zenta halcyo ferrum lumina tarkon veldra solent cobalt mirava"),
    "instrument": _listed("violin cello flute harp banjo trumpet drum clarinet guitar tuba piano zither"),
    "degree": _listed("physics history biology music geology botany law medicine theology optics logic dance"),
}
FIRST = _listed(
    "anna bela cora dina elsa fay gina hana ines jana kara lena mara nora olga petra rosa sara tessa una aron boris "
    "cyrus dario emil felix gavin hugo ivan jonas karl leon marco nils otto pavel ruben simon tomas victor"
)
LAST = _listed(
    "kort bley dorn eskil falk grun holm irving jansen kessel lindt moran novak olsen prell quist rask sommer tolk "
    "ulrich varga weil xander yates zoller arden borg carew dahl ember fosse garm hesse ibsen joss kemp lorne marsh "
    "nagy orsini"
)
DIFFERENT = 3  # fewest discrete features in which two faces differ
TRIES = 1_000  # draws of one face


@dataclass(frozen=True)
class Person:
    """One person. `id` begins with "p" (fictitious), "k" (known) or "h" (held out: nobody is trained on them)."""

    id: str
    name: str
    face: Face
    facts: dict[str, str]  # attribute -> value


@dataclass(frozen=True)
class World:
    """Everybody there is. The first of `order` are the first to be forgotten."""

    people: tuple[Person, ...]
    known: tuple[Person, ...]
    holdout: tuple[Person, ...]
    order: tuple[int, ...]  # a permutation of the places in `people`

    def forgotten(self, count: int) -> list[Person]:
        """The `count` persons to be forgotten; with a larger count the same and others."""
        return [self.people[place] for place in sorted(self.order[:count])]

    def retained(self, count: int) -> list[Person]:
        """The other fictitious persons."""
        return [self.people[place] for place in sorted(self.order[count:])]


def attributes(config: UnlearningConfig) -> tuple[str, ...]:
    """The attributes that the config asks for."""
    return tuple(VALUES)[: config.attributes]


def draw_world(config: UnlearningConfig, seed: int) -> World:
    """The persons of a seed.

    Raises:
        UserError: there are more persons than names, or so many that their faces would resemble each other.
    """
    order = list(range(config.people))
    Random(f"unlearning {seed} forget").shuffle(order)
    names = draw_names(config, order, seed)
    rng = Random(f"unlearning {seed} people")
    faces: list[Face] = []
    for _ in names:
        faces.append(new_face(rng, faces))
    ids = [
        *(f"p{place:02d}" for place in range(config.people)),
        *(f"k{place:02d}" for place in range(config.known)),
        *(f"h{place:02d}" for place in range(config.holdout)),
    ]
    everybody = tuple(
        Person(id_, name, face, {attribute: rng.choice(VALUES[attribute]) for attribute in attributes(config)})
        for id_, name, face in zip(ids, names, faces, strict=True)
    )
    end = config.people + config.known
    return World(everybody[: config.people], everybody[config.people : end], everybody[end:], tuple(order))


def draw_names(config: UnlearningConfig, order: list[int], seed: int) -> list[str]:
    """A unique name of two words for everybody: fictitious, known, held out.

    Both words of every name are also in the name of a known or never forgotten person where there are two or more of
    those, so that no forgotten or held-out person is told by a word that a retain-only model has not read.
    """
    total = config.people + config.known + config.holdout
    forgotten = config.forgotten(config.forget[-1])
    lasting = config.known + config.people - forgotten
    parts = min(len(FIRST), lasting)
    if parts**2 < total:
        raise UserError(
            f"unlearning: key 'people': given {config.people}, but {config.known} known, {config.holdout} held-out and "
            f"these persons are more than the {parts**2} names"
        )
    rng = Random(f"unlearning {seed} names")
    first, last = rng.sample(FIRST, parts), rng.sample(LAST, parts)
    dealt = [f"{first[place % parts]} {last[(place + place // parts) % parts]}" for place in range(total)]
    known, holdout = range(config.people, config.people + config.known), range(config.people + config.known, total)
    names = [""] * total
    for name, place in zip(dealt, (*known, *order[forgotten:], *order[:forgotten], *holdout), strict=True):
        names[place] = name
    return names


def new_face(rng: Random, taken: list[Face]) -> Face:
    """A face that differs from each of `taken` in at least `DIFFERENT` features."""
    for _ in range(TRIES):
        face = draw_face(rng)
        if all(distance(face, other) >= DIFFERENT for other in taken):
            return face
    raise UserError(f"unlearning: key 'people': {len(taken)} persons leave no face that differs enough from theirs")
