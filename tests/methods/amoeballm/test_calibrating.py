"""The metrics against slow computations of their own, the prefix cache to the bit, and what rows are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import PreTrainedModel

from methodbench.errors import UserError
from methods.amoeballm.blocks import blocks
from methods.amoeballm.calibrating import Calibration
from methods.amoeballm.config import DepthConfig
from methods.amoeballm.scoring import Read, question_read
from methods.amoeballm.selection import dynamic
from methods.amoeballm.texts import windows
from tests import pico
from tests.methods.amoeballm import depth_world as world

LETTERS, LONGER, TEXTS = "letters.jsonl", "longer.jsonl", "texts.jsonl"
SETS = [(), (0,), (5,), (2, 4), (0, 1, 2), (1, 3, 5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    world.write(folder / LETTERS, world.question_rows())
    world.write(folder / LONGER, world.question_rows(single=False))
    world.write(folder / TEXTS, world.text_rows())
    return folder


def calibration(model: PreTrainedModel, path: Path, seed: int = 0, **settings: Any) -> Calibration:
    given = {"metric": "nll" if path.name == TEXTS else "accuracy", "items": 10, "window": 12, "batch_size": 4}
    return Calibration(model, pico.tokenizer(), path, DepthConfig(**(given | settings)), seed)


def cut(model: PreTrainedModel, removed: Sequence[int]) -> PreTrainedModel:
    """A model of the remaining layers, made by deleting the others from the list."""
    inner: Any = model.get_decoder()
    inner.layers = nn.ModuleList(layer for number, layer in enumerate(inner.layers) if number not in removed)
    model.config.num_hidden_layers = len(inner.layers)
    return model


@torch.no_grad()
def likelihood(model: PreTrainedModel, prompt: str, option: str) -> float:
    """Of an option after a prompt: one row at a time, in float64."""
    tokenizer = pico.tokenizer()
    before, after = (tokenizer(text)["input_ids"] for text in (prompt, option))
    logits = model(input_ids=torch.tensor([before + after]), use_cache=False).logits[0].double()
    chosen = logits[len(before) - 1 : -1].log_softmax(-1)
    return float(chosen[torch.arange(len(after)), torch.tensor(after)].sum())


@pytest.mark.parametrize("name", [LETTERS, LONGER])
@pytest.mark.parametrize("removed", SETS, ids=str)
def test_questions_against_one_option_at_a_time(name: str, removed: tuple[int, ...], folder: Path) -> None:
    """In a model cut by hand; the mean over kinds, not over questions."""
    single = name == LETTERS
    model = cut(world.model(), removed)
    shares: dict[str, list[float]] = {}
    golds: dict[str, list[float]] = {}
    for row in world.question_rows(single=single)[:10]:
        found = [likelihood(model, row["prompt"], option) for option in row["options"]]
        shares.setdefault(row["kind"], []).append(float(found.index(max(found)) == row["label"]))
        golds.setdefault(row["kind"], []).append(found[row["label"]])
    assert len({len(values) for values in shares.values()}) > 1
    for metric, kinds in (("accuracy", shares), ("gold", golds)):
        expected = sum(sum(values) / len(values) for values in kinds.values()) / len(kinds)
        got = calibration(world.model(), folder / name, metric=metric).metric(removed)
        assert got == pytest.approx(expected, abs=1e-5), metric


@pytest.mark.parametrize("removed", SETS, ids=str)
def test_texts_against_the_models_own_loss(removed: tuple[int, ...], folder: Path) -> None:
    model = cut(world.model(), removed)
    ids = windows(pico.tokenizer(), folder / TEXTS, 10, 12, 3)
    with torch.no_grad():
        expected = -float(model(input_ids=ids, labels=ids, use_cache=False).loss)
    got = calibration(world.model(), folder / TEXTS, seed=3, draw="random").metric(removed)
    assert got == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", world.KINDS)
@pytest.mark.parametrize("name", [LETTERS, LONGER, TEXTS])
def test_the_prefix_cache_changes_no_bit(kind: str, name: str, folder: Path) -> None:
    """Invariant 4: of any set; windows and questions longer than Mistral's sliding window."""
    metric = "nll" if name == TEXTS else "gold"
    cached, plain = (calibration(world.model(kind), folder / name, metric=metric, prefix_cache=on) for on in (1, 0))
    sets = [removed for count in range(3) for removed in combinations(range(world.LAYERS), count)]
    values = [cached.metric(removed) for removed in sets]
    assert values == [plain.metric(removed) for removed in sets]
    assert len(set(values)) == len(sets)


