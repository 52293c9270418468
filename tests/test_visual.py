"""Rows with pictures: read or refused with a sentence, encoded once, and what four families of models take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from methodbench import visual
from methodbench.errors import UserError
from methodbench.visual import Encoder, Inputs, Pictures, VisualRow, collate, decode_picture, draw, encode_picture
from tests import pico_vision

SIZES = {"p0_v0": (16, 16), "p0_v1": (16, 16), "p1_v0": (24, 16)}
SHOWN = VisualRow("p0", "image", "USER: <image>\nWho?\nASSISTANT:", " Mia", ("p0_v0", "p0_v1"))
WIDE = VisualRow("p1", "image", "USER: <image>\nWho is it?\nASSISTANT:", " Bo", ("p1_v0",))
TOLD = VisualRow("p0", "text", "USER: Who is Mia?\nASSISTANT:", " a cook")


def write(path: Path, entries: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    drawn = {name: pico_vision.picture(place, size) for place, (name, size) in enumerate(SIZES.items())}
    entries = [{"picture": name, "person": name[:2], "png": encode_picture(image)} for name, image in drawn.items()]
    return Pictures(write(tmp_path_factory.mktemp("pictures") / "pictures.jsonl", entries))


# -- files -------------------------------------------------------------------------------------------------------------


def test_rows_are_read_whatever_else_they_hold(tmp_path: Path) -> None:
    told = {"person": "p0", "mode": "text", "prompt": TOLD.prompt, "completion": TOLD.completion, "pictures": []}
    shown = {**told, "mode": "image", "prompt": SHOWN.prompt, "completion": SHOWN.completion, "wording": 3}
    shown["pictures"] = list(SHOWN.pictures)
    assert visual.read_rows(write(tmp_path / "rows.jsonl", [told, shown])) == [TOLD, SHOWN]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mode": "picture"}, r"line 2: key 'mode': given 'picture'; allowed: image, text"),
        ({"person": None}, r"line 2: key 'person': expected text, given None"),
        ({"prompt": "Who?"}, r"line 2: key 'prompt': holds '<image>' 0 times, expected 1 in the mode 'image'"),
        ({"prompt": "<image><image>"}, r"holds '<image>' 2 times, expected 1"),
        ({"mode": "text", "pictures": []}, r"holds '<image>' 1 times, expected 0 in the mode 'text'"),
        ({"pictures": []}, r"key 'pictures': given 0 names, expected one at least in the mode 'image'"),
        ({"pictures": "p0_v0"}, r"key 'pictures': expected a list of names, given 'p0_v0'"),
    ],
)
def test_a_broken_row_is_one_sentence(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    good = {"person": "p0", "mode": "image", "prompt": SHOWN.prompt, "completion": " x", "pictures": ["p0_v0"]}
    with pytest.raises(UserError, match=said):
        visual.read_rows(write(tmp_path / "rows.jsonl", [good, {**good, **changed}]))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dataset file is missing"):
        visual.read_rows(tmp_path / "none.jsonl")
    (tmp_path / "torn.jsonl").write_text('{"person": ')
    with pytest.raises(UserError, match="line 1: is no JSON"):
        visual.read_rows(tmp_path / "torn.jsonl")
    with pytest.raises(UserError, match="line 1: key 'png': expected text"):
        Pictures(write(tmp_path / "pictures.jsonl", [{"picture": "p0_v0"}]))


def test_a_picture_survives_its_text_and_is_found_by_name(pictures: Pictures) -> None:
    assert pictures.names() == list(SIZES) and "p0_v1" in pictures and "p9" not in pictures
    for place, (name, size) in enumerate(SIZES.items()):
        image = pictures.image(name)
        assert (image.mode, image.size) == ("RGB", size)
        assert image.tobytes() == pico_vision.picture(place, size).tobytes()
    grey = Image.new("L", (3, 2), 7)
    assert decode_picture(encode_picture(grey)).getpixel((2, 1)) == (7, 7, 7)
    with pytest.raises(UserError, match=r"unknown picture 'p0_v2'; allowed: .* \(did you mean 'p0_v1'\?\)"):
        pictures.image("p0_v2")
    with pytest.raises(UserError, match="is no base64 PNG"):
        decode_picture("bm9uZQ==")


def test_visits_draw_pictures_by_hash() -> None:
    names = [draw(SHOWN, 0, visit) for visit in range(200)]
    assert names == [draw(SHOWN, 0, visit) for visit in range(200)]
    assert [name and name[-1] for name in names[:8]] == [*"10011111"]  # the same in every process
    assert 80 < names.count("p0_v0") < 120
    assert names != [draw(SHOWN, 1, visit) for visit in range(200)]
    assert draw(TOLD, 0, 0) is None


# -- encoding ----------------------------------------------------------------------------------------------------------


def test_labels_are_the_answer_and_its_end(pictures: Pictures) -> None:
    encoder = Encoder(pico_vision.processor(), pictures)
    tokenizer = encoder.inputs.tokenizer
    for row, image_tokens in ((SHOWN, 16), (TOLD, 0)):
        encoded = encoder.encode(row)
        ids, labels = encoded["input_ids"], encoded["labels"]
        assert (ids == encoder.inputs.image_id).sum() == image_tokens
        text = (row.prompt + row.completion).replace("<image>", "<image>" * image_tokens) + tokenizer.eos_token
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids[labels != -100]) == row.completion + tokenizer.eos_token
        assert torch.equal(labels[labels != -100], ids[labels != -100])
        assert ("pixel_values" in encoded) == (row.mode == "image")


def test_with_prompt_loss_only_image_tokens_have_no_label(pictures: Pictures) -> None:
    encoder = Encoder(pico_vision.processor(), pictures, prompt_loss=True)
    encoded = encoder.encode(SHOWN)
    assert torch.equal(encoded["labels"] == -100, encoded["input_ids"] == encoder.inputs.image_id)


def test_a_long_row_is_cut_behind_its_picture_or_refused(pictures: Pictures) -> None:
    whole = Encoder(pico_vision.processor(), pictures).encode(SHOWN)
    length = len(whole["input_ids"]) - 2
    cut = Encoder(pico_vision.processor(), pictures, max_length=length).encode(SHOWN)
    assert torch.equal(cut["input_ids"], whole["input_ids"][:-2]) and len(cut["labels"]) == length
    for few in (length - 3, 10):
        with pytest.raises(UserError, match=f"key 'max_length' keeps {few}"):
            Encoder(pico_vision.processor(), pictures, max_length=few).encode(SHOWN)


def test_rows_that_do_not_fit_their_pictures(pictures: Pictures) -> None:
    with pytest.raises(UserError, match=r"needs pictures and a pictures\.jsonl"):
        Encoder(pico_vision.processor(), None).encode(SHOWN)
    with pytest.raises(UserError, match="holds 1 times '<image>' but comes with 0 pictures"):
        Inputs(pico_vision.processor())(SHOWN.prompt)


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_what_was_kept_is_what_is_made_anew(kind: str, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(pico_vision.processor(kind), pictures)
    cases = [(SHOWN, "p0_v0"), (SHOWN, "p0_v1"), (WIDE, None), (TOLD, None)]
    for row, name in cases:  # p0_v1 finds the ids of p0_v0, which has its size
        encoder.encode(row, name)
    monkeypatch.setattr(encoder.inputs, "processor", None)
    monkeypatch.setattr(encoder.inputs, "tokenizer", pico_vision.tokenizer(kind))  # for the end token's id
    for row, name in cases:
        kept, anew = encoder.encode(row, name), Encoder(pico_vision.processor(kind), pictures).encode(row, name)
        assert kept.keys() == anew.keys()
        assert all(torch.equal(kept[key], anew[key]) for key in anew)


def test_the_pictures_kept_have_a_limit(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visual, "KEPT_BYTES", 2 * 3 * 16 * 16 * 4)
    inputs = Inputs(pico_vision.processor())
    for name in ("p0_v0", "p0_v1", "p0_v0", "p1_v0"):
        inputs("<image>", [pictures.image(name)], [name])
    assert list(inputs._images) == [("p0_v0",), ("p1_v0",)] and inputs._bytes == visual.KEPT_BYTES


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_a_mixed_batch_has_the_loss_of_its_rows(kind: str, pictures: Pictures) -> None:
    """Pictures of two sizes and a text together: each row's logits are what the row has alone."""
    model = pico_vision.model(kind).double()
    encoder = Encoder(pico_vision.processor(kind), pictures)
    rows = [encoder.encode(SHOWN), encoder.encode(TOLD), encoder.encode(WIDE)]
    batch = encoder.collate(rows)
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape
    with torch.no_grad():
        together = model(**batch)
        for place, row in enumerate(rows):
            alone = model(**encoder.collate([row])).logits[0]
            torch.testing.assert_close(together.logits[place, : len(alone)], alone, rtol=0, atol=1e-11)
    wanted = [(place, int(label)) for place, label in enumerate(batch["labels"][:, 1:].flatten()) if label != -100]
    logs = together.logits[:, :-1].flatten(0, 1).log_softmax(-1)
    mean = -torch.stack([logs[place, label] for place, label in wanted]).mean()
    assert abs(float(together.loss) - float(mean)) < 1e-5  # the model computes it in float32


def test_another_picture_gives_other_logits(pictures: Pictures) -> None:
    for kind in pico_vision.KINDS:
        model, encoder = pico_vision.model(kind), Encoder(pico_vision.processor(kind), pictures)
        with torch.no_grad():
            one, other = [model(**encoder.collate([encoder.encode(SHOWN, name)])).logits for name in SHOWN.pictures]
        assert (one - other).abs().max() > 0.1


def test_padding_on_the_left(pictures: Pictures) -> None:
    rows = [{"input_ids": torch.tensor([5, 6, 7])}, {"input_ids": torch.tensor([8])}]
    assert collate(rows, 0, "left")["input_ids"].tolist() == [[5, 6, 7], [0, 0, 8]]
    assert collate(rows, 0, "left")["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    assert collate(rows, 0)["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
