"""Tuning all subnets, and one, as transforms on a pico model."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, TrainingArguments

from methodbench.checkpoint import Checkpoint, digest_file, digest_folder
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from methodbench.method import Traits
from methodbench.training import quiet
from methods.amoeballm import adapters as beside
from methods.amoeballm.config import SUBNETS
from methods.amoeballm.finetune import amoeballm_finetune, amoeballm_individual
from methods.amoeballm.finetune_config import FinetuneConfig, IndividualConfig, tuned_traits
from methods.amoeballm.finetune_rows import Collate, encoded_rows
from methods.amoeballm.losses import IGNORED
from methods.amoeballm.sandwich import sandwich
from methods.amoeballm.subnets import FROZEN, read
from methods.amoeballm.supernet import Supernet
from methods.amoeballm.tuner import Tuner
from tests import pico
from tests.methods.amoeballm.tuning_world import LAYERS, checkpoint, masks, model, rows, shaken, subnets

SMALL: dict[str, Any] = {"steps": 4, "rank": 3, "alpha": 6, "accumulation": 2, "learning_rate": 1e-2, "save_every": 2}
ALL = (True,) * LAYERS


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("parents") / "selected")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rows(tmp_path_factory.mktemp("data") / "train.jsonl")


def tuned(parent: Path, data: Path, work: Path, seed: int = 3, log: Callable[..., Log] = Log, **own: Any) -> Path:
    """All subnets tuned; curves lie in `work`."""
    work.mkdir(exist_ok=True)
    told = log("test", work / "curves.jsonl", stream=io.StringIO())
    config = parse(FinetuneConfig, {**SMALL, **own}, "test")
    amoeballm_finetune([Checkpoint(parent)], {"train": data}, config, seed, work / "out", told)
    return work / "out"


def single(parent: Path, data: Path, work: Path, log: Callable[..., Log] = Log, **own: Any) -> Path:
    """One subnet tuned."""
    work.mkdir(exist_ok=True)
    told = log("test", work / "curves.jsonl", stream=io.StringIO())
    config = parse(IndividualConfig, {**SMALL, **own}, "test")
    amoeballm_individual([Checkpoint(parent)], {"train": data}, config, 3, work / "out", told)
    return work / "out"


def curve(work: Path, name: str) -> list[float]:
    return [point[name] for point in read_curves(work / "curves.jsonl") if name in point]


def measures(out: Path) -> list[dict[str, str]]:
    with (out / "measures.csv").open() as file:
        return list(csv.DictReader(file))


class Killed(Log):
    """Ends the job after step 3."""

    def progress(self, done: float, total: float, unit: str = "step", **live: float) -> None:
        if done == 3:
            raise KeyboardInterrupt


def test_without_steps_the_weights_are_the_parents(parent: Path, data: Path, tmp_path: Path) -> None:
    out = tuned(parent, data, tmp_path, steps=0)
    assert digest_file(out / "model.safetensors") == digest_file(parent / "model.safetensors")


def test_the_folder_holds_the_largest_subnet_the_frozen_model_the_experts_and_the_selection(
    parent: Path, data: Path, tmp_path: Path
) -> None:
    out = tuned(parent, data, tmp_path)
    frozen = {file.name for file in (out / FROZEN).iterdir()}
    assert frozen == {file.name for file in parent.iterdir()} - {"subnets.json", "subnets.safetensors"}
    assert all(digest_file(out / FROZEN / name) == digest_file(parent / name) for name in frozen)
    assert all((out / name).read_bytes() == (parent / name).read_bytes() for name in ("subnets.json",))
    experts = beside.read(out)
    assert experts is not None
    whole, base = Checkpoint(out).load()[0].state_dict(), Checkpoint(parent).load()[0].state_dict()
    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(whole[name], base[name] + experts.delta(1, "up_proj", ALL, 1.0))
    assert not torch.equal(whole[name], base[name])
    assert torch.equal(whole["model.norm.weight"], base["model.norm.weight"])


def test_measures_have_a_gate_for_every_subnet_and_expert(parent: Path, data: Path, tmp_path: Path) -> None:
    out = tuned(parent, data, tmp_path, steps=2)
    table = measures(out)
    assert len(table) == 3 * 3 * 5
    assert sum(float(row["gate"]) for row in table) == pytest.approx(9, abs=1e-4)
    assert sum(float(row["gate"]) > 0 for row in table) == 2 * 9


def test_every_subnet_learns(parent: Path, data: Path, tmp_path: Path) -> None:
    tuned(parent, data, tmp_path, steps=30, save_every=30, micro_batch=4, accumulation=1)
    for name in ("loss_largest", "loss_middle", "loss_smallest"):
        values = curve(tmp_path, name)
        assert sum(values[-4:]) < 0.9 * sum(values[:4])
    gates = [curve(tmp_path, f"gate_{expert}") for expert in range(5)]
    assert all(sum(values) == pytest.approx(1, abs=1e-5) for values in zip(*gates, strict=True))


@pytest.mark.parametrize("one", [False, True])
def test_a_killed_tuning_ends_with_the_same_bytes(one: bool, parent: Path, data: Path, tmp_path: Path) -> None:
    own: dict[str, Any] = {"depth": 2, "width": 0.75, "experts": 2} if one else {"group_by_length": False}
    run: Any = single if one else tuned
    run(parent, data, tmp_path / "whole", **own)
    with pytest.raises(KeyboardInterrupt):
        run(parent, data, tmp_path / "killed", log=Killed, **own)
    assert [state.parent.name for state in (tmp_path / "killed" / "training").glob("*/whole")] == ["checkpoint-2"]
    assert not (tmp_path / "killed" / "out").exists()
    run(parent, data, tmp_path / "killed", **own)
    assert digest_folder(tmp_path / "killed" / "out") == digest_folder(tmp_path / "whole" / "out")
    assert read_curves(tmp_path / "killed" / "curves.jsonl") == read_curves(tmp_path / "whole" / "curves.jsonl")


def test_the_seed_decides(parent: Path, data: Path, tmp_path: Path) -> None:
    seeds = {"one": 0, "again": 0, "two": 1}
    digests = [digest_folder(tuned(parent, data, tmp_path / name, seed=seed, steps=2)) for name, seed in seeds.items()]
    assert digests[0] == digests[1] != digests[2]


def test_computing_activations_twice_changes_nothing(parent: Path, data: Path, tmp_path: Path) -> None:
    plain, twice = (tuned(parent, data, tmp_path / str(on), steps=2, gradient_checkpointing=on) for on in (False, True))
    assert digest_folder(plain) == digest_folder(twice)


def test_one_subnet_becomes_an_ordinary_smaller_checkpoint(parent: Path, data: Path, tmp_path: Path) -> None:
    out = single(parent, data, tmp_path, depth=2, width=0.75, steps=20, save_every=20)
    small = Checkpoint(out).load()[0]
    assert small.config.num_hidden_layers == 2
    assert not (out / "subnets.json").exists() and not (out / "smol.json").exists()
    assert [row["kept"] for row in measures(out)] == ["1", "0", "1"]
    values = curve(tmp_path, "loss")
    assert sum(values[-4:]) < 0.9 * sum(values[:4])


def test_teachers_differ(parent: Path, data: Path, tmp_path: Path) -> None:
    made = {teacher: single(parent, data, tmp_path / teacher, teacher=teacher) for teacher in ("frozen", "none")}
    hard = single(parent, data, tmp_path / "hard", kd_weight=0.0)
    late = single(parent, data, tmp_path / "late", distill_steps=0)
    weights = {name: digest_file(out / "model.safetensors") for name, out in (*made.items(), ("hard", hard))}
    assert weights["frozen"] != weights["none"] == weights["hard"] == digest_file(late / "model.safetensors")


def tuner(config: FinetuneConfig | IndividualConfig, net: Supernet, work: Path) -> Tuner:
    arguments = TrainingArguments(**{**quiet(work), "save_strategy": "no"}, max_steps=4, remove_unused_columns=False)
    made = Tuner(model=net, args=arguments, train_dataset=[{}])
    made.begin(net, subnets(), config, 7, "here")
    made.current_gradient_accumulation_steps = 2
    return made


def batch() -> dict[str, Tensor]:
    """Two rows whose learnt tokens begin at different places; the shorter one is padded."""
    ids = torch.randint(4, pico.VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[0, :5] = IGNORED
    labels[1, :3] = labels[1, 7:] = IGNORED
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def grads_by_hand(config: FinetuneConfig, net: Supernet, micro: int) -> dict[str, Tensor]:
    """The sum over shapes, written out with loops over places."""
    given, rng = batch(), Random(f"shapes 7 0 {micro}")
    noise = torch.Generator().manual_seed(rng.getrandbits(62))
    shapes = sandwich((3, 2, 1), (1.0, 0.75, 0.5), config.random_shapes, rng)
    net.zero_grad()
    teacher, first = torch.empty(0), torch.empty(0)
    for place, shape in enumerate(shapes):
        net.set_shape(subnets().active(shape.depth, ""), shape.width, torch.randn(5, generator=noise))
        logs = net(given["input_ids"], given["attention_mask"]).logits.log_softmax(-1)
        labels = given["labels"]
        hard = [-logs[b, t - 1, labels[b, t]] for b in range(2) for t in range(1, 9) if labels[b, t] != IGNORED]
        plain = torch.stack(hard).mean()
        if place == 0:
            loss, teacher, first = plain, logs.detach().exp(), plain.detach()
        else:
            if config.distill_all_tokens:
                where = [(b, t) for b in range(2) for t in range(9) if given["attention_mask"][b, t]]
            else:
                back = 1 if config.kd_mask_shift else 0
                where = [(b, t - back) for b in range(2) for t in range(1, 9) if labels[b, t] != IGNORED]
            soft = torch.stack([-(teacher[b, t] * logs[b, t]).sum() for b, t in where]).mean()
            loss = config.kd_weight * soft + (1 - config.kd_weight) * plain
            if config.balance:
                loss = loss * first / loss.detach()
        (loss / 2).backward()
    return {name: parameter.grad for name, parameter in net.trained().items() if parameter.grad is not None}


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"balance": False},
        {"kd_mask_shift": True},
        {"kd_weight": 0.25},
        {"distill_all_tokens": True},
        {"random_shapes": 3},
    ],
)
def test_a_micro_batchs_gradient_is_the_sum_over_its_shapes(own: dict[str, Any], tmp_path: Path) -> None:
    """In float32: logits are computed for fewer places than by hand, which changes the order of sums."""
    config = parse(FinetuneConfig, own, "test")
    torch.manual_seed(0)
    net = shaken(Supernet(model(dtype=torch.float32), masks(), rank=3, alpha=6))
    made = tuner(config, net, tmp_path)
    for micro in range(2):
        net.zero_grad()
        made.training_step(net, batch())
        grads = {
            name: parameter.grad.clone() for name, parameter in net.trained().items() if parameter.grad is not None
        }
        expected = grads_by_hand(config, net, micro)
        assert grads.keys() == expected.keys()
        scale = max(float(grad.abs().max()) for grad in expected.values())
        assert all(torch.allclose(grads[name], grad, atol=1e-4 * scale) for name, grad in expected.items())


def test_a_state_of_another_training_is_refused(parent: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tuned(parent, data, tmp_path, log=Killed, experts=1)
    with pytest.raises(ValueError, match="is the state of another training"):
        tuned(parent, data, tmp_path, experts=2)


def test_some_of_the_selected_widths_can_be_tuned(parent: Path, data: Path, tmp_path: Path) -> None:
    out = tuned(parent, data, tmp_path / "some", widths=[0.5])
    assert read(out).widths() == (1.0, 0.5)
    with pytest.raises(UserError, match=r"key 'width': given 0\.6, allowed: 1, 0\.75, 0\.5, as selected"):
        tuned(parent, data, tmp_path / "none", widths=[0.6])


def test_what_cannot_be_tuned_is_refused(parent: Path, data: Path, tmp_path: Path) -> None:
    once = tuned(parent, data, tmp_path / "once", steps=0)
    with pytest.raises(UserError, match="was tuned already"):
        tuned(once, data, tmp_path / "twice")
    with pytest.raises(UserError, match="was tuned already"):
        single(once, data, tmp_path / "twice")
    with pytest.raises(UserError, match=r"carries no selection of subnets: subnets\.json is missing"):
        tuned(once / FROZEN, data, tmp_path / "unselected")
    with pytest.raises(UserError, match=r"key 'depth': given 4, allowed: 1 to 3 layers, as selected"):
        single(parent, data, tmp_path / "deep", depth=4)


def test_configs_say_what_is_wrong() -> None:
    with pytest.raises(UserError, match=r"key 'widths': given 1, allowed: above 0 and below 1"):
        parse(FinetuneConfig, {"widths": [1.0]}, "test")
    with pytest.raises(UserError, match=r"key 'widths': given \[0\.5, 0\.5\], a width may stand there once"):
        parse(FinetuneConfig, {"widths": [0.5, 0.5]}, "test")


def test_traits_keep_the_selection() -> None:
    selected = Traits("llama", None, frozenset({SUBNETS}))
    assert tuned_traits(None, (selected,)) == selected
    with pytest.raises(UserError, match="carries no selection of subnets"):
        tuned_traits(None, (Traits("llama"),))


def encoded(tmp_path: Path, row: dict[str, str], source: int = 50, target: int = 50, room: int = 99) -> Any:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    return encoded_rows(tmp_path / "rows.jsonl", pico.tokenizer(), source, target, room)[0]


def test_completions_are_learnt_with_their_end_and_texts_whole(tmp_path: Path) -> None:
    a, b = pico.tokenizer()("ab")["input_ids"]
    pair = {"prompt": "aaa", "completion": "bb"}
    assert encoded(tmp_path, pair) == {
        "input_ids": [a, a, a, b, b, pico.EOS],
        "labels": [IGNORED] * 3 + [b, b, pico.EOS],
    }
    assert encoded(tmp_path, pair, source=1, target=2) == {"input_ids": [a, b, b], "labels": [IGNORED, b, b]}
    assert encoded(tmp_path, {"text": "abab"}, source=1, target=2) == {"input_ids": [a, b, a], "labels": [a, b, a]}


def test_a_beginning_token_is_set_where_the_tokenizer_sets_one(tmp_path: Path) -> None:
    class Beginning(PreTrainedTokenizerFast):
        def __call__(self, text: Any, add_special_tokens: bool = True, **named: Any) -> Any:
            found = super().__call__(text, add_special_tokens=False, **named)
            found["input_ids"] = [self.bos_token_id] * add_special_tokens + found["input_ids"]
            return found

    core = pico.tokenizer()
    words = Beginning(tokenizer_object=core.backend_tokenizer, bos_token="<think>", eos_token="<eos>")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n")
    (row,) = encoded_rows(tmp_path / "rows.jsonl", words, 9, 9, None)
    assert row["input_ids"][0] == pico.THINK and row["labels"][:2] == [IGNORED, IGNORED]
    plain = PreTrainedTokenizerFast(tokenizer_object=core.backend_tokenizer, bos_token="<think>", eos_token="<eos>")
    (row,) = encoded_rows(tmp_path / "rows.jsonl", plain, 9, 9, None)
    assert pico.THINK not in row["input_ids"]


def test_rows_that_cannot_be_learnt_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1 has neither 'prompt' and 'completion' nor 'text'"):
        encoded(tmp_path, {"prompt": "a"})
    with pytest.raises(UserError, match="line 1 has no token to learn"):
        encoded(tmp_path, {"text": "a"})
    with pytest.raises(UserError, match=r"line 1 has 3 tokens, the model takes 2: lower 'max_source' or 'max_target'"):
        encoded(tmp_path, {"prompt": "a", "completion": "b"}, room=2)


def test_batches_are_padded_on_the_right() -> None:
    made = Collate(0)([{"input_ids": [5, 6], "labels": [IGNORED, 6]}, {"input_ids": [7], "labels": [7]}])
    assert made["input_ids"].tolist() == [[5, 6], [7, 0]]
    assert made["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert made["labels"].tolist() == [[IGNORED, 6], [7, IGNORED]]
