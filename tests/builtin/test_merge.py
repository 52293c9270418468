"""The merge as a node: the parents' files in their order, the report beside the weights, what the log is told."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from methodbench.builtin import METHODS
from methodbench.builtin.merge import merge
from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.joblog import Log, read_curves
from methodbench.merging.config import MergeConfig
from methodbench.method import Traits
from tests.merging.folders import BASE, OTHER, TUNED, merged, read, same, write

(METHOD,) = (method for method in METHODS if method.name == "merge")


@pytest.fixture
def parents(tmp_path: Path) -> list[Checkpoint]:
    return [Checkpoint(write(tmp_path / name, weights)) for name, weights in (("tuned", TUNED), ("base", BASE))]


def test_a_checkpoint_and_its_report(parents: list[Checkpoint], tmp_path: Path) -> None:
    screen = io.StringIO()
    log = Log("test", curves=tmp_path / "curves.jsonl", stream=screen)
    settings = MergeConfig(operator="dare_linear", drop=0.2)
    METHOD.load()(parents=parents, data={}, config=settings, seed=5, out=tmp_path / "out", log=log)
    Checkpoint(tmp_path / "out").check()
    by_hand = merged(tmp_path / "hand", *(parent.path for parent in parents), operator="dare_linear", drop=0.2, seed=5)
    assert same(read(tmp_path / "out"), by_hand)
    totals = json.loads((tmp_path / "out" / "merge.json").read_text())["totals"]
    (point,) = read_curves(tmp_path / "curves.jsonl")
    assert point == {
        "step": 0,
        "delta_norm": totals["merged"]["norm"],
        "changed": totals["merged"]["changed"],
        "cast_error": totals["cast_error"],
        "cast_to_base": totals["cast_to_base"],
    }
    assert "1,184 entries" in screen.getvalue()


def test_warnings_are_said(parents: list[Checkpoint], tmp_path: Path) -> None:
    (parents[0].path / "tokenizer.json").unlink()
    screen = io.StringIO()
    merge(parents, {}, MergeConfig(), 0, tmp_path / "out", Log("test", stream=screen))
    assert "its tokenizer cannot be compared" in screen.getvalue()


def test_the_neutral_setting_gives_the_first_parent_back(parents: list[Checkpoint], tmp_path: Path) -> None:
    other = Checkpoint(write(tmp_path / "other", OTHER))
    assert METHOD.neutral is not None
    for place, given in enumerate(
        (
            {"operator": "dare_ties", "drop": 0.5, "dtype": "bfloat16"},
            {"operator": "ties", "density": 0.2, "scale": 2.0},
        )
    ):
        neutral = parse(MergeConfig, {**given, **METHOD.neutral}, "neutral")
        out = tmp_path / f"out{place}"
        merge([parents[0], other], {}, neutral, 0, out, Log("test", stream=io.StringIO()))
        assert same(read(out), TUNED)


def test_traits_are_the_bases_with_the_tokenizer_that_is_copied() -> None:
    parents = (Traits("llama", frozenset({"<a>"}), frozenset({"tables"})), Traits("llama", frozenset({"<b>"})))
    assert METHOD.traits is not None
    assert METHOD.traits(MergeConfig(), parents) == Traits("llama", frozenset({"<a>"}))
    assert METHOD.traits(MergeConfig(tokenizer_from="last"), parents) == Traits("llama", frozenset({"<b>"}))
    assert (METHOD.parents, METHOD.data, METHOD.seeded) == ((2, 16), (), True)
