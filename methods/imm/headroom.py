"""A gate before the rounds: can this model improve in the domain, and can it lose something outside of it?

Where hardly any sampled answer is right nothing is learned, where nearly all are nothing can be gained, and a model
that is weak outside of the domain has nothing to forget. In all three cases every arm of a study looks alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from methodbench.checkpoint import Checkpoint, link_files
from methodbench.errors import UserError
from methodbench.joblog import Log
from methods.imm.config import HeadroomConfig
from methods.imm.match import MADE
from methods.imm.rationales import accuracy, read_questions


def imm_headroom(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: HeadroomConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Hand the parent on if its accuracy is within both windows.

    Raises:
        UserError: it is not.
    """
    (parent,) = parents
    model, tokenizer = parent.load()
    for name, window in (("in_domain", config.in_domain), ("out_of_domain", config.out_of_domain)):
        questions = read_questions(data[name], config.questions)
        share = accuracy(model, tokenizer, questions, config, out.parent / f"{name}.jsonl", log)
        log.say(f"{name}: {share:.3f} of {len(questions)} questions")
        if not window[0] <= share <= window[1]:
            raise UserError(
                f"{parent.path}: answers {share:.1%} of {data[name]} right, key '{name}' wants {window[0]:.0%} to "
                f"{window[1]:.0%}; train it longer or shorter, or change the questions' difficulty"
            )
    link_files(parent.path, out, leave=MADE)
