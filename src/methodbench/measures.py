"""What a transform measured while it made a checkpoint: ``measures.csv`` in the checkpoint's folder.

The file is tidy: a header, then one row an observation, e.g. ``layer,channel,log10_decay``. It is optional; only
figures and claims of a rank correlation read it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from methodbench.errors import UserError, nearest
from methodbench.results import Results

NAME = "measures.csv"


@dataclass(frozen=True)
class Measures:
    """One file as columns of words."""

    path: Path
    columns: Mapping[str, list[str]]

    def words(self, column: str, where: str) -> list[str]:
        """One column as it is written.

        Raises:
            UserError: there is no such column; `where` names the key that asks for it.
        """
        if column not in self.columns:
            raise UserError(f"{where}: unknown column '{column}' of {self.path}; {nearest(column, self.columns)}")
        return self.columns[column]

    def numbers(self, column: str, where: str) -> list[float]:
        """One column as numbers; "nan" and "inf" are numbers here.

        Raises:
            UserError: as `words`, or a cell is not a number.
        """
        found = []
        for line, word in enumerate(self.words(column, where), 2):
            try:
                found.append(float(word))
            except ValueError:
                at = f"{self.path}: line {line}, column '{column}'"
                raise UserError(f"{at}: given {word!r}, must be a number") from None
        return found


def read_measures(path: Path) -> Measures:
    """The columns of one file.

    Raises:
        UserError: the file has no header, or a row has more or fewer cells than the header.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        lines = csv.reader(stream)
        head = next(lines, [])
        rows = [row for row in lines if row]
    if not head:
        raise UserError(f"{path}: is empty; its first line must name its columns")
    for line, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise UserError(f"{path}: line {line}: {len(row)} cells, the header names {len(head)}")
    return Measures(path, {name: [row[place] for row in rows] for place, name in enumerate(head)})


def checkpoint_measures(results: Results, name: str) -> list[Measures]:
    """The files of a checkpoint of the study, one a seed, or one in all where the seed changes nothing.

    A checkpoint that stands for another study's is read where that study keeps it.
    """
    study, spec = results.study.study, results.study.checkpoints[name]
    while not spec.method and spec.parents:
        other, _, name = spec.parents[0].rpartition("/")
        if other:
            study = other
            break
        spec = results.study.checkpoints[name]
    place = results.root / "results" / results.scale / study
    by_seed = [place / f"seed{seed}" / "checkpoints" / name / NAME for seed in results.study.seeds]
    found = [path for path in by_seed if path.is_file()]
    once = place / "unseeded" / "checkpoints" / name / NAME
    return [read_measures(path) for path in (found or ([once] if once.is_file() else []))]
