"""The published sets' files: fetched from the model hub at a chosen revision, or made of rows of our own (`stand_in`).

Nothing here could be compared with the hub: columns and sizes are those that the benchmarks' code, their data cards and
users of both tell (M§4.1 and 4.3). A set of another size is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.unlearning import published_clear as clear
from benchmarks.unlearning import published_mllmu as mllmu
from benchmarks.unlearning.published_rows import Given, Row
from benchmarks.unlearning.published_tasks import CLEAR, FORMS, MLLMU, MODES, benchmark_of
from methodbench.errors import UserError
from methodbench.hub import fetch_rows, write_rows, write_source

HUB = {"mllmu": "MLLMMU/MLLMU-Bench", "clear": "therem/CLEAR"}
SPLIT = "train"  # every subset's only one
SIZES = {  # persons; of CLEAR's subsets no size is known well enough to insist on it
    "ft_Data": 500,
    "Test_Set": 500,
    "Retain_Set": 153,
    **{f"forget_{per_cent}": 5 * per_cent for per_cent in MLLMU.values()},
    **{f"retain_{100 - per_cent}": 500 - 5 * per_cent for per_cent in MLLMU.values()},
}


class PublishedConfig(Protocol):
    """What of the family's config is read here."""

    @property
    def sets(self) -> Sequence[str]: ...
    @property
    def revisions(self) -> Mapping[str, str]: ...
    @property
    def stand_in(self) -> bool: ...
    @property
    def picture_side(self) -> int: ...


def published_files(out: Path, config: PublishedConfig) -> None:
    """Write the files of `published_splits(config.sets)`, and ``<set>.source.json`` about where they come from.

    Raises:
        UserError: the hub cannot be reached or has no such revision, or a set has not the published size.
    """
    hub, side = Hub(config), config.picture_side
    begun: set[str] = set()
    for name in config.sets:
        benchmark = benchmark_of(name)
        shared, own = (mllmu_shared, mllmu_at) if benchmark == "mllmu" else (clear_shared, clear_at)
        left_out = {} if benchmark in begun else shared(out, name, hub, side)
        begun.add(benchmark)
        left_out |= own(out, name, hub, side)
        write_source(out / f"{name}.source.json", hub.origin(name) | {"left_out": left_out})


class Hub:
    """Subsets of the two datasets, each fetched once."""

    def __init__(self, config: PublishedConfig) -> None:
        self.config = config
        self.fetched: dict[tuple[str, str], list[Any]] = {}
        self.fingerprints: dict[tuple[str, str], str] = {}

    def rows(self, name: str, subset: str) -> list[Any]:
        """All rows of a subset, for the set `name`."""
        benchmark = benchmark_of(name)
        key = (benchmark, subset)
        if key not in self.fetched:
            self.fetched[key] = stand_ins(key) if self.config.stand_in else self.fetch(name, subset)
        return self.fetched[key]

    def fetch(self, name: str, subset: str) -> list[Any]:
        """The hub's rows."""
        benchmark = benchmark_of(name)
        where, revision = f"unlearning: set '{name}', subset '{subset}'", self.revision(benchmark)
        rows, fingerprint = fetch_rows(where, HUB[benchmark], subset, SPLIT, revision)
        self.fingerprints[benchmark, subset] = fingerprint
        expected = SIZES.get(subset, len(rows)) if benchmark == "mllmu" else len(rows)
        if len(rows) != expected or not rows:
            raise UserError(f"{where}, revision '{revision}': given {len(rows)} rows, expected {expected or 'some'}")
        return rows

    def revision(self, benchmark: str) -> str:
        """The commit that the config names, else the newest."""
        return str(self.config.revisions.get(benchmark, "main"))

    def origin(self, name: str) -> dict[str, Any]:
        """What to write about where the rows come from."""
        if self.config.stand_in:
            return {"stand_in": True}
        benchmark = benchmark_of(name)
        prints = {subset: value for (of, subset), value in self.fingerprints.items() if of == benchmark}
        return {"hub": HUB[benchmark], "revision": self.revision(benchmark), "fingerprints": prints}


def stand_ins(key: tuple[str, str]) -> list[Any]:
    """Rows of our own instead of the hub's; they are drawn when they are wanted."""
    from benchmarks.unlearning.stand_ins import STAND_INS

    return list(STAND_INS[key])


def write(path: Path, rows: Iterable[Row]) -> None:
    """One JSON object a line, with its place as `id`."""
    write_rows(path, ({"id": place, **row} for place, row in enumerate(rows)))


