"""What LongMamba's filter costs: a prefill with it against one without, on the same scan.

    python -m tests.perf.longmamba_prefill [--tokens 8192] [--rounds 9]

Random models of two shapes an architecture, calibrated on random tokens. The arms alternate, and the ratio is the
median over rounds of the two processor times of a round. The filter's counting of what it keeps, which the reports
show, is included.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedModel

from methodbench.joblog import Log
from methodbench.scans.install import use_fast_scans
from methods.longmamba.calibrate import calibrate
from methods.longmamba.config import CalibrateConfig, LongMambaConfig
from methods.longmamba.filter import Filter
from methods.longmamba.tables import LayerTable, Tables, key

VOCABULARY, TRAINED = 256, 512
FIELDS = ("log_decay", "budgets", "thresholds", "shares")


def models() -> dict[str, PreTrainedModel]:
    """Name -> a random model, in evaluation mode."""
    torch.manual_seed(0)
    shared: dict[str, Any] = {"vocab_size": VOCABULARY, "num_hidden_layers": 4}
    heads: dict[str, Any] = {"n_groups": 1, "head_dim": 64, "state_size": 64}
    return {
        "Mamba-2, width 256, 8 heads": Mamba2ForCausalLM(Mamba2Config(**shared, **heads, hidden_size=256, num_heads=8)),
        "Mamba-2, width 768, 24 heads": Mamba2ForCausalLM(
            Mamba2Config(**shared, **heads, hidden_size=768, num_heads=24)
        ),
        "Mamba-1, width 128, 256 channels": MambaForCausalLM(MambaConfig(**shared, hidden_size=128)),
        "Mamba-1, width 768, 1,536 channels": MambaForCausalLM(MambaConfig(**shared, hidden_size=768)),
    }


def calibrated(model: PreTrainedModel) -> Tables:
    """Tables of a random model."""
    config = CalibrateConfig(train_len=TRAINED, sequences=2, clamps=(0.05,))
    passages = torch.randint(VOCABULARY, (2, TRAINED), generator=torch.Generator().manual_seed(1)).tolist()
    tensors = calibrate(model, passages, config, Log("perf", stream=io.StringIO()))
    layers = {
        layer: LayerTable(*(tensors[key(layer, 0.05, "max", name)].float() for name in FIELDS))
        for layer in range(model.config.num_hidden_layers)
    }
    return Tables(TRAINED, torch.tensor(config.grid()), layers)


@torch.inference_mode()
def seconds(model: PreTrainedModel, ids: torch.Tensor, around: Callable[[], AbstractContextManager[Any]]) -> float:
    """Processor time of one prefill."""
    started = time.process_time()
    with around():
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
    return time.process_time() - started


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tokens", type=int, default=8192)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    use_fast_scans("mamba")
    use_fast_scans("mamba2")
    ids = torch.randint(VOCABULARY, (1, given.tokens), generator=torch.Generator().manual_seed(2))
    for name, model in models().items():
        model.eval()
        tables = calibrated(model)
        for channels in ("global", "all"):
            config = LongMambaConfig(theta=1e-6, channels=channels)  # type: ignore[arg-type]
            kept = Filter(model, tables, config)
            pairs = []
            for _ in range(given.rounds + 1):
                pairs.append((seconds(model, ids, lambda kept=kept: kept), seconds(model, ids, nullcontext)))
            filtered, vanilla = (statistics.median(times) for times in zip(*pairs[1:], strict=True))
            ratio = statistics.median(first / second for first, second in pairs[1:])
            share = sum(len(chosen) for chosen in kept.chosen.values()) / sum(
                len(table.budgets) for table in tables.layers.values()
            )
            print(
                f"{name:36}{channels:8} filters {share:4.0%} of the channels, keeps {kept.record(0)['kept']:5.1%}:  "
                f"{1000 * filtered:6.0f} ms against {1000 * vanilla:6.0f} ms   ratio {ratio:.3f}"
            )


if __name__ == "__main__":
    main()
