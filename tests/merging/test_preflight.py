"""Parents that do not fit each other, and files that are not what they say: one sentence each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from methodbench.errors import UserError
from methodbench.merging import merge
from methodbench.merging.config import MergeConfig
from tests.merging.folders import BASE, TUNED, VOCABULARY, Tensors, merged, read, write

UP = "model.layers.0.mlp.up_proj.weight"
SHORT = {name: tensor[:20].contiguous() if tensor.shape[0] == 23 else tensor for name, tensor in TUNED.items()}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base", BASE)


def renamed(old: str, new: str) -> Tensors:
    return {new if name == old else name: tensor for name, tensor in TUNED.items()}


def refused(tmp_path: Path, *parents: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        merge(parents, tmp_path / "out", MergeConfig(**settings), 0)
    said = str(caught.value)
    assert "\n" not in said and not (tmp_path / "out").exists() and not (tmp_path / ".work").exists()
    return said.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        (
            lambda path: write(path, TUNED, model_type="qwen3"),
            "/tuned/config.json: model_type is 'qwen3', but 'llama' in /base",
        ),
        (
            lambda path: write(path, TUNED, architectures=["Other"]),
            "/tuned/config.json: architectures is ['Other'], but ['LlamaForCausalLM'] in /base",
        ),
        (
            lambda path: write(path, renamed(UP, "model.layers.0.mlp.up.weight")),
            f"/tuned: tensor '{UP}' of /base is missing; allowed: ",
        ),
        (
            lambda path: write(path, TUNED | {"extra.bias": torch.zeros(2)}),
            "/base: tensor 'extra.bias' of /tuned is missing; allowed: ",
        ),
        (
            lambda path: write(path, TUNED | {UP: torch.zeros(31, 9)}),
            f"/tuned: tensor '{UP}' has shape [31, 9], but [31, 8] in /base",
        ),
        (
            lambda path: write(path, TUNED | {UP: torch.zeros(31, 8, dtype=torch.int64)}),
            f"/tuned: tensor '{UP}' is I64, but F32 in /base",
        ),
        (
            lambda path: write(path, TUNED | {UP: torch.zeros(31, 8).to(torch.float8_e4m3fn)}),
            f"/tuned/model.safetensors: tensor '{UP}' is F8_E4M3, which cannot be merged; allowed: F64",
        ),
        (
            lambda path: write(path, TUNED, VOCABULARY | {"c": 4, "e": 2}),
            "/tuned/tokenizer.json: token 'c' has id 4, but id 2 in /base/tokenizer.json",
        ),
        (
            lambda path: write(path, TUNED, VOCABULARY | {"new": 23}),
            "/tuned/tokenizer.json: token 'new' has id 23, but no id in /base/tokenizer.json",
        ),
        (
            lambda path: write(path, SHORT, vocab_size=20),
            "/tuned: tensor 'lm_head.weight' has 20 rows, but 23 in /base; 'truncate_embeddings: true'",
        ),
        (
            lambda path: write(path, SHORT, vocab_size=21),
            "/tuned: tensor 'lm_head.weight' has shape [20, 8], but [23, 8] in /base",
        ),
        (lambda path: path, "/tuned: no such checkpoint folder"),
    ],
)
def test_parents_that_do_not_fit(tuned: Callable[[Path], Path], said: str, base: Path, tmp_path: Path) -> None:
    assert refused(tmp_path, tuned(tmp_path / "tuned"), base).startswith(said)


def test_the_nearest_name_is_told(base: Path, tmp_path: Path) -> None:
    tuned = write(tmp_path / "tuned", renamed(UP, "model.layers.0.mlp.up_prj.weight"))
    assert refused(tmp_path, tuned, base).endswith("(did you mean 'model.layers.0.mlp.up_prj.weight'?)")


def test_one_parent_is_not_enough(base: Path, tmp_path: Path) -> None:
    assert refused(tmp_path, base) == "merge: given 1 parents, allowed: two or more"


def test_what_is_not_finite_is_named(base: Path, tmp_path: Path) -> None:
    broken = write(tmp_path / "tuned", TUNED | {UP: torch.full((31, 8), float("nan"))})
    with pytest.raises(UserError, match=f"tensor '{UP}': a parent's value is not finite"):
        merge([broken, base], tmp_path / "out", MergeConfig(), 0)
    large = write(tmp_path / "large", TUNED | {UP: torch.full((31, 8), 1e6)})
    with pytest.raises(UserError, match="or the result's is beyond F16"):
        merge([large, base], tmp_path / "out", MergeConfig(dtype="float16"), 0)
    assert not (tmp_path / "out").exists() and not (tmp_path / ".work").exists()


def test_buffers_must_be_equal(tmp_path: Path) -> None:
    parents = [
        write(tmp_path / name, BASE | {"ids": torch.arange(4) + shift}) for name, shift in (("tuned", 1), ("base", 0))
    ]
    with pytest.raises(UserError, match="tuned: tensor 'ids' of I64 differs from that of"):
        merge(parents, tmp_path / "out", MergeConfig(), 0)


def test_embeddings_are_cut_when_asked(base: Path, tmp_path: Path) -> None:
    cut = {token: index for token, index in VOCABULARY.items() if index < 20}
    tuned = write(tmp_path / "tuned", SHORT, cut, vocab_size=20)
    report = merge([tuned, base], tmp_path / "out", MergeConfig(truncate_embeddings=True), 0)
    found = read(tmp_path / "out")
    for name, tensor in BASE.items():
        rows = 20 if tensor.shape[0] == 23 else tensor.shape[0]
        assert torch.equal(found[name], (0.5 * SHORT[name].double() + 0.5 * tensor[:rows].double()).float())
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == 20
    assert [warning.split(" ", 1)[1] for warning in report["warnings"]] == [
        "is cut to the 20 rows of the smallest vocabulary"
    ] * 2


def test_a_tokenizer_that_is_not_there_is_a_warning(base: Path, tmp_path: Path) -> None:
    tuned = write(tmp_path / "tuned", TUNED)
    (tuned / "tokenizer.json").unlink()
    report = merge([tuned, base], tmp_path / "out", MergeConfig(), 0)
    assert "its tokenizer cannot be compared" in report["warnings"][0]


def header(**entry: Any) -> bytes:
    """A file of one tensor, of two float32 entries unless said."""
    text = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | entry}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


def as_index(weight_map: object) -> Callable[[Path], object]:
    def put(path: Path) -> None:
        (path / "model.safetensors").rename(path / "other.safetensors")
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return put


def as_file(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def put(path: Path) -> None:
        file = path / "model.safetensors"
        file.write_bytes(change(file.read_bytes()))

    return put


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (as_file(lambda whole: (2**40).to_bytes(8, "little") + whole[8:]), "its header is said to have 1099511627776"),
        (as_file(lambda whole: b""), "its header is said to have 0 bytes, the file has 0"),
        (as_file(lambda whole: (4).to_bytes(8, "little") + b"{{{{"), "its header cannot be read"),
        (as_file(lambda whole: header(shape=[-2])), "its header cannot be read"),
        (as_file(lambda whole: header(data_offsets=[0])), "its header cannot be read"),
        (as_file(lambda whole: header(shape=[3])), "the bytes of tensor 'a' do not fit its shape or the file"),
        (as_file(lambda whole: whole[:-1]), "do not fit its shape or the file"),
        (as_index({"a": "../base/model.safetensors"}), "file '../base/model.safetensors', allowed: a .safetensors"),
        (as_index({"a": "/etc/passwd"}), "file '/etc/passwd', allowed: a .safetensors file in the same folder"),
        (as_index({"a": "x.safetensors"}), "file 'x.safetensors' is missing"),
        (as_index([]), "key 'weight_map' is missing"),
        (lambda path: (path / "config.json").write_text("{"), "config.json: cannot be read as JSON"),
        (lambda path: (path / "config.json").unlink(), "config.json is missing"),
        (lambda path: (path / "model.safetensors").rename(path / "pytorch_model.bin"), "pickled weights can run code"),
        (lambda path: (path / "model.safetensors").rename(path / "x.safetensors"), "has neither model.safetensors"),
    ],
)
def test_broken_files_are_refused(spoil: Callable[[Path], object], said: str, base: Path, tmp_path: Path) -> None:
    tuned = write(tmp_path / "tuned", TUNED)
    spoil(tuned)
    assert said in refused(tmp_path, tuned, base)


def test_vocabularies_that_are_lists_and_added_tokens(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, weights) for name, weights in (("tuned", TUNED), ("base", BASE))]
    for folder, last in zip(folders, ("x", "y"), strict=True):
        content = {"model": {"vocab": [["a", 0.0], ["b", -1.0]]}, "added_tokens": [{"id": 2, "content": last}]}
        (folder / "tokenizer.json").write_text(json.dumps(content))
    assert "token 'x' has id 2, but no id in" in refused(tmp_path, *folders)
    for folder, last in zip(folders, (0.0, 1.0), strict=True):
        content = {"model": {"vocab": [["a", last], ["b", -1.0]]}, "added_tokens": None}
        (folder / "tokenizer.json").write_text(json.dumps(content))
    merged(tmp_path / "out", *folders)  # scores are not ids