def mllmu_shared(out: Path, name: str, hub: Hub, side: int) -> dict[str, int]:
    """The files of MLLMU-Bench that are the same at every ratio, and how many items of each were left out."""
    learnt = hub.rows(name, "ft_Data")
    write(out / "mllmu_all.jsonl", mllmu.image_rows(learnt))
    write(out / "mllmu_pictures.jsonl", mllmu.pictures(learnt, side))
    return mllmu_scored(out, "mllmu_real", hub.rows(name, "Retain_Set"), "real", side)


def mllmu_at(out: Path, name: str, hub: Hub, side: int) -> dict[str, int]:
    """The files of one ratio, and how many items of each were left out.

    Raises:
        UserError: a person of the forget set is not among those that are learnt.
    """
    ratio = MLLMU[name]
    learnt, test = hub.rows(name, "ft_Data"), hub.rows(name, "Test_Set")
    forget, retain = hub.rows(name, f"forget_{ratio}"), hub.rows(name, f"retain_{100 - ratio}")
    names = {str(row["ID"]): mllmu.name_of(row) for row in (*forget, *retain)}
    forgotten = {str(row["ID"]) for row in forget}
    missing = forgotten - {str(row["ID"]) for row in learnt}
    if missing:
        raise UserError(
            f"unlearning: set '{name}': {len(missing)} persons to forget are not in ft_Data, such as {min(missing)}"
        )
    to_forget, to_keep = split_persons(learnt, forgotten)
    left_out: dict[str, int] = {}
    for part, rows in (("forget", to_forget), ("keep", to_keep)):
        by_name, left_out[f"{part}_by_name"] = mllmu.text_rows(rows, names)
        write(out / f"{name}_{part}.jsonl", [*mllmu.image_rows(rows), *by_name])
    write(out / f"{name}_retain.jsonl", mllmu.image_rows(to_keep))
    tested = split_persons(test, forgotten)[0]
    for part, profiles in (("forget", forget), ("test", tested), ("retain", retain)):
        left_out |= mllmu_scored(out, f"{name}_{part}", profiles, part, side)
    return left_out


def mllmu_scored(out: Path, stem: str, profiles: Sequence[Given], part: str, side: int) -> dict[str, int]:
    """The files that tasks read about some persons, and how many items of each were left out, where any were."""
    left_out: dict[str, int] = {}
    for mode in MODES:
        for form in FORMS:
            rows, dropped = mllmu.scored(profiles, mode, form, part, side)
            left_out |= {f"{part}_{mode}_{form}": dropped} if dropped else {}
            write(out / f"{stem}_{mode}_{form}.jsonl", rows)
    return left_out


def split_persons(rows: Sequence[Given], persons: set[str]) -> tuple[list[Given], list[Given]]:
    """The rows of these persons, and the others."""
    return [row for row in rows if str(row["ID"]) in persons], [row for row in rows if str(row["ID"]) not in persons]


def clear_shared(out: Path, name: str, hub: Hub, side: int) -> dict[str, int]:
    """The files of CLEAR that are the same at every ratio; nothing is left out."""
    full = hub.rows(name, "full+tofu")
    write(out / "clear_all.jsonl", [row for _, row in clear.learnt(full)])
    write(out / "clear_pictures.jsonl", clear.pictures(full, side))
    retained = clear.portraits(hub.rows(name, "retain_perturbed"), "retain", side)
    write(out / "clear_retain_image.jsonl", retained)
    for part in ("real_faces", "real_world"):
        write(out / f"clear_{part}.jsonl", clear.real(hub.rows(name, part), part, side))
    return {}


def clear_at(out: Path, name: str, hub: Hub, side: int) -> dict[str, int]:
    """The files of one ratio; nothing is left out.

    Raises:
        UserError: a row of the forget set is not among those that are learnt.
    """
    subset = f"forget{CLEAR[name]:02d}"
    learnt, forget = clear.learnt(hub.rows(name, "full+tofu")), clear.keys(hub.rows(name, f"{subset}+tofu"))
    missing = forget - {key for key, _ in learnt}
    if missing:
        raise UserError(f"unlearning: set '{name}': {len(missing)} rows to forget are not in full+tofu")
    to_forget = [row for key, row in learnt if key in forget]
    to_keep = [row for key, row in learnt if key not in forget]
    write(out / f"{name}_forget.jsonl", to_forget)
    for part in ("keep", "retain"):  # both modes are learnt, so that these are one
        write(out / f"{name}_{part}.jsonl", to_keep)
    shown = clear.portraits(hub.rows(name, f"{subset}_perturbed"), "forget", side)
    write(out / f"{name}_forget_image.jsonl", shown)
    write(out / f"{name}_forget_text.jsonl", clear.texts(to_forget, "forget"))
    write(out / f"{name}_retain_text.jsonl", clear.spread(clear.texts(to_keep, "retain")))
    return {}
