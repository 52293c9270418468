"""Beside mergekit 0.1.5 on the same folders: equal to the bit where the arithmetic allows, else to the last digit.

Its loader keeps folders in memory by their path, so every folder here is a new one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from methodbench.merging.operators import dropped
from tests import pico
from tests.merging.folders import Tensors, merged, near, read, same

Rival = Callable[..., Tensors]


@pytest.fixture(scope="module")
def rival() -> Rival:
    """Runs mergekit on the models, each with its parameters, the base's being None; imported once, it takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mergekit.config import MergeConfiguration
        from mergekit.merge import run_merge
        from mergekit.options import MergeOptions

    def run(
        out: Path, method: str, models: Mapping[Path, Mapping[str, float] | None], dtype: str, **top: Any
    ) -> Tensors:
        listed = [{"model": str(path)} | ({"parameters": values} if values else {}) for path, values in models.items()]
        base = {"base_model": str(list(models)[-1])} if method != "linear" else {}
        content = {"merge_method": method, "dtype": dtype, "models": listed, "parameters": top} | base
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            run_merge(
                MergeConfiguration.model_validate(content),
                str(out),
                MergeOptions(write_model_card=False, copy_tokenizer=False, quiet=True, random_seed=1),
            )
        return read(out)

    return run


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def parents(dtype: str, tmp_path: Path) -> list[Path]:
    """Two fine-tuned models and their base."""
    base = pico.model("llama").to(getattr(torch, dtype))
    start = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    paths = [tmp_path / name for name in ("tuned", "other", "base")]
    for path, weights in zip(paths, (near(start, 1, 0.01), near(start, 2, 0.01), start), strict=True):
        base.load_state_dict(weights)
        base.save_pretrained(path)
    return paths


def close(ours: Tensors, theirs: Tensors) -> None:
    """Their sums are in float32, ours in float64: one bfloat16 apart at most, or as much as float32 loses near 2."""
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        half = tensor.dtype == torch.bfloat16
        torch.testing.assert_close(tensor, theirs[name], rtol=2**-7 if half else 0, atol=2**-14 if half else 2**-22)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_an_average(weight: float, dtype: str, parents: list[Path], rival: Rival, tmp_path: Path) -> None:
    tuned, _, base = parents
    ours = merged(tmp_path / "ours", tuned, base, weights=(weight,))
    models = {tuned: {"weight": weight}, base: {"weight": 1 - weight}}
    theirs = rival(tmp_path / "theirs", "linear", models, dtype)
    if weight in (0.0, 0.5, 1.0):
        assert same(ours, theirs)
    else:
        close(ours, theirs)


def test_an_average_of_three_that_is_normalized(dtype: str, parents: list[Path], rival: Rival, tmp_path: Path) -> None:
    ours = merged(tmp_path / "ours", *parents, weights=(1.0, 2.0, 0.5), normalize=True)
    models = {path: {"weight": weight} for path, weight in zip(parents, (1.0, 2.0, 0.5), strict=True)}
    close(ours, rival(tmp_path / "theirs", "linear", models, dtype))


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)  # in bfloat16 its deltas have 8 bits, ours 53
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("density", [0.37, 1.0])
def test_ties(density: float, normalize: bool, dtype: str, parents: list[Path], rival: Rival, tmp_path: Path) -> None:
    tuned, other, base = parents
    settings = {"operator": "ties", "density": density, "weights": (0.5, 0.8), "scale": 0.7}
    ours = merged(tmp_path / "ours", *parents, **settings, ties_normalize=normalize)
    models = {tuned: {"weight": 0.5, "density": density}, other: {"weight": 0.8, "density": density}, base: None}
    top = {"normalize": normalize, "lambda": 0.7, "rescale": False}
    theirs = rival(tmp_path / "theirs", "ties", models, dtype, **top)
    # Which of equal deltas are kept is not defined there; pairs whose total is 0 to the last digit may go either way.
    apart = {name: (ours[name] - theirs[name]).abs() > 1e-6 for name in ours}
    assert sum(int(found.sum()) for found in apart.values()) <= 1e-4 * sum(found.numel() for found in apart.values())


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_slerp(weight: float, dtype: str, tmp_path: Path, rival: Rival) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for seed, path in enumerate(paths):  # unrelated, so that the angle is wide
        pico.model("llama", seed).to(getattr(torch, dtype)).save_pretrained(path)
    ours = merged(tmp_path / "ours", *paths, operator="slerp", weights=(weight,))
    close(ours, rival(tmp_path / "theirs", "slerp", dict.fromkeys(paths), dtype, t=weight))


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_dare_with_its_mask(dtype: str, parents: list[Path], rival: Rival, tmp_path: Path) -> None:
    """Masks cannot be the same; with the entries that it kept, our formula gives its values."""
    tuned, _, base = parents
    models = {tuned: {"weight": 0.5, "density": 0.8}, base: None}
    top = {"rescale": False, "lambda": 1.25}  # the paper's 1 / (1 - p)
    theirs = rival(tmp_path / "theirs", "dare_linear", models, dtype, **top)
    model, start = read(tuned), read(base)
    ours: Tensors = {}
    kept_of_moved = moved = 0
    for name, tensor in start.items():
        delta = model[name].double() - tensor.double()
        kept = theirs[name] != tensor
        ours[name] = (tensor.double() + dropped(delta, kept, 0.5, 0.8)).float()
        kept_of_moved += int((kept & (delta != 0)).sum())
        moved += int((delta != 0).sum())
        assert not bool((kept & (delta == 0)).any())
    close(ours, theirs)
    assert abs(kept_of_moved / moved - 0.8) < 5 * (0.2 * 0.8 / moved) ** 0.5
    by_us = merged(tmp_path / "ours", tuned, base, operator="dare_linear", drop=0.2)
    for name, tensor in start.items():
        both = (by_us[name] != tensor) & (ours[name] != tensor)
        assert bool(both.any()) and torch.equal(by_us[name][both], ours[name][both])
