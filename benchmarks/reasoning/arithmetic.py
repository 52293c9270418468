"""Kinds that calculate: the default in-domain kind `sum`, and what is near it.

sum               reasoning-gym's chain_sum with plus signs only; running totals
difference        chain_sum with at least one minus sign; running totals between 0 and 99
products          reasoning-gym's products of one-digit terms; running products up to 99
basic_arithmetic  reasoning-gym's: + - * without brackets, products first
simple_equations  reasoning-gym's, a x + b = c or a x - b = c with a and b up to 9
modulo            the remainder of a number by 9, by the running sum of its digits; ours
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from itertools import accumulate
from random import Random

from benchmarks.reasoning.config import ReasoningConfig
from benchmarks.reasoning.problem import Problem, draw, labelled, spaced

TOTALS = range(100)  # what totals on the way may be: two digits
OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
EQUATION = re.compile(r"(\d*)\*?[a-z] ([+-]) (\d+) = (\d+)")


def sum_(rng: Random, config: ReasoningConfig) -> Problem:
    """``sum A 7 B 4 C 9 =`` -> ``A 7 B 1 1 C 2 0``."""
    fewest, most = config.sum_terms
    while True:
        entry = draw(rng, "chain_sum", min_terms=fewest, max_terms=most, min_digits=1, max_digits=1)
        expression = entry["metadata"]["expression"]
        if "-" not in expression:
            break
    terms = expression.split(" + ")
    totals = list(accumulate(map(int, terms)))
    return Problem(f"sum {labelled(terms)} =", labelled(totals), spaced(totals[-1]), TOTALS, entry)


def difference(rng: Random, config: ReasoningConfig) -> Problem:
    """``difference A 7 B - 4 C + 9 =`` -> ``A 7 B 3 C 1 2``."""
    fewest, most = config.difference_terms
    while True:
        entry = draw(rng, "chain_sum", min_terms=fewest, max_terms=most, min_digits=1, max_digits=1)
        first, *rest = entry["metadata"]["expression"].split()
        steps = list(zip(rest[::2], rest[1::2], strict=True))
        totals = list(
            accumulate(steps, lambda total, step: OPERATIONS[step[0]](total, int(step[1])), initial=int(first))
        )
        if "-" in rest and all(total in TOTALS for total in totals):
            told = labelled([first, *(list(step) for step in steps)])
            return Problem(f"difference {told} =", labelled(totals), spaced(totals[-1]), TOTALS, entry)


def products(rng: Random, config: ReasoningConfig) -> Problem:
    """``products A 3 B 4 C 2 =`` -> ``A 3 B 1 2 C 2 4``."""
    fewest, most = config.products_terms
    while True:
        entry = draw(rng, "products", min_terms=fewest, max_terms=most, min_digits=1, max_digits=1)
        terms = entry["metadata"]["expression"].split(" * ")
        totals = list(accumulate(map(int, terms), operator.mul))
        if 0 < totals[-1] in TOTALS:
            return Problem(f"products {labelled(terms)} =", labelled(totals), spaced(totals[-1]), TOTALS, entry)


def basic_arithmetic(rng: Random, config: ReasoningConfig) -> Problem:
    """``calculate 2 + 3 * 4 =`` -> ``3 * 4 = 1 2 , 2 + 1 2 = 1 4``."""
    fewest, most = config.basic_arithmetic_terms
    while True:
        entry = draw(
            rng,
            "basic_arithmetic",
            min_terms=fewest,
            max_terms=most,
            min_digits=1,
            max_digits=1,
            operators=("+", "-", "*"),
            allow_parentheses=False,
            allow_negation=False,
        )
        expression = entry["metadata"]["expression"]
        steps, total = reduced(expression.split())
        if "*" in expression and total is not None:
            return Problem(f"calculate {expression} =", " , ".join(steps), spaced(total), TOTALS, entry)


def reduced(pieces: list[str]) -> tuple[list[str], int | None]:
    """Steps and value, leftmost product first, then from the left; no value if a step leaves `TOTALS`."""
    steps, left = [], list(pieces)
    while len(left) > 1:
        place = left.index("*") if "*" in left else 1
        one, sign, two = left[place - 1 : place + 2]
        found = OPERATIONS[sign](int(one), int(two))
        if found not in TOTALS:
            return [], None
        steps.append(f"{spaced(one)} {sign} {spaced(two)} = {spaced(found)}")
        left[place - 1 : place + 2] = [str(found)]
    return steps, int(left[0])


def simple_equations(rng: Random, config: ReasoningConfig) -> Problem:
    """``solve 3 x + 4 = 1 9`` -> ``3 x = 1 5 , x = 5``. Always in x, so that none is a twin."""
    largest = config.simple_equations_largest
    while True:
        entry = draw(
            rng,
            "simple_equations",
            min_terms=2,
            max_terms=2,
            max_value=largest,
            operators=("+", "-", "*"),
            operators_weights=(0.5, 0.5, 0.0),
        )
        form = EQUATION.fullmatch(entry["metadata"]["equation"])
        if form is None:
            continue
        factor, sign, shift, result = int(form[1] or 1), form[2], int(form[3]), int(form[4])
        if factor <= 9 and shift <= 9 and result in TOTALS and factor * int(entry["answer"]) in TOTALS:
            solution = spaced(entry["answer"])
            return Problem(
                f"solve {factor} x {sign} {spaced(shift)} = {spaced(result)}",
                f"{factor} x = {spaced(factor * int(entry['answer']))} , x = {solution}",
                solution,
                range(1, largest + 1),
                entry,
            )


def modulo(rng: Random, config: ReasoningConfig) -> Problem:
    """``modulo 9 A 4 B 7 C 2 =`` -> ``A 4 B 2 C 4``: the digit sum so far, modulo 9."""
    digits = [rng.randint(1, 9), *(rng.randint(0, 9) for _ in range(rng.randint(*config.modulo_digits) - 1))]
    totals = [total % 9 for total in accumulate(digits)]
    return Problem(f"modulo 9 {labelled(digits)} =", labelled(totals), str(totals[-1]), range(9))
