"""Every kind: the answer follows from the prompt alone, the rationale leads to it, and no option gives itself away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from benchmarks.reasoning.config import KINDS, LIMITS, Kind, ReasoningConfig
from benchmarks.reasoning.options import OPTIONS, options
from benchmarks.reasoning.prepare import MAKERS
from benchmarks.reasoning.problem import Problem, gym
from methodbench.builtin.pretrain import PIECES

DEFAULT = ReasoningConfig()
LONGEST: dict[str, Any] = {key: (most, most) for key, (_, most) in LIMITS.items()}
HARDEST = ReasoningConfig(**LONGEST, simple_equations_largest=50)
LEGS = {0: "snake jellyfish flatworm leech", 2: "chicken bird human duck", 5: "starfish", 8: "spider scorpion"}
LEGS |= {4: "dog cat cow horse lion elephant giraffe tiger deer sheep", 10: "crab lobster shrimp", 14: "woodlouse"}
LEGS |= {6: "insect ant butterfly beetle bee wasp grasshopper cricket cockroach firefly"}
OURS = ("basic_arithmetic", "simple_equations", "modulo")
SWAPPED = ("spell_backward", "word_sequence_reversal", "rotate_matrix", "spiral_matrix", "manipulate_matrix")


def drawn(kind: Kind, count: int, config: ReasoningConfig = DEFAULT) -> list[Problem]:
    rng = Random(f"test of {kind}")
    return [MAKERS[kind](rng, config) for _ in range(count)]


def elements(told: str) -> list[list[str]]:
    """``"A 1 B 1 1"`` -> ``[["1"], ["1", "1"]]``; labels must be A, B, C, ..."""
    assert "".join(re.findall("[A-Z]", told)) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(re.findall("[A-Z]", told))]
    return [part.split() for part in re.split(r"[A-Z]", told)[1:]]


def solved(kind: str, prompt: str) -> str:  # a case a kind
    """The answer, without spaces, by other means than the generator's."""
    told = prompt.removesuffix(" =") if kind != "simple_equations" else prompt
    task, *rest = told.split()
    parts = elements(told)
    flat = "".join("".join(part) for part in parts)
    if kind in ("sum", "difference", "modulo"):
        total = eval("+".join("".join(part) for part in parts).replace("+-", "-").replace("++", "+"))
        return str(total % 9 if kind == "modulo" else total)
    if kind == "products":
        return str(eval("*".join(flat)))
    if kind == "basic_arithmetic":
        return str(eval(" ".join(rest)))
    if kind == "simple_equations":
        left, right = (side.replace(" ", "") for side in told.removeprefix("solve ").split(" = "))
        (found,) = [x for x in range(1000) if eval(left.replace("x", f"*{x}")) == int(right)]
        return str(found)
    if kind == "spell_backward":
        return flat[::-1]
    if kind == "word_sequence_reversal":
        return "".join("".join(part) for part in parts[::-1])
    if kind == "letter_counting":
        return str(flat.count(rest[0]))
    if kind == "caesar_cipher":
        rotation = int("".join(piece for piece in rest if piece.isdigit()))
        return "".join(chr((ord(letter) - 97 - rotation) % 26 + 97) for letter in flat)
    if kind == "palindrome_generation":
        counts = Counter(rest)
        half = "".join(letter * (counts[letter] // 2) for letter in sorted(counts))
        return half + "".join(letter for letter in counts if counts[letter] % 2) + half[::-1]
    if kind == "count_bits":
        return str(bin(int(flat, 2)).count("1"))
    if kind == "number_filtering":
        larger, value = task == "larger", int(rest[0])
        hit = [int(digit) > value if larger else int(digit) < value for digit in flat]
        return "".join(digit for digit, one in zip(flat, hit, strict=True) if one)
    if kind == "number_sorting":
        return "".join(sorted(rest[1:], reverse=rest[0] == "descending"))
    if kind == "leg_counting":
        legs = {animal: count for count, animals in LEGS.items() for animal in animals.split()}
        return str(sum(legs[animal] * int(count) for animal, count in zip(rest[::2], rest[1::2], strict=True)))
    return grid(task, told, flat)


def grid(task: str, told: str, cells: str) -> str:
    """By coordinates: the cell that comes to stand at row r, column c."""
    high, wide = 2, len(cells) // 2

    def at(row: int, column: int) -> str:
        return cells[row * wide + column]

    if task == "spiral":
        return at(0, 0) + at(0, 1) + at(1, 1) + at(1, 0)
    turned = task in ("dmirror", "cmirror") or (task == "rotate" and "1 8 0" not in told)
    rows, columns = (wide, high) if turned else (high, wide)
    sources: dict[str, Callable[[int, int], tuple[int, int]]] = {
        "hmirror": lambda r, c: (high - 1 - r, c),
        "vmirror": lambda r, c: (r, wide - 1 - c),
        "dmirror": lambda r, c: (c, r),
        "cmirror": lambda r, c: (high - 1 - c, wide - 1 - r),
        "rotate 9 0": lambda r, c: (high - 1 - c, r),
        "rotate 1 8 0": lambda r, c: (high - 1 - r, wide - 1 - c),
        "rotate 2 7 0": lambda r, c: (c, wide - 1 - r),
    }
    source = sources[told.split(" A ")[0]]
    return "".join(at(*source(row, column)) for row in range(rows) for column in range(columns))


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_follows_from_the_prompt_and_ends_the_rationale(kind: Kind) -> None:
    for problem in drawn(kind, 300):
        answer = problem.answer.replace(" ", "")
        assert solved(kind, problem.prompt) == answer, problem.prompt
        assert problem.completion == f" {problem.work} . The answer is {problem.answer} <|end|>"
        read = re.sub(r"\b(?:[A-Z]|no)\b|[ ,]", "", problem.work)
        if kind == "palindrome_generation":
            assert read == "".join(sorted(answer))
        else:
            assert read.endswith(answer)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(OURS)))
