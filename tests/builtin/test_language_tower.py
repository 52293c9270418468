"""The language model of an image-text model, taken out and put back, and others in its place."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel

from methodbench.builtin.language_tower import agree, put_language_model, take_language_model
from methodbench.builtin.language_tower_config import LanguageTowerConfig, put_traits, take_traits
from methodbench.checkpoint import Checkpoint, digest_file
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.method import Traits
from tests import pico, pico_vision
from tests.builtin.picture_rows import weights

CONFIG = LanguageTowerConfig()
TEXT = "what is this?"
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "head_dim": 8,
}
SHAPE |= {"num_key_value_heads": 1, "initializer_range": 0.4, "max_position_embeddings": 256, "pad_token_id": 0}
SHAPE |= {"bos_token_id": None, "eos_token_id": 1}


def take(parent: Path, out: Path) -> Path:
    take_language_model([Checkpoint(parent)], {}, CONFIG, 0, out, Log("test", stream=io.StringIO()))
    return out


def put(language: Path, pictures: Path, out: Path) -> Path:
    log = Log("test", stream=io.StringIO())
    put_language_model([Checkpoint(language), Checkpoint(pictures)], {}, CONFIG, 0, out, log)
    return out


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def llava(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return saved_llava(tmp_path / "llava", tied=request.param)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return pico_vision.checkpoint(tmp_path / "llava")


def saved_llava(folder: Path, tied: bool = False, dtype: torch.dtype = torch.float32) -> Path:
    """With generation settings that are no defaults."""
    model: Any = pico_vision.model()
    if tied:
        settings = model.config
        settings.tie_word_embeddings = settings.text_config.tie_word_embeddings = True
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = type(model)(settings)
    model.generation_config.max_new_tokens = 7
    model.to(dtype).save_pretrained(folder)
    pico_vision.processor().save_pretrained(folder)
    return folder


def language(folder: Path, kind: str = "llama", dtype: torch.dtype = torch.float32, **shape: Any) -> Path:
    """A random language model of other layers, heads and neurons, with LLaVA's tokens."""
    words = pico_vision.tokenizer()
    config = {**SHAPE, "vocab_size": len(words), **shape}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config))
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(value)
    model.to(dtype).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def whole(kind: Any, folder: Path) -> PreTrainedModel:
    """Opened by transformers alone; every weight has its place and every place its weight."""
    model, found = kind.from_pretrained(folder, output_loading_info=True)
    assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    opened: PreTrainedModel = model.eval()
    return opened


@torch.inference_mode()
def said(folder: Path, pictures: bool, text: str = TEXT) -> Tensor:
    """Logits of a text, behind a picture if one is to be shown."""
    checkpoint = Checkpoint(folder)
    model, words = checkpoint.load()
    if not checkpoint.image_text:
        return Tensor(model(**words(text, return_tensors="pt")).logits)
    shown = {"text": [f"<image>{text}"], "images": [[pico_vision.picture()]]} if pictures else {"text": [text]}
    return Tensor(model(**words(**shown, return_tensors="pt")).logits)


def others(folder: Path) -> dict[str, Tensor]:
    """Weights of vision tower and projector."""
    return {name: value for name, value in weights(folder).items() if "language" not in name and "lm_head" not in name}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


# -- the laws ----------------------------------------------------------------------------------------------------------


def test_taken_out_and_put_back_nothing_has_changed(llava: Path, tmp_path: Path) -> None:
    back = put(take(llava, tmp_path / "taken"), llava, tmp_path / "back")
    assert equal(weights(back), weights(llava))
    for pictures in (True, False):
        assert torch.equal(said(back, pictures), said(llava, pictures))
    whole(AutoModelForImageTextToText, back)
    for name in ("processor_config.json", "tokenizer.json", "generation_config.json"):
        assert digest_file(back / name) == digest_file(llava / name), name
    assert {file.name for file in back.iterdir()} == {file.name for file in llava.iterdir()}


