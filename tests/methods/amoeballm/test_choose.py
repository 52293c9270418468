"""`amoeballm_choose`: the best measured shape within the budget, measured again where the race is close."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.measures import read_measures
from methods.amoeballm import choose
from methods.amoeballm.calibrating import Calibration
from methods.amoeballm.choose import Candidate, amoeballm_choose, mark_pareto
from methods.amoeballm.config import DepthConfig
from methods.amoeballm.extract_config import ChooseConfig
from tests import pico
from tests.methods.amoeballm import cut_world, depth_world

SHAPES = [(depth, width) for depth in (4, 3, 2) for width in (1.0, 0.75, 0.5)]
SETTINGS = {"metric": "gold", "items": 5, "recheck_items": 13, "max_length": 60}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    base = cut_world.model("llama")
    return cut_world.checkpoint(tmp_path_factory.mktemp("parent") / "model", base, cut_world.selection(base))


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return depth_world.write(tmp_path_factory.mktemp("data") / "rows.jsonl", depth_world.question_rows())


def chosen(parent: Checkpoint, questions: Path, out: Path, **keys: Any) -> Path:
    config = parse(ChooseConfig, SETTINGS | keys, "test")
    amoeballm_choose([parent], {"calibration": questions}, config, 0, out, Log("choose", stream=io.StringIO()))
    return out


def table(out: Path) -> list[dict[str, float]]:
    read = read_measures(out / "measures.csv")
    columns = {name: read.numbers(name, "test") for name in read.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def faked(monkeypatch: pytest.MonkeyPatch, metrics: list[float]) -> list[int]:
    """Metrics in the order in which they are asked for; returns the list of items that each was asked on."""
    values, asked = iter(metrics), []

    class Fake:
        def __init__(self, model: Any, tokenizer: Any, path: Path, config: DepthConfig, seed: int) -> None:
            asked.append(config.items)

        def metric(self, removed: tuple[int, ...]) -> float:
            assert removed == ()
            return next(values)

    monkeypatch.setattr(choose, "Calibration", Fake)
    return asked


def test_measures_masked_models_and_writes_the_best(parent: Checkpoint, questions: Path, tmp_path: Path) -> None:
    out = chosen(parent, questions, tmp_path / "out", parameters=0.8)
    base, _ = parent.load()
    subnets = cut_world.selection(base)
    rows = table(out)
    assert [(row["depth"], row["width"]) for row in rows] == SHAPES
    within = [row for row in rows if row["share"] <= 0.8]
    assert 3 <= len(within) < len(rows)
    assert all((row["metric"] == row["metric"]) == (row["share"] <= 0.8) for row in rows)
    (best,) = (row for row in rows if row["chosen"])
    again = [row for row in rows if row["rechecked"] == row["rechecked"]]
    assert sorted(row["metric"] for row in again) == sorted(row["metric"] for row in within)[-3:]
    assert best["rechecked"] == max(row["rechecked"] for row in again)
    model, tokenizer = Checkpoint(out).load()
    assert model.num_parameters() == best["parameters"]
    with cut_world.masked(base, subnets, int(best["depth"]), best["width"]):
        torch.testing.assert_close(cut_world.logits(model), cut_world.logits(base), rtol=0, atol=5e-4)
    few = DepthConfig(metric="gold", items=5, max_length=60)
    assert Calibration(model, tokenizer, questions, few, 0).metric(()) == pytest.approx(best["metric"], abs=1e-4)


def test_the_second_look_decides(
    parent: Checkpoint, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = faked(monkeypatch, [0, 1, 2, 3, 4, 5, 6, 7, 8, -3, -2])
    rows = table(chosen(parent, questions, tmp_path / "out", parameters=1, recheck=2))
    assert asked == [5] * 9 + [13] * 2
    assert [row["chosen"] for row in rows] == [0] * 7 + [1, 0]
    assert [row["rechecked"] for row in rows[7:]] == [-2, -3]


def test_without_a_second_look_the_first_decides_and_equals_go_to_the_smaller(
    parent: Checkpoint, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = faked(monkeypatch, [1.0, 2, 2, 1, 1, 1, 1, 1, 2])
    rows = table(chosen(parent, questions, tmp_path / "out", parameters=1, recheck=0))
    assert asked == [5] * 9
    assert [row["chosen"] for row in rows] == [0] * 8 + [1]
    assert [row["pareto"] for row in rows] == [0] * 8 + [1]


def test_budgets_of_time_come_from_the_parents_record(
    parent: Checkpoint, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, _ = parent.load()
    timed = cut_world.checkpoint(tmp_path / "timed", base, cut_world.selection(base))
    shapes = [
        {"depth": d, "width": w, "latency": place / 10, "ms_per_token": float(place)}
        for place, (d, w) in enumerate(SHAPES, 1)
    ]
    (timed.path / "latency.json").write_text(json.dumps({"shapes": shapes}))
    faked(monkeypatch, [5.0, 4, 3, 0, 0, 0])
    rows = table(chosen(timed, questions, tmp_path / "out", latency=0.3))
    assert [row["metric"] == row["metric"] for row in rows] == [True] * 3 + [False] * 6
    assert [row["latency"] for row in rows] == pytest.approx([place / 10 for place in range(1, 10)])
    # Here a wider shape takes less time, as only a made-up record can have it: the first is best in both.
    assert [row["pareto"] for row in rows] == [1] + [0] * 8
    with pytest.raises(UserError, match=r"timed: key 'latency': given 0.05, allowed: 0.1 to 1"):
        chosen(timed, questions, tmp_path / "none", latency=0.05)


def test_without_a_budget_every_shape_is_measured(
    parent: Checkpoint, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faked(monkeypatch, [float(place) for place in range(9)] + [3.0, 2.0, 1.0])
    rows = table(chosen(parent, questions, tmp_path / "out"))
    assert [row["metric"] for row in rows] == list(range(9))
    assert [row["chosen"] for row in rows] == [0] * 8 + [1]


def test_pareto() -> None:
    shares, metrics, expected = [1, 0.9, 0.8, 0.8, 0.7, 0.6], [5, 6, 4, 3, 4, 1], [0, 1, 0, 0, 1, 1]
    candidates = [Candidate(1, 1.0, 1, share, metric=metric) for share, metric in zip(shares, metrics, strict=True)]
    mark_pareto(candidates)
    assert [one.pareto for one in candidates] == expected


def test_equal_shapes_are_both_on_the_front() -> None:
    candidates = [Candidate(1, 1.0, 1, 0.5, metric=2), Candidate(2, 1.0, 1, 0.5, metric=2)]
    mark_pareto(candidates)
    assert [one.pareto for one in candidates] == [1, 1]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"parameters": 0.5, "latency": 0.5}, "keys 'parameters' and 'latency': both are given"),
        ({"latency": 0.5}, r"latency.json: is missing, key 'latency' needs it: put amoeballm_latency between"),
        ({"parameters": 0.01}, r"model: key 'parameters': given 0.01, allowed: 0\.\d+ to 1, as the smallest"),
    ],
)
def test_mistakes_are_one_sentence(
    parent: Checkpoint, questions: Path, tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        chosen(parent, questions, tmp_path / "out", **keys)


def test_a_tokenizer_goes_along(parent: Checkpoint, questions: Path, tmp_path: Path) -> None:
    out = chosen(parent, questions, tmp_path / "out", parameters=0.7, recheck=1)
    assert Checkpoint(out).load()[1].get_vocab() == pico.tokenizer().get_vocab()
