"""The decoder blocks of a causal language model: where their linears are, how large they are, and how to skip some.

A *unit* is what width removes: a group of query heads that share a key and value head (one head where every head has
its own), or a neuron of the MLP. The residual width is never pruned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methods.amoeballm.config import ARCHITECTURES

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
LINEARS = (*ATTENTION, *MLP)


@dataclass(frozen=True)
class Geometry:
    """Sizes of a model; `biases` names the linears that have one."""

    layers: int
    hidden: int
    heads: int
    groups: int  # key and value heads
    head_dim: int
    neurons: int
    vocabulary: int
    tied: bool  # the embeddings are the head, too
    head_norms: bool = False  # Qwen3 normalises queries and keys of each head
    biases: frozenset[str] = frozenset()

    @property
    def per_group(self) -> int:
        """Query heads of a group."""
        return self.heads // self.groups

    @property
    def whole(self) -> int:
        """Parameters of the model that nothing was removed from."""
        return self.parameters([(self.groups, self.neurons)] * self.layers)

    def parameters(self, units: Sequence[tuple[int, int]], biases: frozenset[str] | None = None) -> int:
        """Parameters of a model whose blocks have so many (groups, neurons) each; all that the embeddings have, too."""
        has = self.biases if biases is None else biases
        total = self.hidden * self.vocabulary * (1 if self.tied else 2) + self.hidden  # the last norm
        for groups, neurons in units:
            sizes = {
                "q_proj": (self.hidden, groups * self.per_group * self.head_dim),
                "k_proj": (self.hidden, groups * self.head_dim),
                "v_proj": (self.hidden, groups * self.head_dim),
                "o_proj": (groups * self.per_group * self.head_dim, self.hidden),
                "gate_proj": (self.hidden, neurons),
                "up_proj": (self.hidden, neurons),
                "down_proj": (neurons, self.hidden),
            }
            total += sum(wide * out + (out if name in has else 0) for name, (wide, out) in sizes.items())
            total += 2 * self.hidden + (2 * self.head_dim if self.head_norms else 0)
        return total


def refuse(config: PreTrainedConfig, where: str) -> None:
    """Raise a `UserError` for a model type whose blocks are not understood."""
    if config.model_type not in ARCHITECTURES:
        allowed = ", ".join(ARCHITECTURES)
        raise UserError(f"{where}: model type '{config.model_type}' cannot be cut; allowed: {allowed}")


def cuttable(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """The model and tokenizer of a checkpoint that can be cut.

    Raises:
        UserError: quantised weights, or blocks that are not understood.
    """
    if checkpoint.quantized:
        where = f"{checkpoint.path}/config.json: key 'quantization_config'"
        raise UserError(f"{where}: quantised weights cannot be cut here")
    model, tokenizer = checkpoint.load()
    refuse(model.config, str(checkpoint.path))
    return model, tokenizer


def geometry(model: PreTrainedModel) -> Geometry:
    """Sizes of `model`, read from its config and its first block."""
    config: Any = model.config
    heads = config.num_attention_heads
    first = blocks(model)[0]
    return Geometry(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=heads,
        groups=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        neurons=config.intermediate_size,
        vocabulary=config.vocab_size,
        tied=bool(config.tie_word_embeddings),
        head_norms=hasattr(first.self_attn, "q_norm"),
        biases=frozenset(name for name in LINEARS if linear(first, name).bias is not None),
    )


def blocks(model: PreTrainedModel) -> list[Any]:
    """The decoder blocks, bottom to top."""
    inner: Any = model.get_decoder()
    return list(inner.layers)


def place(name: str) -> str:
    """``"q_proj"`` -> ``"self_attn.q_proj"``, the linear's name inside its block."""
    return f"self_attn.{name}" if name in ATTENTION else f"mlp.{name}"


def linear(block: nn.Module, name: str) -> Any:
    """A block's linear, by its short name."""
    return block.get_submodule(place(name))


def handed_on(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    """The forward pass of a block that is skipped."""
    return hidden_states


@contextmanager
def skipping(model: PreTrainedModel, active: Sequence[bool]) -> Iterator[None]:
    """Within the context a forward pass runs the active blocks only; call it with ``use_cache=False``.

    A skipped block hands its input on. Key-value caches count positions by layer 0 and would be wrong.
    """
    skipped = [block for block, keep in zip(blocks(model), active, strict=True) if not keep]
    for block in skipped:
        block.forward = handed_on
    try:
        yield
    finally:
        for block in skipped:
            del block.forward
