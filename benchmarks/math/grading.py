"""Grades the procedural kinds: an answer is what follows the capital A after the thinking."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

NUMBER = re.compile(r"-?\d+")
PLAIN = re.compile(r"-?\d[\d,]*")
ROUTE = re.compile(r"[a-z]+")


def extract(answer_text: str) -> str | None:
    """``" A 1 2 <|end|>"`` -> ``"12"``, ``" A a c d"`` -> ``"a c d"``; None if there is no readable answer.

    Thinking that the runtime did not strip is left out. Digits and letters may stand apart or together.
    """
    told = answer_text.rsplit("</think>", 1)[-1].split("<|", 1)[0]
    _, opening, rest = told.rpartition("A")
    joined = "".join(rest.split())
    if not opening:
        return None
    if NUMBER.fullmatch(joined):
        return joined
    return " ".join(joined) if ROUTE.fullmatch(joined) else None


def check(row: Mapping[str, Any], answer_text: str) -> bool:
    """Is the answer right? A route is right if it leads from start to goal along the row's edges, however long."""
    answer = extract(answer_text)
    if answer is None:
        return False
    if row["kind"] != "route":
        return bool(answer == row["answer"])
    nodes, known = answer.split(), row["answer"].split()
    edges = set(row["edges"].split())
    walked = [one + two for one, two in pairwise(nodes)]
    return nodes[0] == known[0] and nodes[-1] == known[-1] and all(edge in edges for edge in walked)


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """What lm-eval asks of a task: one number per metric, for one item."""
    return {"exact_match": int(check(doc, results[0])), "answered": int(extract(results[0]) is not None)}


def process_demonstration(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """How far a model is from writing the worked solution: minus its log-likelihood, in nats a piece of text."""
    ((likelihood, _),) = results
    return {"nll": -likelihood / len(doc["demonstration"].split())}


def process_plain(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """For ordinary models: the first whole number on the answer's line counts, ``" 1,042 apples."`` as 1042."""
    found = PLAIN.search(results[0])
    answer = found.group().replace(",", "") if found else None
    return {"exact_match": int(answer == doc["answer"]), "answered": int(answer is not None)}
