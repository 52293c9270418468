"""Experts on the disk give the gates and updates that the supernet has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from methodbench.errors import UserError
from methods.amoeballm.adapters import read, write
from methods.amoeballm.blocks import LINEARS
from methods.amoeballm.mixture import Mix
from tests.methods.amoeballm.tuning_world import LAYERS, shaken, supernet


@pytest.mark.parametrize("mix", ["factors", "products"])
@pytest.mark.parametrize("experts", [1, 5])
def test_what_is_written_is_read_back(experts: int, mix: Mix, tmp_path: Path) -> None:
    net = shaken(supernet(experts=experts, mix=mix))
    write(tmp_path, net.adapters())
    found = read(tmp_path)
    assert found is not None and found.widths == (1.0, 0.75, 0.5)
    own = net.adapters()
    for active, width in (((True,) * LAYERS, 1.0), ((True, False, True), 0.5)):
        assert torch.equal(found.gates(active, width), net.set_shape(active, width).detach())
        for layer in range(LAYERS):
            for name in LINEARS:
                assert torch.equal(found.delta(layer, name, active, width), own.delta(layer, name, active, width))
        assert not found.delta(0, "q_proj", active, width).requires_grad


def test_an_update_has_the_weights_form_and_the_scale(tmp_path: Path) -> None:
    net = shaken(supernet(experts=1))
    found = net.adapters()
    expected = 2.0 * found.b["2.up_proj"][0] @ found.a["2.up_proj"][0]  # alpha 6 / rank 3
    assert torch.allclose(found.delta(2, "up_proj", (True,) * LAYERS, 1.0), expected)
    assert expected.shape == (64, 32)


def test_adapters_are_a_copy() -> None:
    net = supernet()
    found = net.adapters()
    before = found.a["0.q_proj"].clone()
    shaken(net)
    for parameter in net.trained().values():
        parameter.data.add_(1)
    assert torch.equal(found.a["0.q_proj"], before)


def test_reading_gates_draws_no_random_numbers() -> None:
    found = supernet().adapters()
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    found.gates((True,) * LAYERS, 0.5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_width_that_was_not_tuned_is_refused() -> None:
    with pytest.raises(UserError, match=r"smol\.json: key 'width': given 0\.6, allowed: 1, 0\.75, 0\.5, as tuned"):
        supernet().adapters().gates((True,) * LAYERS, 0.6)


def test_a_checkpoint_that_was_not_tuned_has_none(tmp_path: Path) -> None:
    assert read(tmp_path) is None
