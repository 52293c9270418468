"""What every merge of folders keeps: exact ends, nothing moved without need, the same bytes however it is cut up."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from methodbench.merging import merge
from methodbench.merging.config import MergeConfig
from methodbench.merging.folders import SIZES
from methodbench.merging.masks import Mask
from methodbench.merging.preflight import Planned
from methodbench.merging.streaming import header, shards
from tests import pico
from tests.merging.folders import BASE, OTHER, TUNED, Tensors, content, merged, near, read, same, tensors, write

OPERATORS: list[dict[str, Any]] = [
    {"operator": "linear"},
    {"operator": "task_arithmetic", "scale": 0.7},
    {"operator": "dare_linear", "drop": 0.2},
    {"operator": "ties", "density": 0.3},
    {"operator": "ties", "density": 0.3, "trim": "global"},
    {"operator": "dare_ties", "drop": 0.5},
    {"operator": "slerp"},
]
FAR = tensors(3, scale=1.0)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base", BASE)


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    return write(tmp_path / "tuned", TUNED)


# -- 1, 2, 8, 9: ends and equalities -----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [TUNED, FAR], ids=["near", "far"])
@pytest.mark.parametrize(
    ("settings", "end"),
    [
        ({"weights": (0.0,)}, "base"),
        ({"weights": (1.0,)}, "tuned"),
        ({"operator": "task_arithmetic", "weights": (1.0,)}, "tuned"),
        ({"operator": "dare_linear", "weights": (1.0,)}, "tuned"),
        ({"operator": "dare_linear", "weights": (0.5,), "drop": 1.0}, "base"),
        ({"operator": "dare_ties", "weights": (0.5,), "drop": 1.0}, "base"),
        ({"operator": "ties", "weights": (1.0,)}, "tuned"),
        ({"operator": "slerp", "weights": (0.0,)}, "base"),
        ({"operator": "slerp", "weights": (1.0,)}, "tuned"),
    ],
)
def test_the_ends_are_the_parents(settings: dict[str, Any], end: str, weights: Tensors, tmp_path: Path) -> None:
    parents = [write(tmp_path / "tuned", weights), write(tmp_path / "base", BASE)]
    assert same(merged(tmp_path / "out", *parents, **settings), {"base": BASE, "tuned": weights}[end])


@pytest.mark.parametrize("weight", [0.1, 0.3, 0.5, 0.9, 1.7])
def test_without_dropping_dare_is_the_average(weight: float, tuned: Path, base: Path, tmp_path: Path) -> None:
    average = merged(tmp_path / "linear", tuned, base, weights=(weight,))
    for operator in ("dare_linear", "task_arithmetic"):
        assert same(merged(tmp_path / operator, tuned, base, operator=operator, weights=(weight,)), average)
    expected = {name: (weight * TUNED[name].double() + (1 - weight) * BASE[name].double()).float() for name in BASE}
    assert same(average, expected)


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.875])
def test_an_average_does_not_care_for_the_order(weight: float, tuned: Path, base: Path, tmp_path: Path) -> None:
    one = merged(tmp_path / "one", tuned, base, weights=(weight,))
    assert same(one, merged(tmp_path / "other", base, tuned, weights=(1 - weight,)))


# -- 3: nothing moves without need -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", OPERATORS, ids=lambda settings: "-".join(map(str, settings.values())))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_equal_parents_stay(settings: dict[str, Any], dtype: torch.dtype, tmp_path: Path) -> None:
    weights = tensors(5, dtype)
    parents = [write(tmp_path / name, weights) for name in ("a", "b")]
    for weight in (0.1, 0.3, 0.7):
        found = merged(tmp_path / f"out{weight}", *parents, **settings, weights=(weight,))
        assert same(found, weights) and list(found) == list(read(parents[0]))


def test_equal_parents_of_float64_stay_but_for_the_last_digit(tmp_path: Path) -> None:
    weights = {name: tensor.double() / 3 for name, tensor in BASE.items()}
    parents = [write(tmp_path / name, weights) for name in ("a", "b")]
    found = merged(tmp_path / "out", *parents, weights=(0.3,))
    for name, tensor in weights.items():
        assert found[name].dtype == torch.float64
        torch.testing.assert_close(found[name], tensor, rtol=2**-51, atol=0)


# -- 4, 5: DARE --------------------------------------------------------------------------------------------------------


def test_dare_keeps_what_its_mask_says(tuned: Path, base: Path, tmp_path: Path) -> None:
    found = merged(tmp_path / "out", tuned, base, operator="dare_linear", drop=0.2, round=3, seed=7)
    for name, tensor in BASE.items():
        kept = Mask(f"dare|7|3|0|{name}", 0.2).next(tensor.numel()).view(tensor.shape)
        delta = TUNED[name].double() - tensor.double()
        expected = torch.where(kept, tensor.double() + delta * 0.5 / 0.8, tensor.double()).float()
        assert torch.equal(found[name], expected)
        assert torch.equal(found[name][delta == 0], tensor[delta == 0])
    totals = json.loads((tmp_path / "out" / "merge.json").read_text())["totals"]
    sigma = math.sqrt(0.2 * 0.8 / totals["entries"])
    assert abs(totals["models"][0]["kept"] - 0.8) < 5 * sigma


def test_dare_of_two_models_is_the_sum_of_their_kept_deltas(tuned: Path, base: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", OTHER)
    settings = {"operator": "dare_linear", "drop": 0.5, "rescale": "none", "weights": (0.25, 0.5), "scale": 2.0}
    found = merged(tmp_path / "out", tuned, other, base, **settings, mask_seed="constant")
    for name, tensor in BASE.items():
        total = torch.zeros_like(tensor, dtype=torch.float64)
        for place, (model, weight) in enumerate([(TUNED, 0.25), (OTHER, 0.5)]):
            kept = Mask(f"dare|0|constant|{place}|{name}", 0.5).next(tensor.numel()).view(tensor.shape)
            total += (model[name].double() - tensor.double()) * weight * kept
        assert torch.equal(found[name], (tensor.double() + 2 * total).float())


def test_dare_is_unbiased(tuned: Path, base: Path, tmp_path: Path) -> None:
    """z-scores of the mean over seeds: within 5 everywhere, spread as they should be."""
    seeds, name = 120, "model.layers.0.mlp.up_proj.weight"
    draws = torch.stack(
        [
            merged(tmp_path / f"s{seed}", tuned, base, operator="dare_linear", drop=0.2, seed=seed)[name]
            for seed in range(seeds)
        ]
    ).double()
    delta = (TUNED[name].double() - BASE[name].double()) * 0.5
    moved = delta != 0
    error = (draws - BASE[name].double()).mean(0) - delta
    scores = (error / (delta.abs() * math.sqrt(0.2 / (0.8 * seeds))))[moved]
    assert float(scores.abs().max()) < 5
    assert 0.85 < float(scores.std()) < 1.15


def test_rounds_and_seeds_have_masks_of_their_own(tuned: Path, base: Path, tmp_path: Path) -> None:
    def dare(name: str, **settings: Any) -> Tensors:
        return merged(tmp_path / name, tuned, base, operator="dare_linear", drop=0.5, **settings)

    first = dare("first")
    assert same(first, dare("again"))
    assert not same(first, dare("round", round=2))
    assert not same(first, dare("seed", seed=1))
    assert same(dare("constant1", mask_seed="constant"), dare("constant2", mask_seed="constant", round=2))


# -- 6: however it is cut up -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", OPERATORS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_pieces_and_files_change_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    names = list(BASE)
    turned = {name: TUNED[name] for name in reversed(names)}
    parents = [write(tmp_path / "tuned", TUNED), write(tmp_path / "base", BASE)]
    if settings["operator"] not in ("linear", "slerp"):
        parents.insert(0, write(tmp_path / "other", OTHER))
    whole = merged(tmp_path / "whole", *parents, **settings)
    report = json.loads((tmp_path / "whole" / "merge.json").read_text())
    for chunk, shard in ((1, 10**9), (7, 1000), (64, 2500), (10**5, 1)):
        out = tmp_path / f"c{chunk}"
        found = merged(out, *parents, **settings, chunk=chunk, shard_size=shard)
        assert same(found, whole)
        again = json.loads((out / "merge.json").read_text())
        again["settings"]["shard_size"] = report["settings"]["shard_size"]
        assert again == report
    assert same(
        merged(tmp_path / "o", write(tmp_path / "t", turned), *parents[-1:]),
        merged(tmp_path / "p", tmp_path / "tuned", *parents[-1:]),
    )


@pytest.mark.parametrize("settings", OPERATORS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_threads_change_nothing_and_are_given_back(settings: dict[str, Any], tmp_path: Path) -> None:
    """Pieces so large that torch would share them out."""
    weights = [{"w": torch.randn(10**5, generator=torch.Generator().manual_seed(seed))} for seed in range(2)]
    parents = [write(tmp_path / str(seed), tensor) for seed, tensor in enumerate(weights)]
    one = merged(tmp_path / "one", *parents, **settings, chunk=10**5)
    torch.set_num_threads(2)
    try:
        assert same(merged(tmp_path / "two", *parents, **settings, chunk=10**5), one)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_files_hold_what_the_index_says(tuned: Path, base: Path, tmp_path: Path) -> None:
    merged(tmp_path / "out", tuned, base, shard_size=1500)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    files = sorted(file.name for file in (tmp_path / "out").glob("*.safetensors"))
    assert files == [f"model-0000{n}-of-0000{len(files)}.safetensors" for n in range(1, len(files) + 1)]
    assert len(files) > 2 and set(index["weight_map"].values()) == set(files)
    assert index["weight_map"].keys() == BASE.keys()
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in BASE.values())
    assert all((tmp_path / "out" / file).stat().st_size < 1500 + 1000 for file in files)


def test_tensors_begin_at_a_multiple_of_their_width() -> None:
    """Otherwise a reader cannot take the bytes as they lie there."""
    order = [("a", "BF16"), ("b", "F64"), ("c", "BOOL"), ("d", "F32")]
    ((_, group),) = shards([Planned(name, dtype, (3,), (), ()) for name, dtype in order], 10**9).items()
    text = header(group)
    assert len(text) % 8 == 0
    for entry in (entry for name, entry in json.loads(text[8:]).items() if name != "__metadata__"):
        assert entry["data_offsets"][0] % SIZES[entry["dtype"]] == 0


def test_a_merge_of_shards_equals_one_of_whole_files(tuned: Path, base: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    merged(shards, tuned, tuned, weights=(1.0,), shard_size=1500)
    one, other = (merged(tmp_path / name, parent, base) for name, parent in (("a", shards), ("b", tuned)))
    assert same(one, other)
    hashes = [json.loads((tmp_path / name / "merge.json").read_text())["parents"][0]["sha256"] for name in "ab"]
    assert hashes[0] == hashes[1]  # over tensors, not files


# -- types, buffers, tied embeddings -----------------------------------------------------------------------------------


def test_the_written_type_is_the_bases_or_the_one_asked_for(base: Path, tmp_path: Path) -> None:
    coarse = {name: tensor.bfloat16() for name, tensor in TUNED.items()}
    half = write(tmp_path / "half", coarse, torch_dtype="bfloat16")  # as older transformers wrote it
    assert {tensor.dtype for tensor in merged(tmp_path / "a", half, base).values()} == {torch.float32}
    assert {tensor.dtype for tensor in merged(tmp_path / "b", base, half).values()} == {torch.bfloat16}
    assert content(tmp_path / "b")["config.json"] == content(half)["config.json"]
    merged(tmp_path / "d", base, half, dtype="float32")
    told = json.loads((tmp_path / "d" / "config.json").read_text())
    assert told["dtype"] == "float32" and "torch_dtype" not in told
    assert {tensor.dtype for tensor in merged(tmp_path / "c", base, half, dtype="float16").values()} == {torch.float16}
    assert json.loads((tmp_path / "c" / "config.json").read_text())["dtype"] == "float16"


def test_small_steps_are_lost_in_bfloat16_and_the_report_says_so(base: Path, tmp_path: Path) -> None:
    tiny = write(tmp_path / "tiny", near(BASE, 4, scale=1e-5))
    merge([tiny, base], tmp_path / "out", MergeConfig(weights=(1.0,), dtype="bfloat16"), 0)
    coarse = write(tmp_path / "coarse", {name: tensor.bfloat16().float() for name, tensor in BASE.items()})
    moved = write(tmp_path / "moved", near(read(coarse), 4, scale=1e-5))
    report = merge([moved, coarse], tmp_path / "out2", MergeConfig(weights=(1.0,), dtype="bfloat16"), 0)
    assert 0.8 < report["totals"]["cast_to_base"] < 0.95  # the sheet's 88.4 %
    assert 0.8 < report["totals"]["cast_error"] < 1.0  # and 90 %
    exact = merge([moved, coarse], tmp_path / "out3", MergeConfig(weights=(1.0,)), 0)["totals"]
    assert exact["cast_error"] == 0 and exact["cast_to_base"] == 0


def test_the_report_measures_the_deltas(tuned: Path, base: Path, tmp_path: Path) -> None:
    report = merge([tuned, base], tmp_path / "out", MergeConfig(weights=(0.25,)), 0)
    deltas = {name: TUNED[name].double() - BASE[name].double() for name in BASE}
    for name, delta in deltas.items():
        row = report["tensors"][name]["models"][0]
        assert row["norm"] == pytest.approx(float(delta.norm()), rel=1e-5)
        assert row["largest"] == pytest.approx(float(delta.abs().max()), rel=1e-5)
        assert row["changed"] == pytest.approx(float((delta != 0).double().mean()), rel=1e-5)
    total = math.sqrt(sum(float(delta.square().sum()) for delta in deltas.values()))
    assert report["totals"]["models"][0]["norm"] == pytest.approx(total, rel=1e-5)
    assert report["totals"]["merged"]["norm"] == pytest.approx(total / 4, rel=1e-3)  # float32 rounds the sum
    assert report["totals"]["entries"] == sum(tensor.numel() for tensor in BASE.values())
    assert report == json.loads((tmp_path / "out" / "merge.json").read_text())


def test_integers_empty_tensors_and_scalars(tmp_path: Path) -> None:
    odd = {
        "odd": torch.tensor([1.5, 2.5, 3.5]).bfloat16(),
        "positions": torch.arange(5),
        "mask": torch.tensor([True, False]),
        "nothing": torch.zeros(0, 4),
        "one": torch.tensor(2.0),
    }
    parents = [write(tmp_path / "a", odd), write(tmp_path / "b", odd | {"one": torch.tensor(4.0)})]
    found = merged(tmp_path / "out", *parents)
    assert same(found, odd | {"one": torch.tensor(3.0)})
    report = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert report["copied"] == ["mask", "positions"] and "nothing" not in report["tensors"]


def test_only_what_is_true_of_the_result_is_copied(tuned: Path, base: Path, tmp_path: Path) -> None:
    for name in (
        "checkpoint.json",
        "curves.jsonl",
        "measures.csv",
        "rationales.jsonl",
        "training_args.bin",
        "model.py",
    ):
        (tuned / name).write_text("{}")
    for folder in (tuned, base):
        (folder / "generation_config.json").write_text(json.dumps({"of": folder.name}))
    (tuned / "chat_template.jinja").write_text("{{ messages }}")
    merged(tmp_path / "out", tuned, base)
    assert set(content(tmp_path / "out")) == {
        *("chat_template.jinja", "config.json", "generation_config.json", "merge.json", "model.safetensors"),
        "tokenizer.json",
    }
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()) == {"of": "tuned"}
    merged(tmp_path / "last", tuned, base, tokenizer_from="last")
    assert json.loads((tmp_path / "last" / "generation_config.json").read_text()) == {"of": "base"}
    assert not (tmp_path / "last" / "chat_template.jinja").exists()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "zamba2"])  # gpt2 and zamba2 tie their embeddings
def test_the_saved_model_is_the_model_merged_in_memory(kind: str, tmp_path: Path) -> None:
    one, other = pico.model(kind, seed=1), pico.model(kind, seed=2)
    for name, model in (("one", one), ("other", other)):
        model.save_pretrained(tmp_path / name)
    found = merged(tmp_path / "out", tmp_path / "one", tmp_path / "other", weights=(0.25,))
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert found.keys() == read(tmp_path / "one").keys()
    if one.config.tie_word_embeddings:
        assert "lm_head.weight" not in found
    with torch.no_grad():
        for weight, beside in zip(one.parameters(), other.parameters(), strict=True):
            weight.copy_(0.25 * weight.double() + 0.75 * beside.double())
    ids = torch.tensor([[5, 9, 14, 8, 60, 21]])
    with torch.inference_mode():
        assert torch.equal(loaded.eval()(ids).logits, one(ids).logits)


TIED = {name: tensor for name, tensor in BASE.items() if name != "lm_head.weight"}
COPY = TIED | {"lm_head.weight": TIED["model.embed_tokens.weight"].clone()}


def test_a_copy_of_a_tied_embedding_is_left_out(tmp_path: Path) -> None:
    parents = [
        write(tmp_path / "copy", COPY, tie_word_embeddings=True),
        write(tmp_path / "tied", TIED, tie_word_embeddings=True),
    ]
    for order in (parents, parents[::-1]):
        out = tmp_path / order[0].name[::-1]
        report = merge(order, out, MergeConfig(), 0)
        assert same(read(out), TIED) and json.loads((out / "config.json").read_text())["tie_word_embeddings"]
        assert "'lm_head.weight' is left out" in report["warnings"][0] and len(report["warnings"]) == 1
        assert report["parents"][0]["sha256"] == report["parents"][1]["sha256"]  # the same model, however saved


@pytest.mark.parametrize("tie", [True, False])
def test_an_untied_parent_makes_the_result_untied(tie: bool, tmp_path: Path) -> None:
    """Untied by its config or, whatever that says, by holding an output layer that is not the embedding."""
    untied = write(tmp_path / "untied", TUNED, tie_word_embeddings=tie)
    tied = write(tmp_path / "tied", TIED, tie_word_embeddings=True)
    for place, parents in enumerate(([untied, tied], [tied, untied])):
        out = tmp_path / f"out{place}"
        report = merge(parents, out, MergeConfig(), 0)
        embedding = TIED["model.embed_tokens.weight"]
        expected = (0.5 * TUNED["lm_head.weight"].double() + 0.5 * embedding.double()).float()
        assert torch.equal(read(out)["lm_head.weight"], expected)
        assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
        assert "merged apart" in report["warnings"][0]
        alone = merge([tied, tied], tmp_path / f"alone{place}", MergeConfig(), 0)
        assert alone["parents"][0]["sha256"] == report["parents"][1 - place]["sha256"]  # an alias is not counted
