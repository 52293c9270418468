"""System prompting: what the model reads, and that nothing else differs from ordinary decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from PIL import Image

from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.multimodal import MultimodalLM
from methods.manu.prompting import SystemPromptLM, instructed
from methods.manu.prompting_config import SystemPromptConfig
from tests import pico_vision

ASKED = "USER: <image>\nWho is this?\nASSISTANT:"
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {% for c in m.content %}{% if c.type == 'text' %}{{ c.text }}"
    "{% else %}<image>{% endif %}{% endfor %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_vision.checkpoint(tmp_path_factory.mktemp("parents") / "vanilla")


def prompted(folder: Path, **own: Any) -> SystemPromptLM:
    return SystemPromptLM(Checkpoint(folder), parse(SystemPromptConfig, own, "test"), batch_size=2)


def ordinary(folder: Path) -> MultimodalLM:
    return MultimodalLM(Checkpoint(folder), SystemPromptConfig(), batch_size=2)  # it reads no settings


def generations(prompt: str) -> list[Instance]:
    """Two questions with pictures, one without."""
    limits = {"until": ["\n"], "max_gen_toks": 6}
    pictures: list[list[Image.Image]] = [[pico_vision.picture(0)], [pico_vision.picture(1)], []]
    texts = [prompt, prompt, prompt.replace("<image>\n", "")]
    return [
        Instance("generate_until", {}, (text, dict(limits), {"visual": shown}), 0, ("task", place, 1))
        for place, (text, shown) in enumerate(zip(texts, pictures, strict=True))
    ]


def likelihoods(prompt: str) -> list[Instance]:
    shown = {"visual": [pico_vision.picture(0)]}
    return [
        Instance("loglikelihood", {}, (prompt, f" {option}", shown), place, ("task", 0, 1))
        for place, option in enumerate("abc")
    ]


def test_the_instruction_is_read_before_the_prompt(folder: Path) -> None:
    """As if the prompt had held it: the same answers and likelihoods as ordinary decoding of the longer prompt."""
    lm = prompted(folder, instruction="Say nothing of {names}.", names=["Ann B", "Cy D"])
    plain = ordinary(folder)
    longer = f"Say nothing of Ann B, Cy D.\n{ASKED}"
    assert lm.prompt(ASKED) == longer
    assert lm.generate_until(generations(ASKED)) == plain.generate_until(generations(longer))
    assert lm.generations == plain.generations
    assert lm.loglikelihood(likelihoods(ASKED)) == plain.loglikelihood(likelihoods(longer))
    assert plain.loglikelihood(likelihoods(ASKED)) != plain.loglikelihood(likelihoods(longer))


def test_no_instruction_is_ordinary_decoding(folder: Path) -> None:
    lm, plain = prompted(folder, instruction=""), ordinary(folder)
    assert lm.generate_until(generations(ASKED)) == plain.generate_until(generations(ASKED))
    assert lm.generations == plain.generations
    assert lm.loglikelihood(likelihoods(ASKED)) == plain.loglikelihood(likelihoods(ASKED))


def test_in_a_chat_it_is_the_system_message_and_stands_there_once(folder: Path) -> None:
    lm = prompted(folder, instruction="Say nothing of {names}.", names=["Ann"])
    lm.processor.chat_template = TEMPLATE
    chat = [{"role": "user", "content": "<image>\nWho is this?"}]
    written = lm.apply_chat_template(chat)
    assert written == "[system] Say nothing of Ann.\n[user] <image>\nWho is this?\n[assistant]"
    assert lm.prompt(written) == written


def test_a_system_message_that_is_there_stays() -> None:
    chat = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who?"}]
    assert instructed(chat, "Be silent.") == [{"role": "system", "content": "Be silent.\nBe short."}, chat[1]]
    assert chat[0]["content"] == "Be short."
    assert instructed(chat, "") == chat


def test_names_fill_their_place() -> None:
    assert "the persons who asked to be forgotten" in SystemPromptConfig().text()
    named = SystemPromptConfig(names=("Ann B", "Cy D")).text()
    assert "about Ann B, Cy D." in named and "{" not in named
    assert SystemPromptConfig(instruction="", names=("Ann",)).text() == ""
    with pytest.raises(UserError, match=r"given one without \{names\}, allowed: one that holds it"):
        parse(SystemPromptConfig, {"instruction": "Be silent.", "names": ["Ann"]}, "test")
