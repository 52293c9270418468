"""A control: of several checkpoints, the one that is as accurate in the domain as the last parent.

Merging takes a smaller step than fine-tuning does, and any smaller step forgets less. The question is whether merging
does better than fine-tuning that is stopped earlier, or has a smaller learning rate, at the same in-domain accuracy.
The candidates are compared on questions of their own; what they forgot plays no part.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from methodbench.checkpoint import Checkpoint, link_files
from methodbench.joblog import Log
from methods.imm.config import MatchConfig
from methods.imm.rationales import FILE, accuracy, read_questions

MADE = ("measures.csv", "merge.json", FILE)  # tell how the parent came about, not what it is


def imm_match(
    parents: Sequence[Checkpoint],
    data: Mapping[str, Path],
    config: MatchConfig,
    seed: int,
    out: Path,
    log: Log,
) -> None:
    """Hand on the candidate nearest to the last parent in accuracy; of equally near ones the first."""
    questions = read_questions(data["questions"], config.questions)
    found = []
    for place, parent in enumerate(parents):
        model, tokenizer = parent.load()
        share = accuracy(model, tokenizer, questions, config, out.parent / f"answers{place}.jsonl", log)
        found.append(share)
        log.say(f"{parent.name}: {share:.3f} of {len(questions)} questions")
    *candidates, target = found
    nearest = min(range(len(candidates)), key=lambda place: abs(candidates[place] - target))
    log.say(f"takes {parents[nearest].name}: {candidates[nearest]:.3f} where the target has {target:.3f}")
    link_files(parents[nearest].path, out, leave=MADE)
    with (out / "measures.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["checkpoint", "accuracy", "taken"])
        for place, (parent, share) in enumerate(zip(parents, found, strict=True)):
            table.writerow([parent.name, f"{share:.6g}", int(place == nearest)])
