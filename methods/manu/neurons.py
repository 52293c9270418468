"""Which neurons of an image-text model may be pruned: the MLPs of its towers, found by structure (M§7.1).

An MLP is a module with the linear maps fc1 and fc2, or gate_proj, up_proj and down_proj. Its tower follows from the
names on its path, so that the same code finds CLIP in LLaVA, SigLIP in Idefics2 and SmolVLM, the blocks of Qwen2-VL
(plain) and Qwen2.5-VL (gated, with biases). LLaVA's projector and Qwen's merger have other names inside and are never
found; Idefics2's modality projection and perceiver are the tower "connector", which is left out unless asked for.

A *unit* is a hidden unit of an MLP, one number z in front of fc2 or down_proj (`hidden`), or an output row of one of
its linear maps (`rows`), which is what the released code prunes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from methodbench.errors import UserError
from methods.manu.config import RandomConfig, ScoresConfig, Settings

PLAIN = ("fc1", "fc2")
GATED = ("gate_proj", "up_proj", "down_proj")
HIDDEN = "hidden"
VISION = {"vision_tower", "vision_model", "visual", "vision_encoder", "image_encoder"}
CONNECTOR = {"connector", "multi_modal_projector", "merger", "perceiver_resampler", "modality_projection", "qformer"}


@dataclass(frozen=True)
class Part:
    """Units that are measured together: all hidden units of one MLP, or all rows of one of its linear maps."""

    tower: str  # vision | connector | language
    layer: int
    path: str  # of the MLP in the model
    name: str  # "hidden" or the linear map's
    mlp: nn.Module
    width: int  # number of units C

    @property
    def key(self) -> str:
        """Unique in the model."""
        return f"{self.path}.{self.name}"

    @property
    def linear(self) -> nn.Linear:
        """The map whose input (`hidden`) or output (`rows`) holds the units."""
        found = getattr(self.mlp, maps(self.mlp)[-1] if self.name == HIDDEN else self.name)
        assert isinstance(found, nn.Linear)
        return found


def candidates(model: PreTrainedModel, config: ScoresConfig | RandomConfig, settings: Settings) -> list[Part]:
    """The parts whose units may be pruned, in the order of the model's modules.

    Raises:
        UserError: a tower of the config has no MLP, or no layer of a number that the config names.
    """
    found = [part for part in every(model, settings.units) if part.tower in config.towers]
    if not config.fc2_rows:
        found = [part for part in found if part.name != "fc2"]
    if not settings.inert:
        seen = seen_layers(model.config)
        found = [part for part in found if seen is None or part.tower != "vision" or part.layer < seen]
    kept: list[Part] = []
    for tower in config.towers:
        parts = [part for part in found if part.tower == tower]
        if not parts:
            raise UserError(
                f"manu: key 'towers': '{tower}' of this {model.config.model_type} model has no MLP with fc1 and fc2 or "
                "gate_proj, up_proj and down_proj"
            )
        chosen = _layers(tower, parts, config.layers.get(tower), settings.last)
        kept += [part for part in parts if part.layer in chosen]
    return kept


def _layers(tower: str, parts: Sequence[Part], named: Sequence[int] | None, last: int | None) -> set[int]:
    there = sorted({part.layer for part in parts})
    if named is None:
        return set(there[-last:] if last else there)
    unknown = sorted(set(named) - set(there))
    if unknown or not named:
        raise UserError(f"manu: key 'layers.{tower}': given {list(named)}, allowed: layers {there[0]} to {there[-1]}")
    return set(named)


def every(model: nn.Module, units: Literal["hidden", "rows"]) -> list[Part]:
    """All parts of all towers."""
    found = []
    for path, module in model.named_modules():
        names = maps(module)
        if names:
            where = (tower(path), layer(path), path)
            if units == HIDDEN:
                found.append(Part(*where, HIDDEN, module, getattr(module, names[-1]).in_features))
            else:
                found += [Part(*where, name, module, getattr(module, name).out_features) for name in names]
    return found


def maps(module: nn.Module) -> tuple[str, ...]:
    """The linear maps of an MLP, the one that writes its output last; () for any other module."""
    for names in (PLAIN, GATED):
        if all(isinstance(getattr(module, name, None), nn.Linear) for name in names):
            return names
    return ()


def tower(path: str) -> str:
    """The tower that a module's path lies in."""
    steps = set(path.split("."))
    if steps & CONNECTOR:
        return "connector"
    return "vision" if steps & VISION else "language"


def layer(path: str) -> int:
    """The last number on the path, 0 if there is none."""
    return next((int(step) for step in reversed(path.split(".")) if step.isdigit()), 0)


def seen_layers(config: PretrainedConfig) -> int | None:
    """How many vision layers the language model reads anything of, or None if it reads the last one's output.

    LLaVA takes hidden state v, where 0 is the embedding and i the output of layer i - 1: layers from v on are inert
    (M§6.2). A negative v counts from the end of the layers + 1 hidden states; of a list the largest decides.
    """
    taken = getattr(config, "vision_feature_layer", None)
    if taken is None:
        return None
    layers: int = config.vision_config.num_hidden_layers
    listed = [taken] if isinstance(taken, int) else list(taken)
    return max(index if index >= 0 else index + layers + 1 for index in listed)