def test_reasoning_gyms_own_scorer_agrees(kind: Kind) -> None:
    names = {"sum": "chain_sum", "difference": "chain_sum"}
    scorer = gym(names.get(kind, kind))
    for problem in drawn(kind, 100):
        written = problem.entry["answer"]
        answer = problem.answer.replace(" ", "")
        if kind in ("number_filtering", "number_sorting"):
            number = "{}" if kind == "number_filtering" else "{}.0"
            answer = str([number.format(digit) for digit in answer])
        elif kind == "word_sequence_reversal":
            assert written.replace(", ", "") == answer
            answer = written
        elif kind.endswith("_matrix"):
            assert written.split() == problem.answer.split()
            answer = written
        elif kind == "caesar_cipher":
            answer = answer.upper()
        assert scorer.score_answer(answer, problem.entry) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_short_and_a_token_a_piece(kind: Kind) -> None:
    def lengths(config: ReasoningConfig, count: int) -> list[int]:
        texts = [
            (problem.prompt + problem.completion).replace("<|end|>", "E") for problem in drawn(kind, count, config)
        ]
        assert all(re.findall(PIECES, text) == text.split() for text in texts)
        return [len(text.split()) for text in texts]

    usual = lengths(DEFAULT, 200)
    assert sum(usual) / len(usual) <= 36.5
    assert max(usual) <= 40
    assert max(lengths(HARDEST, 20)) <= 48


def test_labels_meet_no_other_capital() -> None:
    for kind in KINDS:
        for problem in drawn(kind, 50):
            labels = re.findall(r"\b[A-Z]\b", problem.prompt)
            assert labels == sorted(set(labels))
            assert set(re.findall(r"\b[A-Z]\b", problem.work)) <= set(labels)


@pytest.mark.parametrize("kind", KINDS)
def test_four_different_options_and_the_label_is_the_right_ones(kind: Kind) -> None:
    rng = Random(f"options of {kind}")
    places: Counter[int] = Counter()
    for problem in drawn(kind, 400):
        told, label = options(problem, rng)
        assert len(set(told)) == len(told) == OPTIONS and told[label] == problem.answer
        places[label] += 1
        if isinstance(problem.plausible, range):
            assert all(int(option.replace(" ", "")) in problem.plausible for option in told)
        if kind in SWAPPED:
            assert len({tuple(sorted(option.split())) for option in told}) == 1
        if kind == "palindrome_generation":
            halves = [option.split()[: len(option.split()) // 2] for option in told]
            assert all(option == option[::-1] for option in told) and all(half == sorted(half) for half in halves)
            assert {letter for option in told for letter in option.split()} <= set(problem.prompt.split())
        if kind == "number_sorting":
            down = "descending" in problem.prompt
            assert all(option.split() == sorted(option.split(), reverse=down) for option in told)
        if kind == "number_filtering":
            assert all(is_part(option.split(), problem.prompt.split()[2:-1]) for option in told)
    assert all(60 <= places[place] <= 140 for place in range(OPTIONS))


def is_part(few: list[str], many: list[str]) -> bool:
    """Do `few` stand in `many`, in this order?"""
    left = iter(many)
    return all(entry in left for entry in few)


@pytest.mark.parametrize("kind", ["sum", "products", "leg_counting", "modulo", "letter_counting", "simple_equations"])
def test_the_rank_of_a_number_among_its_options_tells_nothing(kind: Kind) -> None:
    rng = Random(f"ranks of {kind}")
    ranks: Counter[int] = Counter()
    for problem in drawn(kind, 1000):
        told, label = options(problem, rng)
        numbers = [int(option.replace(" ", "")) for option in told]
        ranks[sorted(numbers).index(numbers[label])] += 1
        assert len(set(numbers)) == OPTIONS
    assert all(190 <= ranks[rank] <= 310 for rank in range(OPTIONS))
