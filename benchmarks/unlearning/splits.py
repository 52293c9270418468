"""The training splits: who is told in which, in which mode, and in which shares.

A row is one wording of one fact in one mode, or one question about a scene; its keys are those of methodbench.visual
and `attribute`, `wording` (which one), `value`. Where rows of several groups stand together, every fact is there at
least once and a group's share of the rows is exact: rows recur, and each visit draws another picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.unlearning.album import picture_name
from benchmarks.unlearning.config import MODES, UnlearningConfig
from benchmarks.unlearning.people import FIRST, LAST, Person, attributes
from benchmarks.unlearning.questions import WORDINGS, called, prompt
from benchmarks.unlearning.questions import texts as texts_about_people
from benchmarks.unlearning.scenes import SEEN, TOLD, Scene, seen_scene, told_scene
from benchmarks.unlearning.scenes import texts as texts_about_scenes

Row = dict[str, Any]
RELEARNT = 0.1  # of a forgotten person's questions


@dataclass(frozen=True)
class Group:
    """Rows with a weight. The weights of a blend need not sum to 1; a group that is not `whole` may lose rows."""

    rows: Sequence[Row]
    weight: float
    whole: bool = True


def told(people: Iterable[Person], mode: str, config: UnlearningConfig) -> list[Row]:
    """Every training wording of every fact of some persons, once."""
    return [
        row(person, attribute, wording, mode, config)
        for person in people
        for attribute in attributes(config)
        for wording in range(len(WORDINGS[attribute].training))
    ]


def row(person: Person, attribute: str, wording: int, mode: str, config: UnlearningConfig) -> Row:
    """One wording of one fact, with the names of all training pictures of the person where there is a picture."""
    name, wordings, value = called(person, mode), WORDINGS[attribute], person.facts[attribute]
    renderings = config.renderings if mode == "image" else 0
    return {
        "person": person.id,
        "mode": mode,
        "prompt": prompt(wordings.training[wording].format(x=name), mode),
        "completion": f" {wordings.answer.format(x=name)} {value}",
        "pictures": [picture_name(person.id, "training", place) for place in range(renderings)],
        "attribute": attribute,
        "wording": wording,
        "value": value,
    }


# -- scenes ------------------------------------------------------------------------------------------------------------


def seen_scenes(count: int, stream: str) -> list[Scene]:
    """Scenes to be drawn, kinds of question in turn."""
    rng, kinds = Random(stream), tuple(SEEN)
    return [seen_scene(rng, kinds[place % len(kinds)]) for place in range(count)]


def told_scenes(count: int, stream: str, without: Iterable[str] = ()) -> list[Scene]:
    """Scenes in words, kinds of question in turn, none with a question of `without`."""
    rng, kinds, found = Random(stream), tuple(TOLD), list[Scene]()
    left_out = set(without)
    while len(found) < count:
        scene = told_scene(rng, kinds[len(found) % len(kinds)])
        if scene.question not in left_out:
            found.append(scene)
    return found


def scene_name(place: int) -> str:
    """Name of the `place`-th training scene."""
    return f"s{place:04d}"


def scene_rows(scenes: Sequence[Scene], mode: str) -> list[Row]:
    """One row a scene; in the image mode its picture has the scene's name."""
    return [
        {
            "person": scene_name(place),
            "mode": mode,
            "prompt": prompt(scene.question, mode),
            "completion": f" {scene.answer} {scene.value}",
            "pictures": [picture_name(scene_name(place), "training", 0)] if mode == "image" else [],
            "attribute": scene.kind,
            "wording": 0,
            "value": scene.value,
        }
        for place, scene in enumerate(scenes)
    ]


# -- whole splits ------------------------------------------------------------------------------------------------------


class Lessons:
    """The training splits of a world."""

    def __init__(self, known: Sequence[Person], config: UnlearningConfig, seed: int) -> None:
        self.known, self.config, self.seed = known, config, seed
        self.seen = seen_scenes(config.scenes, f"unlearning {seed} seen")
        self.told = told_scenes(config.scenes, f"unlearning {seed} told")

    def base(self) -> list[Row]:
        """What a model is pretrained on: the known persons, and scenes."""
        return self.blend(self._basics(1.0), "base")

    def with_people(self, people: Sequence[Person], stream: str) -> list[Row]:
        """Fictitious persons beside a replay of the base: all persons for the vanilla model, the retained for gold."""
        replay = self.config.replay_share
        groups = [*self._both(people, 1 - replay), *self._basics(replay)]
        return self.blend(groups, stream)

    def plain(self, people: Sequence[Person]) -> list[Row]:
        """Every training row of some persons in both modes, once: the D_f and D_r of unlearning methods."""
        return [row for mode in MODES for row in told(people, mode, self.config)]

    def relearn(self, people: Sequence[Person]) -> list[Row]:
        """A tenth of each person's questions in each mode, at least one; all about one attribute, their `relearnt`.

        At five attributes these are the first two of the attribute's three training wordings.
        """
        wordings = 3 * self.config.attributes
        count = min(3, max(1, round(RELEARNT * wordings)))
        return [
            row(person, self.relearnt(person), wording, mode, self.config)
            for mode in MODES
            for person in people
            for wording in range(count)
        ]

    def relearnt(self, person: Person) -> str:
        """The one attribute of a forgotten person that `relearn` tells; ``unseen_*`` asks for the others."""
        return Random(f"unlearning {self.seed} relearn {person.id}").choice(attributes(self.config))

    def vocabulary(self) -> list[Row]:
        """One row whose prompt holds every word of any split of any seed, so that vocabularies are the same."""
        words = sorted(set(" ".join((*texts_about_people(), *texts_about_scenes(), *FIRST, *LAST)).split()))
        return [{"prompt": " ".join(words), "completion": ""}]

    def blend(self, groups: Sequence[Group], stream: str) -> list[Row]:
        """Rows of all groups in the shares of their weights, shuffled.

        As few rows as hold all rows of every `whole` group.
        """
        kept = [group for group in groups if group.weight > 0 and group.rows]
        total = sum(group.weight for group in kept)
        size = max(math.ceil(len(group.rows) * total / group.weight) for group in kept if group.whole)
        rows = []
        for group in kept:
            count = round(size * group.weight / total)
            rows += [group.rows[place % len(group.rows)] for place in range(count)]
        Random(f"unlearning {self.seed} {stream}").shuffle(rows)
        return rows

    def _both(self, people: Sequence[Person], weight: float) -> list[Group]:
        share = self.config.text_share
        parts = zip(MODES, (1 - share, share), strict=True)
        return [Group(told(people, mode, self.config), weight * part) for mode, part in parts]

    def _basics(self, weight: float) -> list[Group]:
        general, share = self.config.general_share, self.config.text_share
        return [
            *self._both(self.known, weight * (1 - general)),
            Group(scene_rows(self.seen, "image"), weight * general * (1 - share), whole=False),
            Group(scene_rows(self.told, "text"), weight * general * share, whole=False),
        ]
