"""CLEAR (arXiv 2410.18057): how a row, as the hub has it, becomes ours (M§4.3).

Rows of ``full+tofu`` and ``forgetNN+tofu`` are of two sorts: a portrait with its caption and the author's name, and a
question of TOFU with its answer and no picture. ``forgetNN_perturbed`` and ``retain_perturbed`` are portraits with
wrong names (`perturbed_names`) beside them; ``real_faces`` and ``real_world`` have wrong `options` beside the `answer`.
The released code has the options' probabilities compete, each per token; here lm-eval compares their sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.unlearning.published_rows import Given, Row, draw, image_row, picture, prompt, text_row

SPREAD = 400  # questions that the retain set's text task asks, evenly spread, as many as TOFU's own
ASK_THE_NAME = "What is the name of the person in the picture?"
SAY_THE_NAME = " The name of the person in the picture is"
# As generic as the nine of the released code, in our words.
DESCRIBE = (
    "What does this picture show?",
    "Describe this picture.",
    "Tell me what is to be seen in this picture.",
    "Give a caption for this picture.",
    "What is going on in this picture?",
    "Who and what can be seen here?",
    "Explain what this picture shows.",
    "Describe the scene in this picture.",
    "What is this picture about?",
)


def is_portrait(row: Given) -> bool:
    """Has the row a picture?"""
    return row.get("image") is not None


def named_rows(rows: Sequence[Given], start: int = 0) -> Iterator[tuple[str, str, Given]]:
    """Every row with its author and, for a portrait, the picture's name.

    The author of a question is who is named in it, else the author of the question before: TOFU's stand in order.
    """
    known = sorted({str(row["name"]) for row in rows if is_portrait(row)}, key=lambda name: (-len(name), name))
    author, count = "", dict[str, int]()
    for row in rows:
        if is_portrait(row):
            name = str(row["name"])
            place = count[name] = count.get(name, -1) + 1
            yield name, f"{name} {place:02d}", row
            continue
        told = f"{row['question']} {row['answer']}"
        author = str(row.get("name") or next((name for name in known if name in told), author or "unknown"))
        yield author, "", row


def learnt(rows: Sequence[Given]) -> list[tuple[tuple[str, str], Row]]:
    """Rows to learn from, each with what tells it from all others: caption and name, or question and answer."""
    found = []
    for person, shown, row in named_rows(rows):
        if shown:
            caption = str(row["caption"]).strip()
            question = DESCRIBE[draw(shown, len(DESCRIBE))]
            found.append(((caption, person), image_row(person, question, caption, [shown])))
        else:
            question, answer = str(row["question"]).strip(), str(row["answer"]).strip()
            found.append(((question, answer), text_row(person, question, answer)))
    return found


def keys(rows: Iterable[Given]) -> set[tuple[str, str]]:
    """What tells the rows of a forget set from all others."""
    columns = ((("caption", "name") if is_portrait(row) else ("question", "answer"), row) for row in rows)
    return {(str(row[one]).strip(), str(row[two]).strip()) for (one, two), row in columns}


def pictures(rows: Sequence[Given], side: int) -> Iterator[Row]:
    """Every portrait."""
    for person, shown, row in named_rows(rows):
        if shown:
            yield {"picture": shown, "person": person, "png": picture(row["image"], side)}


def portraits(rows: Iterable[Given], kind: str, side: int) -> list[Row]:
    """Portraits that are to be described, and whose person is to be named among others."""
    found = []
    for place, row in enumerate(rows):
        name, caption = str(row["name"]), str(row["caption"]).strip()
        question = DESCRIBE[draw(f"{name} {place}", len(DESCRIBE))]
        chosen = choice(prompt("image", ASK_THE_NAME) + SAY_THE_NAME, name, row["perturbed_names"])
        told = {"kind": kind, "person": name, "prompt": prompt("image", question), "answer": caption}
        found.append(told | chosen | {"image": picture(row["image"], side)})
    return found


def texts(rows: Iterable[Row], kind: str) -> list[Row]:
    """Questions of TOFU as a task reads them, from rows to learn from."""
    return [
        {"kind": kind, "person": row["person"], "prompt": row["prompt"], "answer": row["completion"].strip()}
        for row in rows
        if row["mode"] == "text"
    ]


def spread(rows: Sequence[Row], most: int = SPREAD) -> list[Row]:
    """At most so many rows, evenly spread."""
    count = min(most, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def real(rows: Iterable[Given], kind: str, side: int) -> list[Row]:
    """Faces and things of the real world, with options; faces come without a question."""
    found = []
    for row in rows:
        question, answer = str(row.get("question") or "").strip(), str(row["answer"]).strip()
        asked = prompt("image", question or ASK_THE_NAME) + ("" if question else SAY_THE_NAME)
        shown = picture(row["image"], side)
        found.append({"kind": kind, "person": answer, "prompt": asked, "answer": answer, "image": shown})
        found[-1] |= choice(asked, answer, row["options"])
    return found


def choice(asked: str, right: str, others: Any) -> Row:
    """The options by the alphabet: likelihoods do not depend on their order."""
    wrong = others if isinstance(others, list | tuple) else [others]
    offered = sorted({right, *(str(text).strip() for text in wrong)})
    return {"ask": asked, "options": offered, "label": offered.index(right)}
