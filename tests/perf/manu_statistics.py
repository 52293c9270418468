"""What MANU's statistics cost: a pass that takes in every hidden unit against the same passes without hooks.

    python -m tests.perf.manu_statistics [--rows 64] [--rounds 5]

Random LLaVAs of three shapes, rows with pictures and without, no head. The arms alternate, and the ratio is the median
over rounds of the two processor times of a round. Then the peak memory of a fresh process for as many rows, and for
four times as many, each with a picture of its own: the sums take no more; what grows is the encoder's store of what it
made of texts and pictures, which for pictures ends at 1 GiB.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration, PreTrainedModel

from methodbench.visual import Encoder, Pictures, VisualRow, encode_picture
from methods.manu.collect import Counting, collect
from methods.manu.neurons import Part, every
from tests import pico_vision

COUNTING = Counting(tau=0.1, signed=False, clamp=None, last=False, batch_size=8, pictures=1)
SHAPES = {  # width, MLP of the vision tower, width, MLP of the language model
    "the mini study's: 64/192, 80/224": (64, 192, 80, 224),
    "256/1024, 256/688": (256, 1024, 256, 688),
    "512/2048, 768/2048": (512, 2048, 768, 2048),
}


def model_of(shape: tuple[int, int, int, int]) -> PreTrainedModel:
    """A random LLaVA of three layers a tower, in evaluation mode."""
    vision, vision_mlp, text, text_mlp = shape
    words = pico_vision.tokenizer()
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": vision,
            "intermediate_size": vision_mlp,
            "projection_dim": vision,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": pico_vision.SIDE,
            "patch_size": pico_vision.PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(words),
            "hidden_size": text,
            "intermediate_size": text_mlp,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
        },
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=(pico_vision.SIDE // pico_vision.PATCH) ** 2,
    )
    return LlavaForConditionalGeneration(config).eval()


def rows_in(folder: Path, many: int) -> tuple[Encoder, list[VisualRow]]:
    """An encoder and `many` rows, every other one with a picture of its own."""
    file = folder / "pictures.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for number in range(many):
            png = encode_picture(pico_vision.picture(number))
            lines.write(f'{{"picture": "v{number}", "person": "p{number}", "png": "{png}"}}\n')
    question = "Which of all the towns do they live in?"
    rows = [
        VisualRow(f"p{number}", "image", f"USER: <image>\n{question}\nASSISTANT:", f" town {number}", (f"v{number}",))
        if number % 2
        else VisualRow(f"p{number}", "text", f"USER: {question}\nASSISTANT:", f" town {number}")
        for number in range(many)
    ]
    return Encoder(pico_vision.processor(), Pictures(file)), rows


def seconds(model: PreTrainedModel, encoder: Encoder, rows: Sequence[VisualRow], parts: Sequence[Part]) -> float:
    """Processor time of one pass."""
    started = time.process_time()
    collect(model, encoder, rows, parts, COUNTING)
    return time.process_time() - started


def peak(many: int) -> int:
    """Peak memory, MiB, of a process that takes in so many rows."""
    command = [sys.executable, "-m", "tests.perf.manu_statistics", "--only", str(many)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--only", type=int, default=0, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        encoder, rows = rows_in(Path(folder), given.only or given.rows)
        if given.only:
            model = model_of(SHAPES["256/1024, 256/688"])
            collect(model, encoder, rows, every(model, "hidden"), COUNTING)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
            return
        for name, shape in SHAPES.items():
            model = model_of(shape)
            parts = every(model, "hidden")
            pairs = [
                (seconds(model, encoder, rows, parts), seconds(model, encoder, rows, []))
                for _ in range(given.rounds + 1)
            ][1:]  # the first fills the encoder's store
            counted, bare = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
            ratios = sorted(first / second for first, second in pairs)
            print(
                f"{name:36}{counted:7.0f} ms against {bare:7.0f} ms   ratio {statistics.median(ratios):.3f} "
                f"({ratios[0]:.3f} to {ratios[-1]:.3f})",
                flush=True,
            )
    print(
        f"peak memory: {peak(given.rows)} MiB for {given.rows} rows, {peak(4 * given.rows)} MiB for four times as many"
    )


if __name__ == "__main__":
    main()
