"""Files as the graph gets them, the config's refusals, and whose tokens are counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.longcontext.config import BLOCK, PUBLISHED, WORDS, LongContextConfig
from benchmarks.longcontext.prepare import ITEMS, prepare
from benchmarks.longcontext.recall import BLOCK as RECALL_BLOCK
from benchmarks.longcontext.recall import SYLLABLES
from benchmarks.longcontext.tokens import PIECES, Tokens, load_tokens
from methodbench.benchmark import discover_families
from methodbench.builtin import pretrain
from methodbench.config import parse
from methodbench.errors import UserError
from tests.benchmarks.longcontext.tokenizers import saved, trained

ROOT = Path(__file__).parents[3]
SMALL = LongContextConfig(
    train=6, calibration=5, recall=7, **dict.fromkeys(ITEMS, 8), published=("pg19", "ruler_vt"), stand_in=True
)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_writes_the_splits_that_the_config_names(tmp_path: Path) -> None:
    prepare(tmp_path, SMALL, 0)
    assert sorted(file.stem for file in tmp_path.glob("*.jsonl")) == sorted(SMALL.splits())
    assert len(read(tmp_path / "passkey.jsonl")) == 8
    assert json.loads((tmp_path / "ruler_vt.source.json").read_text()) == {"n": 1, "stand_in": True}


def test_the_same_seed_gives_the_same_bytes_another_other_items(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        prepare(tmp_path / name, SMALL, seed)
    for split in SMALL.splits():
        one, two, other = ((tmp_path / name / f"{split}.jsonl").read_bytes() for name in ("one", "two", "other"))
        assert one == two
        assert (one == other) == (split in PUBLISHED)


def test_every_published_set_has_a_task_and_every_task_a_split() -> None:
    family = discover_families(ROOT)["longcontext"]
    config = LongContextConfig(**dict.fromkeys(ITEMS, 1), published=PUBLISHED, stand_in=True)
    assert {task.split for task in family.tasks} == set(family.splits(config))


def test_pieces_are_the_tokens_of_the_engines_own_models() -> None:
    assert PIECES.pattern == pretrain.PIECES
    assert Tokens().spans("ab Cd 12.") == [(0, 2), (3, 5), (6, 7), (7, 8), (8, 9)]
    assert Tokens().count("ab Cd 12.") == 5


def test_the_recall_language_is_as_large_as_the_config_believes() -> None:
    assert (len(SYLLABLES), RECALL_BLOCK) == (WORDS, BLOCK)


def test_a_folder_holds_a_tokenizer_that_counts_its_special_tokens(tmp_path: Path) -> None:
    tokens = load_tokens(LongContextConfig(tokenizer=saved(tmp_path)))
    text = "the quiet farmer."
    assert tokens.count(text) == len(trained()(text)["input_ids"])
    covered = {place for start, end in tokens.spans(text) for place in range(start, end)}
    assert covered >= {place for place, letter in enumerate(text) if letter != " "}


def test_a_paper_config_can_be_tried_without_its_tokenizer(tmp_path: Path) -> None:
    config = LongContextConfig(
        length=4096, tokenizer="a/b", tokenizer_revision="0" * 40, passkey=2, published=PUBLISHED, stand_in=True
    )
    prepare(tmp_path, config, 0)
    assert Tokens().count(read(tmp_path / "passkey.jsonl")[0]["prompt"]) == 4096 - ITEMS["passkey"][1]
    with pytest.raises(UserError, match=r"key 'tokenizer': 'a/b' cannot be loaded \("):
        load_tokens(LongContextConfig(tokenizer="a/b", tokenizer_revision="0" * 40))


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"key 'tokenizer': '.*missing' cannot be loaded \("):
        load_tokens(LongContextConfig(tokenizer=str(tmp_path / "missing")))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"length": 32}, "key 'length': given 32"),
        ({"depths": [0.5, 1.5]}, r"key 'depths': given 1.5, allowed: 0 to 1"),
        ({"published": ["pg20"]}, "unknown set 'pg20'; allowed: .*did you mean 'pg19'"),
        ({"revisions": {"pg": "abc"}}, "unknown source 'pg'; allowed: longbench, pg19, .*did you mean 'pg19'"),
        (
            {"tokenizer": "EleutherAI/gpt-neox-20b"},
            "key 'tokenizer_revision': 'EleutherAI/gpt-neox-20b' must be pinned",
        ),
        ({"tokenizer": "a/b", "tokenizer_revision": "main"}, "key 'tokenizer_revision': given 'main'"),
        ({"published": ["ruler_vt"], "length": 4096}, "key 'tokenizer': 'ruler_vt' is cut to a model's tokens"),
        (
            {"published": ["ruler_vt"], "tokenizer": "./x"},
            "key 'length': given 256, allowed for 'ruler_vt': at least 2048",
        ),
        ({"length": 64}, "key 'tail': given 32, allowed with the other keys of recall: at most 8"),
        ({"pairs": 9}, "key 'pairs': given 9, .* at most 8"),
        ({"queries": 33}, "key 'queries': given 33, .* at most 32"),
        ({"fillers": 60}, "key 'fillers': given 60, .* at most 54"),
        ({"pass_key": 1}, "unknown key 'pass_key'; allowed: .*did you mean 'passkey'"),
    ],
)
def test_mistakes_in_the_config_are_said_in_a_sentence(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(LongContextConfig, values, "study.yaml: datasets.long.config")


def test_a_hub_tokenizer_with_its_commit_is_accepted() -> None:
    assert LongContextConfig(tokenizer="a/b", tokenizer_revision="0" * 40).splits() == ("recall",)
