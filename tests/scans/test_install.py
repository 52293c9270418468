"""Whole models with our scans and with transformers' own: the same logits, gradients and generated tokens."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.builtin.pretrain import pretrain
from methodbench.builtin.pretrain_config import PretrainConfig
from methodbench.checkpoint import Checkpoint
from methodbench.joblog import Log
from methodbench.scans import install
from methodbench.scans.install import SCANS, transformers_scans, use_fast_scans
from tests import pico

LENGTH = 70  # chunks, and a part of one
LAYERS = 2


def module(kind: str) -> ModuleType:
    return importlib.import_module(f"transformers.models.{kind}.modeling_{kind}")


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each architecture called our scan. Whatever was installed before is put aside meanwhile."""
    counted: Counter[str] = Counter()

    def counting(kind: str, fast: Callable[..., Any]) -> Callable[..., Any]:
        def scan(*args: Any, **kwargs: Any) -> Any:
            counted[kind] += 1
            return fast(*args, **kwargs)

        return scan

    for kind, (name, fast) in list(SCANS.items()):
        original = install._originals.get(kind, getattr(module(kind), name))
        monkeypatch.setattr(module(kind), name, original)
        monkeypatch.setitem(SCANS, kind, (name, counting(kind, fast)))
    monkeypatch.setattr(install, "_originals", {})
    return counted


def tokens(length: int = LENGTH) -> Tensor:
    return torch.randint(4, pico.VOCABULARY, (2, length), generator=torch.Generator().manual_seed(0))


def near(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    return bool((ours - theirs).abs().max() <= tolerance * theirs.abs().max())


def learn(model: PreTrainedModel, **kwargs: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the gradient of every parameter."""
    model.zero_grad()
    output = model(tokens(), labels=tokens(), **kwargs)
    output.loss.backward()
    return output.logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", SCANS)
def test_a_model_computes_and_learns_the_same(kind: str, training: bool, use_cache: bool, calls: Counter[str]) -> None:
    model = pico.model(kind).train(training)
    logits, gradients = learn(model, use_cache=use_cache)
    assert not calls
    use_fast_scans(kind)
    ours, our_gradients = learn(model, use_cache=use_cache)
    assert calls == {kind: LAYERS}
    assert near(ours, logits, 1e-5)
    assert our_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert near(our_gradients[name], gradient, 1e-4), name


@pytest.mark.parametrize("kind", SCANS)
def test_it_generates_the_same_tokens(kind: str, calls: Counter[str]) -> None:
    """Prefill with our scan, then single tokens through transformers' own step, from the state that ours left."""
    model = pico.model(kind)
    theirs = model.generate(tokens(), max_new_tokens=16, do_sample=False)
    use_fast_scans(kind)
    ours = model.generate(tokens(), max_new_tokens=16, do_sample=False)
    assert calls == {kind: LAYERS}
    assert torch.equal(ours, theirs)


@torch.no_grad()
def continued(model: PreTrainedModel, steps: int) -> Tensor:
    """Logits of a prefill and of `steps` cached single tokens after it."""
    cut = LENGTH - steps
    output = model(tokens()[:, :cut], use_cache=True)
    logits = [output.logits]
    name = "cache_params" if "cache_params" in output else "past_key_values"
    for place in range(cut, LENGTH):
        output = model(tokens()[:, place : place + 1], use_cache=True, **{name: output[name]})
        logits.append(output.logits)
    return torch.cat(logits, 1)


@pytest.mark.parametrize("kind", SCANS)
def test_prefill_and_cached_steps_give_the_same_logits(kind: str) -> None:
    model = pico.model(kind)
    theirs = continued(model, 3)
    use_fast_scans(kind)
    assert near(continued(model, 3), theirs, 1e-5)
    # In one pass, too; but not in Zamba2, where transformers bounds a prefill's step size and not a single token's.
    if kind != "zamba2":
        assert near(continued(model, 0), theirs, 1e-5)


def test_only_known_architectures_are_changed_and_only_once(calls: Counter[str]) -> None:
    before = {kind: getattr(module(kind), name) for kind, (name, _) in SCANS.items()}
    use_fast_scans("llama")
    use_fast_scans("bamba")
    use_fast_scans("mamba2")
    installed = module("mamba2").mamba2_chunk_scan
    assert installed is not before["mamba2"]
    use_fast_scans("mamba2")
    assert module("mamba2").mamba2_chunk_scan is installed
    others = {kind: getattr(module(kind), name) for kind, (name, _) in SCANS.items() if kind != "mamba2"}
    assert others == {kind: scan for kind, scan in before.items() if kind != "mamba2"}


def test_transformers_own_come_back_for_a_while(calls: Counter[str]) -> None:
    original = module("mamba").mamba_selective_scan
    use_fast_scans("mamba")
    model = pico.model("mamba")
    with transformers_scans():
        assert module("mamba").mamba_selective_scan is original
        model(tokens(4))
        assert not calls
    model(tokens(4))
    assert calls == {"mamba": LAYERS}


def test_architectures_not_used_are_not_imported() -> None:
    code = (
        "import sys; from methodbench.scans.install import use_fast_scans; use_fast_scans('mamba2');"
        "print(sorted(name for name in sys.modules if '.modeling_' in name and 'mamba' in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['transformers.models.mamba2.modeling_mamba2']"


def test_other_devices_and_packed_rows_are_left_to_transformers() -> None:
    scan = install._dispatcher(lambda *_, **__: "ours", lambda *_, **__: "theirs")
    assert scan(torch.zeros(1)) == "ours"
    assert scan(torch.zeros(1), seq_idx=None, cu_seqlens=None) == "ours"
    assert scan(torch.zeros(1, device="meta")) == "theirs"
    assert scan(torch.zeros(1), seq_idx=torch.zeros(1)) == "theirs"
    assert scan(torch.zeros(1), cu_seqlens=torch.zeros(1)) == "theirs"


def test_pretraining_scans_with_ours(tmp_path: Path, calls: Counter[str]) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"prompt": "1 + 2", "completion": "= 3 <|end|>"}\n' * 4, encoding="utf-8")
    shape = {"hidden_size": 16, "num_hidden_layers": LAYERS, "state_size": 4}
    config = PretrainConfig(architecture="mamba", shape=shape, steps=3, batch_size=2, max_length=16)
    pretrain([], {"train": data}, config, 0, tmp_path / "out", Log("test", tmp_path / "curves.jsonl"))
    assert calls == {"mamba": 3 * LAYERS}


def test_a_loaded_checkpoint_scans_with_ours(tmp_path: Path, calls: Counter[str]) -> None:
    pico.model("mamba2").save_pretrained(tmp_path)
    pico.tokenizer().save_pretrained(tmp_path)
    model, _ = Checkpoint(tmp_path).load()
    model(tokens(4))
    assert calls == {"mamba2": LAYERS}
