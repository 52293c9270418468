"""Texts from a model inside a transform: prompts in, completions out, drawn by the decode loop and resumable.

What an evaluate job does through lm-eval, a training round does with this: rationales to learn from, answers to verify.
Every completion has its own seed, so it depends neither on its neighbours nor on how many run side by side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from methodbench.decoding import Generation, Request, decode
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.journal import Journal
from methodbench.policy import Ordinary
from methodbench.sampling import Sampling
from methodbench.stopping import Thinking, UntilStop, cut


def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling,
    *,
    until: tuple[str, ...] = (),
    max_new_tokens: int,
    slots: int,
    journal: Path | None,
    log: Log,
    unit: str = "sample",
) -> list[str]:
    """One completion a prompt, without special tokens and up to the first stop string.

    `journal` is a file in which finished ones are kept, and from which a killed job goes on.

    Raises:
        UserError: a prompt leaves no room for `max_new_tokens`.
    """
    room = getattr(model.config, "max_position_embeddings", None)
    ids = tokenizer(list(prompts))["input_ids"]
    longest = max(map(len, ids), default=0)
    if room is not None and longest + max_new_tokens > room:
        raise UserError(
            f"a prompt has {longest} tokens and key 'max_new_tokens' is {max_new_tokens}; the model has {room}"
        )
    requests = [Request(list(row), seed, max_new_tokens) for row, seed in zip(ids, seeds, strict=True)]
    keys = [_digest(r.prompt, r.seed, max_new_tokens, asdict(sampling), until) for r in requests]
    known = Journal(journal, Generation)
    pending = [place for place, key in enumerate(keys) if key not in known.known]
    done = {place: known.known[key] for place, key in enumerate(keys) if key in known.known}
    waiting = [requests[place] for place in pending]

    def note(index: int, generation: Generation) -> None:
        done[pending[index]] = generation
        known.add(keys[pending[index]], generation)
        log.progress(len(done), len(requests), unit)

    vocabulary = int(model.get_input_embeddings().weight.shape[0])  # type: ignore[index]
    stop = UntilStop(tokenizer, vocabulary, until, Thinking(), [r.prompt for r in waiting]) if until else None
    try:
        decode(
            model,
            waiting,
            Ordinary(),
            sampling,
            slots=slots,
            eos_ids=end_ids(model, tokenizer),
            stop=stop,
            on_finish=note,
        )
    finally:
        known.flush()
    texts = tokenizer.batch_decode([done[place].tokens for place in range(len(requests))], skip_special_tokens=True)
    return [cut(text, until) for text in texts]


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids that end a text: the tokenizer's and those of the model's generation settings."""
    listed = getattr(model.generation_config, "eos_token_id", None)
    ids = {tokenizer.eos_token_id, *(listed if isinstance(listed, list) else [listed])}
    return {token for token in ids if token is not None}


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
