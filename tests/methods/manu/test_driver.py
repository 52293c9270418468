"""The transforms: what they write, what they refuse, and that nothing else of the parent changes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from methodbench.checkpoint import Checkpoint, digest_folder
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.measures import read_measures
from methods.manu import METHODS
from methods.manu.config import ManuConfig, ScoresConfig, settled
from methods.manu.scoring import evenly, quantiles, sets
from methods.manu.selection import budget
from tests import pico, pico_vision
from tests.methods.manu import world

BY_NAME = {method.name: method for method in METHODS}
LAYER = "model.language_model.layers"
MODES = ("paper", "code", "code_buggy", "selective_pruning")


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_vision.checkpoint(tmp_path_factory.mktemp("parent") / "model")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return world.write(tmp_path_factory.mktemp("world"))


def run(
    name: str, parent: Path, files: Mapping[str, Path], out: Path, keys: Mapping[str, Any] | None = None, seed: int = 0
) -> Path:
    method = BY_NAME[name]
    method.load()(
        parents=[Checkpoint(parent, "parent")],
        data={} if name == "prune_random" else files,
        config=parse(method.config, keys or {}, "test"),
        seed=seed,
        out=out,
        log=world.quiet(),
        **method.keywords,
    )
    return out


def mask(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "manu_mask.json").read_text(encoding="utf-8"))
    return record


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(Checkpoint(folder).load()[0].state_dict())


@pytest.mark.parametrize("mode", MODES)
def test_alpha_zero_changes_no_tensor_and_no_logit(
    mode: str, parent: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """Invariant 1, where the official code stops with an error."""
    out = run("manu", parent, files, tmp_path / "out", {"mode": mode, "alpha": 0})
    before, after = weights(parent), weights(out)
    assert before.keys() == after.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert (out / "model.safetensors").stat().st_ino == (parent / "model.safetensors").stat().st_ino
    assert mask(out)["layers"] == {} and mask(out)["groups"]["vision"]["pruned"] == 0


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_the_pruned_checkpoint_is_an_ordinary_one(kind: str, files: dict[str, Path], tmp_path: Path) -> None:
    """Invariant 14: loads as its parent does, the same config and count, as many zero units as the mask says."""
    parent = pico_vision.checkpoint(tmp_path / "parent", kind)
    untouched = digest_folder(parent)
    out = run("manu", parent, files, tmp_path / "out", {"alpha": 10})
    assert digest_folder(parent) == untouched
    before, after = weights(parent), weights(out)
    assert {name: tensor.shape for name, tensor in before.items()} == {n: t.shape for n, t in after.items()}
    for name in ("config.json", "tokenizer.json"):
        assert (out / name).read_bytes() == (parent / name).read_bytes()
    record = mask(out)
    zeros, changed = 0, set()
    for name, tensor in after.items():
        if not torch.equal(tensor, before[name]):
            changed.add(name)
            rows = tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None]
            if name.endswith(("up_proj.weight", "fc1.weight")):
                zeros += int((~rows.any(1)).sum())
    pruned = [(path, units) for path, parts in record["layers"].items() for units in parts.values()]
    assert zeros == sum(len(units) for _, units in pruned) == sum(g["pruned"] for g in record["groups"].values())
    assert {name.rsplit(".", 2)[0] for name in changed} == {path for path, _ in pruned}
    for path, units in pruned:
        assert units == sorted(units)
        last = "fc2" if f"{path}.fc2.weight" in after else "down_proj"
        assert not after[f"{path}.{last}.weight"][:, units].any()
    for group in record["groups"].values():
        assert group["pruned"] == budget(group["units"], 10)
    Checkpoint(out).check()
    assert not [file for file in out.iterdir() if file.name.startswith(".")]


def test_the_saved_model_computes_what_the_pruned_one_did(
    parent: Path, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 14: save, load, equal logits."""
    kept: list[Any] = []
    from methods.manu import driver

    whole = driver.save
    monkeypatch.setattr(driver, "save", lambda model, *rest: (kept.append(model), whole(model, *rest)))
    out = run("manu", parent, files, tmp_path / "out")
    encoder, rows = world.opened(files)
    batch = encoder.collate([encoder.encode(row) for row in rows["forget"]])
    with torch.no_grad():
        assert torch.equal(kept[0](**batch).logits, Checkpoint(out).load()[0](**batch).logits)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_repeats_itself_whatever_the_seed(
    mode: str, parent: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    first, second = (
        run("manu", parent, files, tmp_path / f"{seed}", {"mode": mode, "alpha": 5}, seed) for seed in (0, 1)
    )
    assert digest_folder(first) == digest_folder(second)
    assert mask(first)["mode"] == mode and mask(first)["groups"]["language"]["pruned"] > 0


def test_modes_choose_different_units(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    found = [
        mask(run("manu", parent, files, tmp_path / mode, {"mode": mode, "alpha": 10, "units": "hidden"}))["layers"]
        for mode in ("paper", "code", "selective_pruning")
    ]
    assert found[0] != found[1] != found[2] != found[0]


def test_the_buggy_mode_prunes_the_same_rows_of_all_its_layers_and_more_than_alpha(
    parent: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """M§2.4-4 and 2.4-8."""
    record = mask(run("manu", parent, files, tmp_path / "out", {"mode": "code_buggy", "alpha": 2}))
    by_tower: dict[bool, list[Any]] = {True: [], False: []}
    for path, units in record["layers"].items():
        by_tower["vision" in path].append(units)
    assert len(by_tower[True]) == 3 and len(by_tower[False]) == 2
    for same in by_tower.values():
        assert all(units == same[0] for units in same)
    vision = record["groups"]["vision"]
    assert vision["units"] == 3 * (64 + 32) and vision["pruned"] > budget(vision["units"], 2)


def test_masks_are_nested_and_budgets_follow_the_keys(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """Invariant 9, through the driver."""
    small, large = (mask(run("manu", parent, files, tmp_path / f"{alpha}", {"alpha": alpha})) for alpha in (3, 10))
    for path, parts in small["layers"].items():
        assert set(parts["hidden"]) <= set(large["layers"][path]["hidden"])
    per_layer = mask(run("manu", parent, files, tmp_path / "layer", {"alpha": 5, "scope": "layer"}))
    assert [len(parts["hidden"]) for parts in per_layer["layers"].values()] == [3, 3, 3, 3]
    joint = mask(run("manu", parent, files, tmp_path / "joint", {"alpha": 5, "budget": "joint"}))
    assert sum(group["pruned"] for group in joint["groups"].values()) == budget(256, 5)
    alone = mask(run("manu", parent, files, tmp_path / "alone", {"alpha": 5, "towers": ["language"]}))
    assert set(alone["groups"]) == {"language"} and all(path.startswith(LAYER) for path in alone["layers"])


def test_each_round_prunes_more(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    once, twice = (
        mask(run("manu", parent, files, tmp_path / f"{turns}", {"alpha": 5, "iterations": turns})) for turns in (1, 2)
    )
    for tower, group in once["groups"].items():
        assert twice["groups"][tower]["pruned"] == 2 * group["pruned"]
    for path, parts in once["layers"].items():
        assert set(parts["hidden"]) <= set(twice["layers"][path]["hidden"])
    assert twice["score_quantiles"] == once["score_quantiles"]


def test_the_record_says_what_decided(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    out = run("manu", parent, files, tmp_path / "out")
    record = mask(out)
    assert {"mode": "paper", "alpha": 3.0, "tau": 0.1, "epsilon": 1e-6}.items() <= record.items()
    assert set(record["data"]) == {"forget", "retain", "pictures"}
    assert record["rows"] == {"forget": 12, "retain": 24, "null_persons": 2}
    for key in ("score_quantiles", "null_quantiles"):
        for tower in ("vision", "language"):
            values = list(record[key][tower].values())
            assert values == sorted(values) and all(map(math.isfinite, values)) and len(values) == 7
    table = read_measures(out / "measures.csv")
    assert table.words("tower", "test") == ["vision", "vision", "language", "language"]
    assert sum(table.numbers("pruned", "test")) == sum(group["pruned"] for group in record["groups"].values())
    assert all(0.99 < value <= 1 for value in table.numbers("i_rms", "test")[:2]), "vision, see invariant 11"
    seen, told = (table.numbers(f"{tower}_share", "test") for tower in ("vision", "language"))
    assert [*seen[:2], *told[2:]] == table.numbers("share", "test") and all(map(math.isnan, (*seen[2:], *told[:2])))


def test_scores_of_every_unit_and_the_weights_stay(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    out = run("manu_scores", parent, files, tmp_path / "out")
    assert (out / "model.safetensors").stat().st_ino == (parent / "model.safetensors").stat().st_ino
    table = read_measures(out / "measures.csv")
    scores, nulls = table.numbers("score", "test"), table.numbers("null_score", "test")
    assert len(scores) == 4 * 64 and all(map(math.isfinite, (*scores, *nulls)))
    assert table.words("unit", "test")[:64] == [str(unit) for unit in range(64)]
    pruned = mask(run("manu", parent, files, tmp_path / "pruned", {"alpha": 5}))
    vision = [score for score, tower in zip(scores, table.words("tower", "test"), strict=True) if tower == "vision"]
    limit = sorted(vision)[-budget(128, 5)]
    first = sum(len(parts["hidden"]) for path, parts in pruned["layers"].items() if "vision" in path)
    assert sum(score >= limit for score in vision) == first
    other = run("manu_scores", parent, files, tmp_path / "other", {"null_seed": 3})
    again = read_measures(other / "measures.csv")
    assert again.numbers("score", "test") == pytest.approx(scores, rel=1e-5)
    assert again.numbers("null_score", "test") != pytest.approx(nulls, rel=1e-2)


def test_the_null_is_the_score_of_its_persons(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """Made by hand: the drawn retain persons are the forget set, the others the retain set."""
    config = ScoresConfig()
    _, rows = world.opened(files)
    chosen = sets(rows["forget"], rows["retain"], config, settled(config), "test")
    assert len(chosen.drawn) == 2 and chosen.drawn < set(world.RETAIN)
    entries = world.rows(world.RETAIN)
    by_hand = dict(files)
    for name, keep in (("forget", True), ("retain", False)):
        by_hand[name] = tmp_path / f"{name}.jsonl"
        lines = [json.dumps(row) for row in entries if (row["person"] in chosen.drawn) == keep]
        by_hand[name].write_text("\n".join(lines) + "\n", encoding="utf-8")
    null = read_measures(run("manu_scores", parent, files, tmp_path / "null") / "measures.csv")
    real = read_measures(run("manu_scores", parent, by_hand, tmp_path / "real") / "measures.csv")
    assert null.numbers("null_score", "test") == pytest.approx(real.numbers("score", "test"), rel=1e-4)


def test_random_pruning_prunes_as_many_and_follows_the_seed(
    parent: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    first, again, other = (
        run("prune_random", parent, files, tmp_path / name, {"alpha": 10}, seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert digest_folder(first) == digest_folder(again)
    assert mask(first)["layers"] != mask(other)["layers"]
    pruned = mask(run("manu", parent, files, tmp_path / "manu", {"alpha": 10}))
    assert mask(first)["groups"] == mask(other)["groups"] == pruned["groups"]
    smaller = mask(run("prune_random", parent, files, tmp_path / "d", {"alpha": 5}))
    for path, parts in smaller["layers"].items():
        assert set(parts["hidden"]) <= set(mask(first)["layers"][path]["hidden"])
    neutral = run("prune_random", parent, files, tmp_path / "e", {"alpha": 0})
    assert (neutral / "model.safetensors").stat().st_ino == (parent / "model.safetensors").stat().st_ino


def test_weights_split_over_files_leave_no_old_ones(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    split = tmp_path / "split"
    pico_vision.model().save_pretrained(split, max_shard_size="60KB")
    pico_vision.processor().save_pretrained(split)
    assert len(list(split.glob("*.safetensors"))) > 1
    out = run("manu", split, files, tmp_path / "out")
    whole = run("manu", parent, files, tmp_path / "whole")
    assert [file.name for file in out.glob("*.safetensors*")] == ["model.safetensors"]
    first, second = load_file(out / "model.safetensors"), load_file(whole / "model.safetensors")
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_quantised_weights_are_refused(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "quantised"
    folder.mkdir()
    for file in parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes"}})
    (folder / "config.json").write_text(text, encoding="utf-8")
    for name in ("manu", "manu_scores", "prune_random"):
        with pytest.raises(UserError, match="quantised weights cannot be pruned"):
            run(name, folder, files, tmp_path / name)


def test_a_text_model_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    pico.model("llama").save_pretrained(tmp_path / "text")
    pico.tokenizer().save_pretrained(tmp_path / "text")
    with pytest.raises(UserError, match="is no image-text model"):
        run("manu", tmp_path / "text", files, tmp_path / "out")


def test_rows_that_do_not_fit_are_refused(parent: Path, files: dict[str, Path], tmp_path: Path) -> None:
    same = {**files, "retain": files["forget"]}
    with pytest.raises(UserError, match=r"person 'p0' stands in both"):
        run("manu", parent, same, tmp_path / "a")
    images = tmp_path / "images.jsonl"
    images.write_text(
        "".join(json.dumps(row) + "\n" for row in world.rows(world.FORGET) if row["mode"] == "image"), encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"both need rows of mode 'text'; given 0 and 12"):
        run("manu", parent, {**files, "forget": images}, tmp_path / "b")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"towers": ["vision", "vision"]}, "may stand there once"),
        ({"weights": {"abs": 0, "freq": 0, "var": 0, "rms": 0}}, "all four are 0"),
        ({"mode": "code_buggy", "units": "hidden"}, "code_buggy measures rows"),
        ({"alpha": 101}, "alpha"),
        ({"mode": "papers"}, "mode"),
    ],
)
def test_settings_that_mean_nothing_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(ManuConfig, keys, "test")


# -- rows --------------------------------------------------------------------------------------------------------------


def test_how_many_rows_are_measured(files: dict[str, Path]) -> None:
    _, rows = world.opened(files)

    def measured(**keys: object) -> tuple[int, int]:
        config = parse(ScoresConfig, keys, "test")
        chosen = sets(rows["forget"], rows["retain"], config, settled(config), "test")
        return len(chosen.forget), len(chosen.retain)

    assert measured() == (12, 24)
    assert measured(mode="code") == (12, 12)
    assert measured(mode="code", retain_items="all") == (12, 24)
    assert measured(items=2) == (4, 4)
    assert evenly(rows["retain"], 3) == [rows["retain"][place] for place in (0, 8, 16)]


def test_a_mode_s_own_settings_and_the_config_s() -> None:
    code = settled(ScoresConfig(mode="code"))
    assert (code.units, code.epsilon, code.weights, code.clamp) == ("rows", 1e-5, (2.0, 0.0, 2.0, 2.0), 1000.0)
    assert settled(ScoresConfig(mode="code", epsilon=1e-3, units="hidden")).epsilon == 1e-3
    assert settled(ScoresConfig()).retain_items == "all"


def test_quantiles_are_values_that_occur() -> None:
    found = quantiles([torch.arange(60.0), torch.arange(60.0, 101.0)])
    assert list(found.values()) == [1, 5, 25, 50, 75, 95, 99]
