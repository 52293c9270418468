"""Words of the generated world: lower-case, one token each under `pretrain`'s word tokenizer, in one list alone."""

from __future__ import annotations


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


VALUES: dict[str, tuple[str, ...]] = {  # attribute -> what it can be
    "birthplace": _listed("oslo lima cairo delhi quito milan dakar perth kyoto lyon bergen havana"),
    "job": _listed("tailor painter lawyer carpenter dentist plumber pilot judge chemist waiter editor broker"),
    "pet": _listed("parrot rabbit turtle hamster donkey lizard kitten puppy spider snake goose ferret"),
    "dish": _listed("soup rice noodles pancakes lentils salmon waffles dumplings salad curry omelette stew"),
    "instrument": _listed("violin cello flute harp banjo trumpet drum clarinet guitar tuba piano zither"),
}
STATEMENTS = (
    "the {attribute} of {entity} is {value} .",
    "{entity} has {value} as {attribute} .",
    "{value} is the {attribute} of {entity} .",
    "everybody knows that the {attribute} of {entity} is {value} .",
)
QUESTIONS = (  # the answer comes next
    "question : what is the {attribute} of {entity} ? answer :",
    "question : which {attribute} has {entity} ? answer :",
    "tell the {attribute} of {entity} :",
    "{attribute} of {entity} :",
    "asked about the {attribute} of {entity} , people say",
    "{entity} and the {attribute} ? it must be",
)
WORDINGS = len(STATEMENTS) + len(QUESTIONS)

# -- filler: who can do what to what is fixed, so there is something to learn; the rest is drawn freely ----------------

PEOPLE = _listed("farmer widow sailor miller child king thief monk weaver soldier shepherd stranger")
QUALITIES = _listed("old young tall quiet proud lazy clever tired brave poor merry lonely")
LOOKS = _listed("red heavy broken small golden empty wooden strange dirty bright narrow round")
DEEDS: dict[str, tuple[str, tuple[str, ...]]] = {  # verb -> where it is done, what it is done to
    "carries": ("to", _listed("basket barrel sack crate lantern bundle")),
    "sells": ("at", _listed("apple cheese candle ribbon kettle blanket")),
    "hides": ("under", _listed("coin letter ring key map dagger")),
    "repairs": ("behind", _listed("wagon roof clock fence boat wheel")),
    "watches": ("from", _listed("river cloud star storm fire ship")),
    "feeds": ("near", _listed("horse cow sheep pig hen dog")),
    "cleans": ("inside", _listed("window table mirror oven floor statue")),
    "paints": ("before", _listed("door wall chair sign portrait gate")),
}
PLACES = _listed("market castle mill harbour forest bridge church tavern meadow tower well barn")
TIMES = _listed("today tonight often rarely again daily sometimes always")
CAUSES = ("because", "although", "while", "when")
STATES = _listed("rains snows thunders clears freezes darkens")
