"""Accuracies from rollouts, candidates by accuracy, and demonstrations that are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from methodbench.errors import UserError
from methods.mifo.demonstrations import Demonstrations
from methods.mifo.ledger import Ledger, Tally, candidates
from tests import pico

ROWS = [{"prompt": f"{number}+1=", "answer": str(number + 1)} for number in range(5)]


def test_accuracies_of_a_batch() -> None:
    ledger = Ledger(ROWS)
    rows = [ROWS[3], ROWS[3], ROWS[0], ROWS[0], ROWS[4], ROWS[4]]
    table = ledger.tally(rows, [True, False, None, True, None, None])
    assert table == {3: Tally(1, 2), 0: Tally(1, 1)}, "what cannot be scored does not count, nor a question without"
    assert [tally.accuracy for tally in table.values()] == [0.5, 1.0]


@pytest.mark.parametrize(("accuracy", "found"), [(0.125, [1, 2]), (0.0, [1]), (1.0, [1, 2, 3, 4]), (0.1, [1])])
def test_candidates(accuracy: float, found: list[int]) -> None:
    """Invariant 1: p itself is allowed."""
    assert candidates({1: Tally(0, 8), 2: Tally(1, 8), 3: Tally(2, 8), 4: Tally(8, 8)}, accuracy) == found


def test_a_question_is_known_by_what_it_asks() -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}], "answer": "5"}
    ledger = Ledger([*ROWS, ROWS[2], chat])
    assert ledger.number({"answer": "3", "prompt": "2+1=", "demonstration": "unlike", "extra": None}) == 2
    assert ledger.number({**chat, "prompt": None}) == 6
    with pytest.raises(UserError, match="a question that no row asks"):
        ledger.number({"prompt": "2+1=", "answer": "4"})


def correct(text: str, row: Mapping[str, Any]) -> bool | None:
    return None if row["answer"] is None else text.rpartition(" ")[2] == row["answer"]


def test_only_right_demonstrations_become_examples() -> None:
    """Invariant 2; and none of a row without an answer, where nothing can be verified."""
    ask = {"prompt": "1+1=", "answer": "2"}
    rows: list[dict[str, Any]] = [
        ask | {"demonstration": "it is 2"},
        ask | {"demonstration": "it is 3"},
        ask | {"demonstration": "it is 2", "answer": None},
        ask,
        ask | {"demonstration": ""},
        ask | {"demonstration": None},
    ]
    made = Demonstrations(rows, pico.tokenizer(), correct, 99)
    assert [made[number] is not None for number in range(6)] == [True, False, False, False, False, False]


def test_an_example_stands_where_a_rollout_would() -> None:
    tokenizer = pico.tokenizer()
    row = {"prompt": "1+1=", "answer": "2", "demonstration": "1 and 1: 2"}
    whole = Demonstrations([row], tokenizer, correct, 99)[0]
    assert whole is not None and whole.prompt == 4 and whole.length == len("1 and 1: 2") + 1
    assert list(whole.ids) == [*tokenizer("1+1=1 and 1: 2")["input_ids"], pico.EOS]
    ended = Demonstrations([{**row, "demonstration": "2<eos>"}], tokenizer, lambda *_: True, 99)[0]
    assert ended is not None and list(ended.ids[4:]) == [*tokenizer("2")["input_ids"], pico.EOS]
    for longest, ids in ((15, whole.ids), (14, whole.ids[:14]), (5, whole.ids[:5])):  # cut without an end token
        cut = Demonstrations([row], tokenizer, correct, longest)[0]
        assert cut is not None and cut.ids == ids
    assert Demonstrations([row], tokenizer, correct, 4)[0] is None, "the prompt leaves no room"


def test_a_chat_is_asked_as_its_template_says() -> None:
    tokenizer = pico.tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}={% endif %}"
    )
    row = {"messages": [{"role": "user", "content": "1+1"}], "answer": "2", "demonstration": "so 2"}
    example = Demonstrations([row], tokenizer, correct, 99)[0]
    assert example is not None and example.prompt == 4
    assert tokenizer.decode(example.ids) == "1+1=so 2<eos>"
