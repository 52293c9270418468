"""What a merge costs beside mergekit 0.1.5, as ratios from one run; how much memory one of 10 GB takes.

    python tests/perf/merging.py [--rounds 3] [--huge]

Two Llama checkpoints of SmolLM2-135M's shape with random weights, in bfloat16 and in float32, are averaged (linear) and
merged with DARE (drop 0.2, weight 0.5); a fresh process each time, with its imports, the arms alternating. Ours also
hashes both parents and measures what the cast loses. Targets: half the time, a quarter of the memory.
`--huge` merges two parents of 5 GB each, in files of 1 GB, instead. Target: less than 1 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

BIN = Path(sys.executable).parent
SHAPE = dict(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    tie_word_embeddings=True,
)
OURS = {"linear": [], "dare_linear": ["--drop", "0.2"]}


class Cost(NamedTuple):
    """Of one process."""

    wall: float  # s
    processor: float  # s
    memory: float  # MiB at its peak


def run(command: list[str]) -> Cost:
    """Run it to the end; it must succeed."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            raise RuntimeError(said.read().decode())
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def ours(parents: list[Path], out: Path, operator: str, *more: str) -> list[str]:
    command = [sys.executable, "-m", "methodbench", "merge", *map(str, parents), "--out", str(out)]
    return [*command, "--operator", operator, *OURS[operator], *more]


def rival(parents: list[Path], out: Path, operator: str, dtype: str) -> list[str]:
    tuned, base = map(str, parents)
    models = [{"model": tuned, "parameters": {"weight": 0.5}}]
    recipe = {"merge_method": operator, "dtype": dtype, "models": models}
    if operator == "linear":
        models.append({"model": base, "parameters": {"weight": 0.5}})
    else:
        models[0]["parameters"]["density"] = 0.8
        recipe |= {"base_model": base}
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(recipe))
    return [str(BIN / "mergekit-yaml"), str(file), str(out), "--no-write-model-card", "--no-copy-tokenizer"]


def make(folder: Path, dtype: str) -> None:
    """A base and something near it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE)).to(getattr(torch, dtype))
    model.save_pretrained(folder / f"{dtype}-base")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=1e-3)
    model.save_pretrained(folder / f"{dtype}-tuned")


def make_huge(folder: Path) -> None:
    """Two models of 5 GB: 50 tensors of 50 million bfloat16 entries each, in five files."""
    from methodbench.merging.preflight import Planned
    from methodbench.merging.streaming import header, index

    for path in (folder / "huge-tuned", folder / "huge-base"):
        path.mkdir()
        block = bytearray(random.Random(path.name).randbytes(10**8))
        block[1::2] = bytes(
            value & 0b10111111 for value in block[1::2]
        )  # without the exponent's first bit: all are < 2
        files = {}
        for number in range(5):
            name = f"model-{number + 1:05d}-of-00005.safetensors"
            files[name] = [
                Planned(f"model.layers.{number * 10 + layer}.mlp.weight", "BF16", (5000, 10000), (), ())
                for layer in range(10)
            ]
            with (path / name).open("wb") as stream:
                stream.write(header(files[name]))
                for _ in files[name]:
                    stream.write(block)
        where, content = index(files)
        (path / where).write_text(json.dumps(content))
        (path / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))


def pair(folder: Path, kind: str) -> list[Path]:
    """Made by another process: a child's peak of memory begins with what its parent has."""
    run([sys.executable, __file__, "--make", str(folder), kind])
    return [folder / f"{kind}-tuned", folder / f"{kind}-base"]


def compare(folder: Path, rounds: int) -> None:
    """Print median, lowest and highest of the rounds' ratios."""
    for dtype in ("bfloat16", "float32"):
        parents = pair(folder, dtype)
        for operator in OURS:
            costs: dict[str, list[Cost]] = {"ours": [], "mergekit": []}
            for number in range(rounds):
                arms = [("ours", ours), ("mergekit", lambda *given, dtype=dtype: rival(*given, dtype))]
                for name, command in arms if number % 2 == 0 else arms[::-1]:
                    out = folder / f"{name}-{number}"
                    costs[name].append(run(command(parents, out, operator)))
                    shutil.rmtree(out)
            print(f"{operator}, {dtype}: " + "; ".join(ratios(costs, field) for field in Cost._fields), flush=True)


def ratios(costs: dict[str, list[Cost]], field: str) -> str:
    mine, theirs = ([getattr(cost, field) for cost in costs[name]] for name in ("ours", "mergekit"))
    each = sorted(one / other for one, other in zip(mine, theirs, strict=True))
    return (
        f"{field} {statistics.median(each):.2f} ({each[0]:.2f} to {each[-1]:.2f}), "
        f"{statistics.median(mine):.1f} against {statistics.median(theirs):.1f}"
    )


def huge(folder: Path) -> None:
    """Print time and memory of merging 2 x 5 GB."""
    parents = pair(folder, "huge")
    for operator in OURS:
        cost = run(ours(parents, folder / "out", operator, "--shard-size", "1GB"))
        shutil.rmtree(folder / "out")
        print(f"{operator}, 2 x 5 GB: {cost.wall:.0f} s, {cost.memory:.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        folder, kind = options.make
        make_huge(Path(folder)) if kind == "huge" else make(Path(folder), kind)
        return
    with tempfile.TemporaryDirectory() as place:
        if options.huge:
            huge(Path(place))
        else:
            compare(Path(place), options.rounds)


if __name__ == "__main__":
    main()
