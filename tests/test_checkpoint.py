"""Checkpoints are opened safely or refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from methodbench.architectures import EITHER, IMAGE_TEXT, misfit
from methodbench.checkpoint import Checkpoint, digest_folder
from methodbench.errors import UserError
from tests import pico_vision


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = AutoConfig.for_model("llama", vocab_size=11, intermediate_size=16, **shape)
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    return path


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint folder"):
        Checkpoint(tmp_path / "none").check()


def test_pickled_weights_are_refused_unopened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match=r"pytorch_model\.bin: pickled weights"):
        Checkpoint(tmp_path).load()


def test_no_weights_at_all(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"no \.safetensors file"):
        Checkpoint(tmp_path).check()


def test_a_broken_file_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be opened as a checkpoint") as caught:
        Checkpoint(tmp_path).load()
    assert "\n" not in str(caught.value)


def test_the_digest_sees_content_and_names_but_no_dot_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = digest_folder(tmp_path)
    (tmp_path / ".snakemake_timestamp").write_text("now")
    assert digest_folder(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest_folder(tmp_path) != before


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_an_image_text_checkpoint_comes_with_its_processor(kind: str, tmp_path: Path) -> None:
    """Also where torchvision is missing, and saved and opened once more it is the same."""
    folder = pico_vision.checkpoint(tmp_path / "first", kind)
    model, processor = Checkpoint(folder).load()
    assert Checkpoint(folder).image_text and model.config.model_type == kind
    assert type(processor).__name__ == type(pico_vision.processor(kind)).__name__
    shown = {"text": [processor.image_token], "images": [[pico_vision.picture()]], "return_tensors": "pt"}
    made = processor(**shown)
    processor.save_pretrained(tmp_path / "second")
    model.save_pretrained(tmp_path / "second")
    again = Checkpoint(tmp_path / "second").load()[1](**shown)
    assert made.keys() == again.keys() and all((made[key] == again[key]).all() for key in made)


def test_a_processor_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    pico_vision.checkpoint(tmp_path)
    (tmp_path / "processor_config.json").unlink()
    with pytest.raises(UserError, match="cannot be opened as a checkpoint") as caught:
        Checkpoint(tmp_path).load()
    assert "\n" not in str(caught.value)


def test_a_type_of_two_kinds_is_what_its_files_say(folder: Path, tmp_path: Path) -> None:
    assert not Checkpoint(folder).image_text
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3"}))
    assert not Checkpoint(tmp_path).image_text
    (tmp_path / "preprocessor_config.json").write_text("{}")
    assert Checkpoint(tmp_path).image_text
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: is no JSON"):
        _ = Checkpoint(tmp_path).image_text


def test_the_known_types_are_those_of_transformers() -> None:
    image_text, causal = set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES), set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert image_text - causal == IMAGE_TEXT and image_text & causal == EITHER


def test_runtimes_that_fit_no_checkpoint_of_a_type() -> None:
    assert misfit("llava", pictures=True) is None and misfit("qwen3", pictures=False) is None
    assert misfit(None, pictures=True) is None and misfit("gemma3", pictures=True) is None
    assert misfit("gemma3", pictures=False) is None
    assert misfit("qwen3", pictures=True) == "it shows pictures beside text, which 'qwen3' does not read"
    said = "it decodes text only, and 'llava' is an image-text model: use the runtime 'multimodal'"
    assert misfit("llava", pictures=False) == said
