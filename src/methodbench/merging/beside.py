"""What lies beside the weights in the result: the base's config.json, and one parent's tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from methodbench.merging.folders import Folder

TOKENIZER = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
)


def copy_beside(base: Folder, tokenizer: Path, changes: Mapping[str, Any], out: Path) -> None:
    """Write config.json with `changes`, and the tokenizer's files. Nothing else of a parent is true of the result."""
    if changes:
        config = {**base.config, **changes}
        if "dtype" in changes:
            config.pop("torch_dtype", None)  # its name before transformers 5
        write_json(out / "config.json", config)
    else:
        shutil.copyfile(base.path / "config.json", out / "config.json")
    for name in TOKENIZER:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, out / name)
    if (tokenizer / "additional_chat_templates").is_dir():
        shutil.copytree(tokenizer / "additional_chat_templates", out / "additional_chat_templates", dirs_exist_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Readable, sorted JSON, replaced in one step."""
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    scratch.replace(path)
