"""Hand-made rows with the published sets' columns, so that a paper config can be tried offline. No published item.

Those to improve on have one answer, a single digit, so that even a random model is right now and then.
"""

from __future__ import annotations

from typing import Any


def worked(question: str, steps: str, answer: str) -> dict[str, Any]:
    """A row of GSM8K."""
    return {"question": question, "answer": f"{steps}\n#### {answer}"}


def solved(problem: str, solution: str) -> dict[str, Any]:
    """A row of MATH."""
    return {"problem": problem, "solution": solution}


def told(question: str, texts: tuple[str, ...], right: str) -> dict[str, Any]:
    """A row of ARC or CommonsenseQA."""
    labels = list("ABCDE"[: len(texts)])
    return {"question": question, "choices": {"text": list(texts), "label": labels}, "answerKey": right}


def asked(question: str, texts: tuple[str, ...], right: int, passage: str = "") -> dict[str, Any]:
    """A row of AGIEval."""
    options = [f"({'ABCDE'[place]}){text}" for place, text in enumerate(texts)]
    last = "ABCDE"[len(texts) - 1]
    query = f"{passage}Q: {question} Answer Choices: {' '.join(options)}\nA: Among A through {last}, the answer is"
    return {"query": query, "choices": options, "gold": [right]}


GSM8K_FIT = (
    worked("Mia has 2 pens and buys 2 more. How many pens has she?", "She has 2 + 2 = <<2+2=4>>4 pens.", "4"),
    worked("A pack of 12 rolls is shared by 3 people. How many rolls each?", "Each has 12 / 3 = <<12/3=4>>4.", "4"),
    worked("Ten birds sit on a wall and six fly off. How many stay?", "10 - 6 = <<10-6=4>>4 birds stay.", "4"),
    worked("A square garden is 16 metres around. How long is a side?", "A side is 16 / 4 = <<16/4=4>>4 metres.", "4"),
    worked("Tom reads 20 pages in 5 days, the same each day. How many a day?", "20 / 5 = <<20/5=4>>4 pages.", "4"),
    worked("A cab has 4 wheels. How many wheels has one cab?", "One cab has 1 * 4 = <<1*4=4>>4 wheels.", "4"),
)
GSM8K_VALIDATION = (
    worked("Ana had 9 apples and ate 5. How many are left?", "9 - 5 = <<9-5=4>>4 apples are left.", "4"),
    worked("Eight shoes make how many pairs?", "A pair is 2 shoes.\n8 / 2 = <<8/2=4>>4 pairs.", "4"),
    worked("Two boxes hold 2 cups each. How many cups is that?", "2 * 2 = <<2*2=4>>4 cups.", "4"),
)
MATH_FIT = (
    solved("Compute $2^2$.", r"$2 \cdot 2 = \boxed{4}$."),
    solved(r"Compute $\sqrt{16}$.", r"Since $4 \cdot 4 = 16$, the root is $\boxed{4}$."),
    solved("Solve $3x = 12$.", r"$x = 12 / 3 = \boxed{4}$."),
    solved("How many divisors has 6?", r"They are 1, 2, 3 and 6, so $\boxed{4}$."),
    solved("What is the median of 1, 4 and 9?", r"The middle one is $\boxed{4}$."),
    solved("Find the remainder when 19 is divided by 5.", r"$19 = 3 \cdot 5 + 4$, so $\boxed{4}$."),
)
MATH_VALIDATION = (
    solved("Compute $7 - 3$.", r"$7 - 3 = \boxed{4}$."),
    solved("How many sides has a square?", r"A square has $\boxed{4}$ sides."),
    solved("Find the largest square that divides 20.", r"$20 = 4 \cdot 5$, so it is $\boxed{4}$."),
)

