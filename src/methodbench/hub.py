"""Rows of a published benchmark, fetched from the model hub at a chosen revision, and written as JSON lines."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from methodbench.errors import UserError


def fetch_rows(
    where: str, hub: str, subset: str | None, split: str, revision: str, files: str | None = None
) -> tuple[list[dict[str, Any]], str]:
    """All rows of one split of a dataset on the hub, and the fingerprint of what came.

    `where` opens the error, e.g. "math: set 'gsm8k'". `files`, a pattern such as ``data/test-*``, spares the download
    of the other splits, which `datasets` fetches, too.

    Raises:
        UserError: the hub cannot be reached, or has no such dataset or revision.
    """
    import datasets

    only = {"data_files": {split: files}} if files else {}
    try:
        data = datasets.load_dataset(hub, subset, split=split, revision=revision, **only)
    except Exception as error:  # the hub's client has a dozen ways of failing; the person needs one sentence
        raise unreachable(where, hub, revision, error) from None
    return [dict(row) for row in data], str(data._fingerprint)


def fetch_archive(where: str, hub: str, archive: str, member: str, revision: str) -> list[dict[str, Any]]:
    """The rows of one JSON-lines file inside a ZIP archive of a dataset on the hub.

    For datasets that come with a loading script, which `datasets` no longer runs.

    Raises:
        UserError: as `fetch_rows`, or the archive has no such member.
    """
    import huggingface_hub

    try:
        path = huggingface_hub.hf_hub_download(hub, archive, repo_type="dataset", revision=revision)
        with zipfile.ZipFile(path) as opened:
            text = opened.read(member).decode("utf-8")
    except Exception as error:
        raise unreachable(where, hub, revision, error) from None
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def unreachable(where: str, hub: str, revision: str, error: Exception) -> UserError:
    """The one sentence about whatever the hub's client raised."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(
        f"{where}: {hub} at revision '{revision}' cannot be fetched ({reason}); allowed offline: 'stand_in: true'"
    )


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_source(path: Path, source: Mapping[str, Any]) -> None:
    """Where the rows came from, beside them."""
    path.write_text(json.dumps(source, indent=1, sort_keys=True) + "\n", encoding="utf-8")