def test_the_language_model_alone_says_what_it_says_inside(llava: Path, tmp_path: Path) -> None:
    taken = take(llava, tmp_path / "taken")
    model = whole(AutoModelForCausalLM, taken)
    tied = Checkpoint(llava).load()[0].config.text_config.tie_word_embeddings
    assert (model.config.model_type, model.config.tie_word_embeddings) == ("llama", tied)
    assert ("lm_head.weight" in weights(taken)) != tied
    assert torch.equal(said(taken, pictures=False), said(llava, pictures=False))
    assert model.generation_config is not None and model.generation_config.max_new_tokens == 7


def test_its_tokenizer_comes_along_and_the_processor_does_not(plain: Path, tmp_path: Path) -> None:
    taken = take(plain, tmp_path / "taken")
    assert not Checkpoint(taken).image_text and not list(taken.glob("*processor*"))
    assert "processor_class" not in json.loads((taken / "tokenizer_config.json").read_text())
    assert AutoTokenizer.from_pretrained(taken).get_vocab() == pico_vision.tokenizer().get_vocab()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True}),
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("mistral", {"sliding_window": 8}),
        ("qwen3", {}),
        ("seed_oss", {"attention_bias": True, "attention_out_bias": True, "mlp_bias": True}),
    ],
)
def test_another_language_model_says_the_same_inside(
    kind: str, shape: dict[str, Any], plain: Path, tmp_path: Path
) -> None:
    cut = language(tmp_path / "cut", kind, **shape)
    made = put(cut, plain, tmp_path / "made")
    model: Any = whole(AutoModelForImageTextToText, made)
    settings = model.config.text_config
    assert (settings.model_type, settings.num_hidden_layers, settings.head_dim) == (kind, 1, 8)
    assert torch.equal(said(made, pictures=False), said(cut, pictures=False))
    assert equal(others(made), others(plain))
    assert not torch.equal(said(made, pictures=True), said(plain, pictures=True))
    assert equal(weights(take(made, tmp_path / "again")), weights(cut))


def test_a_tied_one_goes_into_an_untied_one_and_back(tmp_path: Path) -> None:
    tied, untied = saved_llava(tmp_path / "tied", tied=True), saved_llava(tmp_path / "untied")
    for name, first, second in (("a", tied, untied), ("b", untied, tied)):
        made = put(take(first, tmp_path / f"of_{name}"), second, tmp_path / name)
        whole(AutoModelForImageTextToText, made)
        assert torch.equal(said(made, pictures=False), said(first, pictures=False))
        assert equal(others(made), others(second))


def test_half_precision_stays(tmp_path: Path) -> None:
    llava = saved_llava(tmp_path / "llava", dtype=torch.bfloat16)
    taken = take(llava, tmp_path / "taken")
    assert {value.dtype for value in weights(taken).values()} == {torch.bfloat16}
    assert whole(AutoModelForCausalLM, taken).dtype == torch.bfloat16
    assert equal(weights(put(taken, llava, tmp_path / "back")), weights(llava))


def test_of_two_precisions_the_one_that_rounds_nothing(tmp_path: Path) -> None:
    llava = saved_llava(tmp_path / "llava", dtype=torch.bfloat16)
    cut = language(tmp_path / "cut")
    made = put(cut, llava, tmp_path / "made")
    assert equal(others(made), {name: value.float() for name, value in others(llava).items()})
    assert whole(AutoModelForImageTextToText, made).dtype == torch.float32
    assert torch.equal(said(made, pictures=False), said(cut, pictures=False))