STAND_INS: dict[str, tuple[dict[str, Any], ...]] = {
    "gsm8k": (
        worked("A baker fills 6 trays with 8 rolls and sells 19. How many are left?", "6 * 8 = 48\n48 - 19 = 29", "29"),
        worked("A tank of 1200 litres gets 30 more. How many litres is that?", "1200 + 30 = 1230", "1,230"),
        worked("Lea buys 5 tickets of 7 coins and pays with 50. What is her change?", "5 * 7 = 35\n50 - 35 = 15", "15"),
    ),
    "gsm8k_train": GSM8K_FIT,
    "gsm8k_fit": GSM8K_FIT,
    "gsm8k_validation": GSM8K_VALIDATION,
    "gsm8k_probe": GSM8K_VALIDATION,
    "math": (
        solved(r"Write $\frac{18}{24}$ in lowest terms.", r"Both are multiples of 6: $\boxed{\frac{3}{4}}$."),
        solved("Solve $2x + 7 = 19$ for $x$.", r"$2x = 12$, so $x = \boxed{6}$."),
        solved("Find the positive root of $x^2 - 2x - 1 = 0$.", r"It is $\boxed{1+\sqrt{2}}$."),
        solved("Give the interval on which $x^2 < 9$.", r"It is $\boxed{(-3,3)}$."),
    ),
    "math_train": MATH_FIT,
    "math_fit": MATH_FIT,
    "math_validation": MATH_VALIDATION,
    "math_probe": MATH_VALIDATION,
    "gsm_plus_mini": (
        {
            "question": "A baker fills 6 trays with 9 rolls and sells 19. How many are left?",
            "answer": "35",
            "perturbation_type": "numerical substitution",
        },
        {
            "question": "Lea pays 5 tickets of 7.5 coins with 50. What is her change?",
            "answer": "12.5",
            "perturbation_type": "integer-decimal-fraction conversion",
        },
        {
            "question": "Lea buys some tickets and pays with 50. What is her change?",
            "answer": "None",
            "perturbation_type": "critical thinking",
        },
    ),
    "asdiv": (
        {"body": "Six cats play.", "question": "How many paws?", "answer": "24 (paws)", "solution_type": "Product"},
        {"body": "Eva has 7 red and 5 blue beads.", "question": "How many?", "answer": "12", "solution_type": "Sum"},
        {"body": "A film starts on Monday.", "question": "Which day?", "answer": "Monday", "solution_type": "Word"},
    ),
    "svamp": (
        {"Body": "Paul has 13 kites and gives 4 away", "Question": "How many has he?", "Answer": "9", "Type": "Minus"},
        {"Body": "A box has 3 rows of 11 eggs.", "Question": "How many eggs?", "Answer": "33", "Type": "Times"},
    ),
    "mathqa": (
        {
            "Problem": "what is 15 % of 40 ?",
            "options": "a ) 5 , b ) 6 , c ) 6.5 , d ) 1,000 , e ) none of these",
            "correct": "b",
            "category": "gain",
        },
        {
            "Problem": "a car drives 120 km in 2 hours . what is its speed ?",
            "options": "a ) 30 km / h , b ) 45 km / h , c ) 50 km / h , d ) 55 km / h , e ) 60 km / h",
            "correct": "e",
            "category": "physics",
        },
    ),
    "arc_challenge": (
        told("Which gas do plants take up?", ("oxygen", "carbon dioxide", "helium", "neon"), "B"),
        told("What freezes at 0 degrees Celsius?", ("water", "iron", "salt"), "A"),
    ),
    "mmlu_stem": (
        {"question": "What is the SI unit of force?", "choices": ["joule", "newton", "watt", "pascal"], "answer": 1},
        {"question": "Which sorts in O(n log n)?", "choices": ["merge", "bubble", "bogo", "insertion"], "answer": 0},
    ),
    "commonsense_qa": (
        told("Where is milk kept fresh?", ("bookshelf", "refrigerator", "garden", "letter box", "oven"), "B"),
        told("What is used to cut paper?", ("spoon", "pillow", "lamp", "water", "scissors"), "E"),
    ),
    "agieval_aqua_rat": (
        asked("What is half of a third of 48?", ("4", "6", "8", "10", "12"), 2),
        asked("If x + 3 = 10, what is 2x?", ("14", "7", "20", "13", "26"), 0),
    ),
    "agieval_logiqa_en": (
        asked(
            "Who came first?", ("Ben", "Cleo", "Dora", "Finn"), 3, "Finn came before Dora, Dora before Ben and Cleo. "
        ),
        asked(
            "What follows?",
            ("It rains.", "It is wet.", "It is dry.", "Nothing."),
            1,
            "If it rains, it is wet. It rains. ",
        ),
    ),
    "agieval_sat_math": (
        asked("If 3y = 24, what is y?", ("6", "7", "8", "9"), 2),
        asked("What is the slope of y = 5x - 2?", ("-2", "2", "3", "5"), 3),
    ),
    "bbh": (
        {"input": "not ( True ) and True is", "target": "False"},
        {"input": "Walk 3 steps. Turn around. Walk 3 steps. Are you back?\nOptions:\n- Yes\n- No", "target": "Yes"},
        {"input": "I have a lamp, two chairs and a stove. How many objects do I have?", "target": "4"},
        {
            "input": "Ada is taller than Bo, who is taller than Cy. Who is the shortest?\n"
            "Options:\n(A) Ada is the shortest\n(B) Bo is the shortest\n(C) Cy is the shortest",
            "target": "(C)",
        },
    ),
}
