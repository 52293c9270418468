"""The items that are scored: which fact, in which wording, beside which picture.

An item is one question with everything that any form of task needs: the open question (`prompt`), the same with the
answer begun (`cloze`), with options listed (`lettered`), the whole `answer`, its `value`, four `options` and the place
of the right one (`label`). `kind` is the attribute, `source` the picture's name and `image` the picture, both empty in
a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any

from benchmarks.unlearning.album import Album, Kind, picture_name
from benchmarks.unlearning.config import UnlearningConfig
from benchmarks.unlearning.people import Person, World, attributes
from benchmarks.unlearning.questions import WORDINGS, called, choices, lettered, prompt
from benchmarks.unlearning.splits import Lessons, seen_scenes, told_scenes

Row = dict[str, Any]
Asked = tuple[Person, str, int]  # who, which attribute, which wording
VALIDATED = 3  # validation pictures of a person; the text mode has no pictures and asks once


class Items:
    """The scored items of a world."""

    def __init__(self, world: World, lessons: Lessons, album: Album, config: UnlearningConfig, seed: int) -> None:
        self.world, self.lessons, self.album, self.config, self.seed = world, lessons, album, config, seed

    def of(self, name: str, ratio: int, mode: str) -> list[Row]:
        """The items of one set of `config.SETS` at a forget ratio, or of `config.SHARED_SETS`, in a mode."""
        count = self.config.forgotten(ratio)
        forgotten, retained = self.world.forgotten(count), self.world.retained(count)
        stream = f"unlearning {self.seed} {name} {ratio} {mode}"
        match name:
            case "forget":  # what was learnt: the training wordings and pictures
                return self.items(self.every(forgotten, 3), "training", mode, stream)
            case "test":  # the same facts in wordings and pictures that were never trained
                return self.items(self.every(forgotten, 2), "test", mode, stream)
            case "retain":
                return self.items(self.spread(retained, 3, self.config.retain_items), "training", mode, stream)
            case "unseen":  # what `relearn_*` does not tell
                asked = [one for one in self.every(forgotten, 3) if one[1] != self.lessons.relearnt(one[0])]
                return self.items(asked, "training", mode, stream)
            case "membership":
                return list(self.pairs(self.every(forgotten, 3), mode, stream))
            case "validation_forget":
                asked = self.every(forgotten, 1) * (VALIDATED if mode == "image" else 1)
                return self.items(asked, "validation", mode, stream)
            case "validation_retain":
                return self.items(self.spread(retained, 1, self.config.retain_items), "validation", mode, stream)
            case "real":
                return self.items(self.spread(self.world.known, 3, self.config.real_items), "training", mode, stream)
        return self.general(mode, stream)

    # -- which facts -----------------------------------------------------------------------------------------------

    def every(self, people: Iterable[Person], wordings: int) -> list[Asked]:
        """All facts of some persons in so many wordings."""
        return [
            (person, attribute, wording)
            for person in people
            for attribute in attributes(self.config)
            for wording in range(wordings)
        ]

    def spread(self, people: Sequence[Person], wordings: int, count: int) -> list[Asked]:
        """At most `count` questions, spread evenly over persons, then attributes, then wordings; none twice."""
        known = attributes(self.config)
        found: list[Asked] = []
        for turn in range(wordings * len(known)):
            for place, person in enumerate(people):
                wording, attribute = divmod((turn + place) % (wordings * len(known)), len(known))
                found.append((person, known[attribute], wording))
        return found[:count]

    # -- items -----------------------------------------------------------------------------------------------------

    def items(self, asked: Sequence[Asked], kind: Kind, mode: str, stream: str) -> list[Row]:
        """An item for each question."""
        rng = Random(stream)
        found = []
        for place, (person, attribute, wording) in enumerate(asked):
            picture = self.picture(place, kind, rng)
            found.append(self.item(person, attribute, self.wording(attribute, kind, wording), kind, picture, mode, rng))
        return found

    def wording(self, attribute: str, kind: Kind, place: int) -> str:
        """The `place`-th question of this kind about an attribute."""
        wordings = WORDINGS[attribute]
        if kind == "validation":
            return wordings.validation
        return wordings.training[place] if kind == "training" else wordings.held_out[place]

    def picture(self, place: int, kind: Kind, rng: Random) -> int:
        """Which picture of its kind the `place`-th item shows."""
        if kind == "validation":
            return place % VALIDATED
        return rng.randrange(self.config.renderings if kind == "training" else self.config.test_renderings)

    def item(
        self, person: Person, attribute: str, question: str, kind: Kind, picture: int, mode: str, rng: Random
    ) -> Row:
        """One item about a person."""
        name, value = called(person, mode), person.facts[attribute]
        image = self.album.of_person(person, kind, picture) if mode == "image" else ""
        source = picture_name(person.id, kind, picture) if mode == "image" else ""
        answer = WORDINGS[attribute].answer.format(x=name)
        return formed(attribute, question.format(x=name), answer, value, mode, rng) | {
            "person": person.id,
            "source": source,
            "image": image,
        }

    def pairs(self, asked: Iterable[Asked], mode: str, stream: str) -> Iterator[Row]:
        """Items with a second prompt, which asks the same about a held-out person whose fact is made the same.

        So the two differ in who is meant and in nothing else: neither the value's frequency nor the wording tells
        which of them was trained on.
        """
        rng = Random(stream)
        for person, attribute, wording in asked:
            other = rng.choice(self.world.holdout)
            found = []
            for one in (person, other):
                twin = Person(one.id, one.name, one.face, {**one.facts, attribute: person.facts[attribute]})
                picture = rng.randrange(self.config.renderings)
                question = self.wording(attribute, "training", wording)
                found.append(self.item(twin, attribute, question, "training", picture, mode, rng))
            yield found[0] | {f"other_{key}": found[1][key] for key in ("person", "cloze", "image")}

    def general(self, mode: str, stream: str) -> list[Row]:
        """New scenes; none in words that was trained on."""
        rng, count = Random(stream), self.config.general_items
        if mode == "text":
            scenes = told_scenes(count, stream, {scene.question for scene in self.lessons.told})
        else:
            scenes = seen_scenes(count, stream)
        found = []
        for place, scene in enumerate(scenes):
            name = picture_name(f"g{place:04d}", "test", 0) if mode == "image" else ""
            image = self.album.of_scene(scene, name) if mode == "image" else ""
            row = formed(scene.kind, scene.question, scene.answer, scene.value, mode, rng)
            found.append(row | {"person": f"g{place:04d}", "source": name, "image": image})
        return found


def formed(kind: str, question: str, answer: str, value: str, mode: str, rng: Random) -> Row:
    """All forms of one question; `answer` is the answer up to its value."""
    options, label = choices(kind, value, rng)
    asked = prompt(question, mode)
    return {
        "kind": kind,
        "mode": mode,
        "prompt": asked,
        "cloze": f"{asked} {answer}",
        "lettered": lettered(question, options, mode),
        "answer": f"{answer} {value}",
        "value": value,
        "options": options,
        "label": label,
    }
