"""A model that runs any of its subnets, with a mixture of low-rank updates at every linear of its blocks.

Width only masks here (the cut is made by extraction): outputs of q, k, v are multiplied by the mask of heads, those of
gate and up by the mask of neurons, after the linear's own bias and the update, so that a removed unit is exactly zero.
Outputs of o and down gain the constant that makes up for what was removed. Width 1 has neither. A skipped block hands
its input on. Sizes: L layers, E experts, rank r, G groups, I neurons.

The state is read in the forward pass and again when activations are computed twice: run the backward pass before the
next `set_shape`, and never with reentrant checkpointing, whose parts would walk the one graph of the gates more than
once. Key-value caches count positions by layer 0 and stay off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methods.amoeballm.adapters import Adapters
from methods.amoeballm.blocks import LINEARS, Geometry, blocks, geometry, handed_on, linear, place
from methods.amoeballm.mixture import Mix, Router, applied, described
from methods.amoeballm.subnets import Mask


@dataclass
class State:
    """What all linears read; `width` is the place of a mask, None for width 1; `gates` None turns the experts off."""

    gates: Tensor | None = None
    width: int | None = None


class ShapedLinear(nn.Module):
    """A frozen linear, its experts, and what each width does to its outputs.

    Args:
        base: the linear; its weights get no gradient.
        state: shared with all others.
        experts: E.
        rank: r.
        scale: of the update.
        mix: how experts are summed.
        mask: [W, out] factors of the outputs, or None.
        shift: [W, out] constants added to the outputs, or None.
    """

    mask: Tensor | None
    shift: Tensor | None

    def __init__(
        self,
        base: nn.Linear,
        state: State,
        experts: int,
        rank: int,
        scale: float,
        mix: Mix,
        mask: Tensor | None,
        shift: Tensor | None,
    ) -> None:
        super().__init__()
        self.base, self.state, self.scale, self.mix = base, state, scale, mix
        self.a = nn.Parameter(torch.empty(experts, rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(experts, base.out_features, rank))
        for one in self.a.data:
            nn.init.kaiming_uniform_(one, a=math.sqrt(5))
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        out: Tensor = self.base(x)
        if self.state.gates is not None:
            out = out + applied(x, self.a, self.b, self.state.gates, self.scale, self.mix)
        if self.state.width is not None:
            if self.mask is not None:
                out = out * self.mask[self.state.width].to(out.dtype)
            if self.shift is not None:
                out = out + self.shift[self.state.width].to(out.dtype)
        return out


class Supernet(nn.Module):
    """`model`, changed in place until `restored`; only the experts and the router are trained.

    Random starts come from torch's global generator, on the CPU, so that they are the same on every device.

    Args:
        model: float32 or float64.
        masks: of each width below 1.
        experts: E; 1 is a single LoRA that needs no router.
        top_k: experts that a shape takes; at most E are.
        rank: r.
        alpha: the update is scaled by alpha / r.
        hidden: the router's inner width.
        mix: how experts are summed.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        masks: Mapping[float, Mask],
        *,
        experts: int = 5,
        top_k: int = 2,
        rank: int = 64,
        alpha: float = 16,
        hidden: int = 16,
        mix: Mix = "factors",
    ) -> None:
        super().__init__()
        self.state = State()
        self.sizes = geometry(model)
        self.experts, self.top_k, self.scale, self.mix = experts, min(top_k, experts), alpha / rank, mix
        self.widths: tuple[float, ...] = (1.0, *sorted(masks, reverse=True))
        model.requires_grad_(False)
        self.model = model
        dtype, device = model.dtype, model.device
        ordered = [masks[width] for width in self.widths[1:]]
        for layer, block in enumerate(blocks(model)):
            for name in LINEARS:
                base = linear(block, name)
                mask, shift = effects(ordered, layer, name, self.sizes)
                shaped = ShapedLinear(base, self.state, experts, rank, self.scale, mix, mask, shift)
                block.set_submodule(place(name), shaped.to(device, dtype))
        inputs = self.sizes.layers + len(self.widths)
        self.router = Router(inputs, experts, hidden, self.top_k).to(device, dtype) if experts > 1 else None
        self.set_shape([True] * self.sizes.layers, 1.0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **named: Any) -> Any:
        """The model's output at the shape that was set."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **named)

    def set_shape(self, active: Sequence[bool], width: float, noise: Tensor | None = None) -> Tensor:
        """Run the active layers at a width from now on; returns the gates [E] that all layers share.

        `noise` [E], standard normal, is added to the router's scores; None: the gates depend on the shape alone.

        Raises:
            ValueError: there is no such width, or `active` has not L entries.
        """
        shape = described(tuple(active), self.widths, width)
        for block, keep in zip(blocks(self.model), active, strict=True):
            if keep:
                block.__dict__.pop("forward", None)
            else:
                block.forward = handed_on
        hot = int(shape[self.sizes.layers :].argmax())
        self.state.width = hot - 1 if hot else None
        gates = self._gates(shape, noise)
        self.state.gates = gates
        return gates

    def _gates(self, shape: Tensor, noise: Tensor | None) -> Tensor:
        if self.router is None:
            return torch.ones(1, device=self.model.device, dtype=self.model.dtype)
        like = self.router.inner.weight
        gates: Tensor = self.router(shape.to(like), None if noise is None else noise.to(like))
        return gates

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the context the model is what it was: all layers, width 1, no experts; evaluation mode, no gradients.

        The shape must be set anew afterwards.
        """
        self.set_shape([True] * self.sizes.layers, 1.0)
        self.state.gates = None
        training = self.training
        self.eval()
        with torch.no_grad():
            yield
        self.train(training)

    def recompute(self, on: bool) -> None:
        """Whether blocks compute their activations again in the backward pass: less memory, equal gradients."""
        model: Any = self.model
        word = "enable" if on else "disable"
        # transformers 5.23 renamed the switch.
        switch = getattr(model, f"activation_checkpointing_{word}", None)
        switch = switch or getattr(model, f"gradient_checkpointing_{word}")
        switch({"use_reentrant": False}) if on else switch()

    def trained(self) -> dict[str, nn.Parameter]:
        """Parameters that are trained, by name; the rest never changes."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def adapters(self) -> Adapters:
        """A copy of the experts and the router, on the CPU."""
        found: dict[str, dict[str, Tensor]] = {"a": {}, "b": {}}
        for layer, block in enumerate(blocks(self.model)):
            for name in LINEARS:
                shaped = linear(block, name)
                for part, tensors in found.items():
                    tensors[f"{layer}.{name}"] = getattr(shaped, part).detach().cpu().clone()
        router = self.router.state_dict() if self.router is not None else {}
        return Adapters(
            a=found["a"],
            b=found["b"],
            router={name: tensor.detach().cpu().clone() for name, tensor in router.items()},
            scale=self.scale,
            top_k=self.top_k,
            mix=self.mix,
            widths=self.widths,
        )

    def restored(self) -> PreTrainedModel:
        """The model with its own linears and all its layers again; this object must not be used any more."""
        for block in blocks(self.model):
            block.__dict__.pop("forward", None)
            for name in LINEARS:
                block.set_submodule(place(name), linear(block, name).base)
        return self.model


def effects(masks: Sequence[Mask], layer: int, name: str, sizes: Geometry) -> tuple[Tensor | None, Tensor | None]:
    """Factors [W, out] and constants [W, out] of the outputs of one linear, float32; None where it has none."""
    if not masks:
        return None, None
    if name in ("gate_proj", "up_proj"):
        return torch.stack([mask.neurons[layer] for mask in masks]).float(), None
    if name in ("q_proj", "k_proj", "v_proj"):
        times = sizes.head_dim * (sizes.per_group if name == "q_proj" else 1)
        return torch.stack([mask.groups[layer].repeat_interleave(times) for mask in masks]).float(), None
    biases = [mask.attention_bias if name == "o_proj" else mask.mlp_bias for mask in masks]
    if all(bias is None for bias in biases):
        return None, None
    rows = [torch.zeros(sizes.hidden) if bias is None else bias[layer].detach() for bias in biases]
    return None, torch.stack(rows)
