"""Hand-made rows with the published sets' columns, so that a paper config can be tried offline. No published item."""

from __future__ import annotations

from typing import Any

Given = dict[str, Any]


def lettered(key: str, question: str, texts: tuple[str, ...], right: str) -> Given:
    """A row of ARC or OpenBookQA, whose question is under `key`."""
    return {key: question, "choices": {"text": list(texts), "label": list("ABCD"[: len(texts)])}, "answerKey": right}


def asked(subject: str, question: str, texts: tuple[str, ...], right: int) -> Given:
    """A row of MMLU."""
    return {"subject": subject, "question": question, "choices": list(texts), "answer": right}


def told(passage: str, question: str, label: int) -> Given:
    """A row of BoolQ."""
    return {"passage": passage, "question": question, "label": label}


def solved(goal: str, sol1: str, sol2: str, label: int) -> Given:
    """A row of PIQA."""
    return {"goal": goal, "sol1": sol1, "sol2": sol2, "label": label}


def ended(activity: str, first: str, then: str, endings: tuple[str, ...], label: str) -> Given:
    """A row of HellaSwag."""
    return {"activity_label": activity, "ctx_a": first, "ctx_b": then, "endings": list(endings), "label": label}


def filled(sentence: str, option1: str, option2: str, answer: str) -> Given:
    """A row of WinoGrande."""
    return {"sentence": sentence, "option1": option1, "option2": option2, "answer": answer}


def ordered(instruction: str, given: str, output: str) -> Given:
    """A row of Alpaca."""
    return {"instruction": instruction, "input": given, "output": output}


DEV: tuple[Given, ...] = (
    asked("astronomy", "Which body is a star?", ("The Moon", "Mars", "The Sun", "A comet"), 2),
    asked("astronomy", "What turns around the Earth?", ("The Moon", "Venus", "The Sun", "Saturn"), 0),
    asked("us_foreign_policy", "Who signs treaties?", ("Mayors", "Heads of state", "Judges", "Poets"), 1),
)
STAND_INS: dict[str, tuple[Given, ...]] = {
    "mmlu": (
        asked("astronomy", "Which planet has wide rings?", ("Mars", "Saturn", "Venus", "Mercury"), 1),
        asked("astronomy", "When is the Moon not lit for us?", ("New moon", "Full moon", "Noon", "Never"), 0),
        asked("us_foreign_policy", "What is an embassy?", ("A tax", "A ship", "A song", "A mission abroad"), 3),
        asked("us_foreign_policy", "What ends a war?", ("A feast", "A race", "A peace", "A vote on tea"), 2),
    ),
    "mmlu_validation": (
        asked("astronomy", "What do telescopes gather?", ("Sound", "Light", "Heat alone", "Dust"), 1),
        asked("astronomy", "What is a galaxy made of?", ("Stars", "Leaves", "Bricks", "Bread"), 0),
        asked("us_foreign_policy", "Who speaks for a state abroad?", ("A cook", "A guard", "An envoy", "A clerk"), 2),
        asked("us_foreign_policy", "What is a border?", ("A law", "A fee", "A crop", "A line"), 3),
    ),
    "boolq": (
        told("Ferns have no flowers. They spread by spores.", "do ferns have flowers", 0),
        told("The mill was built of oak and stands by the brook.", "does the mill stand by water", 1),
        told("Glass is poured on molten tin to make it flat.", "is tin used in making flat glass", 1),
        told("The ferry runs from May until October.", "does the ferry run in winter", 0),
    ),
    "piqa": (
        solved("To dry a wet boot,", "stuff it with paper.", "fill it with water.", 0),
        solved("To sharpen a pencil,", "dip it in milk.", "turn it in a sharpener.", 1),
        solved("To keep bread soft,", "store it in a closed box.", "leave it in the sun.", 0),
        solved("To find a stud in a wall,", "paint the wall.", "knock along the wall.", 1),
    ),
    "hellaswag": (
        ended(
            "Baking bread",
            "A man kneads dough on a table.",
            "he",
            ("puts it into the oven.", "throws the table away.", "sings to a horse.", "dives into a lake."),
            "0",
        ),
        ended(
            "Washing windows",
            "A woman wipes a pane with a cloth.",
            "she",
            ("eats the cloth.", "wrings out the cloth.", "mows the lawn.", "buys a train."),
            "1",
        ),
        ended(
            "Home and garden",
            "[header] How to plant a tree [title] Dig a hole. [step] It must be wide.",
            "",
            ("Fly to it.", "Paint it blue.", "Set the tree in. [substeps] Fill it up.", "Read it a book."),
            "2",
        ),
        ended(
            "Rowing",
            "Two boys sit in a boat.",
            "they",
            ("climb a stair.", "cook a stew.", "knit a scarf.", "pull at the oars."),
            "3",
        ),
    ),
    "winogrande": (
        filled("The cup did not fit on the shelf because the _ was too tall.", "cup", "shelf", "1"),
        filled("Ann lent Eve a coat because _ was cold.", "Ann", "Eve", "2"),
        filled("The nail bent on the plank because the _ was so hard.", "nail", "plank", "2"),
        filled("Tom thanked Sam since _ had been helped.", "Tom", "Sam", "1"),
    ),
    "arc_easy": (
        lettered("question", "What do plants take in by their roots?", ("Water", "Sand", "Light", "Noise"), "A"),
        lettered("question", "Which is a liquid?", ("Ice", "Oil", "Stone", "Steam"), "B"),
        lettered("question", "What pulls a dropped ball down?", ("Wind", "Colour", "Gravity", "Sound"), "C"),
        lettered("question", "Which animal lays eggs?", ("Cow", "Cat", "Dog", "Hen"), "D"),
    ),
    "arc_challenge": (
        lettered(
            "question", "Why does ice float?", ("It is less dense", "It is cold", "It is clear", "It is hard"), "A"
        ),
        lettered("question", "What wears rock down?", ("Shade", "Running water", "Moonlight", "Silence"), "B"),
        lettered("question", "What makes day and night?", ("Clouds", "The tides", "The turning Earth"), "C"),
        lettered("question", "What stores a plant's food?", ("A petal", "A thorn", "Pollen", "A bulb"), "D"),
    ),
    "openbookqa": (
        lettered("question_stem", "A lamp without current", ("stays dark", "shines", "sings", "grows"), "A"),
        lettered("question_stem", "Wool keeps a person", ("wet", "warm", "lost", "loud"), "B"),
        lettered("question_stem", "A magnet attracts", ("wood", "glass", "iron", "salt"), "C"),
        lettered("question_stem", "In autumn many trees lose their", ("roots", "bark", "birds", "leaves"), "D"),
    ),
    "wikitext2": tuple(
        {"text": f" The bridge number {place} spans a river , and was built in {1800 + place} by its town . \n"}
        for place in range(400)
    ),
    "wikitext2_train": tuple(
        {"text": f" The station number {place} lies on a line that opened in {1850 + place} for its mines . \n"}
        for place in range(400)
    ),
    "alpaca_gpt4": (
        ordered("Name a colour.", "", "Blue is a colour."),
        ordered("Sort these numbers.", "3, 1, 2", "1, 2, 3"),
        ordered("Say what a ladder is for.", "", "One climbs with it."),
        ordered("Translate into French.", "the house", "la maison"),
    ),
}
