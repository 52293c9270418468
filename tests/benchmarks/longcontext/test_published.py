"""LongBench-E and RULER: our columns, what is put right, what is refused; lm-eval's own makers are run for real."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from benchmarks.longcontext import longbench, ruler
from benchmarks.longcontext.config import LONGBENCH, RULER, LongContextConfig
from benchmarks.longcontext.filler import Endless, made_up
from benchmarks.longcontext.from_lm_eval import lm_eval_folder, longbench_prompt, make_ruler
from benchmarks.longcontext.longbench import PLACE, longbench_rows, prompt_template
from benchmarks.longcontext.ruler import ruler_rows
from benchmarks.longcontext.stand_ins import LONGBENCH_ITEMS, RULER_ITEMS
from benchmarks.longcontext.tokens import Tokens
from methodbench.errors import UserError
from tests.benchmarks.longcontext.tokenizers import trained

OFFLINE = LongContextConfig(stand_in=True)
ROW = {
    "_id": "0a1b",
    "context": "Text with {{question}}.",
    "input": "Who?",
    "answers": ["A. B.", "A"],
    "all_classes": None,
}


# -- LongBench-E -------------------------------------------------------------------------------------------------------


def test_every_set_has_stand_ins() -> None:
    assert {f"longbench_{task}" for task in LONGBENCH_ITEMS} == set(LONGBENCH)
    assert set(RULER_ITEMS) == set(RULER)
    assert len(LONGBENCH) == len(RULER) == 13


@pytest.mark.parametrize("name", LONGBENCH)
def test_a_prompt_is_lm_evals_with_its_end_put_right(name: str) -> None:
    task = name.removeprefix("longbench_")
    template, theirs = prompt_template(task), longbench_prompt(task)
    assert (
        theirs
        == load_yaml(lm_eval_folder() / "tasks" / "longbench" / f"{task}_e.yaml", resolve_func=False)["doc_to_text"]
    )
    assert template.split() == theirs.split(), "nothing but blanks and line ends differs"
    assert "context" in PLACE.findall(template)
    endings = {"lcc": "code:\n", "repobench-p": "code:\n", "passage_count": " is: ", "passage_retrieval_en": " is: "}
    assert template.endswith(endings.get(task, template[-1].strip() or "no blank"))
    assert ("}}\n\n{{question}}" in template) == (task in ("triviaqa", "samsum"))


def test_columns_become_ours_and_a_text_is_never_read_as_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(longbench, "fetch_archive", lambda *given: asked.append(given) or [ROW] * size)
    size = 224
    rows, source = longbench_rows("longbench_qasper", LongContextConfig(revisions={"longbench": "abc"}))
    assert asked == [
        ("longcontext: set 'longbench_qasper'", "THUDM/LongBench", "data.zip", "data/qasper_e.jsonl", "abc")
    ]
    assert {key: value for key, value in rows[0].items() if key != "prompt"} == {
        "source": "0a1b", "answer": "A. B.", "answers": ["A. B.", "A"], "classes": [],
    }  # fmt: skip
    assert "Article: Text with {{question}}.\n" in rows[0]["prompt"] and rows[0]["prompt"].count("Who?") == 1
    assert (source["revision"], source["split"]) == ("abc", "data/qasper_e.jsonl") and source["lm_eval"]
    with pytest.raises(UserError, match="set 'longbench_trec', revision 'main': given 224 rows, expected 300"):
        longbench_rows("longbench_trec", LongContextConfig())


def test_without_the_hub_one_sentence_says_what_to_do() -> None:
    with pytest.raises(
        UserError, match=r"set 'longbench_lcc': THUDM/LongBench .* cannot be fetched .*'stand_in: true'"
    ):
        longbench_rows("longbench_lcc", LongContextConfig())


# -- RULER -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_makers() -> Iterator[None]:
    """lm-eval's makers are imported anew, and forgotten afterwards."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("lm_eval.tasks.ruler")]:
            del sys.modules[name]

    forget()
    yield
    forget()


@pytest.fixture
def word_source(fresh_makers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional package of words, and the sentence splitter that would be downloaded."""
    import nltk

    words = Endless(Random(0), made_up).first(900)
    categories = {"nouns": words[:300], "adjectives": words[300:330], "verbs": words[330:]}
    categories |= {one: categories[many] for one, many in (("noun", "nouns"), ("verb", "verbs"))}
    categories["adjective"] = categories["adjectives"]
    module: Any = types.ModuleType("wonderwords")
    module.RandomWord = lambda: types.SimpleNamespace(_categories=categories)
    monkeypatch.setitem(sys.modules, "wonderwords", module)
    monkeypatch.setattr(nltk.data, "find", lambda name: name)


@pytest.mark.parametrize("name", ["ruler_niah_multikey_2", "ruler_cwe", "ruler_fwe"])
def test_lm_evals_makers_give_a_hundred_texts_that_hold_their_answers(
    name: str, word_source: None, tmp_path: Path
) -> None:
    trained().save_pretrained(tmp_path)
    config = LongContextConfig(length=2048, tokenizer=str(tmp_path), published=(name,))
    rows, source = ruler_rows(name, config, Tokens(trained()))
    assert len(rows) == 100 and (source["length"], source["tokenizer"]) == (2048, str(tmp_path))
    for row in rows:
        assert all(answer in row["prompt"] for answer in row["answers"])
        assert row["answer"] == ", ".join(row["answers"])
        assert not row["prompt"].endswith(" ")
    assert len({row["answer"] for row in rows}) > 90
    assert ruler_rows(name, config, Tokens(trained()))[0] == rows, "the same whatever was drawn before"


def test_a_missing_package_is_named(fresh_makers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wonderwords", None)
    with pytest.raises(UserError) as error:
        make_ruler("ruler_niah_single_1", 4096, Tokens(trained()))
    said = str(error.value)
    assert said.startswith("longcontext: set 'ruler_niah_single_1': lm-eval's makers lack a package (")
    assert said.endswith('install it with: pip install "lm-eval[ruler]"') and "\n" not in said


def test_what_cannot_be_fetched_is_said_in_a_sentence(word_source: None) -> None:
    with pytest.raises(UserError, match=r"set 'ruler_qa_squad': lm-eval could not make it \(.*'stand_in: true'"):
        make_ruler("ruler_qa_squad", 4096, Tokens(trained()))


def test_too_few_items_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.longcontext import from_lm_eval

    monkeypatch.setattr(from_lm_eval, "make_ruler", lambda *_: RULER_ITEMS["ruler_vt"])
    config = LongContextConfig(length=4096, tokenizer=".")
    with pytest.raises(UserError, match="set 'ruler_vt': lm-eval made 1 items of 4096 tokens, expected 100"):
        ruler_rows("ruler_vt", config, Tokens(trained()))


def test_the_opening_of_an_answer_follows_as_in_lm_evals_task_files() -> None:
    folder = lm_eval_folder() / "tasks" / "ruler"
    for name in RULER:
        task = name.removeprefix("ruler_")
        theirs = load_yaml(folder / f"{task}.yaml", resolve_func=False)
        assert ruler.DELIMITERS.get(name, " ") == theirs["target_delimiter"], name
        (row,), _ = ruler_rows(name, OFFLINE, Tokens())
        assert row["answer"] in row["answers"] or row["answer"] == ", ".join(row["answers"])
