"""Published rows: what is asked of the hub, and the one sentence when it does not answer."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from methodbench.errors import UserError
from methodbench.hub import fetch_archive, fetch_rows, write_rows, write_source


def test_rows_come_as_mappings_with_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[object, ...]] = []

    def load(hub: str, subset: str | None, *, split: str, revision: str, **only: object) -> datasets.Dataset:
        asked.append((hub, subset, split, revision, *only.items()))
        return datasets.Dataset.from_list([{"a": 1}, {"a": 2}])

    monkeypatch.setattr(datasets, "load_dataset", load)
    rows, fingerprint = fetch_rows("x: set 'y'", "some/set", "main", "test", "abc")
    assert asked == [("some/set", "main", "test", "abc")]
    assert rows == [{"a": 1}, {"a": 2}]
    assert fingerprint
    fetch_rows("x: set 'y'", "some/set", None, "test", "abc", "data/test-*")
    assert asked[1:] == [("some/set", None, "test", "abc", ("data_files", {"test": "data/test-*"}))]


def test_a_member_of_an_archive_is_read_without_running_a_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("data/one.jsonl", '{"q": "é"}\n\n{"q": "two"}\n')
    asked: list[tuple[object, ...]] = []

    def download(hub: str, name: str, *, repo_type: str, revision: str) -> str:
        asked.append((hub, name, repo_type, revision))
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert fetch_archive("x", "some/set", "data.zip", "data/one.jsonl", "abc") == [{"q": "é"}, {"q": "two"}]
    assert asked == [("some/set", "data.zip", "dataset", "abc")]
    with pytest.raises(UserError, match=r"x: some/set at revision 'abc' cannot be fetched \(.*data/two\.jsonl"):
        fetch_archive("x", "some/set", "data.zip", "data/two.jsonl", "abc")


def test_offline_one_sentence_says_what_to_do() -> None:
    for failing in (
        lambda: fetch_rows("x: set 'y'", "some/set", None, "test", "main"),
        lambda: fetch_archive("x: set 'y'", "some/set", "data.zip", "one.jsonl", "main"),
    ):
        with pytest.raises(UserError) as caught:
            failing()
        said = str(caught.value)
        assert said.startswith("x: set 'y': some/set at revision 'main' cannot be fetched (")
        assert said.endswith("allowed offline: 'stand_in: true'")
        assert "\n" not in said


def test_rows_and_their_source_are_written_as_json(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"q": "é"}, {"q": "two"}])
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == '{"q": "é"}\n{"q": "two"}\n'
    write_source(tmp_path / "a.source.json", {"n": 2, "hub": "some/set"})
    assert json.loads((tmp_path / "a.source.json").read_text()) == {"hub": "some/set", "n": 2}
