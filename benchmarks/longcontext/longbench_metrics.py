"""LongBench's scores of one answer, 0 to 1, the best over the accepted ones.

- Questions: F1 of the words, without capitals, punctuation and articles.
- Summaries: ROUGE-L F as the package `rouge` has it: over different words, united over the sentences of the answer.
- Classes: 1, shared among all class names that stand in the answer; 0 if the right one does not.
- Counts and retrieval: the share of the answer's numbers that are the right one.
- Code: likeness of characters, of the first line that is neither comment nor fence.

The answer of a few-shot task ends with its line. Departures: the authors drop a class that is part of the right one
from a list while they walk it, and so may keep the one behind it; here all such classes are dropped. Likeness is that
of the standard library's `difflib`, which their package uses unless a faster one is installed.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
NUMBER = re.compile(r"\d+")

Score = Callable[[str, str], float]


def words(text: str) -> list[str]:
    """Lower-case words without punctuation and articles."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def word_f1(told: str, gold: str) -> float:
    """Harmonic mean of precision and recall of the words, repeated ones counted."""
    given, wanted = words(told), words(gold)
    same = sum((Counter(given) & Counter(wanted)).values())
    return 2 * same / (len(given) + len(wanted)) if same else 0.0


def rouge_l(told: str, gold: str) -> float:
    """Words that some sentences of both share in order, against the different words of each."""
    given, wanted = sentences(told), sentences(gold)
    shared: set[str] = set()
    for sentence in wanted:
        for other in given:
            shared |= common_words_in_order(sentence, other)
    different = sum(len({word for sentence in text for word in sentence}) for text in (given, wanted))
    return 2 * len(shared) / different if shared else 0.0


def sentences(text: str) -> list[list[str]]:
    """Words of each part between full stops; the package counts the empty word of a blank part, so it is kept."""
    return [" ".join(part.split()).split(" ") for part in text.split(".") if part]


def common_words_in_order(one: Sequence[str], two: Sequence[str]) -> set[str]:
    """The words of a longest common subsequence; of equally long ones that which the package finds."""
    longest = [[0] * (len(two) + 1)]
    for word in one:
        above, row = longest[-1], [0]
        for place, other in enumerate(two):
            row.append(above[place] + 1 if word == other else max(above[place + 1], row[place]))
        longest.append(row)
    found, i, j = set[str](), len(one), len(two)
    while i and j:
        if one[i - 1] == two[j - 1]:
            found.add(one[i - 1])
            i, j = i - 1, j - 1
        elif longest[i - 1][j] > longest[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


def class_share(told: str, gold: str, classes: Sequence[str]) -> float:
    """1 / how many classes are named, if the right one is; a class whose name is part of the right one's is not."""
    named = [one for one in classes if one in told and (one == gold or one not in gold)]
    return 1 / len(named) if gold in named else 0.0


def number_share(told: str, gold: str) -> float:
    """The share of the numbers of the answer that equal the one of the gold answer: ``"Paragraph 7"`` or ``"7"``."""
    numbers, right = NUMBER.findall(told), NUMBER.search(gold)
    return numbers.count(right.group()) / len(numbers) if numbers and right else 0.0


def code_likeness(told: str, gold: str) -> float:
    """Twice the matching characters over all, in hundredths, of the first line that is code."""
    lines = (line for line in told.split("\n") if line.strip() and not any(mark in line for mark in ("`", "#", "//")))
    line = next(lines, "")
    return round(100 * SequenceMatcher(None, line, gold).ratio()) / 100 if line and gold else 0.0


def best(doc: Mapping[str, Any], told: str, score: Score) -> dict[str, float]:
    """What lm-eval asks of a task: one number per metric, for one item."""
    return {"score": max(score(told, gold) for gold in doc["answers"]), "answered": int(bool(told.strip()))}


def first_line(text: str) -> str:
    """The first line that is not empty before any text."""
    return text.lstrip("\n").split("\n")[0]


def process_question(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Questions about one or several texts."""
    return best(doc, results[0], word_f1)


def process_trivia(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Questions after worked examples."""
    return best(doc, first_line(results[0]), word_f1)


def process_summary(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Summaries of reports and news."""
    return best(doc, results[0], rouge_l)


def process_dialogue(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Summaries of dialogues after worked examples."""
    return best(doc, first_line(results[0]), rouge_l)


def process_class(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Kinds of questions after worked examples."""
    return best(doc, first_line(results[0]), lambda told, gold: class_share(told, gold, doc["classes"]))


def process_numbers(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Counts of paragraphs, and the number of a paragraph."""
    return best(doc, results[0], number_share)


def process_code(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The next line of a program."""
    return best(doc, results[0], code_likeness)
