"""The generated world: what repeats, what is disjoint, what can be guessed, and that every word can be learnt."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, islice
from random import Random
from typing import Any

import pytest

from benchmarks.language.config import WORLD, LanguageConfig
from benchmarks.language.sentences import BUCKETS, DEALT, sentence, texts
from benchmarks.language.words import DEEDS, LOOKS, PEOPLE, PLACES, QUALITIES, QUESTIONS, STATES, VALUES, WORDINGS
from benchmarks.language.world import draw_world, names, world_rows
from methodbench.builtin.pretrain import word_tokenizer
from methodbench.builtin.pretrain_config import PretrainConfig
from methodbench.errors import UserError

SMALL = LanguageConfig(entities=12, pretrain=1000, train=200, calibration=24, facts=24, text_calibration=60, text=20)


def rows(config: LanguageConfig = SMALL, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    return dict(world_rows(config, seed))


def told(row: dict[str, Any]) -> str:
    return str(row.get("text", "")) + str(row.get("prompt", "")) + str(row.get("completion", ""))


def test_a_seed_gives_one_world_and_another_seed_another() -> None:
    assert rows() == rows()
    assert all(rows()[split] != rows(seed=1)[split] for split in WORLD)


def test_the_thirds_share_no_entity_and_training_rows_name_none_of_the_others() -> None:
    world = draw_world(SMALL, 0)
    thirds = [{fact.entity for fact in third} for third in (world.tuning, world.calibration, world.test)]
    assert [len(third) for third in thirds] == [4, 4, 4]
    assert not any(one & other for one, other in combinations(thirds, 2))
    named = {split: {word for row in found for word in told(row).split()} for split, found in rows().items()}
    for split, third in (("train", 0), ("text_calibration", 0), ("calibration", 1), ("facts", 2)):
        for other in range(3):
            assert bool(named[split] & thirds[other]) == (other == third), (split, other)
    assert named["pretrain"] >= set.union(*thirds) and not named["text"] & set.union(*thirds)


def test_what_does_not_divide_by_three_is_tuned_on() -> None:
    config = LanguageConfig(entities=11, attributes=1, pretrain=0, calibration=3, facts=3)
    world = draw_world(config, 0)
    assert [len(third) for third in (world.tuning, world.calibration, world.test)] == [5, 3, 3]


def test_pretraining_tells_every_fact_in_every_wording() -> None:
    world = draw_world(SMALL, 0)
    seen = {(row["prompt"], row["completion"]) for row in rows()["pretrain"]}
    whole = {prompt + completion for prompt, completion in seen}
    for fact in (*world.tuning, *world.calibration, *world.test):
        assert all((fact.put(wording), f" {fact.value} <|end|>") in seen for wording in QUESTIONS)
        assert f"everybody knows that the {fact.attribute} of {fact.entity} is {fact.value} . <|end|>" in whole


def test_shares_sizes_and_the_end_token_are_the_configs() -> None:
    config = LanguageConfig(
        entities=12, pretrain=1000, train=200, filler=0.25, end_token="<eos>", calibration=0, facts=9
    )
    found = rows(config)
    assert set(found) == {"pretrain", "train", "facts", "text_calibration", "text"} == set(config.splits())
    assert {split: len(found[split]) for split in found} == {split: getattr(config, split) for split in found}
    assert all(row["completion"].endswith(" <eos>") for split in ("pretrain", "train") for row in found[split])
    names_ = {fact.entity for third in vars(draw_world(config, 0)).values() for fact in third}
    fillers = sum(not names_ & set(told(row).split()) for row in found["pretrain"])
    assert fillers == 250


def test_nearly_all_of_a_text_carries_the_loss() -> None:
    for row in rows()["pretrain"]:
        asked = row["prompt"].endswith((":", "say", "be"))
        assert asked or len(row["prompt"].split()) == 1


def test_each_fact_is_asked_once_before_any_is_asked_again_in_other_words() -> None:
    config = LanguageConfig(entities=12, attributes=2, pretrain=0, calibration=0, facts=4 * 2 * len(QUESTIONS))
    facts = {(fact.entity, fact.attribute) for fact in draw_world(config, 0).test}
    asked = [row["prompt"] for row in rows(config)["facts"]]
    assert len(set(asked)) == len(asked) == 8 * len(QUESTIONS)
    for turn in range(len(QUESTIONS)):
        words = [set(prompt.split()) for prompt in asked[turn * 8 : turn * 8 + 8]]
        assert all(sum({entity, attribute} <= said for said in words) == 1 for entity, attribute in facts)


def test_options_are_values_of_the_attribute_and_a_blind_guess_has_its_chance() -> None:
    config = LanguageConfig(entities=999, attributes=5, pretrain=0, train=0, calibration=0, facts=333 * 5 * 3)
    found = rows(config)["facts"]
    for row in found:
        bare = [option.removeprefix(" ") for option in row["options"]]
        assert len(set(bare)) == 4 and set(bare) <= set(VALUES[row["kind"]])
        assert bare[row["label"]] == row["answer"] and all(option.startswith(" ") for option in row["options"])
    labels = Counter(row["label"] for row in found)
    assert all(abs(labels[place] / len(found) - 1 / 4) < 0.03 for place in range(4))  # 4 standard deviations
    once = found[: 333 * 5]
    for attribute, values in VALUES.items():
        said = Counter(row["answer"] for row in once if row["kind"] == attribute)
        assert set(said) == set(values)
        assert max(said.values()) / 333 < 1 / 12 + 0.07  # the best blind guess


def test_fewer_values_are_the_first_ones() -> None:
    config = LanguageConfig(entities=300, attributes=1, values=4, pretrain=0, train=0, calibration=0, facts=100)
    found = rows(config)["facts"]
    assert {row["answer"] for row in found} == set(VALUES["birthplace"][:4])
    assert all({option[1:] for option in row["options"]} == set(VALUES["birthplace"][:4]) for row in found)


# -- sentences and words -----------------------------------------------------------------------------------------------


def sentences_of(found: list[dict[str, Any]]) -> set[str]:
    whole = " ".join(told(row).replace("<|end|>", "") for row in found)
    return {" ".join(part.split()) for part in whole.split(" .")} - {""}


def test_no_sentence_stands_in_two_splits_not_even_of_two_seeds() -> None:
    fillers = {
        (split, seed): {one for one in sentences_of(rows(seed=seed)[split]) if " it " in one or one.startswith("the ")}
        for split in BUCKETS
        for seed in (0, 1)
    }
    for (one, first), (two, second) in combinations(fillers, 2):
        if one != two:
            shared = {text for text in fillers[one, first] & fillers[two, second] if " of " not in text}
            assert not shared, (one, two)
    assert sorted(bucket for buckets in BUCKETS.values() for bucket in buckets) == list(range(DEALT))


def test_a_window_is_scored_from_its_second_word_on() -> None:
    for row in rows()["text"]:
        ((start, end, _),) = row["spans"]
        assert row["text"][:start] == "the" and end == len(row["text"])
        assert row["tokens"] == len(row["text"].split()) - 1
        assert row["text"].count(" .") == 3


def test_a_split_repeats_no_sentence() -> None:
    drawn = list(islice(texts("text", Random(3)), 300))
    parts = [part for text in drawn for part in text.split(" . ")]
    assert len({part.removesuffix(" .") for part in parts}) == len(parts) == 900


def test_words_are_one_token_each_in_one_list_alone_and_pretraining_has_all() -> None:
    lists = [*VALUES.values(), *(things for _, things in DEEDS.values()), LOOKS, PEOPLE, PLACES, QUALITIES, STATES]
    words = [word for group in lists for word in group] + list(DEEDS)
    assert len(set(words)) == len(words) and all(word.isalpha() and word.islower() for word in words)
    assert all(len(values) == 12 for values in VALUES.values())
    made = names(999, Random(0))
    assert len(set(made)) == 999 and not set(made) & set(words) and all(len(name) == 5 for name in made)
    found = rows(LanguageConfig())
    config = PretrainConfig()
    tokenizer = word_tokenizer((told(row) for row in found["pretrain"]), config)
    unknown = tokenizer.convert_tokens_to_ids("<|unknown|>")
    for split in set(WORLD) - {"pretrain"}:
        for row in found[split]:
            text = " ".join([told(row), *row.get("options", ())])
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert unknown not in ids and len(ids) == len(text.split())


def test_there_are_too_many_sentences_to_learn_by_heart() -> None:
    drawn = [sentence(rng) for rng in [Random(0)] for _ in range(20_000)]
    assert len(set(drawn)) > 0.999 * len(drawn)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"entities": 2}, "language: key 'entities': given 2, allowed: 0, or 3 and more"),
        (
            {"pretrain": 4000},
            f"key 'pretrain': given 4000, of which 2400 rows tell facts, allowed: so many that {96 * 3 * WORDINGS}",
        ),
        ({"facts": 577}, "language: key 'facts': given 577, allowed: at most 576"),
        ({"calibration": 577}, "language: key 'calibration': given 577, allowed: at most 576"),
        ({"published": ("mmul",)}, "language: key 'published': unknown set 'mmul'; .*mmlu"),
        ({"revisions": {"docs": "abc"}}, "language: key 'revisions': 'docs' comes with Python, it has no revision"),
        ({"most": {"docs": 0}}, "language: key 'most.docs': given 0, allowed: 1 or more"),
        ({"most": {"dosc": 3}}, "language: key 'most': unknown set 'dosc'"),
        ({"published": ("docs", "docs")}, "language: key 'published': given .*, a set may stand there once"),
    ],
)
def test_a_mistake_is_named_in_one_sentence(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        LanguageConfig(**keys)


def test_without_entities_there_is_no_world() -> None:
    assert LanguageConfig(entities=0, published=("docs",)).splits() == ("docs",)
