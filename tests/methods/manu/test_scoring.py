"""Scores of the modes, formed by hand from the activations of single rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from methodbench.config import parse
from methodbench.visual import VisualRow
from methods.manu.collect import Watch, forward
from methods.manu.config import ScoresConfig, settled
from methods.manu.neurons import Part, candidates
from methods.manu.scoring import Sets, scored
from tests import pico_vision
from tests.methods.manu import world


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return world.write(tmp_path_factory.mktemp("world"))


def both(files: dict[str, Path], **keys: object) -> tuple[dict[str, Tensor], dict[tuple[str, str, str], Tensor]]:
    """Scores by part, and all activations [N, C] by set, mode and part, of rows run one by one."""
    encoder, rows = world.opened(files)
    model = pico_vision.model()
    config = parse(ScoresConfig, keys, "test")
    parts = candidates(model, config, settled(config))
    chosen = Sets(rows["forget"], rows["retain"], frozenset())
    found = scored(model, encoder, chosen, parts, config, settled(config), world.quiet())
    seen: dict[tuple[str, str, str], list[Tensor]] = {}

    def hear(name: str, row: VisualRow) -> None:
        def take(part: Part, z: Tensor) -> None:
            seen.setdefault((name, row.mode, part.key), []).append(z.flatten(0, -2).double())

        with Watch(parts, take):
            forward(model, encoder.collate([encoder.encode(row)]))

    for name, some in rows.items():
        for row in some:
            hear(name, row)
    return {one.part.key: one.score for one in found}, {key: torch.cat(zs) for key, zs in seen.items()}


def close(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-4, atol=1e-5)


def test_the_paper_s_score(files: dict[str, Path]) -> None:
    """M§2.2, written out."""
    scores, z = both(files)
    for key, score in scores.items():
        total = {}
        for name in ("forget", "retain"):
            m = z[name, "image", key]
            t = z.get((name, "text", key), torch.zeros_like(m))
            pairs = [
                (x.abs().mean(0), (x.abs() > 0.1).double().mean(0), x.var(0, correction=0), x.square().mean(0))
                for x in (m, t)
            ]
            (am, nm, vm, qm), (at, nt, vt, qt) = pairs
            parts = [(am - at).abs() / (am + at + 1e-6), (nm - nt).abs() / (nm + nt + 1e-6)]
            parts += [(vm + vt).sqrt(), ((qm - qt).abs() / (qm + qt + 1e-6)).sqrt()]
            total[name] = sum(parts, torch.zeros(()))
        assert close(score, total["forget"] / (total["retain"] + 1e-6)), key


def test_the_code_hears_vision_with_pictures_and_language_without(files: dict[str, Path]) -> None:
    """M§2.4, items 1, 2, 5 and 6."""
    scores, z = both(files, mode="code", retain_items="all")
    for key, score in scores.items():
        mode = "image" if "vision" in key else "text"
        forget, retain = (
            torch.stack([x.abs().mean(0), x.std(0), x.square().mean(0).sqrt()])
            for x in (z["forget", mode, key], z["retain", mode, key])
        )
        assert close(score, (2 * (forget / (retain + 1e-5) - 1)).sum(0)), key


def test_selective_pruning_pools_the_modes(files: dict[str, Path]) -> None:
    scores, z = both(files, mode="selective_pruning")
    for key, score in scores.items():
        means = [
            torch.cat([z[name, mode, key] for mode in ("image", "text") if (name, mode, key) in z]).abs().mean(0)
            for name in ("forget", "retain")
        ]
        assert close(score, means[0] / (means[1] + 1e-6)), key