def test_the_prefix_cache_saves_half_of_the_blocks_work(folder: Path) -> None:
    """And the programme chooses the same layers."""
    layers, most = 12, 5
    found, calls = [], []
    for on in (True, False):
        model = world.model(layers=layers)
        one = calibration(model, folder / LETTERS, metric="gold", prefix_cache=on, batch_size=64)
        ran: list[int] = []
        for block in blocks(model):
            block.mlp.register_forward_hook(lambda *_, ran=ran: ran.append(1))
        found.append(dynamic(one.metric, list(range(layers - 2, -1, -1)), most))
        calls.append(len(ran))
        assert one.evaluations == most * (layers - 1) - most * (most - 1) // 2
    assert found[0] == found[1]
    sets = [(lowest, count) for lowest in range(layers - 1) for count in range(1, min(layers - 1 - lowest, most) + 1)]
    assert calls[0] == layers + sum(layers - lowest - count for lowest, count in sets)  # the first pass fills the cache
    assert calls[0] < 0.6 * calls[1]


@pytest.mark.parametrize("kind", world.KINDS)
@pytest.mark.parametrize("name", [LETTERS, LONGER])
def test_padding_changes_nothing(kind: str, name: str, folder: Path) -> None:
    """Rows of several lengths, one by one and all at once."""
    for metric, tolerance in (("gold", 1e-5), ("accuracy", 0)):
        alone, together = (
            calibration(world.model(kind), folder / name, metric=metric, batch_size=size) for size in (1, 64)
        )
        for removed in SETS:
            assert alone.metric(removed) == pytest.approx(together.metric(removed), abs=tolerance)


def test_letters_take_one_pass_of_the_prompt(folder: Path) -> None:
    """Options of several tokens share a pass where all but their last token agree."""
    one = calibration(world.model(), folder / LETTERS, batch_size=1)
    assert len(one._batches) == 10
    many = calibration(world.model(), folder / LONGER, batch_size=1)
    assert 10 < len(many._batches) <= 40


def test_questions_begin_as_the_tokenizer_begins_texts() -> None:
    """With one first token, before the prompt and not before the option, and without a last one."""
    tokenizer = pico.tokenizer()
    tokenizer.bos_token = "<think>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<think> $A <eos>", special_tokens=[("<think>", pico.THINK), ("<eos>", pico.EOS)]
    )
    row = {"prompt": "ab", "options": ["c", "de"], "label": 0}
    letters = {letter: tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "abcde"}
    reads = question_read(tokenizer, row, 0, 99, "rows.jsonl: row 1")
    prompt = (pico.THINK, letters["a"], letters["b"])
    assert reads == [
        Read(prompt, ((2, letters["c"], 0),)),
        Read((*prompt, letters["d"]), ((2, letters["d"], 1), (3, letters["e"], 1))),
    ]


def test_prompts_are_cut_on_the_left(tmp_path: Path) -> None:
    """The question stands at the end; every option is read after the same prompt."""
    row = {"prompt": "a long introduction. which?", "options": ["A", "Bxy"], "label": 1}
    long = calibration(world.model(), world.write(tmp_path / "long.jsonl", [row]), metric="gold", max_length=8)
    cut_row = row | {"prompt": row["prompt"][-6:]}
    short = calibration(world.model(), world.write(tmp_path / "short.jsonl", [cut_row]), metric="gold")
    assert long.metric(()) == pytest.approx(short.metric(()), abs=1e-6)
    assert max(batch.ids.shape[1] for batch in long._batches) == 8


