"""The four procedural kinds: a problem, its answer, and a worked trace as a list of steps.

Text is written for a tokenizer of whole lower-case words, single digits and symbols; a capital A opens an answer.

chain  one-digit operations from left to right modulo 10; labels a, b, c, ... number the operations
word   a short story with two to four quantities
sum    reasoning-gym's chain_sum: one-digit terms, running totals of one digit, labelled alike
route  a path in a small directed graph without cycles; any path along the edges is right
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from random import Random

from reasoning_gym.arithmetic.chain_sum import ChainSumConfig, ChainSumDataset

from benchmarks.math.config import Kind, MathConfig

LETTERS = "abcdefghijklmnopqrst"
OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
NAMES = ("anna", "ben", "carl", "dora", "emil", "fay", "gus", "hana")
THINGS = ("apples", "books", "cards", "coins", "nuts", "pens", "shells", "stones")
GAINS = ("buys", "finds", "gets", "wins")
LOSSES = ("drops", "eats", "loses", "sells")
LARGEST = 9  # no running total of a story or a one-digit sum is above it: few facts, shared by all kinds


@dataclass(frozen=True)
class Problem:
    """One problem. `prompt` alone identifies it; `steps` may draw on its own generator (random search order)."""

    kind: Kind
    prompt: str  # without the opening of the thinking
    answer: str  # "7", or "a c d": a route that is right, though not the only one
    steps: Callable[[Random], list[str]]
    edges: str = ""  # route only: "ab bc", one pair an edge


def running(start: int, moves: list[tuple[str, str, int]], modulus: int = 0) -> tuple[list[str], int]:
    """Steps and result of a left-to-right calculation; a move is a label, a sign and an operand.

    ``["a 3 + 4 = 7", "b 7 * 2 = 4"]``: a step names the move by its label and restates the total it starts from. A
    small model learns such steps in a fraction of the examples that ``* 2 = 4`` alone would take.
    """
    steps, total = [], start
    for label, sign, operand in moves:
        before, total = total, OPERATIONS[sign](total, operand)
        total = total % modulus if modulus else total
        steps.append(f"{label} {before} {sign} {operand} = {total}")
    return steps, total


def labelled(kind: Kind, start: int, moves: list[tuple[str, int]], modulus: int = 0) -> Problem:
    """``chain 3 a + 4 b * 7``: every operation is named by a letter."""
    named = [(label, sign, operand) for label, (sign, operand) in zip(LETTERS, moves, strict=False)]
    steps, total = running(start, named, modulus)
    told = " ".join(f"{label} {sign} {operand}" for label, sign, operand in named)
    return Problem(kind, f"{kind} {start} {told}", str(total), lambda _: steps)


def chain(rng: Random, config: MathConfig) -> Problem:
    """``chain 3 a + 4 b * 7`` -> 9: (3 + 4) * 7 modulo 10."""
    start = rng.randint(1, 9)
    moves = [(rng.choice("+-*"), rng.randint(1, 9)) for _ in range(rng.randint(*config.chain_operations))]
    return labelled("chain", start, moves, modulus=10)


def sum_(rng: Random, config: MathConfig) -> Problem:
    """``sum 3 a + 4 b - 2`` -> 5, drawn by reasoning-gym until no running total leaves its bounds."""
    (fewest, most), (short, long) = config.sum_terms, config.sum_digits
    largest = LARGEST if long == 1 else 10**long * most
    source = chain_sums(fewest, most, short, long)
    while True:
        # Item i is drawn from seed + i, so items of one seed would overlap with its neighbours': a far seed an item.
        source.seed = rng.getrandbits(48)
        expression = source[0]["metadata"]["expression"]
        first, *rest = expression.split()
        moves = [(sign, int(term)) for sign, term in zip(rest[::2], rest[1::2], strict=True)]
        signed = [int(first), *(term if sign == "+" else -term for sign, term in moves)]
        if all(0 <= total <= largest for total in accumulate(signed)):
            return labelled("sum", int(first), moves)


@cache
def chain_sums(fewest: int, most: int, short: int, long: int) -> ChainSumDataset:
    """reasoning-gym's data set of one item with so many terms of so many digits."""
    return ChainSumDataset(
        ChainSumConfig(min_terms=fewest, max_terms=most, min_digits=short, max_digits=long, seed=0, size=1)
    )


