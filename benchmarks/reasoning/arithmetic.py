"""Kinds that calculate: the default in-domain kind `sum`, and what is near it.

sum               reasoning-gym's chain_sum with plus signs only; running totals
difference        chain_sum with at least one minus sign; running totals between 0 and 99
products          reasoning-gym's products of one-digit terms; running products up to 99
basic_arithmetic  + - * without brackets, products first; ours, as reasoning-gym 0.1.25 reckons 2 + 3 * 4 as 20
simple_equations  a x + b = c or a x - b = c, a and b up to 9; ours
modulo            the remainder of a number by 9, by the running sum of its digits; ours
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import accumulate
from random import Random

from benchmarks.reasoning.config import ReasoningConfig
from benchmarks.reasoning.problem import Problem, draw, labelled, spaced

TOTALS = range(100)  # what totals on the way may be: two digits
OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


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
    while True:
        pieces = [str(rng.randint(0, 9))]
        for _ in range(rng.randint(*config.basic_arithmetic_terms) - 1):
            pieces += [rng.choice("+-*"), str(rng.randint(0, 9))]
        steps, total = reduced(pieces)
        if "*" in pieces and total is not None:
            return Problem(f"calculate {spaced(pieces)} =", " , ".join(steps), spaced(total), TOTALS)


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
    """``solve 3 x + 4 = 1 9`` -> ``3 x = 1 5 , x = 5``."""
    largest = config.simple_equations_largest
    while True:
        factor, solution, shift, sign = rng.randint(1, 9), rng.randint(1, largest), rng.randint(1, 9), rng.choice("+-")
        product = factor * solution
        result = OPERATIONS[sign](product, shift)
        if product in TOTALS and result in TOTALS:
            return Problem(
                f"solve {factor} x {sign} {shift} = {spaced(result)}",
                f"{factor} x = {spaced(product)} , x = {spaced(solution)}",
                spaced(solution),
                range(1, largest + 1),
            )


def modulo(rng: Random, config: ReasoningConfig) -> Problem:
    """``modulo 9 A 4 B 7 C 2 =`` -> ``A 4 B 2 C 4``: the digit sum so far, modulo 9."""
    digits = [rng.randint(1, 9), *(rng.randint(0, 9) for _ in range(rng.randint(*config.modulo_digits) - 1))]
    totals = [total % 9 for total in accumulate(digits)]
    return Problem(f"modulo 9 {labelled(digits)} =", labelled(totals), str(totals[-1]), range(9))
