"""The calibration job: its texts, what it writes beside the weights, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
import torch

from methodbench.checkpoint import Checkpoint, digest_file
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.method import Traits
from methods.longmamba import calibration
from methods.longmamba.calibrate import calibrate, longmamba_calibrate, sequences
from methods.longmamba.config import (
    CalibrateConfig,
    LongMambaConfig,
    TokenDroppingConfig,
    calibrated_traits,
    fits_dropping,
    fits_filtering,
)
from methods.longmamba.step_sizes import StepSizes, mixers, rates
from methods.longmamba.tables import REDUCTIONS, key, load_tables
from tests import pico
from tests.methods.longmamba.models import CALIBRATION, KINDS, TRAINED, Noted, logits, model, tokens

CPU = torch.device("cpu")
LINES = [f"line {number} of a text that is long enough {number * number}" for number in range(6)]
TOKENIZER = pico.tokenizer()


def quiet() -> Log:
    return Log("test", stream=io.StringIO())


def saved(folder: Path, kind: str = "mamba2") -> Checkpoint:
    pico.model(kind).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return Checkpoint(folder)


def text(folder: Path, lines: list[str]) -> Path:
    file = folder / "text.jsonl"
    file.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), encoding="utf-8")
    return file


# -- the texts ---------------------------------------------------------------------------------------------------------


def test_stretches_of_one_long_text() -> None:
    """The i-th of M begins at floor(T i / M) + 10."""
    whole = TOKENIZER.encode("".join(LINES))
    config = CalibrateConfig(train_len=20, sequences=3)
    starts = [math.floor(len(whole) * place / 3) + 10 for place in range(3)]
    assert sequences(LINES, TOKENIZER, config, "text") == [whole[start : start + 20] for start in starts]


def test_rows_give_their_first_tokens_and_short_rows_none() -> None:
    config = CalibrateConfig(train_len=20, sequences=2, sampling="rows")
    rows = ["too short", *LINES[:3]]
    assert sequences(rows, TOKENIZER, config, "text") == [TOKENIZER.encode(line)[:20] for line in LINES[:2]]


@pytest.mark.parametrize(
    ("sampling", "train_len", "found"), [("stretches", 80, 2), ("rows", 45, 0), ("stretches", 2000, 0)]
)
def test_a_text_that_is_too_short(sampling: str, train_len: int, found: int) -> None:
    config = CalibrateConfig(train_len=train_len, sequences=3, sampling=sampling)  # type: ignore[arg-type]
    said = f"^longmamba_calibrate: text holds {found} {sampling} of {train_len} tokens, key 'sequences' wants 3$"
    with pytest.raises(UserError, match=said):
        sequences(LINES if sampling == "rows" else LINES[:4], TOKENIZER, config, "text")


# -- the tables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay_of", ["clamped", "raw"])
@pytest.mark.parametrize("kind", KINDS)
def test_tables_hold_what_the_rule_says_of_an_ordinary_pass(kind: str, decay_of: str) -> None:
    config = CalibrateConfig(train_len=TRAINED, sequences=2, clamps=(0.0, 0.25), decay_of=decay_of)  # type: ignore[arg-type]
    passages = [tokens(TRAINED, seed) for seed in range(2)]
    found = calibrate(model(kind), [passage[0].tolist() for passage in passages], config, quiet())
    seen = [Noted() for _ in passages]
    for passage, noted in zip(passages, seen, strict=True):
        with StepSizes(model(kind), noted):
            logits(model(kind), passage)
    for layer, mixer in mixers(model(kind)).items():
        for clamp in config.clamps:
            steps = [noted.prompt[layer][0].T for noted in seen]
            cut = [calibration.clamped(step, clamp) for step in steps]
            budgets = torch.stack([calibration.budget(step) for step in cut])
            decayed = cut if decay_of == "clamped" else steps
            decays = torch.stack([calibration.log_decay(step, rates(mixer)) for step in decayed])
            last = torch.stack([calibration.threshold(step, config.grid()[4])[0] for step in cut])
            for how, over in (("max", budgets.amax(0)), ("avg", budgets.mean(0))):
                assert torch.allclose(found[key(layer, clamp, how, "budgets")], over, rtol=1e-6)
            assert torch.allclose(found[key(layer, clamp, "max", "log_decay")], decays.amax(0), rtol=1e-6)
            assert torch.allclose(found[key(layer, clamp, "avg", "log_decay")].exp(), decays.exp().mean(0), rtol=1e-5)
            assert torch.allclose(found[key(layer, clamp, "avg", "thresholds")][4], last.mean(0), rtol=1e-5)
            assert found[key(layer, clamp, "max", "shares")].shape == (len(config.grid()), len(last[0]))
    assert len(found) == 2 * 2 * len(REDUCTIONS) * 4


def test_a_calibrated_checkpoint_is_its_parent_and_the_tables(tmp_path: Path) -> None:
    parent, data, out = saved(tmp_path / "parent"), text(tmp_path, LINES), tmp_path / "out"
    longmamba_calibrate([parent], {"text": data}, CALIBRATION, 0, out, quiet())
    for file in sorted(parent.path.iterdir()):
        assert digest_file(out / file.name) == digest_file(file)
    assert {file.name for file in out.iterdir()} - {file.name for file in parent.path.iterdir()} == {
        "longmamba",
        "measures.csv",
    }
    about = json.loads((out / "longmamba" / "tables.json").read_text())
    assert about["sequences"] == 3 and about["text_sha256"] == digest_file(data)
    assert about["config"]["train_len"] == TRAINED and about["grid"] == list(CALIBRATION.grid())
    read = load_tables(out, 0.25, "avg", CPU)
    assert (read.train_len, read.grid.tolist(), sorted(read.layers)) == (TRAINED, list(CALIBRATION.grid()), [0, 1])
    with (out / "measures.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4
    first = load_tables(out, 0.0, "max", CPU).layers[0]
    assert float(rows[0]["log10_decay"]) == pytest.approx(float(first.log_decay[0]) / math.log(10), rel=1e-4)
    assert float(rows[0]["budget"]) == pytest.approx(float(first.budgets[0]), rel=1e-4)


def test_reductions_and_clamps_differ(tmp_path: Path) -> None:
    out = tmp_path / "out"
    longmamba_calibrate([saved(tmp_path / "parent")], {"text": text(tmp_path, LINES)}, CALIBRATION, 0, out, quiet())
    read = {(clamp, how): load_tables(out, clamp, how, CPU).layers[0] for clamp in (0.0, 0.25) for how in REDUCTIONS}
    for clamp in (0.0, 0.25):
        assert (read[clamp, "max"].thresholds >= read[clamp, "avg"].thresholds).all()
        assert (read[clamp, "max"].log_decay >= read[clamp, "avg"].log_decay).all()
    for how in REDUCTIONS:
        assert (read[0.25, how].budgets < read[0.0, how].budgets).all()


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_model_without_step_sizes(tmp_path: Path) -> None:
    parent = saved(tmp_path / "parent", "qwen3")
    with pytest.raises(UserError, match="is no Mamba model: it has no layer with step sizes"):
        longmamba_calibrate([parent], {"text": text(tmp_path, LINES)}, CALIBRATION, 0, tmp_path / "out", quiet())
    assert not (tmp_path / "out").exists()


def test_tables_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no threshold tables; make them with the transform 'longmamba_calibrate'"):
        load_tables(tmp_path, 0.05, "max", CPU)
    out = tmp_path / "out"
    longmamba_calibrate([saved(tmp_path / "parent")], {"text": text(tmp_path, LINES)}, CALIBRATION, 0, out, quiet())
    with pytest.raises(UserError, match=r"key 'clamp': given 0.05, allowed: 0, 0.25 \(those it was calibrated for\)"):
        load_tables(out, 0.05, "max", CPU)


def test_a_clamp_that_is_no_share() -> None:
    with pytest.raises(UserError, match=r"key 'clamps': given 1\.5, allowed: shares from 0 to 1"):
        CalibrateConfig(clamps=(0.0, 1.5))


def test_what_fits_is_known_before_anything_runs() -> None:
    """The tables are a trait of what the calibration makes; dropping does without them, but not with attention."""
    for kind in KINDS:
        plain = Traits(architecture=kind)
        calibrated = calibrated_traits(CALIBRATION, (plain,))
        assert "no threshold tables" in str(fits_filtering(LongMambaConfig(), plain))
        assert fits_filtering(LongMambaConfig(), calibrated) is None
        assert (fits_dropping(TokenDroppingConfig(), plain) is None) == (kind != "zamba2")
    assert "a 'qwen3' model" in str(fits_filtering(LongMambaConfig(), Traits(architecture="qwen3")))
    assert "a 'qwen3' model" in str(fits_dropping(TokenDroppingConfig(), Traits(architecture="qwen3")))
    assert fits_dropping(TokenDroppingConfig(), Traits()) is None
