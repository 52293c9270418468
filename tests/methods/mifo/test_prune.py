"""The post-hoc prune theta_0 + m (theta_T - theta_0) is a use of the built-in merge: that it is exactly this."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from methodbench.merging import merge
from methodbench.merging.config import MergeConfig
from tests.merging import folders


def pruned(path: Path, share: float, seed: int = 0, name: str = "tuned") -> folders.Tensors:
    """As methods/mifo/README.md writes it."""
    settings = MergeConfig(operator="dare_linear", weights=(1.0,), rescale="none", drop=share)
    out = path / f"{name}-{share}-{seed}"
    merge([path / name, path / "base"], out, settings, seed)
    return folders.read(out)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    base = folders.tensors(0)
    folders.write(tmp_path / "base", base)
    folders.write(tmp_path / "tuned", folders.near(base, 1))
    folders.write(tmp_path / "other", folders.near(base, 2))
    return tmp_path


def same(one: folders.Tensors, other: folders.Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_neutral_shares(models: Path) -> None:
    tuned, base = folders.read(models / "tuned"), folders.read(models / "base")
    assert same(pruned(models, 0.0), tuned) and same(pruned(models, 1.0), base)
    assert not same(tuned, base)


def test_every_entry_is_the_tuned_one_or_the_original_one(models: Path) -> None:
    tuned, base = folders.read(models / "tuned"), folders.read(models / "base")
    moved = kept = 0
    for name, weight in pruned(models, 0.5).items():
        stays, back = weight == tuned[name], weight == base[name]
        assert bool((stays | back).all()), "an entry was rescaled"
        apart = tuned[name] != base[name]
        moved += int(apart.sum())
        kept += int((stays & apart).sum())
    assert abs(kept - moved / 2) < 5 * math.sqrt(moved / 4)


def test_masks_depend_on_the_seed_alone_and_a_larger_share_drops_more_of_the_same(models: Path) -> None:
    def gone(share: float, seed: int = 0, name: str = "tuned") -> torch.Tensor:
        after, before = pruned(models, share, seed, name), folders.read(models / name)
        base = folders.read(models / "base")
        both = [folders.read(models / each) for each in ("tuned", "other")]
        apart = {key: (both[0][key] != base[key]) & (both[1][key] != base[key]) for key in base}
        return torch.cat([(after[key] != before[key])[apart[key]] for key in base])

    few, half = gone(0.3), gone(0.5)
    assert bool((half | ~few).all()) and int(half.sum()) > int(few.sum())
    assert torch.equal(gone(0.5, name="other"), half), "two trainings of one base are pruned at the same entries"
    assert not torch.equal(gone(0.5, seed=1), half)