def word(rng: Random, config: MathConfig) -> Problem:
    """A story of one of three sorts: gains and losses, bags of things first, or two owners.

    Its labels are the words that tell the moves, no word twice: ``finds 4 + 3 = 7``.
    """
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    count = rng.randint(*config.word_quantities)
    sort = rng.choice(("changes", "bags", "owners"))
    question, total = "how many ?", rng.randint(2, LARGEST)
    told, moves = f"{name} has {total} {thing} .", list[tuple[str, str, int]]()
    if sort == "bags":
        total, size = rng.choice(((2, 2), (2, 3), (2, 4), (3, 2), (3, 3), (4, 2)))
        told, moves = f"{name} has {total} bags of {size} {thing} .", [("bags", "*", size)]
    elif sort == "owners":
        total, more = rng.choice([(own, more) for own in range(1, 5) for more in range(1, LARGEST - 2 * own + 1)])
        other = rng.choice([other for other in NAMES if other != name])
        told, question = f"{name} has {total} {thing} . {other} has {more} more .", "how many in all ?"
        moves = [("more", "+", more), ("all", "+", total)]
    start = total
    for _, sign, operand in moves:
        total = OPERATIONS[sign](total, operand)
    # Bags and owners tell two quantities at once; every further sentence adds one.
    gains, losses = rng.sample(GAINS, len(GAINS)), rng.sample(LOSSES, len(LOSSES))
    for _ in range(count - (1 if sort == "changes" else 2)):
        gain = total < LARGEST and (total < 1 or rng.random() < 0.5)
        amount = rng.randint(1, LARGEST - total if gain else total)
        verb = (gains if gain else losses).pop()
        moves.append((verb, "+" if gain else "-", amount))
        total += amount if gain else -amount
        told += f" {verb} {amount} ."
    steps, _ = running(start, moves)
    return Problem("word", f"{told} {question}", str(total), lambda _: steps)


def route(rng: Random, config: MathConfig) -> Problem:
    """``route a c : a b , a d , d c`` -> ``a d c``. Nodes stand in a hidden order that every edge follows."""
    nodes = rng.sample(LETTERS[: config.route_nodes[1]], rng.randint(*config.route_nodes))
    start, *middle, goal = nodes
    between = rng.randint(1, min(3, len(middle) - 1))
    path = [start, *sorted(rng.sample(middle, between), key=nodes.index), goal]
    edges = set(pairwise(path))
    trap = rng.choice([node for node in middle if node not in path])  # never left: a search can go astray
    for place, node in enumerate(nodes):
        if node not in path:
            edges.add((rng.choice([earlier for earlier in nodes[:place] if earlier != trap]), node))
    # No further edge enters the goal, or most searches would stumble on it at once.
    further = {(one, two) for place, one in enumerate(nodes) if one != trap for two in nodes[place + 1 : -1]}
    possible = sorted(further - edges)
    wanted = rng.randint(*config.route_edges) - len(edges)
    edges.update(rng.sample(possible, max(0, min(wanted, len(possible)))))
    told = sorted(edges)
    rng.shuffle(told)
    children: dict[str, list[str]] = {node: [two for one, two in told if one == node] for node in nodes}
    return Problem(
        "route",
        f"route {start} {goal} : " + " , ".join(f"{one} {two}" for one, two in told),
        " ".join(path),
        lambda search: depth_first(children, start, goal, search),
        edges=" ".join(one + two for one, two in told),
    )


def depth_first(children: dict[str, list[str]], start: str, goal: str, rng: Random) -> list[str]:
    """Depth-first search in random child order, one step a try.

    A step is the path walked, from the start; ``x`` closes it where no child is left, and the last step is the found
    path: ``["a b d x", "a b x", "a d c"]``. There are no cycles, so a node is dead for good once an x has followed it.
    """
    steps: list[str] = []
    path, dead = [start], set[str]()
    while path[-1] != goal:
        open_children = [child for child in children[path[-1]] if child not in dead]
        if open_children:
            path.append(rng.choice(open_children))
        else:
            steps.append(" ".join([*path, "x"]))
            dead.add(path.pop())
    return [*steps, " ".join(path)]


def routes(problem: Problem) -> list[str]:
    """Every route that is right, in the order of its letters: ``["a b c", "a c"]``. There are no cycles."""
    edges = [(edge[0], edge[1]) for edge in problem.edges.split()]
    start, *_, goal = problem.answer.split()
    found, open_paths = [], [start]
    while open_paths:
        path = open_paths.pop()
        if path[-1] == goal:
            found.append(" ".join(path))
        else:
            open_paths += [path + two for one, two in edges if one == path[-1]]
    return sorted(found)


KINDS: dict[str, Callable[[Random, MathConfig], Problem]] = {"chain": chain, "word": word, "route": route, "sum": sum_}
