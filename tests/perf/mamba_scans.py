"""How fast our scans of Mamba layers are on the CPU beside transformers' own torch code, as ratios from one run.

    python tests/perf/mamba_scans.py [--rounds 5] [--threads 1]

(a) inference, one row of 256 to 8,192 tokens. Mamba-1: 256 channels, 16 states. Mamba-2: 8 heads of 64, 64 states, and
    transformers twice, with its default chunks of 256 and with chunks of 64. Targets at 8,192 tokens, beside the
    defaults: >= 3 and >= 5, in no more memory.
(b) training at 256 tokens, 16 rows: the scan forwards and backwards, then a whole step of a model of 2 layers.
The arms alternate (A B A B …); each round gives one ratio; median, lowest and highest are printed. Memory is what a
fresh process grows by at its peak while it scans.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedModel
from transformers.models.mamba.modeling_mamba import mamba_selective_scan
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

from methodbench.scans.install import transformers_scans, use_fast_scans
from methodbench.scans.mamba1 import selective_scan
from methodbench.scans.mamba2 import chunk_scan

LENGTHS = (256, 1024, 4096, 8192)
TRAINED, ROWS = 256, 16
DEFAULT = "transformers"
Scan = Callable[..., Tensor]
Work = Callable[[], None]


def mamba1_series(rows: int, channels: int, states: int, length: int) -> list[Tensor]:
    """hidden_states, dt, A, B, C as the mixer lays them out in memory: channels last."""
    torch.manual_seed(0)
    x, dt = (torch.randn(rows, length, channels).transpose(1, 2) for _ in range(2))
    B, C = (torch.randn(rows, length, states).transpose(1, 2) for _ in range(2))
    return [x, dt - 3, -torch.rand(channels, states) * states, B, C]


def mamba2_series(rows: int, heads: int, size: int, states: int, length: int) -> list[Tensor]:
    """hidden_states, dt, A, B, C of one group."""
    torch.manual_seed(0)
    B, C = (torch.randn(rows, length, 1, states) for _ in range(2))
    return [
        torch.randn(rows, length, heads, size),
        torch.randn(rows, length, heads) - 3,
        -torch.rand(heads) * states,
        B,
        C,
    ]


def mamba1_arms() -> dict[str, Scan]:
    return {
        "ours": partial(selective_scan, delta_softplus=True),
        DEFAULT: partial(mamba_selective_scan, delta_softplus=True),
    }


def mamba2_arms() -> dict[str, Scan]:
    return {
        "ours": partial(chunk_scan, chunk_size=256, dt_softplus=True),
        DEFAULT: partial(mamba2_chunk_scan, chunk_size=256, dt_softplus=True),
        "transformers, chunks of 64": partial(mamba2_chunk_scan, chunk_size=64, dt_softplus=True),
    }


@torch.no_grad()
def infer(scan: Scan, series: list[Tensor]) -> None:
    scan(*series)


def learn(scan: Scan, series: list[Tensor]) -> None:
    scan(*(value.detach().requires_grad_() for value in series)).square().mean().backward()


def seconds(work: Work) -> float:
    """Processor time, since a shared machine's wall clock says little."""
    started = time.process_time()
    work()
    return time.process_time() - started


def growth(make: Callable[[], list[Tensor]], scan: Scan) -> float:
    """MiB by which a process exceeds, at its peak, what it held before the scan."""

    def measure(answer: Connection) -> None:
        series = make()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        infer(scan, series)
        answer.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - pages * resource.getpagesize() / 2**20)

    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=measure, args=(there,))
    process.start()
    grown: float = here.recv()
    process.join()
    return grown


def compare(name: str, works: dict[str, Work], rounds: int, target: float | None = None) -> None:
    """Ratios of every other arm's time to that of "ours", from `rounds` rounds after one that warms up."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {arm: [] for arm in works}
    for _ in range(rounds):
        for arm, work in works.items():
            times[arm].append(seconds(work))
    for arm in [arm for arm in works if arm != "ours"]:
        ratios = [theirs / ours for theirs, ours in zip(times[arm], times["ours"], strict=True)]
        print(
            f"{name}, {arm}: ratio {statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
            + (f", target {target:g}" if target and arm == DEFAULT else "")
            + f"; {1e3 * statistics.median(times[arm]):.1f} ms against {1e3 * statistics.median(times['ours']):.1f} ms",
            flush=True,
        )


def train_step(model: PreTrainedModel, ids: Tensor) -> None:
    model.zero_grad()
    model(ids, labels=ids, use_cache=False).loss.backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kinds = {
        "Mamba-1": (partial(mamba1_series, 1, 256, 16), mamba1_arms(), 3.0),
        "Mamba-2": (partial(mamba2_series, 1, 8, 64, 64), mamba2_arms(), 5.0),
    }

    # First, so that the forked processes start small.
    for kind, (make, arms, _) in kinds.items():
        for length in LENGTHS:
            grown = {arm: growth(partial(make, length), scan) for arm, scan in arms.items()}
            print(
                f"memory, {kind}, {length} tokens: " + ", ".join(f"{arm} {mib:.0f} MiB" for arm, mib in grown.items())
            )
    for kind, (make, arms, target) in kinds.items():
        for length in LENGTHS:
            series = make(length)
            works: dict[str, Work] = {arm: partial(infer, scan, series) for arm, scan in arms.items()}
            compare(f"{kind}, {length} tokens", works, options.rounds, target if length == LENGTHS[-1] else None)

    trained = {
        "Mamba-1, 96 channels, 8 states": (mamba1_series(ROWS, 96, 8, TRAINED), mamba1_arms()),
        "Mamba-2, 6 heads of 16, 24 states": (mamba2_series(ROWS, 6, 16, 24, TRAINED), mamba2_arms()),
    }
    for name, (series, arms) in trained.items():
        compare(f"{name}, both ways", {arm: partial(learn, scan, series) for arm, scan in arms.items()}, options.rounds)

    shape: dict[str, Any] = dict(vocab_size=128, hidden_size=48, num_hidden_layers=2)
    ids = torch.randint(0, 128, (ROWS, TRAINED))
    models = {
        "mamba": MambaForCausalLM(MambaConfig(**shape, state_size=8)),
        "mamba2": Mamba2ForCausalLM(
            Mamba2Config(**shape, num_heads=6, head_dim=16, state_size=24, n_groups=1, chunk_size=256)
        ),
    }
    for kind, model in models.items():
        use_fast_scans(kind)

        def by_transformers(model: PreTrainedModel = model) -> None:
            with transformers_scans():
                train_step(model, ids)

        arms_of_step: dict[str, Work] = {"ours": partial(train_step, model, ids), DEFAULT: by_transformers}
        compare(f"{kind}, a whole training step, hidden 48", arms_of_step, options.rounds)


if __name__ == "__main__":
    main()
