"""Far kinds that work on digits: lists, bits, grids and legs; all from reasoning-gym.

count_bits        how many ones; running count (the number is told in binary, in pairs)
number_filtering  the numbers that a rule keeps, tried one by one
number_sorting    the numbers in rising or falling order
rotate_matrix     a grid of 2 x 2, told row by row, turned clockwise by 90, 180 or 270 degrees
spiral_matrix     a grid of 2 x 2 read clockwise
manipulate_matrix a grid of 2 x 2 or 2 x 3 mirrored in one of four ways
leg_counting      the legs of so many animals of two sorts
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from random import Random
from string import ascii_uppercase
from typing import Any

from reasoning_gym.arithmetic.leg_counting import ANIMALS

from benchmarks.reasoning.config import ReasoningConfig
from benchmarks.reasoning.options import refiltered, resorted, swapped
from benchmarks.reasoning.problem import Problem, draw, labelled, spaced

NEVER = -100.0  # weight, as a logarithm, of a transform that is not asked
Grid = list[list[str]]
DIFFERENT = 3  # so many different entries at least: else there are too few options


def count_bits(rng: Random, config: ReasoningConfig) -> Problem:
    """``ones A 0 1 B 1 1 C 0 1 =`` -> ``A 1 B 3 C 4``."""
    bits = 2 * rng.randint(*config.count_bits_pairs)
    while True:
        entry = draw(rng, "count_bits", min_n=2 ** (bits - 2), max_n=2**bits - 1)
        binary = entry["metadata"]["binary"].zfill(bits)
        pairs = [binary[place : place + 2] for place in range(0, bits, 2)]
        counts = list(accumulate(pair.count("1") for pair in pairs))
        if counts[-1] <= 9:
            return Problem(f"ones {labelled(pairs)} =", labelled(counts), entry["answer"], range(1, 10), entry)


def number_filtering(rng: Random, config: ReasoningConfig) -> Problem:
    """``larger 4 A 3 B 7 C 9 =`` -> ``A no B 7 C 9``, so ``7 9``. Always a rule of what to keep, and something kept."""
    fewest, most = config.number_filtering_numbers
    while True:
        entry = draw(rng, "number_filtering", min_numbers=fewest, max_numbers=most, **one_digit())
        told = entry["metadata"]
        kept, numbers = told["result"], told["original_numbers"]
        if told["operation"].startswith("keep") and kept and len(set(numbers)) >= DIFFERENT:
            break
    work = labelled(number if number in kept else ["no"] for number in numbers)
    prompt = f"{told['operation'].removeprefix('keep_')} {told['filter_value']} {labelled(numbers)} ="
    return Problem(prompt, work, spaced(kept), partial(refiltered, numbers=numbers), entry)


def number_sorting(rng: Random, config: ReasoningConfig) -> Problem:
    """``sort descending 3 7 1 =`` -> ``7 3 1``."""
    fewest, most = config.number_sorting_numbers
    entry = draw(rng, "number_sorting", min_numbers=fewest, max_numbers=most, **one_digit())
    told = entry["metadata"]
    numbers, found = (
        spaced([str(int(float(number))) for number in told[key]]) for key in ("original_numbers", "sorted_numbers")
    )
    slip = partial(resorted, descending=told["direction"] == "descending")
    return Problem(f"sort {told['direction']} {numbers} =", found, found, slip, entry)


def one_digit() -> dict[str, Any]:
    """Settings of reasoning-gym's lists of numbers."""
    return {"max_decimals": 0, "min_value": 0.0, "max_value": 9.0}


def rotate_matrix(rng: Random, config: ReasoningConfig) -> Problem:
    """``rotate 9 0 A 1 B 2 C 3 D 4 =`` -> ``C 3 A 1 D 4 B 2``, so ``3 1 4 2``."""
    return grid(rng, "rotate_matrix", min_n=2, max_n=2, min_rotations=1, max_rotations=3)


def spiral_matrix(rng: Random, config: ReasoningConfig) -> Problem:
    """``spiral A 1 B 2 C 3 D 4 =`` -> ``A 1 B 2 D 4 C 3``, so ``1 2 4 3``."""
    return grid(rng, "spiral_matrix", min_n=2, max_n=2)


def manipulate_matrix(rng: Random, config: ReasoningConfig) -> Problem:
    """``hmirror A 1 B 2 C 3 D 4 =`` -> ``C 3 D 4 A 1 B 2``, so ``3 4 1 2``."""
    others = ("rotate", "map", "crop", "remove_every_nth_row", "remove_every_nth_col", "zero_divisible")
    weights = {f"w_{transform}": NEVER for transform in others}
    return grid(rng, "manipulate_matrix", min_rows=2, max_rows=2, min_cols=2, max_cols=3, max_transforms=1, **weights)


def grid(rng: Random, kind: str, **settings: int | float) -> Problem:
    """A problem of reasoning-gym's that reads the cells of a grid in another order."""
    while True:
        entry = draw(rng, kind, **settings)
        told = entry["metadata"]
        cells = [str(cell) for row in told["matrix"] for cell in row]
        if len(set(cells)) >= DIFFERENT:
            break
    width = len(told["matrix"][0])
    labels = [list(ascii_uppercase[place : place + width]) for place in range(0, len(cells), width)]
    if kind == "rotate_matrix":
        task, moves = f"rotate {spaced(90 * told['num_rotations'])}", ["rotate"] * told["num_rotations"]
    else:
        task = "spiral" if kind == "spiral_matrix" else told["operations"][0]["transform"]
        moves = [task]
    for move in moves:
        labels = MOVES[move](labels)
    by_label = dict(zip(ascii_uppercase, cells, strict=False))
    work = " ".join(f"{label} {by_label[label]}" for row in labels for label in row)
    return Problem(f"{task} {labelled(cells)} =", work, entry["answer"].replace("\n", " "), swapped, entry)


MOVES: dict[str, Callable[[Grid], Grid]] = {
    "rotate": lambda rows: [list(column) for column in zip(*rows[::-1], strict=True)],
    "hmirror": lambda rows: rows[::-1],
    "vmirror": lambda rows: [row[::-1] for row in rows],
    "dmirror": lambda rows: [list(column) for column in zip(*rows, strict=True)],
    "cmirror": lambda rows: [list(column)[::-1] for column in zip(*rows, strict=True)][::-1],
    "spiral": lambda rows: [rows[0], rows[1][::-1]],  # of two rows
}


def leg_counting(rng: Random, config: ReasoningConfig) -> Problem:
    """``legs cat 3 bird 2 =`` -> ``cat 3 * 4 = 1 2 bird 2 * 2 = 4 all 1 6``."""
    least, most = config.leg_counting_instances
    while True:
        entry = draw(rng, "leg_counting", min_animals=2, max_animals=2, min_instances=least, max_instances=most)
        animals = entry["metadata"]["animals"]
        if all(" " not in animal for animal in animals):  # a token each
            break
    steps = [
        f"{animal} {count} * {spaced(ANIMALS[animal])} = {spaced(count * ANIMALS[animal])}"
        for animal, count in animals.items()
    ]
    told = " ".join(f"{animal} {count}" for animal, count in animals.items())
    total = spaced(entry["answer"])
    plausible = range(2 * most * max(ANIMALS.values()) + 1)
    return Problem(f"legs {told} =", f"{' '.join(steps)} all {total}", total, plausible, entry)
