"""The runtimes as lm-eval LMs: batches of unequal rows, likelihoods, documents with spans, refusals."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from methodbench.builtin.plain import PlainLM
from methodbench.builtin.plain_config import PlainConfig
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.longmamba.calibrate import longmamba_calibrate
from methods.longmamba.config import ARCHITECTURES, CalibrateConfig, LongMambaConfig, TokenDroppingConfig
from methods.longmamba.filter import Filter
from methods.longmamba.runtime import LongMambaLM, TokenDroppingLM
from methods.longmamba.tables import load_tables
from tests import pico

TRAINED = 16
CALIBRATION = CalibrateConfig(train_len=TRAINED, sequences=3, clamps=(0.0, 0.25), sampling="rows")
ALL = LongMambaConfig(clamp=0.0, channels="all")
LINES = [f"{number}: a line of text, {number * 7919 % 1000}, and so on" for number in range(3)]
PROMPTS = [f"Question {number}? " + "abcdefghijklmnopqrstuvwxyz"[: 1 + 7 * (number % 4)] for number in range(7)]
Make = Callable[..., Any]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A calibrated pico checkpoint of every architecture."""
    place = tmp_path_factory.mktemp("longmamba")
    data = place / "text.jsonl"
    data.write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES), encoding="utf-8")
    for kind in ARCHITECTURES:
        parent = Checkpoint(place / f"{kind}-parent")
        pico.model(kind).save_pretrained(parent.path)
        pico.tokenizer().save_pretrained(parent.path)
        longmamba_calibrate([parent], {"text": data}, CALIBRATION, 0, place / kind, Log("test", stream=io.StringIO()))
    return {kind: place / kind for kind in ARCHITECTURES}


@pytest.fixture(scope="session")
def make(folders: dict[str, Path]) -> Make:
    """Runtimes on float64 models, so that rows can be compared exactly."""
    loaded = {kind: Checkpoint(folder).load(dtype=torch.float64) for kind, folder in folders.items()}

    def build(kind: str, config: Any = ALL, runtime: Any = LongMambaLM, **hflm: Any) -> Any:
        model, tokenizer = loaded[kind]
        given = {"pretrained": model, "tokenizer": tokenizer, "batch_size": 4, **hflm}
        return runtime(Checkpoint(folders[kind]), config, **given)

    return build


def generated(lm: Any, items: list[int]) -> dict[int, tuple[str, dict[str, Any]]]:
    """Answers and sample numbers; rows end at different steps, where they first say one of a few letters."""
    settings = {"until": ["e", "a", "T", "7", "m"], "max_gen_toks": 30}
    requests = [
        Instance("generate_until", {}, (PROMPTS[item], dict(settings)), 0, metadata=("t", item, 1)) for item in items
    ]
    answers = lm.generate_until(requests)
    return {item: (answer, lm.generations["t", item, 0]) for item, answer in zip(items, answers, strict=True)}


def likelihoods(count: int = 7) -> list[Instance]:
    """Requests of unequal length, some longer than the shortest prompt that is filtered."""
    return [
        Instance("loglikelihood", {}, (PROMPTS[item], f" so {'it is ' * item}x"), 0, metadata=("t", item, 1))
        for item in range(count)
    ]


