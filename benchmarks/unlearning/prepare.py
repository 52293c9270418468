"""Writes the family's files: the procedural world of people, and published sets.

Everything of the world comes from one seed. Reported items of ``forget_*``, ``retain_*`` and ``real_*`` ask on purpose
for what was trained, in its wordings and pictures: unlearning is to undo it. ``test_*``, ``general_*`` and the
validation sets share no picture and, where a text has none, no question with a training split.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.unlearning.album import Album, picture_name
from benchmarks.unlearning.config import MODES, SETS, SHARED_SETS, UnlearningConfig
from benchmarks.unlearning.items import Items
from benchmarks.unlearning.people import draw_world
from benchmarks.unlearning.portraits import draw_face, portrait
from benchmarks.unlearning.published import published_files
from benchmarks.unlearning.splits import Lessons, scene_name
from methodbench.visual import encode_picture

Row = Mapping[str, Any]


def prepare(out: Path, config: UnlearningConfig, seed: int) -> None:
    """Write ``<split>.jsonl`` for every split of ``config.splits()`` into the folder `out`.

    Raises:
        UserError: there are more persons than names or faces, or the model hub cannot be reached for a published set.
    """
    out.mkdir(parents=True, exist_ok=True)
    if config.people:
        for split, rows in world_files(config, seed):
            write(out / f"{split}.jsonl", rows)
    if config.sets:
        published_files(out, config)


def write(path: Path, rows: Iterable[Row]) -> None:
    """One JSON object a line, with its place as `id`."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": place, **row}, ensure_ascii=False) + "\n" for place, row in enumerate(rows))


def world_files(config: UnlearningConfig, seed: int) -> Iterator[tuple[str, Iterable[Row]]]:
    """Every split of the world with its rows."""
    world = draw_world(config, seed)
    album = Album(config.size, seed)
    lessons = Lessons(world.known, config, seed)
    items = Items(world, lessons, album, config, seed)

    yield "faces", labelled_faces(config, seed)
    yield "pictures", (*album.named((*world.people, *world.known), config.renderings), *scene_pictures(lessons, album))
    yield "vocabulary", lessons.vocabulary()
    yield "base", lessons.base()
    yield "all", lessons.with_people(world.people, "all")
    for ratio in config.forget:
        count = config.forgotten(ratio)
        forgotten, retained = world.forgotten(count), world.retained(count)
        yield f"retain_{ratio}", lessons.with_people(retained, f"retain {ratio}")
        yield f"forget_{ratio}", lessons.plain(forgotten)
        yield f"keep_{ratio}", lessons.plain(retained)
        yield f"relearn_{ratio}", lessons.relearn(forgotten)
        for name in SETS:
            for mode in MODES:
                yield f"{name}_{ratio}_{mode}", items.of(name, ratio, mode)
    for name in SHARED_SETS:
        for mode in MODES:
            yield f"{name}_{mode}", items.of(name, config.forget[0], mode)


def labelled_faces(config: UnlearningConfig, seed: int) -> Iterator[Row]:
    """Pictures of nobody, with the features of the face as labels."""
    rng = Random(f"unlearning {seed} faces")
    for place in range(config.faces):
        face, name = draw_face(rng), f"f{place:05d}"
        drawn = portrait(face, config.size, "training", f"unlearning {seed} {name}")
        yield {"picture": name, "labels": face, "png": encode_picture(drawn)}


def scene_pictures(lessons: Lessons, album: Album) -> Iterator[Row]:
    """The pictures of the training scenes."""
    for place, scene in enumerate(lessons.seen):
        name = picture_name(scene_name(place), "training", 0)
        yield {"picture": name, "person": scene_name(place), "png": album.of_scene(scene, name)}
