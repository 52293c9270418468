r"""The answer in a text, and whether it is the right one (sheet section 2.4).

gsm8k  the released code's rule: after the last "The answer is" (or in the whole text), without commas, the last match
       of ``-?\d+/?\.?\d*``, written as the shortest decimal.
math   after the last "The answer is", else the last \boxed{...}, else the last number; compared after normalising.
text   after the last "The answer is", blanks evened out: for answers that are no numbers.

The released filter compares the canonical prediction with the gold answer as written, so that a gold "1,200" is never
met; here both sides are canonical unless the raw gold is asked for. Its MATH rule never runs, and its normaliser is
another: ours knows spellings, not algebra, so that 1/2 and 0.5 are two answers.
"""

from __future__ import annotations

import re

MARKER = "The answer is"
NUMBER = re.compile(r"-?\d+/?\.?\d*")
MATH_MARKER = re.compile(r"[Tt]he answer is(?::\s*|\s+)")
GROUPED = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d*)?")  # 1,200.50
DECIMAL = re.compile(r"-?\d+\.\d*")
SPELLINGS = [
    (re.compile(r"\\[()\[\]]|\\?\$|\\[!,;: ]|\\(?:left|right)(?![a-z])|\\?%|~"), ""),
    (re.compile(r"\^(?:\\circ|\{\\circ\})"), ""),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"(?<=\S)\s*\\(?:text|mbox|mathrm)\{\s[^{}]*\}(?:\^\{?\d\}?)?\s*$"), ""),  # a unit: 5\text{ cm}^2
    (re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\s+|\.$"), ""),
    (re.compile(r"^[A-Za-z](?:\\in(?![a-z])|=)"), ""),  # x = 5, x \in [0, 1]
    (re.compile(r"\\frac(\d)(?=[\d{])"), r"\\frac{\1}"),  # \frac12
    (re.compile(r"(\\frac\{[^{}]*\})(\d)"), r"\1{\2}"),
    (re.compile(r"^(-?)(\d+)/(\d+)$"), r"\1\\frac{\2}{\3}"),
    (re.compile(r"\\sqrt(\w)"), r"\\sqrt{\1}"),
    (re.compile(r"(?<!\d)\.(?=\d)"), "0."),
]


def extract(kind: str, text: str) -> str:
    """The predicted answer in a text, canonical; empty where there is none. `kind` is gsm8k, math or text."""
    return {"gsm8k": gsm8k_answer, "math": math_answer, "text": text_answer}[kind](text)


def keeps(kind: str, predicted: str, gold: str, canonical_gold: bool = True) -> bool:
    """The filter: is the prediction, canonical already, the gold answer as a string?"""
    return bool(predicted) and predicted == (canonical(kind, gold) if canonical_gold else gold)


def canonical(kind: str, answer: str) -> str:
    r"""A bare answer in the form in which predictions are compared; math: also a solution that has it in \boxed{}."""
    return {"gsm8k": gsm8k_answer, "math": normalised, "text": evened}[kind](answer)


def gsm8k_answer(text: str) -> str:
    """The released rule for GSM8K, letter by letter."""
    found = NUMBER.findall(text.rpartition(MARKER)[2].replace(",", ""))
    return shortest(found[-1]) if found else ""


def shortest(number: str) -> str:
    """``"18.50"`` -> "18.5"; what no float can be made of stays as it is, less one final "." or "/"."""
    try:
        value = float(number)
    except ValueError:
        return number[:-1] if number[-1] in "./" else number
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)


def math_answer(text: str) -> str:
    """The rule for MATH, normalised. A marked answer ends at a full stop that ends its line, or at an empty line."""
    marked = list(MATH_MARKER.finditer(text))
    if marked:
        return normalised(re.split(r"\.\n|\n\s*\n", text[marked[-1].end() :].strip())[0])
    found = NUMBER.findall(text.replace(",", "")) if boxed(text) is None else [text]
    return normalised(found[-1]) if found else ""


def boxed(text: str) -> str | None:
    r"""What stands in the last \boxed{...}, braces matched; None without one, or where it never closes."""
    begin = text.rfind("\\boxed{")
    if begin < 0:
        return None
    begin += len("\\boxed{")
    depth = 1
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0) if text[place - 1] != "\\" else 0
        if depth == 0:
            return text[begin:place]
    return None


def normalised(answer: str) -> str:
    r"""A LaTeX answer, or what it has in its last \boxed{}, without what does not change its value.

    Spaces, dollars, units, \left, \dfrac, the left side of "x =", commas in 1,200 and the nought in 5.0.
    """
    inside = boxed(answer)
    text = (answer if inside is None else inside).strip()
    for pattern, replacement in SPELLINGS:
        text = pattern.sub(replacement, text)
    if GROUPED.fullmatch(text):
        text = text.replace(",", "")
    return text.rstrip("0").rstrip(".") if DECIMAL.fullmatch(text) else text


def text_answer(text: str) -> str:
    """What stands after the last marker, or nothing."""
    _, marker, tail = text.rpartition(MARKER)
    return evened(tail) if marker else ""


def evened(text: str) -> str:
    """Blanks evened out, and neither a colon before nor a full stop behind."""
    return " ".join(text.strip().removeprefix(":").removesuffix(".").split())
