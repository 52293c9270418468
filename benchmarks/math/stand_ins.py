"""Hand-made rows with the published sets' schema, so that a paper config can be tried offline. No published item."""

from __future__ import annotations

from typing import Any

STAND_INS: dict[str, tuple[tuple[str, str], ...]] = {
    "gsm8k": (
        ("A baker fills 6 trays with 8 rolls each and sells 19 rolls. How many rolls are left?", "29"),
        ("Tickets cost 7 coins. Lea buys 5 tickets and pays with 50 coins. How much change does she get?", "15"),
        ("A tank holds 1200 litres and loses 30 litres an hour. How many litres are left after 9 hours?", "930"),
        ("Noor reads 14 pages a day for a week and 20 pages on the day after. How many pages is that?", "118"),
        ("Three friends share 96 cards equally, then each gives 4 away. How many cards has each?", "28"),
    ),
    "math500": (
        (r"Write $\frac{18}{24}$ in lowest terms.", r"\frac{3}{4}"),
        ("Solve $2x + 7 = 19$ for $x$.", "6"),
        (r"Find the positive root of $x^2 - 2x - 1 = 0$.", r"1+\sqrt{2}"),
        ("A fair coin is thrown three times. What is the probability of exactly two heads?", r"\frac{3}{8}"),
        ("Give the interval on which $x^2 < 9$.", "(-3,3)"),
    ),
    "aime24": (
        ("How many positive divisors of 720 are multiples of 6?", "16"),
        ("Find the remainder when $7^{100}$ is divided by 100.", "1"),
        ("How many three-digit numbers have digits that strictly increase from left to right?", "84"),
        ("The sides of a right triangle are whole numbers and one leg is 12, the other 35. Find the hypotenuse.", "37"),
        ("Find the number of ordered pairs $(a, b)$ of positive integers with $ab = 360$.", "24"),
    ),
    "aime25": (
        ("Find the sum of all positive integers $n$ below 50 with $n^2 \\equiv 1 \\pmod{8}$.", "625"),
        ("How many subsets of $\\{1, \\dots, 8\\}$ hold no two consecutive integers?", "55"),
        ("Find the least positive integer with exactly 12 divisors.", "60"),
        ("In how many ways can 10 equal coins be put into 3 different boxes?", "66"),
        ("Find the remainder when $1! + 2! + \\dots + 20!$ is divided by 100.", "13"),
    ),
    "gpqa_diamond": (
        ("Which particle carries no electric charge?\nA. electron\nB. proton\nC. neutron\nD. positron", r"\boxed{C}"),
        ("Which gas do green plants take up in light?\nA. CO2\nB. O2\nC. N2\nD. He", r"\boxed{A}"),
        ("What is the SI unit of force?\nA. joule\nB. newton\nC. watt\nD. pascal", r"\boxed{B}"),
        ("Which base pairs with adenine in DNA?\nA. guanine\nB. cytosine\nC. uracil\nD. thymine", r"\boxed{D}"),
        ("What is the pH of pure water at 25 degrees Celsius?\nA. 5\nB. 6\nC. 7\nD. 8", r"\boxed{C}"),
    ),
    "amc": (
        ("The sum of three consecutive odd numbers is 51. What is the largest of them?", "19"),
        ("How many whole numbers from 1 to 100 are divisible by neither 2 nor 5?", "40"),
        ("A square of side 10 loses four corner squares of side 2. What is the perimeter of what is left?", "40"),
        ("What is the units digit of $3^{2023}$?", "7"),
        ("In how many ways can the letters of the word LEVEL be arranged?", "30"),
    ),
    "olympiadbench": (
        ("Find all real $x$ with $x^2 - 5x + 6 = 0$. List them in ascending order.", "2, 3"),
        (r"Determine $\sum_{k=1}^{\infty} \frac{1}{k(k+1)(k+2)}$.", r"\frac{1}{4}"),
        ("Find all pairs of primes $(p, q)$ with $p < q$ and $pq = 77$.", "(7,11)"),
        ("What is the least value of $x + 9/x$ for $x > 0$?", "6"),
        (r"A triangle has sides 5, 5 and 6. Find the radius of its incircle.", r"\frac{3}{2}"),
    ),
    "mmlu_pro": (
        ("Which of these is a noble gas?\nA. N2\nB. Ar\nC. O2\nD. Cl2\nE. H2", "B"),
        ("Which organ makes insulin?\nA. liver\nB. kidney\nC. spleen\nD. heart\nE. pancreas", "E"),
        ("What is 17 modulo 5?\nA. 0\nB. 1\nC. 2\nD. 3\nE. 4\nF. 5", "C"),
        ("What does a price floor above the market price cause?\nA. a surplus\nB. a shortage\nC. neither", "A"),
        (
            "Which is the ninth planet-like body that was renamed a dwarf planet in 2006?\n"
            "A. Io\nB. Eris\nC. Vesta\nD. Juno\nE. Ceres\nF. Titan\nG. Haumea\nH. Sedna\nI. Pluto\nJ. Triton",
            "I",
        ),
    ),
}


def solved(question: str, thought: str, solution: str, answer: str) -> dict[str, Any]:
    """A row as the hub has it."""
    return {
        "prompt": [
            {"role": "system", "content": "Think first, then solve, and put the answer in a box."},
            {"role": "user", "content": question},
        ],
        "target": [{"role": "assistant", "content": f"<think>\n{thought}\n</think>\n\n{solution}"}],
        "reward_model": {"ground_truth": answer, "style": "rule"},
    }


DEMONSTRATIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "openr1_math_46k": (
        solved("What is $12 + 30$?", "12 and 30 make 42.", r"The sum is $\boxed{42}$.", "42"),
        solved("Solve $3x = 27$.", "Divide by 3: x = 9. Check: 3 * 9 = 27.", r"$x = \boxed{9}$", "9"),
        solved(
            "What is half of a third?",
            "A third is 1/3, half of it 1/6.",
            r"It is $\boxed{\frac{1}{6}}$.",
            r"\frac{1}{6}",
        ),
        solved("How many diagonals has a hexagon?", "6 * 3 / 2 = 9.", r"There are $\boxed{9}$.", "9"),
        solved("What is $2^{10}$?", "Doubling ten times gives 1024.", r"$\boxed{1024}$", "1024"),
    ),
}
