"""RULER's thirteen tasks (arXiv 2404.06654) as lm-eval makes them, cut to the tokens of one model.

A row's prompt is the text and the opening of the answer that lm-eval puts behind it. lm-eval makes 500 items a task;
the first hundred are taken, as in the experiments of arXiv 2504.16053. They are the same for every seed.
"""

from __future__ import annotations

from typing import Any

from benchmarks.longcontext.config import LongContextConfig
from benchmarks.longcontext.stand_ins import RULER_ITEMS
from benchmarks.longcontext.tokens import Tokens
from methodbench.errors import UserError

ITEMS = 100
ASKED_ONCE = ("ruler_qa_squad", "ruler_qa_hotpot")  # several answers are accepted ones, not parts of one
DELIMITERS = {"ruler_cwe": "\n\n"}  # between text and opening, by lm-eval's task files; elsewhere a blank


def ruler_rows(name: str, config: LongContextConfig, tokens: Tokens) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of one task, and what made them.

    Raises:
        UserError: lm-eval's optional packages are missing, or what it fetches cannot be reached.
    """
    source: dict[str, Any]
    if config.stand_in:
        made, source = RULER_ITEMS[name], {"stand_in": True}
    else:
        from benchmarks.longcontext.from_lm_eval import lm_eval_version, make_ruler

        made = make_ruler(name, config.length, tokens)[:ITEMS]
        if len(made) < ITEMS:
            raise UserError(
                f"longcontext: set '{name}': lm-eval made {len(made)} items of {config.length} tokens, expected {ITEMS}"
            )
        source = {
            "lm_eval": lm_eval_version(),
            "tokenizer": config.tokenizer,
            "tokenizer_revision": config.tokenizer_revision,
            "length": config.length,
        }
    return [row(name, item) for item in made], source


def row(name: str, item: dict[str, Any]) -> dict[str, Any]:
    """Our columns from lm-eval's."""
    answers = [str(answer) for answer in item["outputs"]]
    return {
        "prompt": str(item["input"]) + DELIMITERS.get(name, " ") + str(item["gen_prefix"]),
        "answer": answers[0] if name in ASKED_ONCE else ", ".join(answers),
        "answers": answers,
    }
