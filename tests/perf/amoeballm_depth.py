"""What the prefix cache saves: the search for layers with it against the same search without, and the same choices.

    python -m tests.perf.amoeballm_depth [MODEL] [--most 6] [--items 4] [--window 128] [--rounds 3]

MODEL is a checkpoint's folder; without it a random Llama of 16 layers, 256 wide. Windows are of CPython's own
documentation, the metric is the likelihood of their tokens. The arms alternate, filling the cache is counted, and the
ratio is the median over rounds of the two processor times of a round (on a GPU of the wall times). Layers and metrics
must be equal to the bit, or the script ends with an error.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from methodbench.joblog import Log
from methods.amoeballm.calibrating import Calibration
from methods.amoeballm.config import DepthConfig
from methods.amoeballm.depths import searched
from methods.amoeballm.selection import Found
from tests import pico

KEEP_LAST = 1


def opened(folder: str | None) -> tuple[PreTrainedModel, Any]:
    """A checkpoint, or a random Llama with the tokenizer of the tests."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if folder is not None:
        return AutoModelForCausalLM.from_pretrained(folder).to(device).eval(), AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=pico.VOCABULARY,
        hidden_size=256,
        num_hidden_layers=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=688,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=pico.EOS,
    )
    return LlamaForCausalLM(config).to(device).eval(), pico.tokenizer()


def search(model: PreTrainedModel, tokenizer: Any, path: Path, config: DepthConfig, most: int) -> tuple[Found, float]:
    """What the dynamic programme found, and the seconds it took: the first pass counts, reading the texts does not."""
    calibration = Calibration(model, tokenizer, path, config, seed=0)
    layers = model.config.num_hidden_layers
    clock = time.perf_counter if model.device.type == "cuda" else time.process_time
    started = clock()
    found = searched("dp", calibration, layers, most, KEEP_LAST, config.order, Log("depth", stream=io.StringIO()))
    return found, clock() - started


def blocks_run(layers: int, most: int) -> float:
    """The ratio of block calls, which the ratio of times cannot be below but for noise; the full model counts once."""
    sets = [
        (lowest, count)
        for lowest in range(layers - KEEP_LAST)
        for count in range(1, min(layers - KEEP_LAST - lowest, most) + 1)
    ]
    cached = layers + 1 + sum(layers - lowest - count for lowest, count in sets)
    return cached / (layers + sum(layers - count for _, count in sets))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", nargs="?")
    arguments.add_argument("--most", type=int, default=6)
    arguments.add_argument("--items", type=int, default=4)
    arguments.add_argument("--window", type=int, default=128)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = opened(given.model)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.jsonl"
        path.write_text(
            "".join(json.dumps({"text": topics[name]}) + "\n" for name in sorted(topics)[:20]), encoding="utf-8"
        )
        for number in range(given.rounds + 1):
            found, times = [], []
            for cached in (True, False):
                config = DepthConfig(metric="nll", items=given.items, window=given.window, prefix_cache=cached)
                one, seconds = search(model, tokenizer, path, config, given.most)
                found.append(one)
                times.append(seconds)
            if found[0] != found[1]:
                raise SystemExit(f"with the cache {found[0]}, without it {found[1]}")
            if number:  # the first warms up
                pairs.append((times[0], times[1]))
    ratios = sorted(first / second for first, second in pairs)
    with_cache, without = (statistics.median(times) for times in zip(*pairs, strict=True))
    layers = model.config.num_hidden_layers
    print(
        f"{layers} layers, up to {given.most} removed: {with_cache:.2f} s against {without:.2f} s   "
        f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), target <= 0.6; of blocks run "
        f"{blocks_run(layers, given.most):.3f}; layers and metrics equal to the bit"
    )


if __name__ == "__main__":
    main()
