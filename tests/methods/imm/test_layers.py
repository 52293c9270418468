"""The layer analysis: the tuned files stay, the numbers come out otherwise computed, too, and bad input is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from methodbench.checkpoint import Checkpoint, digest_file, digest_folder
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.imm.layers import CHANGE, IMPORTANCE, correlations, decoder_blocks, imm_layers, probes, rounded, summary
from methods.imm.layers_config import LayersConfig
from tests import pico

CPU = torch.device("cpu")
ROWS = [{"prompt": f"{a}+{b}=", "completion": f"{a + b}. The answer is {a + b}"} for a, b in [(1, 2), (30, 4), (5, 66)]]
CONFIG = LayersConfig(batch_size=2, top_k=1)
WEIGHTS = "model.safetensors"


def quiet() -> Log:
    return Log("test", stream=io.StringIO())


def checkpoint(folder: Path, kind: str = "llama", seed: int = 0) -> Checkpoint:
    pico.model(kind, seed).save_pretrained(folder)
    pico.tokenizer().save_pretrained(folder)
    return Checkpoint(folder)


def edited(folder: Path, **shifts: float) -> Checkpoint:
    """The model of `checkpoint`, with a number added to all weights whose name begins with a key ("__" for a dot)."""
    made = checkpoint(folder)
    weights = load_file(folder / WEIGHTS)
    for start, shift in shifts.items():
        for name in weights:
            if name.startswith(start.replace("__", ".")):
                weights[name] += shift
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return made


def probe(folder: Path, rows: list[Any] = ROWS) -> Path:
    file = folder / "probe.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def analysed(
    folder: Path, tuned: Checkpoint, original: Checkpoint, config: LayersConfig = CONFIG, log: Log | None = None
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    imm_layers([tuned, original], {"probe": probe(folder.parent)}, config, 0, folder, log or quiet())
    with (folder / "measures.csv").open(encoding="utf-8", newline="") as file:
        table = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return table, json.loads((folder / "layers.json").read_text(encoding="utf-8"))


# -- what is written ---------------------------------------------------------------------------------------------------


def test_the_tuned_files_stay_and_the_parents_are_untouched(tmp_path: Path) -> None:
    tuned = edited(tmp_path / "tuned", model__layers__1=0.01)
    original = checkpoint(tmp_path / "original")
    for own in ("measures.csv", "layers.json", "curves.jsonl"):  # of an earlier transform
        (tuned.path / own).write_text("old", encoding="utf-8")
    (tuned.path / "deep").mkdir()
    (tuned.path / "deep" / "file.txt").write_text("kept", encoding="utf-8")
    before = [digest_folder(parent.path) for parent in (tuned, original)]
    state = torch.random.get_rng_state()
    table, report = analysed(tmp_path / "out", tuned, original)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [digest_folder(parent.path) for parent in (tuned, original)] == before
    for name in (WEIGHTS, "config.json", "tokenizer.json", "deep/file.txt"):
        assert digest_file(tmp_path / "out" / name) == digest_file(tuned.path / name)
    assert not (tmp_path / "out" / "curves.jsonl").exists()
    assert [list(row) for row in table] == [["layer", *IMPORTANCE, *CHANGE]] * 2
    assert [row["layer"] for row in table] == [0, 1]
    assert set(report["pairs"]) == set(IMPORTANCE) and all(set(row) == set(CHANGE) for row in report["pairs"].values())
    analysed(tmp_path / "again", tuned, original)
    assert digest_folder(tmp_path / "again") == digest_folder(tmp_path / "out")


def test_change_is_where_the_weights_changed(tmp_path: Path) -> None:
    shift = 2.0**-6
    tuned = edited(tmp_path / "tuned", model__layers__1__mlp__up=shift, model__embed=shift)
    original = checkpoint(tmp_path / "original")
    table, report = analysed(tmp_path / "out", tuned, original)
    weights = load_file(original.path / WEIGHTS)
    layer = {name: value.double() for name, value in weights.items() if name.startswith("model.layers.1.")}
    size = sum(value.numel() for value in layer.values())
    squares = sum(float(value.square().sum()) for value in layer.values())
    l2 = shift * (64 * 32) ** 0.5
    expected = {"change_l2": l2, "change_rel": l2 / squares**0.5, "change_abs": shift * 64 * 32 / size}
    assert {name: table[0][name] for name in CHANGE} == dict.fromkeys(CHANGE, 0)
    assert {name: table[1][name] for name in CHANGE} == pytest.approx(expected, rel=1e-5)
    kinds = {"q", "k", "v", "o", "gate", "up", "down", "input_layernorm", "post_attention_layernorm"}
    assert set(report["modules"]) == kinds
    assert report["modules"]["up"]["l2"] == pytest.approx(l2, rel=1e-5)
    assert {name for name, part in report["modules"].items() if part["l2"]} == {"up"}
    assert set(report["outside"]) == {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    assert {name for name, part in report["outside"].items() if part["abs"]} == {"model.embed_tokens.weight"}


def test_equal_parents_correlate_with_nothing(tmp_path: Path) -> None:
    said = io.StringIO()
    parent = checkpoint(tmp_path / "parent")
    table, report = analysed(tmp_path / "out", parent, parent, log=Log("test", stream=said))
    assert all(row[name] == 0 for row in table for name in CHANGE)
    assert all(pair["rho"] is None and pair["p"] is None for row in report["pairs"].values() for pair in row.values())
    assert "rho(importance_nll, change_l2) = nan" in said.getvalue()


# -- importance --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("of", ["original", "tuned"])
def test_importance_row_by_row(tmp_path: Path, kind: str, of: str) -> None:
    """Each row alone, unpadded, with the model that really lacks the block."""
    parents = [checkpoint(tmp_path / "tuned", kind, seed=1), checkpoint(tmp_path / "original", kind, seed=0)]
    config = LayersConfig(batch_size=2, of=of, top_k=1)  # type: ignore[arg-type]
    table, report = analysed(tmp_path / "out", parents[0], parents[1], config)
    seed = {"tuned": 1, "original": 0}[of]

    def nll(lm: Any) -> torch.Tensor:
        losses = []
        for source, target in encoded:
            found = lm(torch.tensor([source + target]), use_cache=False).logits[0, len(source) - 1 : -1]
            losses.append(-found.double().log_softmax(-1)[range(len(target)), target])
        return torch.cat(losses).mean()

    def lacking(layer: int) -> Any:
        lm: Any = pico.model(kind, seed)
        del lm.model.layers[layer]
        lm.config.num_hidden_layers = 1
        return lm

    encoded = [[pico.tokenizer().encode(row[key]) for key in ("prompt", "completion")] for row in ROWS]
    lm: Any = pico.model(kind, seed)
    whole = nll(lm)
    whole.backward()
    effects = [(nll(lacking(layer)) - whole).item() for layer in range(2)]
    gradients = []
    for block in lm.model.layers:
        products = torch.cat([(weight * weight.grad).flatten() for weight in block.parameters()])
        gradients.append(products.abs().mean().item())
    turned = []  # of the first block: after the last one transformers gives normalised states only
    for source, target in encoded:
        states = lm(torch.tensor([source + target]), output_hidden_states=True).hidden_states
        turned.append(1 - torch.cosine_similarity(states[0][0], states[1][0], dim=-1))
    assert [row["importance_nll"] for row in table] == pytest.approx(effects, rel=1e-4)
    assert [row["importance_grad"] for row in table] == pytest.approx(gradients, rel=1e-4)
    assert table[0]["importance_bi"] == pytest.approx(torch.cat(turned).mean().item(), rel=1e-4)
    assert report["probe"]["nll"] == pytest.approx(whole.item(), rel=1e-5)
    assert report["probe"]["rows"] == 3 and report["probe"]["accuracy"] == 0
    assert report["probe"]["tokens"] == sum(len(row["completion"]) for row in ROWS)


def test_accuracy_falls_with_the_block_that_it_needs(tmp_path: Path) -> None:
    """Completions that the model itself would write; without a block it writes others."""
    parent = checkpoint(tmp_path / "parent")
    words, lm = pico.tokenizer(), pico.model("llama")
    rows = []
    for prompt in (f"{number}+3=" for number in range(50)):
        ids = torch.tensor([words.encode(prompt)])
        with torch.no_grad():
            for _ in range(4):
                ids = torch.cat([ids, lm(ids).logits[:, -1:].argmax(-1)], dim=1)
        completion = words.decode(ids[0, len(prompt) :])
        if words.encode(completion) == ids[0, len(prompt) :].tolist():  # some tokens have no text
            rows.append({"prompt": prompt, "completion": completion})
    rows = rows[:2]
    assert len(rows) == 2
    rows.append({"prompt": "1+1=", "completion": "????"})
    imm_layers([parent, parent], {"probe": probe(tmp_path, rows)}, CONFIG, 0, tmp_path / "out", quiet())
    with (tmp_path / "out" / "measures.csv").open(encoding="utf-8", newline="") as file:
        found = [row["importance_acc"] for row in csv.DictReader(file)]
    assert json.loads((tmp_path / "out" / "layers.json").read_text())["probe"]["accuracy"] == pytest.approx(2 / 3)
    assert found == ["0.666667", "0.666667"]


@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_of_another_size_measures_the_same(tmp_path: Path, size: int) -> None:
    tuned, original = edited(tmp_path / "tuned", model__layers__0=0.01), checkpoint(tmp_path / "original")
    two, _ = analysed(tmp_path / "two", tuned, original)
    other, _ = analysed(tmp_path / "other", tuned, original, LayersConfig(batch_size=size, top_k=1))
    for one, another in zip(two, other, strict=True):
        assert one == pytest.approx(another, rel=1e-4, abs=1e-6)


# -- correlations ------------------------------------------------------------------------------------------------------


def test_twelve_pairs_and_the_line_that_tells_of_them() -> None:
    up, down = torch.arange(6.0), -torch.arange(6.0)
    columns = {name: up for name in (*IMPORTANCE, *CHANGE)} | {"importance_bi": down}
    pairs = correlations(columns, 2, 1000)
    assert pairs["importance_nll"]["change_l2"] == pytest.approx({"rho": 1, "p": 2 / 720, "overlap": 1})
    assert pairs["importance_bi"]["change_abs"] == pytest.approx({"rho": -1, "p": 2 / 720, "overlap": 0})
    assert sum(map(len, pairs.values())) == 12
    assert summary(pairs) == (
        "rho(importance_nll, change_l2) = 1.00, p 0.0028; lowest of 12: rho(importance_bi, change_l2) = -1.00, p 0.0028"
    )


def test_numbers_have_six_digits_and_nan_is_null() -> None:
    assert rounded({"a": [1], "b": {"c": 1.23456789, "d": float("nan"), "e": 7}}) == {
        "a": [1],
        "b": {"c": 1.23457, "d": None, "e": 7},
    }


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "1"}, "line 2: key 'completion': given nothing, must be a text"),
        ({"prompt": 1, "completion": "2"}, "line 2: key 'prompt': given 1, must be a text"),
        ({"prompt": "1", "completion": ""}, "line 2: key 'completion': given '', must be a text"),
    ],
)
def test_rows_that_are_no_probes(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        probes(probe(tmp_path, [ROWS[0], row]), pico.tokenizer(), CONFIG, CPU)


def test_long_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    file = probe(tmp_path, [*ROWS, {"prompt": "1" * 30, "completion": "2" * 30}])
    batches, left_out = probes(file, pico.tokenizer(), LayersConfig(max_length=40), CPU)
    assert (sum(len(batch.ids) for batch in batches), left_out) == (3, 1)
    batches, left_out = probes(file, pico.tokenizer(), LayersConfig(max_length=40, rows=2), CPU)
    assert (sum(len(batch.ids) for batch in batches), left_out) == (2, 0)
    with pytest.raises(UserError, match=r"none of 4 probe rows is within 5 tokens \('max_length'\)$"):
        probes(file, pico.tokenizer(), LayersConfig(max_length=5), CPU)


def test_parents_of_two_shapes(tmp_path: Path) -> None:
    llama, qwen = checkpoint(tmp_path / "llama"), checkpoint(tmp_path / "qwen", "qwen3")
    with pytest.raises(UserError, match=r"tensor 'model.layers.0.self_attn.k_norm.weight' is in \S+qwen alone"):
        analysed(tmp_path / "out", qwen, llama)
    cut = edited(tmp_path / "cut")
    weights = load_file(cut.path / WEIGHTS)
    weights["model.norm.weight"] = weights["model.norm.weight"][:31].clone()
    save_file(weights, cut.path / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"tensor 'model.norm.weight' is \[31\] in \S+cut, \[32\] in \S+llama"):
        analysed(tmp_path / "out", cut, llama)
    assert not (tmp_path / "out").exists()


def test_a_model_without_blocks(tmp_path: Path) -> None:
    lm: Any = pico.model("llama")
    assert decoder_blocks(lm, tmp_path)[0] == "model.layers"
    lm.config.num_hidden_layers = 5
    with pytest.raises(UserError, match="no list of 5 decoder blocks in a 'llama' model"):
        decoder_blocks(lm, tmp_path)
