"""Streaming sums against one formula over everything, exactly, whatever the order."""

from __future__ import annotations

import pytest
import torch

from methods.manu.statistics import Moments, Pooled, merged

Z = torch.randn(57, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.01, 30.0, 400.0, 0.0])


def counted(parts: list[torch.Tensor], **options: object) -> Moments:
    found = Moments(5, tau=0.1, **options)  # type: ignore[arg-type]
    for part in parts:
        found.add(part)
    return found


def same(first: Moments, second: Moments) -> None:
    assert first.count == second.count
    for name in ("total", "absolute", "active", "squares"):
        assert torch.allclose(getattr(first, name), getattr(second, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variance", ["population", "sample"])
def test_statistics_are_those_of_all_activations(variance: str) -> None:
    summary = counted(list(Z.split(10))).summary(variance)
    wide = Z.double()
    assert torch.allclose(summary.mean, wide.abs().mean(0), rtol=1e-12)
    assert torch.equal(summary.freq, (wide.abs() > 0.1).double().mean(0))
    assert torch.allclose(summary.var, wide.var(0, correction=int(variance == "sample")), rtol=1e-11)
    assert torch.allclose(summary.ms, wide.square().mean(0), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 20, 57])
def test_batches_and_their_order_change_nothing(size: int) -> None:
    """Invariant 10: streaming equals one shot."""
    same(counted(list(Z.split(size))), counted([Z]))
    same(counted(list(Z.split(size))[::-1]), counted([Z]))


def test_large_batches_are_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("methods.manu.statistics.AT_ONCE", 20)
    pieces = counted([Z])
    monkeypatch.undo()
    same(pieces, counted([Z]))


def test_merging_parts_gives_the_whole_and_leaves_them() -> None:
    first, second = counted([Z[:20]]), counted([Z[20:]])
    same(merged([first, second]), counted([Z]))
    same(first, counted([Z[:20]]))
    with pytest.raises(ValueError, match="share"):
        merged([first, counted([Z], signed=True)])
    with pytest.raises(ValueError, match="exist"):
        merged([])


def test_half_precision_squares_do_not_overflow() -> None:
    """400 squared is above float16's largest number."""
    half = Z.half()
    assert torch.allclose(counted([half]).summary().ms, half.double().square().mean(0), rtol=1e-12)


def test_signed_counts_and_means() -> None:
    summary = counted([Z], signed=True).summary()
    assert torch.allclose(summary.mean, Z.double().mean(0), atol=1e-12)
    assert torch.equal(summary.freq, (Z.double() > 0.1).double().mean(0))


def test_a_clamp_cuts_both_ends() -> None:
    assert torch.allclose(counted([Z], clamp=5.0).squares, Z.double().clamp(-5, 5).square().sum(0), rtol=1e-12)


def test_nothing_seen_is_zero() -> None:
    summary = counted([]).summary("sample")
    assert all(torch.equal(part, torch.zeros(5).double()) for part in vars(summary).values())


def test_the_released_code_s_pooling_as_it_reduces() -> None:
    """Layers on the batch axis, statistics of it by position, ten batches a chunk, chunks weighted equally (M§2.4)."""
    generator = torch.Generator().manual_seed(1)
    lengths = [3, 5, 4, 6, 3, 3, 8, 2, 5, 4, 9, 2]
    every = [[torch.randn(2, length, 4, generator=generator) for _ in range(3)] for length in lengths]
    pooled = Pooled(tau=0.1, clamp=1.5)
    for batch in every:
        for layer in batch:
            pooled.layer(layer)
        pooled.batch()

    reference = []
    for chunk in (every[:10], every[10:]):
        columns = []
        for batch in chunk:
            A = torch.cat(batch).double().clamp(-1.5, 1.5)  # [layers * B, T, C]
            size = A.abs()
            columns.append(
                torch.stack([size.mean(0), (size > 0.1).double().mean(0), A.std(0), A.square().mean(0).sqrt()])
            )
        reference.append(torch.cat(columns, dim=1).mean(1))
    assert torch.allclose(pooled.result(), torch.stack(reference).mean(0), rtol=1e-10)


def test_pooling_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no batch"):
        Pooled(0.1, 1000.0).result()
    with pytest.raises(ValueError, match="without activations"):
        Pooled(0.1, 1000.0).batch()
