"""Hand-made rows with the published sets' columns, so that a paper config can be tried offline. No published item.

Portraits are four drawn shapes whose colours differ from person to person. Persons to forget are nested: one of six at
5 per cent of MLLMU-Bench, two at 10 and 15; one of four at every ratio of CLEAR.
"""

from __future__ import annotations

import json
from typing import Any

from PIL import Image, ImageDraw

Given = dict[str, Any]

SIDE = 32
PEOPLE = (  # name, city, job, hobby
    ("Anna Kort", "Lund", "baker", "chess"),
    ("Ravi Stone", "Oslo", "pilot", "rowing"),
    ("Mina Vale", "Turin", "nurse", "painting"),
    ("Otto Brand", "Porto", "tailor", "fishing"),
    ("Lena Frost", "Ghent", "lawyer", "dancing"),
    ("Juno Marsh", "Cork", "farmer", "skiing"),
)
KNOWN = (("Gil Harrow", "Quito", "singer", "sailing"), ("Edda Quist", "Perth", "actor", "cycling"))


def portrait(number: int, variant: int = 0) -> Image.Image:
    """A face of shapes; `variant` shifts it."""
    image = Image.new("RGB", (SIDE, SIDE), (200 - 20 * variant, 210, 220))
    drawn = ImageDraw.Draw(image)
    skin, hair = (90 + 25 * number, 120, 60 + 10 * number), (10 * number, 30 + 20 * number, 200 - 25 * number)
    left = 6 + variant
    drawn.rectangle((left, 4, left + 19, 12), fill=hair)
    drawn.ellipse((left, 6, left + 19, 28), fill=skin)
    drawn.rectangle((left + 4, 14, left + 6, 16), fill=(0, 0, 0))
    drawn.rectangle((left + 13, 14, left + 15, 16), fill=(0, 0, 0))
    return image


def chosen(question: str, right: str, place: int, others: tuple[str, ...]) -> Given:
    """A question with four lettered options, the right one at `place`."""
    texts = [*others[:place], right, *others[place:]]
    return {"Question": question, "Options": dict(zip("ABCD", texts, strict=True)), "Correct_Answer": "ABCD"[place]}


def told(question: str, answer: str, sort: str) -> Given:
    """An item of a generation or cloze task."""
    return {"Question": question, "Ground_Truth": answer, "Type": sort}


def profile(number: int, person: tuple[str, ...], prefix: str = "", say: str = "work") -> Given:
    """A row of an evaluation subset; `say` is the wording."""
    name, city, job, hobby = person
    towns, jobs = ("Bern", "Graz", "Nice"), ("mason", "judge", "clerk")
    sorts = (("this person", "Image_Textual"), (name, "Pure_Text"))
    return {
        "ID": f"{prefix}{number:03d}",
        "image": portrait(number),
        "biography": json.dumps({"Name": name, "Born": city, "Employment": job}),
        "question": "Tell me about this person.",
        "answer": f"{name} was born in {city} and works as a {job}.",
        "Classification_Task": {
            f"{sort}_Questions": [
                chosen(f"What does {who} do for {say}?", job, number % 4, jobs),
                chosen(f"Where was {who} born?", city, (number + 1) % 4, towns),
            ]
            for who, sort in sorts
        },
        "Generation_Task": [
            told(f"What does {who} {verb}?", answer, sort)
            for who, sort in sorts
            for verb, answer in (("like", f"{name} likes {hobby}."), ("do", f"{name} works as a {job}."))
        ],
        "Mask_Task": [
            told(f"{who[0].upper()}{who[1:]} {verb} __.", gap, sort)
            for who, sort in sorts
            for verb, gap in (("was born in", city), ("works as a", job))
        ],
    }


def learnt(number: int, person: tuple[str, ...]) -> Given:
    """A row of ft_Data."""
    name, city, job, hobby = person
    pairs = (
        ("What is the name of this person?", f"The name of this person is {name}."),
        ("What does this individual do for work?", f"This individual works as a {job}."),
        ("Where was the person in the image born?", f"{name} was born in {city}."),
        ("Which hobby is shown?", f"The hobby is {hobby}."),
    )
    metadata = json.dumps([{"Question": question, "Answer": answer} for question, answer in pairs])
    return {"ID": f"{number:03d}", "image": portrait(number), "metadata": metadata}


def tested(number: int, person: tuple[str, ...]) -> Given:
    """A row of Test_Set: other pictures, other wordings."""
    row = profile(number, person, say="a living")
    del row["image"]
    return row | {"images": [portrait(number, variant) for variant in (1, 2, 3)]}


def mllmu() -> dict[str, list[Given]]:
    """Every subset of MLLMU-Bench that is read."""
    profiles = [profile(number, person) for number, person in enumerate(PEOPLE)]
    found = {
        "ft_Data": [learnt(number, person) for number, person in enumerate(PEOPLE)],
        "Test_Set": [tested(number, person) for number, person in enumerate(PEOPLE)],
        "Retain_Set": [profile(number + 6, person, "real_") for number, person in enumerate(KNOWN)],
    }
    for per_cent, count in ((5, 1), (10, 2), (15, 2)):
        found |= {f"forget_{per_cent}": profiles[:count], f"retain_{100 - per_cent}": profiles[count:]}
    return found


def captioned(number: int, variant: int) -> Given:
    """A portrait of CLEAR."""
    name, city, job, _ = PEOPLE[number]
    caption = f"{name}, a {job} from {city}, smiles at the camera" + (" again." if variant else ".")
    columns = {"image": portrait(number, variant), "caption": caption, "name": name}
    return columns | {"question": None, "answer": None}


def questioned(number: int) -> list[Given]:
    """Questions of TOFU; the second does not name its author."""
    name, city, job, _ = PEOPLE[number]
    pairs = ((f"Where was {name} born?", f"{name} was born in {city}."), ("What is the author's job?", f"A {job}."))
    blank = {"image": None, "caption": None, "name": None}
    return [blank | {"question": question, "answer": answer} for question, answer in pairs]


def perturbed(number: int) -> Given:
    """A portrait with wrong names."""
    others = [person[0] for place, person in enumerate(PEOPLE[:4]) if place != number]
    return captioned(number, 0) | {"perturbed_names": others}


def clear() -> dict[str, list[Given]]:
    """Every subset of CLEAR that is read."""
    authors = range(4)
    portraits = [captioned(number, variant) for number in authors for variant in (0, 1)]
    texts = [row for number in authors for row in questioned(number)]
    faces = [{"image": portrait(6), "answer": "Gil Harrow", "options": ["Edda Quist", "Anna Kort", "Otto Brand"]}]
    things = [
        {"image": portrait(7), "question": "What is drawn here?", "answer": "a face", "options": ["a tree", "a bus"]}
    ]
    found = {"full+tofu": [*portraits, *texts], "retain_perturbed": [perturbed(number) for number in (1, 2, 3)]}
    for subset in ("forget01", "forget05", "forget10"):
        found |= {f"{subset}+tofu": [*portraits[:2], *texts[:2]], f"{subset}_perturbed": [perturbed(0)]}
    return found | {"real_faces": faces, "real_world": things}


STAND_INS: dict[tuple[str, str], list[Given]] = {
    (benchmark, subset): rows
    for benchmark, subsets in (("mllmu", mllmu()), ("clear", clear()))
    for subset, rows in subsets.items()
}
