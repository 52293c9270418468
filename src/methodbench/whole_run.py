"""How far a whole run is: what it will cost when it starts, then a line a minute, by Snakemake's own events."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from methodbench.joblog import Log, duration
from methodbench.plan import Job, Machine, plan, wall_seconds
from methodbench.wording import count
from methodbench.workflow import Workflow

CHATTER = "Select jobs to execute...", "Execute "
EVERY = 60.0  # seconds between two lines
ENOUGH = 0.05  # share of the expected work after which the run's own pace tells more than the expectation


class WholeRun(logging.Handler):
    """Says at most every `EVERY` seconds how many jobs have ended and about how long the others will take.

    `makes` gives what each job of the run makes, by Snakemake's number of it; `jobs` what is expected of them,
    in the order of their priority. What is ahead takes as long as expected, times what the work so far took against
    what was expected of it.
    """

    def __init__(
        self,
        makes: Mapping[int, Path],
        jobs: Mapping[Path, Job],
        machine: Machine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.numbers = set(makes)
        number = {path: number for number, path in makes.items()}
        self.jobs = {number[path]: job for path, job in jobs.items() if path in number}
        self.machine, self.clock = machine, clock
        self.log = Log("whole run")
        self.began = self.said = clock()
        self.expected = wall_seconds(list(self.jobs.values()), machine)
        self.running: dict[int, float] = {}  # since when
        self.ended: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one of Snakemake's events; the others pass."""
        event = getattr(getattr(record, "event", None), "name", "")
        if event == "JOB_STARTED":
            self.running.update(dict.fromkeys(vars(record)["jobs"], self.clock()))
        elif event == "JOB_FINISHED" and (number := vars(record)["job_id"]) in self.numbers:
            self.running.pop(number, None)
            self.ended.add(number)
            if self.ended == self.numbers:
                self.log.say(f"{count(len(self.numbers), 'job')} done in {duration(self.clock() - self.began)}")
            elif self.clock() - self.said >= EVERY:
                self.said = self.clock()
                self.log.say(f"{len(self.ended)} of {count(len(self.numbers), 'job')} done{self._left()}")

    def expectation(self) -> str:
        """``"12 jobs, about 3 min 05 s on 2 cores by earlier runs"``."""
        cores = count(self.machine.cores, "core")
        about = f", {self._about()} {duration(self.expected)} on {cores} by earlier runs" if self.expected else ""
        return f"{count(len(self.numbers), 'job')}{about}"

    def _about(self) -> str:
        """Jobs that prepare, track and report are not timed; they are short."""
        return "at least" if any(job.unknown for job in self.jobs.values()) else "about"

    def _left(self) -> str:
        whole = sum(job.core_seconds for job in self.jobs.values())
        if not whole:
            return ""
        now = self.clock()
        behind = sum(self.jobs[number].core_seconds for number in self.ended if number in self.jobs)
        for number, since in self.running.items():
            if job := self.jobs.get(number):
                behind += min(job.core_seconds, job.threads * (now - since))
        whole_time = (now - self.began) * whole / behind if behind >= ENOUGH * whole else self.expected
        return f", {self._about()} {duration(whole_time * (1 - behind / whole))} left"


def watch(flow: Workflow, started: Mapping[int, tuple[Sequence[str], int]], cores: int, gpus: int | None) -> WholeRun:
    """The handler for a run on these cores and GPUs (None: no limit); says what it expects.

    `started` gives the outputs of the jobs that it starts, by Snakemake's number of them, and the GPUs that each takes.
    """
    makes = {number: Path(outputs[0]) for number, (outputs, _) in started.items() if outputs}
    takes = {path: started[number][1] for number, path in makes.items()}
    machine = Machine(cores, math.inf if gpus is None else gpus)
    planned = plan(flow.graph, flow.names, machine, Path()).jobs
    jobs = {job.path: replace(job, gpus=takes.get(job.path, job.gpus)) for job in planned}
    made = WholeRun(makes, jobs, machine)
    made.log.say(made.expectation())
    return made


def worth_a_line(record: logging.LogRecord) -> bool:
    """Not what Snakemake says every time it has chosen jobs."""
    return not str(record.msg).startswith(CHATTER)
