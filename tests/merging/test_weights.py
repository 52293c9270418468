"""Which weight a model has in a tensor, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.merging.config import MergeConfig
from methodbench.merging.weights import Weights, gradient
from tests.merging.folders import SHAPES


def weights(parents: int, **settings: Any) -> Weights:
    return Weights(MergeConfig(**settings), parents, list(SHAPES))


def everywhere(parents: int, **settings: Any) -> tuple[float, ...]:
    return weights(parents, **settings).of("model.norm.weight")


def test_the_last_parent_of_an_average_gets_what_is_left() -> None:
    assert everywhere(2) == (0.5, 0.5)
    assert everywhere(3, weights=(0.25, 0.5)) == (0.25, 0.5, 0.25)
    assert everywhere(2, weights=(0.25, 0.75)) == (0.25, 0.75)
    assert everywhere(2, weights=(1.0, 3.0), normalize=True) == (0.25, 0.75)
    assert everywhere(2, operator="slerp", weights=(0.25,)) == (0.25, 0.75)


def test_a_single_weight_serves_all_models_that_have_a_base() -> None:
    assert everywhere(4, operator="ties", weights=(0.3,)) == (0.3, 0.3, 0.3)
    assert everywhere(3, operator="dare_linear", weights=(0.3, 0.6)) == (0.3, 0.6)


def test_a_gradient_is_straight_between_its_values() -> None:
    assert [gradient((0.0, 1.0), depth) for depth in (0, 0.25, 1)] == [0, 0.25, 1]
    assert [gradient((0.0, 1.0, 0.0), depth) for depth in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 0]
    assert gradient((0.7,), 0.4) == 0.7


def test_layers_replace_weights_and_the_longest_part_decides() -> None:
    layers = {"": 0.1, "mlp": (0.0, 1.0), "layers.1.mlp": 0.8, "lm_head": (0.2, 1.0)}
    given = weights(2, operator="ties", weights=(0.5,), layers=layers)
    found = {name: given.of(name)[0] for name in SHAPES}
    assert found == {
        "model.embed_tokens.weight": 0.1,
        "model.layers.0.mlp.up_proj.weight": 0.0,
        "model.layers.0.self_attn.q_proj.weight": 0.1,
        "model.layers.1.mlp.up_proj.weight": 0.8,
        "model.layers.2.mlp.up_proj.weight": 1.0,
        "model.norm.weight": 0.1,
        "lm_head.weight": 0.2,  # outside of the blocks: the beginning
    }
    assert weights(2, layers={"mlp": 0.25}).of("model.layers.1.mlp.up_proj.weight") == (0.25, 0.75)
    assert weights(2, layers={"mlp": 0.25}).of("model.norm.weight") == (0.5, 0.5)


@pytest.mark.parametrize(
    ("parents", "settings", "said"),
    [
        (3, {}, r"given 1 for 3 parents and operator 'linear', allowed: 2 \(the last parent gets what is left to 1\)"),
        (2, {"weights": (0.5, 0.6)}, r"given a sum of 1.1, allowed: 1, or 'normalize: true'"),
        (2, {"weights": (1.0, -1.0), "normalize": True}, r"given a sum of 0 with normalize"),
        (2, {"weights": (0.5, 0.5), "operator": "ties"}, r"given 2 for 2 parents and operator 'ties', allowed: 1,"),
        (2, {"layers": {"mpl": 0.5}}, r"'layers': no tensor's name has 'mpl' in it; allowed: .*did you mean 'mlp'"),
        (3, {"operator": "slerp"}, r"operator 'slerp': given 3 parents, allowed: 2"),
    ],
)
def test_a_wrong_number_of_weights_is_said(parents: int, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        weights(parents, **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"drop": 0.2}, r"'drop': given 0.2 with operator 'linear', allowed: only with dare_linear or dare_ties"),
        ({"operator": "dare_linear", "density": 0.5}, r"'density': given 0.5 .*allowed: only with ties"),
        ({"operator": "slerp", "scale": 2.0}, r"'scale': given 2.0"),
        ({"operator": "ties", "normalize": True}, r"'normalize': given True"),
        ({"weights": []}, r"'weights'"),
        ({"layers": {"mlp": []}}, r"'layers': given an empty list"),
        ({"density": 0.0, "operator": "ties"}, r"toy: key 'density': given 0.0, input should be greater than 0"),
        ({"drop": 1.1, "operator": "dare_ties"}, r"toy: key 'drop'"),
        ({"dorp": 0.1}, r"toy: unknown key 'dorp'; .*did you mean 'drop'"),
    ],
)
def test_settings_that_do_not_go_together_are_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        parse(MergeConfig, settings, "toy")
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="allowed: finite numbers"):
        MergeConfig(weights=(float("nan"),))
