"""What a run says about itself as a whole: what it expects, how far it is, how long the rest will take."""

from __future__ import annotations

import logging
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from methodbench.plan import Job, Machine
from methodbench.whole_run import WholeRun, worth_a_line

Event = Enum("Event", ["JOB_STARTED", "JOB_FINISHED", "SHELLCMD"])


class Run:
    """A run of jobs of these seconds (None: not known), numbered from 0, under a clock of its own."""

    def __init__(self, *seconds: float | None, cores: int = 2, kind: str = "transform") -> None:
        paths = [Path(f"made/{number}") for number in range(len(seconds))]
        jobs = {path: Job(kind, "toy", path, seconds=length) for path, length in zip(paths, seconds, strict=True)}
        elsewhere = Job("transform", "other", Path("not/of/this/run"), seconds=1e6)
        self.now = 0.0
        self.whole = WholeRun(
            dict(enumerate(paths)), {**jobs, elsewhere.path: elsewhere}, Machine(cores), clock=lambda: self.now
        )

    def event(self, event: Event, **values: Any) -> None:
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, None, (), None)
        vars(record).update(event=event, **values)
        self.whole.handle(record)

    def start(self, *jobs: int) -> None:
        self.event(Event.JOB_STARTED, jobs=list(jobs))

    def end(self, job: int, after: float) -> None:
        self.now += after
        self.event(Event.JOB_FINISHED, job_id=job)


def test_a_run_begins_with_what_is_expected_of_its_own_jobs() -> None:
    assert Run(60.0, 60.0, 120.0).whole.expectation() == "3 jobs, about 3 min 00 s on 2 cores by earlier runs"
    assert Run(60.0, None).whole.expectation() == "2 jobs, at least 1 min 00 s on 2 cores by earlier runs"
    assert Run(None, kind="report").whole.expectation() == "1 job"


def test_jobs_are_expected_in_the_order_of_their_priority() -> None:
    run = Run(100.0, 100.0, 200.0)
    jobs = {job.path: job for job in run.whole.jobs.values()}
    makes = {number: path for number, path in enumerate(reversed(jobs))}
    assert WholeRun(makes, jobs, Machine(2)).expectation().startswith("3 jobs, about 5 min 00 s")


def test_the_rest_goes_at_the_pace_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(100.0, 100.0, 100.0, 100.0)
    run.start(0, 1)
    run.end(0, after=200.0)  # twice as long as expected
    # Expected: 400 core-seconds, of which 100 are done and the other running job's 100 nearly so.
    said = capsys.readouterr().err
    assert "whole run" in said and said.endswith("1 of 4 jobs done, about 3 min 20 s left\n")
    run.start(2)
    run.end(1, after=1.0)
    assert not capsys.readouterr().err, "a line sooner than a minute after the last"
    run.start(3)
    run.end(2, after=99.0)
    assert capsys.readouterr().err.endswith("3 of 4 jobs done, about 1 s left\n")
    run.end(3, after=99.0)
    run.end(99, after=99.0)  # the rule `all`, which makes nothing
    assert capsys.readouterr().err.endswith("4 jobs done in 6 min 39 s\n")


def test_before_the_run_has_a_pace_the_expectation_tells(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(60.0, 10_000.0, 10_000.0)
    run.start(0)
    run.end(0, after=600.0)
    assert capsys.readouterr().err.endswith("1 of 3 jobs done, about 2 h 47 min left\n")


def test_jobs_of_unknown_length_make_it_at_least(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(100.0, None, 100.0, cores=1)
    run.start(0)
    run.end(0, after=100.0)
    assert capsys.readouterr().err.endswith("1 of 3 jobs done, at least 1 min 40 s left\n")
    run = Run(None, None)
    run.end(0, after=100.0)
    assert capsys.readouterr().err.endswith("1 of 2 jobs done\n")


def test_other_events_pass(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(100.0)
    run.now = 100.0
    run.event(Event.SHELLCMD, cmd="true")
    run.whole.handle(logging.LogRecord("snakemake", logging.INFO, "", 0, "words", (), None))
    assert not capsys.readouterr().err


def test_what_snakemake_says_at_every_choice_of_jobs_is_dropped() -> None:
    def kept(message: str) -> bool:
        return worth_a_line(logging.LogRecord("snakemake", logging.INFO, "", 0, message, (), None))

    assert not kept("Select jobs to execute...") and not kept("Execute 2 jobs...")
    assert kept("Building DAG of jobs...") and kept("Error in rule transform:")
