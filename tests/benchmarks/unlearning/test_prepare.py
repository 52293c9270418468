"""The files: the same from the same seed, nobody in the wrong one, nothing reported that was seen unless on purpose."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.unlearning.album import Album, picture_name
from benchmarks.unlearning.config import MODES, RATIOS, UnlearningConfig
from benchmarks.unlearning.items import Items
from benchmarks.unlearning.people import VALUES, draw_world
from benchmarks.unlearning.prepare import prepare
from benchmarks.unlearning.questions import WORDINGS
from benchmarks.unlearning.splits import Group, Lessons
from methodbench.builtin.pretrain import PIECES
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.visual import Pictures, decode_picture, read_rows
from tests.benchmarks.unlearning.worlds import SMALL, read

Row = dict[str, Any]
TRAINED = ("base", "all", *(f"{name}_{ratio}" for name in ("retain", "forget", "keep", "relearn") for ratio in RATIOS))
SCORED = [split for split in SMALL.splits() if split.endswith(("_image", "_text"))]


def persons(rows: Iterable[Row]) -> set[str]:
    """Ids of the fictitious persons in some rows."""
    return {row["person"] for row in rows if row["person"].startswith("p")}


def test_every_split_is_there(small: Path) -> None:
    assert {file.name for file in small.iterdir()} == {f"{split}.jsonl" for split in SMALL.splits()}
    for split in SMALL.splits():
        rows = read(small, split)
        assert rows and [row["id"] for row in rows] == list(range(len(rows)))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(small: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        prepare(tmp_path / str(seed), SMALL, seed)
    names = {split: (small / f"{split}.jsonl").read_bytes() for split in SMALL.splits()}
    assert all((tmp_path / "0" / f"{split}.jsonl").read_bytes() == content for split, content in names.items())
    alike = {split for split, content in names.items() if (tmp_path / "1" / f"{split}.jsonl").read_bytes() == content}
    assert alike == {"vocabulary"}, "vocabularies are the same, so that models of different seeds have the same shape"


# -- what is trained on ------------------------------------------------------------------------------------------------


def test_rows_are_read_and_their_pictures_found(small: Path) -> None:
    pictures = Pictures(small / "pictures.jsonl")
    for split in TRAINED:
        for row in read_rows(small / f"{split}.jsonl"):
            layout = r"USER: <image>\n[a-z ]+\nASSISTANT:" if row.mode == "image" else r"USER: [a-z ]+\nASSISTANT:"
            assert re.fullmatch(layout, row.prompt) and re.fullmatch(r"( [a-z]+)+", row.completion)
            assert all(name in pictures for name in row.pictures)
            if row.person.startswith("s"):
                assert ("this person" in row.prompt) is False
            else:
                assert ("this person" in row.prompt) == ("this person" in row.completion) == (row.mode == "image")
    assert pictures.image("p00_v00").size == (SMALL.size, SMALL.size)


def test_who_is_told_where(small: Path) -> None:
    forgotten = {ratio: persons(read(small, f"forget_{ratio}")) for ratio in RATIOS}
    assert [len(forgotten[ratio]) for ratio in RATIOS] == [1, 1, 2] and forgotten[5] <= forgotten[10] < forgotten[15]
    everybody = {f"p{place:02d}" for place in range(12)}
    assert persons(read(small, "all")) == everybody and persons(read(small, "base")) == set()
    for ratio in RATIOS:
        rest = everybody - forgotten[ratio]
        assert persons(read(small, f"retain_{ratio}")) == persons(read(small, f"keep_{ratio}")) == rest
        assert persons(read(small, f"relearn_{ratio}")) == forgotten[ratio]
        assert {row["person"][0] for row in read(small, f"keep_{ratio}")} == {"p"}, (
            "no replay in what methods are given"
        )
    assert not any(row["person"].startswith("h") for split in TRAINED for row in read(small, split))


@pytest.mark.parametrize("split", ["forget_15", "keep_15"])
def test_methods_are_given_every_training_row_once(split: str, small: Path) -> None:
    rows = read(small, split)
    seen = Counter((row["person"], row["mode"], row["attribute"], row["wording"]) for row in rows)
    assert set(seen.values()) == {1} and len(seen) == len(persons(rows)) * 2 * 2 * 3


def test_shares_of_rows() -> None:
    config = parse(UnlearningConfig, {"text_share": 0.25, "replay_share": 0.2, "general_share": 0.5}, "test")
    world = draw_world(config, 0)
    lessons = Lessons(world.known, config, 0)
    for people in (world.people, world.people[:3]):
        rows = lessons.with_people(people, "a")
        count = Counter((row["person"][0], row["mode"]) for row in rows)
        expected = {
            ("p", "image"): 0.6,
            ("p", "text"): 0.2,
            ("k", "image"): 0.075,
            ("k", "text"): 0.025,
            ("s", "image"): 0.075,
            ("s", "text"): 0.025,
        }
        assert {key: pytest.approx(len(rows) * share, abs=0.51) for key, share in expected.items()} == count
    base = Counter((row["person"][0], row["mode"]) for row in lessons.base())
    assert base["k", "image"] == pytest.approx(3 * base["k", "text"], abs=2)
    assert base["s", "image"] + base["s", "text"] == pytest.approx(sum(base.values()) / 2, abs=1)


def test_nothing_told_is_left_out_where_rows_are_mixed(small: Path) -> None:
    def told(split: str) -> set[tuple[Any, ...]]:
        rows = [row for row in read(small, split) if row["person"][0] != "s"]
        return {(row["person"], row["mode"], row["attribute"], row["wording"]) for row in rows}

    known = {(f"k{k:02d}", mode, a, w) for k in range(6) for mode in MODES for a in list(VALUES)[:2] for w in range(3)}
    assert told("base") == known
    assert told("all") == known | told("keep_5") | told("forget_5")
    assert told("retain_10") == known | told("keep_10")


def test_a_group_of_weight_zero_is_left_out() -> None:
    lessons = Lessons(draw_world(SMALL, 0).known, SMALL, 0)
    rows = lessons.blend(
        [Group([{"a": 1}, {"a": 2}], 1.0), Group([{"a": 3}], 0.0), Group([{"a": 4}] * 9, 1, False)], ""
    )
    assert Counter(row["a"] for row in rows) == {1: 1, 2: 1, 4: 2}


def test_relearning_tells_a_tenth_about_one_attribute() -> None:
    config = UnlearningConfig()
    world = draw_world(config, 0)
    lessons = Lessons(world.known, config, 0)
    rows = lessons.relearn(world.forgotten(6))
    assert len(rows) == 6 * 2 * 2, "of fifteen questions a mode two"
    for person in world.forgotten(6):
        own = [row for row in rows if row["person"] == person.id]
        assert {row["attribute"] for row in own} == {lessons.relearnt(person)}
        assert [row["wording"] for row in own] == [0, 1, 0, 1]
    assert len({lessons.relearnt(person) for person in world.people}) == 5
    asked = Items(world, lessons, Album(32, 0), config, 0).of("unseen", 10, "text")
    assert {(row["person"], row["kind"]) for row in asked}.isdisjoint((r["person"], r["attribute"]) for r in rows)
    assert len(asked) == 6 * 4 * 3


def test_faces_are_labelled(small: Path) -> None:
    rows = read(small, "faces")
    assert len(rows) == 4 and all(set(row) == {"id", "picture", "labels", "png"} for row in rows)
    assert decode_picture(rows[0]["png"]).size == (32, 32)
    assert all(isinstance(label, int) for label in rows[0]["labels"].values())


def test_the_vocabulary_holds_every_word(small: Path) -> None:
    def pieces(text: str) -> set[str]:
        return set(re.findall(PIECES, text.replace("<image>", " ")))

    (row,) = read(small, "vocabulary")
    known = pieces(row["prompt"] + row["completion"])
    keys = ("prompt", "completion", "cloze", "lettered", "answer", "value", "other_cloze")
    for split in SMALL.splits():
        for other in read(small, split) if split not in ("vocabulary", "faces", "pictures") else []:
            assert pieces(" ".join(str(other.get(key, "")) for key in keys)) <= known


@pytest.mark.parametrize("attributes", range(2, 9))
def test_every_word_of_a_question_was_read_in_training(attributes: int) -> None:
    """Else a model could fail at a held-out wording because a word of it means nothing yet."""
    config = parse(UnlearningConfig, {"people": 10, "known": 20, "attributes": attributes}, "test")
    world = draw_world(config, 0)
    rows = Lessons(world.known, config, 0).base()
    read_words = {word for row in rows for word in f"{row['prompt']} {row['completion']}".split()}
    for attribute in list(VALUES)[:attributes]:
        wordings = WORDINGS[attribute]
        for text in (*wordings.held_out, wordings.validation):
            assert set(text.replace("{x}", "").split()) <= read_words, text


# -- what is scored ----------------------------------------------------------------------------------------------------


def test_wordings_are_all_different() -> None:
    for wordings in WORDINGS.values():
        asked = (*wordings.training, *wordings.held_out, wordings.validation)
        assert len(set(asked)) == 6 and all(text.count("{x}") == 1 for text in asked)
    texts = [text for wordings in WORDINGS.values() for text in (*wordings.training, *wordings.held_out)]
    assert len(set(texts)) == len(texts), "a question asks for one attribute"


@pytest.mark.parametrize("split", SCORED)
def test_an_item_is_whole(split: str, small: Path) -> None:
    for row in read(small, split):
        assert row["cloze"] == f"{row['prompt']} {row['answer'].removesuffix(' ' + row['value'])}"
        assert row["answer"].endswith(f" {row['value']}")
        assert row["options"][row["label"]] == row["value"] and len(set(row["options"])) == 4
        assert all(
            f"\n{letter}. {option}\n" in row["lettered"] for letter, option in zip("ABCD", row["options"], strict=True)
        )
        assert (
            row["prompt"].count("<image>") == (row["mode"] == "image") == (row["image"] != "") == (row["source"] != "")
        )
        assert split.endswith(row["mode"]) and row["mode"] in MODES


def asked(rows: Iterable[Row]) -> set[tuple[str, str]]:
    """Who or what picture is shown, and the question."""
    return {(row["source"] or row["person"], row["prompt"]) for row in rows}


@pytest.mark.parametrize("ratio", RATIOS)
def test_what_is_reported_of_trained_facts(ratio: int, small: Path) -> None:
    trained = set()
    for row in [row for split in TRAINED for row in read(small, split)]:
        trained |= {(shown, row["prompt"]) for shown in row["pictures"] or [row["person"]]}
    for mode in MODES:
        forgotten = persons(read(small, f"forget_{ratio}"))
        for split in (f"forget_{ratio}_{mode}", f"unseen_{ratio}_{mode}", f"retain_{ratio}_{mode}", f"real_{mode}"):
            assert asked(read(small, split)) <= trained, "what was learnt: same wordings, same pictures"
        for name in ("test", "validation_forget", "validation_retain"):
            assert asked(read(small, f"{name}_{ratio}_{mode}")).isdisjoint(trained)
            prompts = {prompt for _, prompt in asked(read(small, f"{name}_{ratio}_{mode}"))}
            assert prompts.isdisjoint(prompt for _, prompt in trained), "not even beside another picture"
        for name in ("forget", "unseen", "test", "membership", "validation_forget"):
            assert persons(read(small, f"{name}_{ratio}_{mode}")) == forgotten
        for name in ("retain", "validation_retain"):
            assert persons(read(small, f"{name}_{ratio}_{mode}")) == persons(read(small, f"keep_{ratio}"))
        assert {row["person"][0] for row in read(small, f"real_{mode}")} == {"k"}
        assert asked(read(small, f"general_{mode}")).isdisjoint(trained)


def test_validation_shares_nothing_with_what_is_reported(small: Path) -> None:
    validation = [split for split in SCORED if split.startswith("validation")]
    reported = [split for split in SCORED if not split.startswith("validation")]

    def pictures(splits: list[str]) -> set[str]:
        return {row["image"] for split in splits for row in read(small, split)} - {""}

    def texts(splits: list[str]) -> set[str]:
        return {row["prompt"] for split in splits for row in read(small, split)}

    assert pictures(validation).isdisjoint(pictures(reported)) and texts(validation).isdisjoint(texts(reported))
    trained = {row["png"] for row in read(small, "pictures")}
    assert pictures(validation).isdisjoint(trained)
    assert pictures([split for split in SCORED if split.startswith(("test", "general"))]).isdisjoint(trained)


def test_a_picture_is_the_one_that_its_name_says(small: Path) -> None:
    pictures = {row["picture"]: row["png"] for row in read(small, "pictures")}
    rows = read(small, "forget_15_image")
    assert len({row["source"] for row in rows}) > 2 and all(pictures[row["source"]] == row["image"] for row in rows)
    assert set(pictures) == {
        *(
            picture_name(f"{kind}{n:02d}", "training", v)
            for kind, k in (("p", 12), ("k", 6))
            for n in range(k)
            for v in range(3)
        ),
        *(f"s{n:04d}_v00" for n in range(30)),
    }


def test_items_are_spread_evenly() -> None:
    config = UnlearningConfig()
    world = draw_world(config, 0)
    items = Items(world, Lessons(world.known, config, 0), Album(16, 0), config, 0)
    rows = items.of("retain", 10, "text")
    assert len(rows) == 90
    assert set(Counter(row["person"] for row in rows).values()) == {1, 2}
    assert set(Counter(row["kind"] for row in rows).values()) <= {17, 18, 19}
    assert len(items.spread(world.known, 3, 10_000)) == len(set(map(repr, items.spread(world.known, 3, 10_000)))) == 300


@pytest.mark.parametrize("mode", MODES)
def test_a_pair_differs_in_who_is_meant_alone(mode: str, small: Path) -> None:
    names = {person.id: person.name for person in draw_world(SMALL, 0).people + draw_world(SMALL, 0).holdout}
    for row in read(small, f"membership_15_{mode}"):
        assert row["person"].startswith("p") and row["other_person"].startswith("h")
        if mode == "image":
            assert row["cloze"] == row["other_cloze"] and row["image"] != row["other_image"] != ""
        else:
            assert row["other_cloze"] == row["cloze"].replace(names[row["person"]], names[row["other_person"]])
            assert row["other_cloze"] != row["cloze"] and row["other_image"] == ""


def test_a_blind_guess_is_right_as_often_as_declared() -> None:
    """Facts are drawn uniformly and apart from each other: always the same option, or the most frequent value."""
    right, frequent, total = 0, 0, 0
    for seed in range(8):
        config = UnlearningConfig()
        world = draw_world(config, seed)
        items = Items(world, Lessons(world.known, config, seed), Album(16, seed), config, seed)
        rows = items.items(items.every(world.people, 3), "training", "text", str(seed))
        right += sum(row["label"] == 0 for row in rows)
        total += len(rows)
        # What the retained persons tell about the forgotten: the value that is most frequent among them.
        for attribute in list(VALUES)[:5]:
            usual = Counter(person.facts[attribute] for person in world.retained(9)).most_common(1)[0][0]
            frequent += sum(person.facts[attribute] == usual for person in world.forgotten(9))
    assert right / total == pytest.approx(1 / 4, abs=0.02)
    assert frequent / (8 * 5 * 9) == pytest.approx(1 / 12, abs=0.045)


# -- what can be asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"forget": [10, 5]}, "key 'forget': given \\[10, 5\\], allowed: each once, ascending"),
        ({"forget": [20]}, "key 'forget"),
        ({"people": 1}, "key 'people': given 1, allowed: at least one more than forgotten"),
        ({"people": 0}, "key 'people': given 0, allowed: 0 only if 'sets'"),
        ({"attributes": 9}, "key 'attributes'"),
        ({"peopel": 9}, "unknown key 'peopel'; .*people"),
    ],
)
def test_a_mistake_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(UnlearningConfig, given, "unlearning")


def test_one_ratio_alone() -> None:
    config = parse(UnlearningConfig, {"forget": [10]}, "unlearning")
    assert "forget_10" in config.splits() and not any("_5" in split or "_15" in split for split in config.splits())
    whole = UnlearningConfig()
    assert config.forgotten(10) == whole.forgotten(10) == 6
    assert json.dumps([p.id for p in draw_world(config, 0).forgotten(6)]) == json.dumps(
        [p.id for p in draw_world(whole, 0).forgotten(6)]
    )
