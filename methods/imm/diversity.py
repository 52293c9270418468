"""How good and how varied a round's rationales are (sheet section 2.10): the signs of collapse.

A rationale is a string; its words are what blanks separate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def unique_share(texts: Sequence[str]) -> float:
    """Different texts over texts; 0 for none."""
    return len(set(texts)) / len(texts) if texts else 0.0


def distinct(texts: Sequence[str], n: int) -> float:
    """distinct-n: different n-grams of words over n-grams of words, over all texts together; 0 for none."""
    found: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = text.split()
        found.update(zip(*(words[place:] for place in range(n)), strict=False))
    return len(found) / found.total() if found else 0.0


def mean_words(texts: Sequence[str]) -> float:
    """Mean number of words; 0 for none."""
    return sum(len(text.split()) for text in texts) / len(texts) if texts else 0.0


def coverage(questions: Sequence[int], right: Sequence[bool]) -> float:
    """Share of questions with a right sample; `questions` names each sample's question."""
    answered = {question for question, is_right in zip(questions, right, strict=True) if is_right}
    return len(answered) / len(set(questions)) if questions else 0.0


def majority(questions: Sequence[int], answers: Sequence[str], gold: Sequence[str]) -> float:
    """Share of questions whose most frequent answer is right; of equally frequent ones the first sampled counts.

    `gold` is each sample's gold answer, canonical as the answers are.
    """
    votes: dict[int, Counter[str]] = {}
    wanted: dict[int, str] = {}
    for question, answer, true in zip(questions, answers, gold, strict=True):
        votes.setdefault(question, Counter())[answer] += 1
        wanted[question] = true
    right = sum(count.most_common(1)[0][0] == wanted[question] for question, count in votes.items())
    return right / len(votes) if votes else 0.0
