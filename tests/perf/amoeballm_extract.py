"""What cutting a subnet out costs, and what it gains.

    python -m tests.perf.amoeballm_extract [--rounds 5] [--tokens 32]

A random Llama of hidden 576, 12 layers and 9 heads in three groups, float32, one thread (45 million parameters).
First `amoeballm_extract`, from loading to saved, against copying the parent's files, both onto the same disk and
flushed (target: at most 2). Then greedy generation, batch 1, of the subnet of half the layers against its parent
(target: at least 1.7), and of the one that keeps two groups of three and as many neurons, too. Pairs take turns; a
ratio is the median over rounds of the two wall clock times of a round.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from methodbench.checkpoint import Checkpoint
from methodbench.joblog import Log
from methods.amoeballm import subnets as subnet_files
from methods.amoeballm.export import extracted
from methods.amoeballm.extract import amoeballm_extract
from methods.amoeballm.extract_config import ExtractConfig
from methods.amoeballm.subnets import Mask, Subnets
from tests import pico

LAYERS, GROUPS, NEURONS = 12, 3, 1536


def parent_in(folder: Path) -> Checkpoint:
    """A random model and a selection: every other layer, and two thirds of all units."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=576,
        num_hidden_layers=LAYERS,
        num_attention_heads=9,
        num_key_value_heads=GROUPS,
        head_dim=64,
        intermediate_size=NEURONS,
        tie_word_embeddings=True,
        pad_token_id=pico.PAD,
        bos_token_id=None,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    groups = torch.arange(GROUPS)[None].expand(LAYERS, GROUPS) < 2
    neurons = torch.arange(NEURONS)[None].expand(LAYERS, NEURONS) < NEURONS * 2 // 3
    half = tuple(range(1, LAYERS, 2))
    subnet_files.write(folder, Subnets(LAYERS, {0: (), len(half): half}, {}, {0.667: Mask(groups, neurons)}))
    return Checkpoint(folder, "parent")


def seconds(work: Callable[[], object]) -> float:
    """Wall clock time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratios(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Times of both, in pairs; one round before warms up."""
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds + 1)][1:]
    return [a for a, _ in pairs], [b for _, b in pairs]


def line(name: str, above: Sequence[float], below: Sequence[float], target: str) -> None:
    """Print a ratio and its range."""
    found = sorted(a / b for a, b in zip(above, below, strict=True))
    times = f"{1000 * statistics.median(above):7.0f} ms against {1000 * statistics.median(below):7.0f} ms"
    print(f"{name:44}{times}   ratio {statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f}), {target}")


def flush(folder: Path) -> None:
    """Wait until a folder's files are on the disk."""
    for file in folder.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def extraction(parent: Checkpoint, scratch: Path, settings: dict[str, Any], rounds: int) -> None:
    """Print what `amoeballm_extract` costs against a copy."""
    out, log = scratch / "out", Log("extract", stream=io.StringIO())

    def extract() -> None:
        shutil.rmtree(out, ignore_errors=True)
        amoeballm_extract([parent], {}, ExtractConfig(**settings), 0, out, log)
        flush(out)

    def copy() -> None:
        shutil.rmtree(scratch / "copy", ignore_errors=True)
        shutil.copytree(parent.path, scratch / "copy")
        flush(scratch / "copy")

    line(f"extract {settings} / copy", *ratios(extract, copy, rounds), "target at most 2")


def generation(base: PreTrainedModel, small: PreTrainedModel, name: str, tokens: int, rounds: int) -> None:
    """Print how much faster a subnet generates than its parent."""
    prompt = torch.arange(4, 68)[None]

    def generate(model: Any) -> Callable[[], object]:
        return lambda: model.generate(prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)

    line(f"generate, parent / {name}", *ratios(generate(base), generate(small), rounds), "target at least 1.7")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--tokens", type=int, default=32)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        parent = parent_in(Path(folder) / "parent")
        half = LAYERS // 2
        for settings in ({}, {"depth": half}, {"depth": half, "width": 0.667}):
            extraction(parent, Path(folder), settings, given.rounds)
        base, _ = parent.load()
        subnets = subnet_files.read(parent.path)
        for depth, width in ((half, 1.0), (half, 0.667)):
            small = extracted(base, subnets, None, depth, width, ExtractConfig(), "parent")
            generation(base, small, f"depth {depth}, width {width:g}", given.tokens, given.rounds)


if __name__ == "__main__":
    main()
