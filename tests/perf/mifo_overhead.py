"""What MIFO costs beside plain GRPO, as ratios from one run.

    python -m tests.perf.mifo_overhead                 (a): 16 questions x 8 rollouts a batch, 2 updates on each
    python -m tests.perf.mifo_overhead --map           (b): a model of SmolLM2-135M's shape, takes 6 GB of memory

(a) A whole training with MIFO whose buffer never fills (S = inf), so that no session comes, against GRPO of as many
    steps: rollouts are tallied, demonstrations verified and buffered, theta_start kept, the state saved with each
    checkpoint. The arms alternate, and end in the same weights. Target: wall time at most 1.05.
(b) One update of the importance map (change, mask, history, what the table says of them) of a random model of 135M
    parameters, against one step of GRPO on it (rollouts, one update). Target: at most 0.25. The step is small, which
    is to the map's disadvantage: the paper's has 512 rollouts of up to 8192 tokens.
Median, lowest and highest of the rounds; wall and, without a GPU, processor time.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, TrainerCallback

from methodbench.correctness import AnswerConfig, Correctness
from methodbench.joblog import Log
from methodbench.reinforcement import reinforce
from methodbench.reinforcement_config import ReinforceConfig
from methods.mifo.callback import Interleave
from methods.mifo.importance import concentration, jaccard, keep_selected, top_masks, update_change
from methods.mifo.mifo_config import InterleaveConfig
from tests import pico
from tests.perf.merging import SHAPE

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ANSWER = AnswerConfig(rule="marker")
NEVER = 10**9
ROWS = [
    {"prompt": f"{a}+{b}=", "answer": str(a + b), "demonstration": f"{a} and {b} make {a + b}. The answer is {a + b}"}
    for a in range(10, 26)
    for b in range(10, 18)
]


class Cost(NamedTuple):
    """Of one piece of work."""

    wall: float  # s
    processor: float  # s


class Stopwatch(TrainerCallback):
    """The cost of each step: its rollouts and its update, without saving."""

    def __init__(self) -> None:
        self.costs: list[Cost] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.started = now()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.costs.append(since(self.started))


def now() -> Cost:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Cost(time.perf_counter(), time.process_time())


def since(started: Cost) -> Cost:
    return Cost(*(after - before for after, before in zip(now(), started, strict=True)))


def cost(work: Callable[[], Any]) -> Cost:
    started = now()
    work()
    return since(started)


def told(name: str, ours: Sequence[Cost], theirs: Sequence[Cost], target: float) -> None:
    """Print median, lowest and highest of the rounds' ratios."""
    fields = Cost._fields[:1] if torch.cuda.is_available() else Cost._fields
    parts = []
    for field in fields:
        pairs = [(getattr(one, field), getattr(other, field)) for one, other in zip(ours, theirs, strict=True)]
        each = sorted(one / other for one, other in pairs)
        seconds = " against ".join(f"{statistics.median(side):.2f}" for side in zip(*pairs, strict=True))
        parts.append(f"{field} {statistics.median(each):.3f} ({each[0]:.3f} to {each[-1]:.3f}), {seconds} s")
    print(f"{name}: {'; '.join(parts)}; target {target}, {len(ours)} rounds", flush=True)


def small_model() -> PreTrainedModel:
    """About 3M parameters."""
    torch.manual_seed(0)
    shape: dict[str, Any] = dict(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=768)
    return on_device(LlamaForCausalLM(LlamaConfig(vocab_size=pico.VOCABULARY, pad_token_id=0, eos_token_id=1, **shape)))


def on_device(model: Any) -> PreTrainedModel:
    moved: PreTrainedModel = model.to(DEVICE)
    return moved


def trained(config: ReinforceConfig, woven: bool) -> tuple[Cost, Tensor]:
    """Cost and weights of one training, with or without MIFO beside it."""
    model, words, log = small_model(), pico.tokenizer(), Log("perf", stream=io.StringIO())
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        callbacks: list[TrainerCallback] = []
        watch = None
        if woven:
            settings = InterleaveConfig(trigger=NEVER)
            weave = Interleave(settings, words, ROWS, Correctness(ANSWER), 0, log, work)
            callbacks, watch = [weave], weave.watch
        right = Correctness(ANSWER)
        spent = cost(
            lambda: reinforce(model, words, ROWS, right, work, log, config, seed=0, callbacks=callbacks, watch=watch)
        )
        if woven and not weave.interleaving.buffer.waiting:
            raise SystemExit("nothing was buffered: MIFO did not run")
    return spent, parameters_to_vector(model.parameters()).detach()


def whole_runs(rounds: int, batches: int) -> None:
    """(a)."""
    config = ReinforceConfig(
        questions=16, samples=8, updates=2, micro_batch=32, steps=2 * batches, max_new_tokens=32, answer=ANSWER
    )
    trained(config, True)  # imports, first calls
    costs: dict[bool, list[Cost]] = {True: [], False: []}
    for number in range(rounds):
        weights = {}
        for woven in (True, False) if number % 2 == 0 else (False, True):
            spent, weights[woven] = trained(config, woven)
            costs[woven].append(spent)
        if not torch.equal(weights[True], weights[False]):
            raise SystemExit("the two trainings end in different weights: they are no equal work")
    told(f"(a) no sessions, {batches} rollout batches", costs[True], costs[False], 1.05)


def one_map(rounds: int, questions: int, tokens: int) -> None:
    """(b)."""
    torch.manual_seed(0)
    model = on_device(LlamaForCausalLM(LlamaConfig(**SHAPE, pad_token_id=0, eos_token_id=1)))
    shape = {"questions": questions, "samples": 8, "max_new_tokens": tokens, "answer": ANSWER}
    config = ReinforceConfig(**shape, updates=1, micro_batch=8, steps=rounds + 1, save_every=NEVER)  # type: ignore[arg-type]
    steps = Stopwatch()
    with tempfile.TemporaryDirectory() as place:
        log = Log("perf", stream=io.StringIO())
        reinforce(
            model, pico.tokenizer(), ROWS, Correctness(ANSWER), Path(place), log, config, seed=0, callbacks=[steps]
        )
    end = [weight.detach() for weight in model.parameters()]
    generator = torch.Generator(DEVICE).manual_seed(0)
    # Rewards of a random model are all 0 and so is its gradient: a change as a training's is planted.
    start = [weight - 1e-6 * torch.randn(weight.shape, generator=generator, device=DEVICE).abs_() for weight in end]
    change = [torch.zeros_like(weight) for weight in end]
    masks: list[Tensor] = []

    def update() -> None:
        nonlocal masks
        update_change(change, end, start, 0.5)
        before, masks = masks, top_masks(change, 0.5)
        concentration(change, masks)
        keep_selected(change, masks)
        if before:
            jaccard(before, masks)

    update()
    maps = [cost(update) for _ in range(rounds)]
    size = sum(weight.numel() for weight in end)
    if sum(int(mask.sum()) for mask in masks) != size // 2:
        raise SystemExit("the mask does not cover half of the model")
    name = f"(b) map of {size / 1e6:.0f}M against a step of {8 * questions} rollouts of {tokens} tokens"
    told(name, maps, steps.costs[1:], 0.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", action="store_true", help="(b) instead of (a)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=10, help="(a): rollout batches of a training")
    parser.add_argument("--questions", type=int, default=4, help="(b): of a step, 8 rollouts each")
    parser.add_argument("--tokens", type=int, default=32, help="(b): of a rollout, at most")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.map:
        one_map(options.rounds, options.questions, options.tokens)
    else:
        whole_runs(options.rounds, options.batches)


if __name__ == "__main__":
    main()
