"""Persons: unique, different, forgotten in nested sets; faces drawn as they are described."""

from __future__ import annotations

from itertools import combinations
from random import Random
from string import ascii_lowercase

import numpy as np
import pytest

from benchmarks.unlearning.config import UnlearningConfig
from benchmarks.unlearning.people import DIFFERENT, FIRST, LAST, VALUES, draw_world, new_face
from benchmarks.unlearning.portraits import FEATURES, Face, distance, draw_face, portrait
from benchmarks.unlearning.scenes import COLOURS, COUNTS, SHAPES, seen_scene, told_scene
from methodbench.errors import UserError

CONFIG = UnlearningConfig()
WORLD = draw_world(CONFIG, 0)
EVERYBODY = (*WORLD.people, *WORLD.known, *WORLD.holdout)


def plain(**features: int) -> Face:
    """A face whose features are all the first, but for these."""
    return dict.fromkeys(FEATURES, 0) | features


def test_a_list_has_twelve_values_and_a_word_one_meaning() -> None:
    assert {len(values) for values in VALUES.values()} == {12}
    words = [word for values in (*VALUES.values(), FIRST, LAST, COLOURS, SHAPES, COUNTS) for word in values]
    assert len(set(words)) == len(words)
    assert all(set(word) <= set(ascii_lowercase) for word in words)


def test_everybody_has_a_name_of_two_words_and_facts() -> None:
    names = [person.name for person in EVERYBODY]
    assert len(EVERYBODY) == 100 and len(set(names)) == 100 and len({person.id for person in EVERYBODY}) == 100
    assert all(len(name.split()) == 2 for name in names)
    assert all(list(person.facts) == list(VALUES)[:5] for person in EVERYBODY)
    assert all(value in VALUES[key] for person in EVERYBODY for key, value in person.facts.items())


@pytest.mark.parametrize("seed", range(3))
def test_a_name_that_is_not_trained_is_made_of_trained_words(seed: int) -> None:
    world = draw_world(CONFIG, seed)
    count = CONFIG.forgotten(15)
    lasting = {word for person in (*world.known, *world.retained(count)) for word in person.name.split()}
    for person in (*world.forgotten(count), *world.holdout):
        assert set(person.name.split()) <= lasting


def test_the_sets_to_be_forgotten_are_nested() -> None:
    ids = {ratio: {person.id for person in WORLD.forgotten(CONFIG.forgotten(ratio))} for ratio in (5, 10, 15)}
    assert [len(ids[ratio]) for ratio in (5, 10, 15)] == [3, 6, 9]
    assert ids[5] < ids[10] < ids[15]
    rest = {person.id for person in WORLD.retained(9)}
    assert not rest & ids[15] and len(rest) == 51


def test_a_seed_decides_everything() -> None:
    assert draw_world(CONFIG, 0) == WORLD
    assert draw_world(CONFIG, 1).people[0].facts != WORLD.people[0].facts or draw_world(CONFIG, 1).order != WORLD.order


def test_faces_differ() -> None:
    assert all(distance(a.face, b.face) >= DIFFERENT == 3 for a, b in combinations(EVERYBODY, 2))
    assert distance(plain(), plain()) == 0
    assert distance(plain(), plain(hair=3)) == 0, "bald and without a beard, the hair's colour is not seen"
    assert distance(plain(style=1), plain(style=1, hair=3)) == 1
    assert distance(plain(), plain(style=1, hair=3, hat=2)) == 2


def test_no_face_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.unlearning.people.draw_face", lambda rng: plain())
    monkeypatch.setattr("benchmarks.unlearning.people.TRIES", 2)
    assert new_face(Random(0), []) == plain()
    with pytest.raises(UserError, match="key 'people': 1 persons leave no face"):
        new_face(Random(0), [plain()])


def test_more_persons_than_names() -> None:
    with pytest.raises(UserError, match="key 'people': given 2, but 1 known, 20 held-out"):
        draw_world(UnlearningConfig(people=2, known=1), 0)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_is_seen(feature: str) -> None:
    """Two faces that differ in one feature differ in the pixels of the same picture."""
    base = plain(style=1, beard=1, glasses=1)
    for other in range(FEATURES[feature]):
        if other != base[feature]:
            pictures = [
                np.asarray(portrait(face, 32, "training", "a"), dtype=int) for face in (base, {**base, feature: other})
            ]
            assert np.abs(pictures[0] - pictures[1]).max() > 20


def test_a_key_decides_the_picture() -> None:
    face = draw_face(Random(0))
    one, same, other, wider = (
        portrait(face, 24, kind, key)
        for kind, key in (("training", "a"), ("training", "a"), ("training", "b"), ("test", "a"))
    )
    assert one.size == (24, 24) and one.mode == "RGB"
    assert one.tobytes() == same.tobytes()
    assert len({one.tobytes(), other.tobytes(), wider.tobytes()}) == 3


def test_test_pictures_have_more_nuisance() -> None:
    """Pictures of one face on its own mean picture: the reported ones lie farther away from it."""
    face = plain(skin=1, style=2, hair=4)

    def spread(kind: str) -> float:
        drawn = [np.asarray(portrait(face, 32, kind, str(key)), dtype=float) for key in range(40)]  # type: ignore[arg-type]
        middle = [picture[12:20, 12:20] for picture in drawn]  # the face alone, without the background
        return float(np.std(middle, axis=0).mean())

    assert spread("test") > 1.2 * spread("training")


def test_a_scene_asks_for_what_is_shown() -> None:
    rng = Random(0)
    for _ in range(50):
        scene = seen_scene(rng, "count")
        assert scene.shown is not None and COUNTS[scene.shown[2] - 1] == scene.value
        told = told_scene(rng, "colour")
        shape = told.answer.split()[1]
        assert f"a {told.value} {shape} " in f"{told.question} " and told.question.endswith(f"the {shape}")
        told = told_scene(rng, "shape")
        colour = told.question.split()[-1]
        assert f"a {colour} {told.value} " in told.question
