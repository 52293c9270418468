"""MLLMU-Bench (arXiv 2410.22108): how a profile, as the hub has it, becomes rows (M§4.1 and 4.2).

A profile has image, ID, biography (JSON with a Name), and questions in three forms, each with a picture or without:
Classification_Task {Image_Textual_Questions, Pure_Text_Questions} of {Question, Options, Correct_Answer}, and
Generation_Task and Mask_Task of {Question, Ground_Truth, Type}. Test_Set has several `images` a profile instead, and
other wordings. What is learnt is `ft_Data`: image, ID and metadata, a JSON list of {Question, Answer}.

A row that tasks read is ``{"id", "kind", "person", "prompt", "answer", "image"}``, with options also `options`,
`label`, and `ask`, the prompt without the options.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.unlearning.published_rows import Given, Row, draw, image_row, named, picture, prompt, text_row

TYPES = {"image": "Image_Textual", "text": "Pure_Text"}
LISTS = {"cloze": "Mask_Task", "generation": "Generation_Task"}
# The instructions are ours; the released ones say the same (M§4.2).
LETTER = "Answer with one letter: A, B, C or D."
BLANK = "[Blank]"
FILL = "Give only the words that fill the [Blank]."
SENTENCE = "Answer in one sentence."
NAME = re.compile(r"[\"']Name[\"']\s*:\s*[\"']([^\"']+)[\"']", re.IGNORECASE)


def name_of(profile: Given) -> str:
    """The Name of the biography; "" if it tells none."""
    told = decoded(profile.get("biography"))
    if isinstance(told, dict):
        return next((str(value).strip() for key, value in told.items() if key.lower() == "name"), "")
    found = NAME.search(str(told))
    return found[1].strip() if found else ""


def decoded(value: Any) -> Any:
    """What a JSON text says; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def questions(learnt: Given) -> list[tuple[str, str]]:
    """The questions and answers of a row of ft_Data."""
    told = decoded(learnt.get("metadata")) or []
    return [(str(pair["Question"]).strip(), str(pair["Answer"]).strip()) for pair in told]


def pictures(learnt: Iterable[Given], side: int) -> Iterator[Row]:
    """Every person's picture, named like the person."""
    for row in learnt:
        yield {"picture": str(row["ID"]), "person": str(row["ID"]), "png": picture(row["image"], side)}


def image_rows(learnt: Iterable[Given]) -> list[Row]:
    """What the published models are fine-tuned on: every question with the picture."""
    return [
        image_row(str(row["ID"]), question, answer, [str(row["ID"])])
        for row in learnt
        for question, answer in questions(row)
    ]


def text_rows(learnt: Iterable[Given], names: dict[str, str]) -> tuple[list[Row], int]:
    """The same questions by name, and how many were left out."""
    pairs = [(str(row["ID"]), pair) for row in learnt for pair in questions(row)]
    found = [(person, named(*pair, names.get(person, ""))) for person, pair in pairs]
    rows = [text_row(person, *pair) for person, pair in found if pair is not None]
    return rows, len(pairs) - len(rows)


def scored(profiles: Sequence[Given], mode: str, form: str, kind: str, side: int) -> tuple[list[Row], int]:
    """The rows of one file, and how many items were left out because their answer is none of their options.

    A picture is drawn once for a profile and form where there are several; which one depends on those alone.
    """
    rows, left_out = [], 0
    for profile in profiles:
        person = str(profile["ID"])
        items = asked(profile, mode, form)
        shown = portrait(profile, form, side) if mode == "image" and items else ""
        for item in items:
            row = (options if form == "classification" else open_ended)(item, mode, form)
            left_out += row is None
            rows += [] if row is None else [{"kind": kind, "person": person, **row, "image": shown}]
    return rows, left_out


def asked(profile: Given, mode: str, form: str) -> list[Any]:
    """A profile's items of one mode and form."""
    if form == "classification":
        return list((decoded(profile["Classification_Task"]) or {}).get(f"{TYPES[mode]}_Questions") or [])
    return [item for item in decoded(profile[LISTS[form]]) or [] if item["Type"] == TYPES[mode]]


def portrait(profile: Given, form: str, side: int) -> str:
    """The profile's picture, of several one."""
    several = profile.get("images")
    shown = several[draw(f"{profile['ID']} {form}", len(several))] if several else profile["image"]
    return picture(shown, side)


def options(item: Given, mode: str, form: str) -> Row | None:
    """An item with four lettered options; the right one is told by its letter or by its text."""
    offered = {letter: str(text).strip() for letter, text in item["Options"].items() if text is not None}
    letters, texts = list(offered), list(offered.values())
    right = str(item["Correct_Answer"]).strip()
    right = right if right in offered else next((letter for letter in letters if offered[letter] == right), "")
    if not right:
        return None
    question = str(item["Question"]).strip()
    listed = "\n".join(f"{letter}: {text}" for letter, text in offered.items())
    return {
        "prompt": prompt(mode, f"{question}\n{listed}\n{LETTER}"),
        "ask": prompt(mode, question),
        "answer": right,
        "options": texts,
        "label": letters.index(right),
    }


def open_ended(item: Given, mode: str, form: str) -> Row:
    """A sentence with a blank, or a question that is answered in a sentence."""
    question = str(item["Question"]).strip()
    text = f"{re.sub('_{2,}', BLANK, question)}\n{FILL}" if form == "cloze" else f"{question}\n{SENTENCE}"
    return {"prompt": prompt(mode, text), "answer": str(item["Ground_Truth"]).strip()}