def test_parents_stay_as_they_were(plain: Path, tmp_path: Path) -> None:
    before = {file.name: digest_file(file) for file in plain.iterdir()}
    put(take(plain, tmp_path / "taken"), plain, tmp_path / "back")
    assert {file.name: digest_file(file) for file in plain.iterdir()} == before


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("idefics2", "the model type 'idefics2' has no 'language_model' under an lm_head"),
        ("idefics3", "the model type 'idefics3' has no 'language_model' under an lm_head"),
        ("qwen2_vl", "its language model is of the type 'qwen2_vl_text', which is none by itself"),
    ],
)
def test_image_text_models_of_another_build(kind: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=text) as caught:
        take(pico_vision.checkpoint(tmp_path / kind, kind), tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "shape", "text"),
    [
        ("llama", {"hidden_size": 16}, r"cut/config\.json: key 'hidden_size': given 16, allowed: 32, as in .*llava"),
        ("llama", {"vocab_size": 200}, r"cut/config\.json: key 'vocab_size': given 200, allowed: 96"),
        ("phi", {"num_key_value_heads": 2}, r"LlavaForConditionalGeneration cannot hold .*\('phi'\)"),
        ("granite", {"logits_scaling": 4.0}, "the same weights say different things in Llava.* and GraniteForCausalLM"),
        ("mamba", {"state_size": 8}, r"LlavaForConditionalGeneration cannot hold .*\('mamba'\)"),
    ],
)
def test_language_models_that_do_not_fit(
    kind: str, shape: dict[str, Any], text: str, plain: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=text) as caught:
        put(language(tmp_path / "cut", kind, **shape), plain, tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_tower_that_does_not_take_what_it_is_handed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = pico_vision.model(), pico_vision.model(seed=1)
    agree(model, model, "here")
    with pytest.raises(UserError, match="here: the same weights say different things"):
        agree(model, other, "here")

    def refuse(**_: Any) -> None:
        raise TypeError("no\nposition_ids")

    monkeypatch.setattr(other, "forward", refuse)
    with pytest.raises(UserError, match=r"here: cannot be run in both Llava\w+ and Llava\w+: no position_ids"):
        agree(model, other, "here")


def test_tokens_with_other_ids(plain: Path, tmp_path: Path) -> None:
    cut = language(tmp_path / "cut")
    pico.tokenizer().save_pretrained(cut)
    with pytest.raises(UserError, match=r"token '<image>' has the id None, allowed: 95, as in .*llava"):
        put(cut, plain, tmp_path / "out")


def test_parents_of_the_wrong_kind(plain: Path, tmp_path: Path) -> None:
    cut = language(tmp_path / "cut")
    with pytest.raises(UserError, match=r"take_language_model: .*cut is no image-text checkpoint"):
        take(cut, tmp_path / "out")
    with pytest.raises(UserError, match=r"put_language_model: .*cut is no image-text checkpoint"):
        put(cut, cut, tmp_path / "out")
    with pytest.raises(UserError, match="is an image-text checkpoint, allowed as first parent: a language model"):
        put(plain, plain, tmp_path / "out")


def test_quantised_weights(plain: Path, tmp_path: Path) -> None:
    file = plain / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": {}}))
    with pytest.raises(UserError, match=r"config\.json: key 'quantization_config': quantised weights cannot be moved"):
        take(plain, tmp_path / "out")


def test_what_the_graph_knows() -> None:
    tokens = frozenset({"<image>"})
    llava, llama, unknown = Traits("llava", tokens, frozenset({"tables"})), Traits("llama", tokens), Traits()
    assert take_traits(CONFIG, (llava,)) == Traits(tokens=tokens)
    assert take_traits(CONFIG, (unknown,)) == unknown
    for language_model in (llama, unknown, Traits("gemma3")):
        assert put_traits(CONFIG, (language_model, llava)) == Traits("llava", tokens)
    assert put_traits(CONFIG, (llama, unknown)) == unknown
    with pytest.raises(UserError, match="take_language_model: its parent is of the type 'llama', allowed: an image"):
        take_traits(CONFIG, (llama,))
    with pytest.raises(UserError, match="put_language_model: its second parent is of the type 'llama', allowed: an im"):
        put_traits(CONFIG, (llama, llama))
    with pytest.raises(UserError, match="its first parent is of the type 'llava', allowed: a language model"):
        put_traits(CONFIG, (llava, llava))
