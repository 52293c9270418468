"""One of two processes of `test_distributed.py`: reinforcement through DDP with groups split over both, and sessions.

python two_processes.py FOLDER RANK     meets the other in FOLDER and writes rank{RANK}.safetensors there
"""

from __future__ import annotations

import datetime
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

from methodbench.config import parse
from methodbench.joblog import Log
from methodbench.reinforcement import reinforce
from methodbench.reinforcement_config import ReinforceConfig
from methods.mifo.callback import Interleave
from methods.mifo.interleave import run
from tests import pico
from tests.methods.mifo.weaving import ROWS, Planted, config, correct, interleaving

KINDS: dict[str, dict[str, Any]] = {
    "critical": {"trigger": 5, "accuracy": 0.5},
    "random": {"trigger": 1, "overflow": "take_keep", "mask": "random", "tokens": "random"},  # one process has nothing
}


def main(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    for name, keys in KINDS.items():
        model, own = pico.model("llama"), interleaving(config(**keys))
        wrapped = DistributedDataParallel(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        planted = Planted(model)

        def update(wrapped: Any = wrapped, optimizer: Any = optimizer, planted: Any = planted) -> Any:
            asked = planted.questions()
            planted.call += 1
            ids = torch.tensor([[7 + rank, 8, 9, 10 + planted.call]])
            wrapped(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            # Rollouts in rank order, the border in the middle of a group.
            rollouts = [(ROWS[number], verdict) for number, verdicts in asked for verdict in verdicts]
            half = rollouts[:12] if rank == 0 else rollouts[12:]
            return [row for row, _ in half], [verdict for _, verdict in half]

        run(update, model, 6, own)
        assert all(weight.grad is None for weight in model.parameters())
        save_file(own.tensors() | dict(model.named_parameters()), folder / f"{name}{rank}.safetensors")
        (folder / f"{name}{rank}.json").write_text(json.dumps(own.facts()))
    trained(folder, rank)
    dist.destroy_process_group()


def trained(folder: Path, rank: int) -> None:
    """The same through TRL's trainer, whose groups of four are split where a process's six rollouts end."""
    (folder / "trl").mkdir(exist_ok=True)
    log = Log("test", stream=io.StringIO())
    torch.manual_seed(5)
    model, tokenizer = pico.model("llama"), pico.tokenizer()
    weave = Interleave(config(accuracy=0.25, trigger=3), tokenizer, ROWS, correct, 0, log, folder / "trl")
    settings = {"questions": 3, "samples": 4, "updates": 1, "micro_batch": 6, "steps": 4, "learning_rate": 1e-3}
    reinforce(
        model,
        tokenizer,
        ROWS,
        correct,  # type: ignore[arg-type]  # any rule will do
        folder / "trl",
        log,
        parse(ReinforceConfig, {**settings, "max_new_tokens": 12, "save_every": 2}, "test"),
        seed=0,
        callbacks=[weave],
        watch=weave.watch,
    )
    own = weave.interleaving
    save_file(own.tensors() | dict(model.named_parameters()), folder / f"trl{rank}.safetensors")
    (folder / f"trl{rank}.json").write_text(json.dumps(own.facts()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