@pytest.mark.parametrize("mode", ["dt_thre", "bound"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_row_and_its_record_do_not_depend_on_the_batch(kind: str, mode: str, make: Make) -> None:
    """Rows are of unequal length and leave one after the other; generated tokens are filtered, too, where they can."""
    config = LongMambaConfig(clamp=0.0, channels="all", mode=mode, decode_filter=True)  # type: ignore[arg-type]
    together = generated(make(kind, config), list(range(7)))
    alone: dict[int, Any] = {}
    for item in range(7):
        alone |= generated(make(kind, config, batch_size=1), [item])
    assert together == alone
    assert len({numbers["tokens"] for _, numbers in together.values()}) > 1, "rows leave at different steps"
    for _, numbers in together.values():
        filtered = numbers["prompt_tokens"] >= TRAINED * 3 // 2
        assert (numbers["kept"] < 1) == filtered
        assert {"kept_0", "kept_1", "decay", "decay_0", "decay_1"} <= set(numbers)
    assert {numbers["kept"] == 1 for _, numbers in together.values()} == {True, False}


def test_filtering_changes_what_is_said_and_its_neutral_setting_nothing(make: Make) -> None:
    plain = generated(make("mamba2", PlainConfig(), PlainLM), [3])
    neutral = generated(make("mamba2", LongMambaConfig(clamp=0.0, theta=1.0)), [3])
    assert neutral[3][0] == plain[3][0]
    assert neutral[3][1] == {**plain[3][1], "kept": 1.0}
    assert generated(make("mamba2"), [3])[3][1]["response"] != plain[3][1]["response"]


@pytest.mark.parametrize("runtime", [LongMambaLM, TokenDroppingLM])
@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_likelihoods_of_a_batch_are_those_one_by_one(kind: str, runtime: Any, make: Make) -> None:
    config = ALL if runtime is LongMambaLM else TokenDroppingConfig(layers=(0,), keep=24, min_keep=4)
    lm = make(kind, config, runtime)
    together = lm.loglikelihood(likelihoods(), disable_tqdm=True)
    alone = [lm.loglikelihood([request], disable_tqdm=True)[0] for request in likelihoods()]
    assert [greedy for _, greedy in together] == [greedy for _, greedy in alone]
    assert [total for total, _ in together] == pytest.approx([total for total, _ in alone], abs=1e-9)
    assert lm.batch_size == 4
    plain = make(kind, PlainConfig(), PlainLM).loglikelihood(likelihoods(), disable_tqdm=True)
    moved = [abs(ours[0] - theirs[0]) > 1e-3 for ours, theirs in zip(together, plain, strict=True)]
    assert any(moved) and not all(moved)


def test_a_likelihood_is_that_of_the_filtered_prompt(folders: dict[str, Path], make: Make) -> None:
    """The prompt's length is that of all that passes through the model."""
    lm = make("mamba2")
    request = likelihoods()[5]
    (found,) = lm.loglikelihood([request], disable_tqdm=True)
    before, after = (pico.tokenizer().encode(text) for text in request.args)
    ids = torch.tensor([before + after])
    with torch.no_grad(), Filter(lm.model, load_tables(folders["mamba2"], 0.0, "max", lm.model.device), ALL):
        logits = lm.model(ids[:, :-1]).logits[0, -len(after) :]
    want = logits.log_softmax(-1).gather(1, torch.tensor(after)[:, None]).sum()
    assert found[0] == pytest.approx(float(want), abs=1e-9)


@pytest.mark.parametrize("runtime", [LongMambaLM, TokenDroppingLM])
def test_a_documents_sample_holds_its_rows_record(runtime: Any, make: Make) -> None:
    """Documents of one length share a pass; each has its own numbers, whatever the batch size."""
    config = ALL if runtime is LongMambaLM else TokenDroppingConfig(layers=(0,), keep=12, min_keep=4)
    docs = [{"text": text, "spans": [[8, 12, "x"], [20, len(text), "y"]]} for text in (*LINES, LINES[0][:30])]
    requests = [
        Instance("loglikelihood", doc, ("", ""), idx, metadata=("t", item, 1))
        for item, doc in enumerate(docs)
        for idx in (1, 0)
    ]
    found = {}
    for size in (1, 4):
        lm = make("mamba2", config, runtime, batch_size=size)
        found[size] = lm.loglikelihood(requests), lm.generations
    assert found[1][1] == found[4][1]
    assert [total for total, _ in found[1][0]] == pytest.approx([total for total, _ in found[4][0]], abs=1e-9)
    numbers = found[4][1]
    assert all(0 < numbers["t", item, 0]["kept"] < 1 for item in range(4))
    if runtime is LongMambaLM:
        assert len({numbers["t", item, 0]["decay"] for item in range(4)}) == 4


def test_nothing_is_left_on_the_model(make: Make) -> None:
    lm = make("mamba2")
    hooks = [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in lm.model.modules()]
    for runtime, config in ((LongMambaLM, ALL), (TokenDroppingLM, TokenDroppingConfig(layers=(0,), keep=12))):
        other = make("mamba2", config, runtime)
        generated(other, [0, 3])
        other.loglikelihood(likelihoods(2), disable_tqdm=True)
        assert hooks == [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in lm.model.modules()]


def test_prompts_are_cut_at_the_length_that_the_settings_name(make: Make) -> None:
    lm = make("mamba2", LongMambaConfig(clamp=0.0, channels="all", max_length=36))
    _, numbers = generated(lm, [3])[3]
    assert (lm.max_length, numbers["prompt_tokens"], numbers["prompt_cut"]) == (36, 6, len(PROMPTS[3]) - 6)
    assert make("mamba2").max_length > 10**6


def test_refusals(folders: dict[str, Path], make: Make) -> None:
    with pytest.raises(UserError, match=r"key 'clamp': given 0\.05, allowed: 0, 0\.25 \(those it was calibrated for\)"):
        make("mamba2", LongMambaConfig())
    with pytest.raises(UserError, match=r"^token_dropping: key 'layers': given 12, allowed: 0 to 1$"):
        make("mamba2", TokenDroppingConfig(), TokenDroppingLM)
    bare = folders["mamba2"].with_name("mamba2-parent")
    with pytest.raises(UserError, match="has no threshold tables; make them with the transform 'longmamba_calibrate'"):
        LongMambaLM(Checkpoint(bare), ALL)
