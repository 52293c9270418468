"""Put our scans where the mixers of transformers look theirs up, architecture by architecture.

A mixer's `forward` calls its scan as a global of its module, so replacing the global serves every model of that
architecture, in training and in inference. The replacement computes CPU tensors itself and leaves others to
transformers' own dispatcher (hub kernel, then mamba_ssm, then torch), as it does for packed rows and under a compiler,
which ours do not know. Single-token decoding goes through another function and is left alone.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from methodbench.scans.mamba1 import selective_scan
from methodbench.scans.mamba2 import chunk_scan

MAMBA1 = ("mamba_selective_scan", selective_scan)
MAMBA2 = ("mamba2_chunk_scan", chunk_scan)
# Model type, which is also the folder and the file of transformers' module -> the global's name and what replaces it.
SCANS: dict[str, tuple[str, Callable[..., Any]]] = {
    "mamba": MAMBA1,
    "falcon_mamba": MAMBA1,
    "mamba2": MAMBA2,
    "zamba2": MAMBA2,
}
_originals: dict[str, Callable[..., Any]] = {}  # model type -> transformers' own, of those replaced


def use_fast_scans(model_type: str) -> None:
    """Let every model of this architecture, loaded or yet to be loaded, scan with ours on the CPU.

    Does nothing for an architecture without such a scan, and nothing the second time.
    """
    if model_type not in SCANS or model_type in _originals:
        return
    name, fast = SCANS[model_type]
    module = _module(model_type)
    _originals[model_type] = getattr(module, name)
    setattr(module, name, _dispatcher(fast, _originals[model_type]))


@contextmanager
def transformers_scans() -> Iterator[None]:
    """Give transformers' own scans back to all architectures for a while."""
    replaced = {model_type: getattr(_module(model_type), SCANS[model_type][0]) for model_type in _originals}
    for model_type in replaced:
        setattr(_module(model_type), SCANS[model_type][0], _originals[model_type])
    try:
        yield
    finally:
        for model_type, dispatcher in replaced.items():
            setattr(_module(model_type), SCANS[model_type][0], dispatcher)


def _module(model_type: str) -> ModuleType:
    return importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")


def _dispatcher(fast: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def scan(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        packed = kwargs.get("cu_seqlens") is not None or kwargs.get("seq_idx") is not None
        ours = hidden_states.device.type == "cpu" and not packed and not torch.compiler.is_compiling()
        return (fast if ours else original)(hidden_states, *args, **kwargs)

    return scan
