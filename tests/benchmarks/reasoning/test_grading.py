"""What counts as an answer, strictly and leniently, and pass@k against all subsets."""

from __future__ import annotations

from itertools import combinations

import pytest

from benchmarks.reasoning.grading import TRIES, choices, extract, last, process_results, process_tries
from benchmarks.reasoning.passk import pass_at_k


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        (" A 7 B 2 7 . The answer is 2 7 <|end|>", "27"),
        ("The answer is 27", "27"),
        ("The answer is c b a <|end|> <|pad|>", "cba"),
        ("The answer is 2 7 <|end|> The answer is 3", "27"),  # what follows the end was never said
        ("", None),
        ("2 7", None),
        ("The answer is", None),
        ("The answer is <|end|>", None),
        ("The answer is 2 . The answer is 3", None),  # twice
        ("The answer is 2 7 .", None),
        ("The answer is C 2", None),
        ("The answer is 2 a", None),
        ("the answer is 2", None),
        ("the answer The answer is 2", "2"),
    ],
)
def test_the_strict_answer(told: str, answer: str | None) -> None:
    assert extract(told) == answer


@pytest.mark.parametrize(
    ("told", "gold", "found"),
    [
        ("A 7 B 1 1 so 2 7 , I think", "2 7", "27"),
        ("A 7 B 1 1", "1 1", "11"),
        ("C t B a A c . t a c", "t a c", "tac"),
        ("The answer is t a c <|end|> 4", "t a c", "tac"),
        ("tac", "t a c", "tac"),
        ("C t B a A c", "t a c", "c"),  # labels part the letters
        ("", "2", None),
        ("none", "2", None),
        ("1 2", "a b", None),
    ],
)
def test_the_lenient_answer(told: str, gold: str, found: str | None) -> None:
    assert last(told, gold) == found


def test_numbers_for_lm_eval() -> None:
    doc = {"answer": "2 7"}
    assert process_results(doc, ["A 2 7 . The answer is 2 7"]) == {"exact_match": 1, "lenient": 1, "answered": 1}
    assert process_results(doc, ["The answer is 7"]) == {"exact_match": 0, "lenient": 0, "answered": 1}
    assert process_results(doc, ["A 2 7"]) == {"exact_match": 0, "lenient": 1, "answered": 0}
    assert process_results(doc, [""]) == {"exact_match": 0, "lenient": 0, "answered": 0}


def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample() -> None:
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                subsets = list(combinations(range(n), k))
                share = sum(any(sample < c for sample in subset) for subset in subsets) / len(subsets)
                assert pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_refuses_what_has_no_meaning(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=r"pass@k needs"):
        pass_at_k(n, c, k)


def test_pass_at_k_of_an_items_samples() -> None:
    samples = ["The answer is 2 7"] * 4 + ["2 7"] * 12
    found = process_tries({"answer": "2 7"}, [samples])
    assert found == {f"pass_{k}": pass_at_k(16, 4, k) for k in TRIES}
    assert found["pass_1"] == 0.25 and found["pass_16"] == 1


def test_an_option_ends_where_the_model_would_stop() -> None:
    assert choices({"options": ["2", "2 7"]}) == ["2 <|end|>", "2 7 <|end|>"]
