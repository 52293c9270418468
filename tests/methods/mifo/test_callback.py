"""Sessions inside TRL's trainers on a pico model: undisturbed without sessions, killed and resumed, evaluated."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from methodbench.measures import read_measures
from methodbench.reinforcement import GRPO, reinforce
from methodbench.reinforcement_config import ReinforceConfig
from methods.mifo.callback import Interleave
from methods.mifo.mifo_config import InterleaveConfig
from methods.mifo.state import FACTS, TENSORS
from tests import pico
from tests.methods.mifo.weaving import ROWS, config, correct, weights

REINFORCE: dict[str, Any] = {
    "samples": 4,
    "questions": 4,
    "updates": 2,
    "micro_batch": 8,
    "steps": 8,
    "learning_rate": 1e-3,
    "max_new_tokens": 12,
    "save_every": 1,
}
OFTEN = config(accuracy=0.25, trigger=3, history=0.5)


class Killed(Exception):
    """Stands for a kill."""


class Kill(TrainerCallback):
    """End the run after an update, or in the middle of saving, before the checkpoint is whole."""

    def __init__(self, step: int, saving: bool) -> None:
        self.step, self.saving = step, saving

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step and not self.saving:
            raise Killed

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step and self.saving:
            raise Killed


class Theirs:
    """TRL's own rollouts, which draw from the global random state."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: writing one asks the hub about the model's name."""


class TheirGRPO(Theirs, GRPOTrainer):
    pass


class TheirRLOO(Theirs, RLOOTrainer):
    pass


class Still:
    """As Interleave, but of no effect: what a plain run has in its place."""

    watch = None


@dataclass
class Run:
    weights: list[Tensor]
    weave: Interleave
    work: Path


def trained(
    work: Path,
    settings: InterleaveConfig | None,
    *callbacks: TrainerCallback,
    trainer: Any = GRPO,
    curves: Path | None = None,
    **changes: Any,
) -> Run:
    work.mkdir(exist_ok=True)
    torch.manual_seed(5)
    log = Log("test", curves, stream=io.StringIO())
    model, tokenizer = pico.model("llama"), pico.tokenizer()
    weave: Any = Interleave(settings, tokenizer, ROWS, correct, 0, log, work) if settings else Still()
    own = [weave] if settings else []
    reinforce(
        model,
        tokenizer,
        ROWS,
        correct,  # type: ignore[arg-type]  # any rule will do
        work,
        log,
        parse(ReinforceConfig, REINFORCE | changes, "test"),
        seed=0,
        callbacks=[*own, *callbacks],
        trainer_class=trainer,
        watch=weave.watch,
    )
    return Run(weights(model), weave, work)


@pytest.mark.parametrize("trainer", [GRPO, TheirGRPO, TheirRLOO])
def test_without_sessions_a_trainer_is_undisturbed(trainer: Any, tmp_path: Path) -> None:
    """Invariant 12, bit for bit; questions are buffered all the while."""
    plain = trained(tmp_path / "plain", None, trainer=trainer)
    woven = trained(tmp_path / "woven", config(trigger=10**9), trainer=trainer)
    assert all(map(torch.equal, plain.weights, woven.weights))
    assert woven.weave.interleaving.questions == 16 and woven.weave.interleaving.buffer.waiting
    assert not all(map(torch.equal, plain.weights, weights(pico.model("llama")))), "nothing was learned"


@pytest.mark.parametrize("trainer", [GRPO, TheirRLOO])
def test_sessions_come_between_rollout_batches(trainer: Any, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", OFTEN, trainer=trainer, curves=tmp_path / "curves.jsonl")
    own = run.weave.interleaving
    assert len(own.measures) >= 2
    assert all(row["step"] % 2 == 0 for row in own.measures)
    assert all(row["frozen_max_diff"] == 0 < row["delta_sft"] for row in own.measures)
    table = read_measures(run.work / "measures.csv")
    assert table.numbers("step", "test") == [row["step"] for row in own.measures]
    points = [point for point in read_curves(tmp_path / "curves.jsonl") if "session_nll" in point]
    assert [point["step"] for point in points] == [row["step"] for row in own.measures]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("whole")
    return trained(folder / "work", OFTEN, trainer=TheirGRPO, curves=folder / "curves.jsonl")


@pytest.mark.parametrize(("step", "saving"), [(1, False), (2, True), (3, False), (4, True), (5, False), (8, True)])
def test_a_killed_run_goes_on(step: int, saving: bool, whole: Run, tmp_path: Path) -> None:
    """Invariant 15: weights, buffer, maps, table and curves, to the byte."""
    work, curves = tmp_path / "work", tmp_path / "curves.jsonl"
    with pytest.raises(Killed):
        trained(work, OFTEN, Kill(step, saving), trainer=TheirGRPO, curves=curves)
    run = trained(work, OFTEN, trainer=TheirGRPO, curves=curves)
    assert all(map(torch.equal, whole.weights, run.weights))
    mine, theirs = run.work / "checkpoint-8", whole.work / "checkpoint-8"
    assert (mine / FACTS).read_bytes() == (theirs / FACTS).read_bytes()
    kept, wanted = load_file(mine / TENSORS), load_file(theirs / TENSORS)
    assert kept.keys() == wanted.keys() and all(torch.equal(kept[name], wanted[name]) for name in wanted)
    assert (run.work / "measures.csv").read_bytes() == (whole.work / "measures.csv").read_bytes()
    assert curves.read_bytes() == (whole.work.parent / "curves.jsonl").read_bytes()


def test_the_whole_run_held_sessions(whole: Run) -> None:
    """Before and after each kill, or the resumption of one would prove nothing."""
    steps = {row["step"] for row in whole.weave.interleaving.measures}
    assert min(steps) <= 4 and max(steps) >= 6


def test_another_config_does_not_go_on(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained(tmp_path / "work", OFTEN, Kill(3, False))
    with pytest.raises(UserError, match="another config, seed or set of prompts"):
        trained(tmp_path / "work", config(accuracy=0.25, trigger=3, history=0.0))


def test_evaluation_buffers_nothing(tmp_path: Path) -> None:
    """Invariant 16: the reward function also scores the rollouts of an evaluation."""
    seen = []

    class Evaluated(GRPO):
        """A trainer that evaluates in the middle of a run; the rollouts' own seeds follow from the step."""

        def evaluation_loop(self, *arguments: Any, **named: Any) -> Any:
            before = (self.weave.facts(), list(self.weave.buffer.waiting))
            found = super().evaluation_loop(*arguments, **named)
            seen.append(repr(before) == repr((self.weave.facts(), list(self.weave.buffer.waiting))))
            scored.append(found.num_samples)
            return found

    class Evaluate(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_evaluate = state.global_step in (1, 2, 3)

    scored: list[int] = []
    made: list[Any] = []

    class Given(Evaluated):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            named["args"].per_device_eval_batch_size = 8
            super().__init__(*arguments, eval_dataset=named["train_dataset"].select(range(4)), **named)
            self.weave = made[0].interleaving

    weave = Interleave(OFTEN, pico.tokenizer(), ROWS, correct, 0, Log("test", stream=io.StringIO()), tmp_path)
    made.append(weave)
    reinforce(
        pico.model("llama"),
        pico.tokenizer(),
        ROWS,
        correct,  # type: ignore[arg-type]
        tmp_path,
        Log("test", stream=io.StringIO()),
        parse(ReinforceConfig, REINFORCE | {"steps": 4}, "test"),
        seed=0,
        callbacks=[weave, Evaluate()],
        trainer_class=Given,
        watch=weave.watch,
    )
    assert seen == [True] * 3 and min(scored) > 0
    assert weave.interleaving.questions == 8


def test_states_between_the_updates_on_a_batch_are_refused(tmp_path: Path) -> None:
    weave = Interleave(OFTEN, pico.tokenizer(), ROWS, correct, 0, Log("test", stream=io.StringIO()), tmp_path)
    settings = {"output_dir": str(tmp_path), "report_to": [], "use_cpu": True, "bf16": False}
    args = GRPOConfig(**settings, steps_per_generation=6, gradient_accumulation_steps=2, save_steps=4)

    class State:
        save_steps = 4

    with pytest.raises(UserError, match=r"'save_steps': given 4, allowed: a multiple of the 3 updates"):
        weave.on_train_begin(args, State(), None, model=pico.model("llama"))  # type: ignore[arg-type]


def test_a_checkpoint_opens_and_has_no_more_keys(whole: Run) -> None:
    """Invariant 18."""
    folder = whole.work / "checkpoint-8"
    model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    assert all(map(torch.equal, weights(model), whole.weights))