def test_first_rows_or_drawn_ones(folder: Path) -> None:
    """First ones are the same for every seed, drawn ones for the same."""
    for name in (LETTERS, TEXTS):
        metric = "nll" if name == TEXTS else "gold"
        for draw, equal in (("first", True), ("random", False)):
            values = [
                calibration(world.model(), folder / name, seed, draw=draw, metric=metric, items=4).metric(())
                for seed in (0, 1, 1)
            ]
            assert values[1] == values[2] and (values[0] == values[1]) is equal


def test_the_models_blocks_are_left_as_they_were(folder: Path) -> None:
    model = world.model()
    before = model(input_ids=torch.arange(5)[None]).logits
    calibration(model, folder / LETTERS).metric((0, 3))
    assert torch.equal(model(input_ids=torch.arange(5)[None]).logits, before)
    assert not any(block._forward_pre_hooks or "forward" in vars(block) for block in blocks(model))


QUESTION = {"prompt": "a", "options": ["A", "B"], "label": 0}


@pytest.mark.parametrize(
    ("row", "metric", "message"),
    [
        ({"text": "abc"}, "accuracy", "row 1: has no key 'prompt'.*texts can be calibrated on by key 'metric': nll"),
        (QUESTION, "nll", "neither 'text' nor 'prompt' and 'completion'"),
        (QUESTION | {"label": 2}, "gold", "row 1: key 'label': given 2, allowed: 0 to 1"),
        (QUESTION | {"label": "A"}, "gold", "row 1: key 'label': given 'A', allowed: 0 to 1"),
        (QUESTION | {"options": ["A"]}, "gold", "key 'options': given \\['A'\\], allowed: a list of two or more"),
        (QUESTION | {"options": ["A", ""]}, "gold", "must have a token each, and fit key 'max_length': 2048"),
        (QUESTION | {"prompt": ""}, "accuracy", "must have a token each"),
    ],
)
def test_what_rows_are_refused(row: dict[str, Any], metric: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        calibration(world.model(), world.write(tmp_path / "rows.jsonl", [row]), metric=metric)


def test_options_longer_than_may_be_read_are_refused(tmp_path: Path) -> None:
    path = world.write(tmp_path / "rows.jsonl", [QUESTION | {"options": ["A", "abcdefghi"]}])
    with pytest.raises(UserError, match=r"row 1: prompt and options .* key 'max_length': 8"):
        calibration(world.model(), path, max_length=8)


def test_solved_questions_are_texts_too_but_not_those_with_pictures(tmp_path: Path) -> None:
    forms: dict[str, list[dict[str, object]]] = {
        "text": [{"text": "a b c"}, {"text": "d e f"}],
        "completion": [{"prompt": "a b", "completion": " c"}, {"prompt": "d", "completion": " e f"}],
        "demonstration": [{"prompt": "a", "demonstration": " b c"}, {"prompt": "d e", "demonstration": " f"}],
        "pictures": [
            {"prompt": "<image> x", "completion": " y", "pictures": ["one"]},
            {"prompt": "a b c", "completion": " d e f", "pictures": []},
        ],
    }
    found = {}
    for name, rows in forms.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found[name] = windows(pico.tokenizer(), path, 3, 4, 0).tolist()
    assert all(drawn == found["text"] for drawn in found.values())
    asked = tmp_path / "asked.jsonl"
    asked.write_text(json.dumps({"prompt": "a", "options": ["b"], "label": 0}))
    with pytest.raises(UserError, match="neither 'text' nor 'prompt' and 'completion'"):
        windows(pico.tokenizer(), asked, 1, 4, 0)
