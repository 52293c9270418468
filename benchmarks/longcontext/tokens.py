"""Counts tokens and says where they lie: by a pattern that needs no library, or by a model's own tokenizer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.longcontext.config import LongContextConfig, is_folder
from methodbench.errors import UserError

# A word, a capital, a digit, a symbol: the tokens of the engine's `pretrain`, repeated here because it needs torch.
PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]|\d|[^\sA-Za-z\d]")


class Tokens:
    """The tokens of a text, by `PIECES` or by the tokenizer it is given."""

    def __init__(self, tokenizer: Any = None) -> None:
        self.tokenizer = tokenizer

    def count(self, text: str) -> int:
        """How many tokens a model reads, the special ones that its tokenizer adds included."""
        return len(PIECES.findall(text)) if self.tokenizer is None else len(self.tokenizer(text)["input_ids"])

    def spans(self, text: str) -> list[tuple[int, int]]:
        """First character of every token and the one after its last; no special tokens."""
        if self.tokenizer is None:
            return [found.span() for found in PIECES.finditer(text)]
        return list(self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"])


def load_tokens(config: LongContextConfig) -> Tokens:
    """What ``config.tokenizer`` names; no code of the repository is run. A hub id is left alone if `stand_in`.

    Raises:
        UserError: there is no such tokenizer, the hub cannot be reached, or it cannot tell where its tokens lie.
    """
    if not config.tokenizer or (config.stand_in and not is_folder(config.tokenizer)):
        return Tokens()
    from transformers import AutoTokenizer

    name = str(Path(config.tokenizer).expanduser()) if config.tokenizer.startswith("~") else config.tokenizer
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=config.tokenizer_revision or None, trust_remote_code=False
        )
    except Exception as error:  # the hub's client has a dozen ways of failing; the person needs one sentence
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"longcontext: key 'tokenizer': '{config.tokenizer}' cannot be loaded ({reason})") from None
    if not tokenizer.is_fast:
        raise UserError(f"longcontext: key 'tokenizer': '{config.tokenizer}' does not tell where its tokens lie")
    tokenizer.model_max_length = 10**12  # a text is cut to `length` here; its own limit would only raise warnings
    return Tokens(tokenizer)
