"""The command line. Snakemake calls the first five verbs; the others are for people."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from methodbench.errors import UserError
from methodbench.graph import SCALES, Graph
from methodbench.joblog import Log
from methodbench.merging.command import add_arguments
from methodbench.merging.command import run as merge


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 done, 2 bad input (one sentence on stderr), 1 anything else."""
    began = time.monotonic()
    options = _parser().parse_args(arguments)
    options.began = began
    try:
        return int(options.run(options) or 0)
    except UserError as error:
        print(f"methodbench: {error}", file=_screen or sys.stderr, flush=True)
        return 2
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = error.filename or "the work folder"
        print(
            f"methodbench: {where}: the disk is full; nothing computed so far is lost: free some space and run again",
            file=_screen or sys.stderr,
            flush=True,
        )
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="methodbench", description="Do published methods do what their papers say?")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: object, help: str, *wants: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help)
        sub.set_defaults(run=run)
        sub.add_argument("--root", type=Path, default=Path(), help="folder with config/, methods/, benchmarks/")
        sub.add_argument("--scale", default="mini", help=f"one of {', '.join(SCALES)}")
        for want in wants:
            sub.add_argument(f"--{want}", required=True)
        return sub

    def job(name: str, run: object, help: str, *wants: str) -> None:
        sub = verb(name, run, help, *wants)
        sub.add_argument("--threads", type=int, default=1)
        sub.add_argument("--gpu", type=int, default=0, help="GPUs to pin")
        sub.add_argument("--log", type=Path, help="file for everything that is not a progress line")

    job("prepare", run_prepare, "make a dataset", "study", "dataset")
    job("transform", run_transform, "make a checkpoint", "study", "build", "checkpoint")
    job("evaluate", run_evaluate, "score a checkpoint", "study", "seed", "checkpoint", "job")
    job("track", run_track, "make MLflow agree with the files of a study", "study")
    job("report", run_report, "write a study's report", "study")
    job("index", run_index, "write the list of reports")
    verb("explain", run_explain, "say why a target would be made again").add_argument("target")
    verb("verify", run_verify, "compare a study's report, samples and MLflow runs", "study")
    verb("docs", run_docs, "write the generated parts of the documentation").add_argument(
        "--check", action="store_true", help="write nothing, fail if something would change"
    )
    verb("list", run_list, "list methods, benchmarks and studies")
    planning = verb("plan", run_plan, "say what a run would cost before it starts")
    planning.add_argument("--study", action="append", default=[], help="this study alone; may be given several times")
    planning.add_argument("--cores", type=int, help="as of the run; default: all that there are")
    planning.add_argument("--profile", type=Path, help="the run's profile, such as profiles/gpu, for its GPUs")
    differing = verbs.add_parser("diff", help="say what moved between two reports or two lock files")
    differing.set_defaults(run=run_diff)
    differing.add_argument("before", type=Path, help="a report's folder, page or verdicts.json, or a lock file")
    differing.add_argument("after", type=Path, help="the same of the other version")
    merging = verbs.add_parser("merge", help="merge model folders, the base last")
    merging.set_defaults(run=merge)
    add_arguments(merging)
    return parser


def run_prepare(options: argparse.Namespace) -> None:
    from methodbench.transform import prepare

    node = Graph(options.root, options.scale).dataset(options.study, options.dataset)
    with _job(options, f"{node.name} data") as log:
        prepare(node, log)


def run_transform(options: argparse.Namespace) -> None:
    from methodbench.gpu import pinned
    from methodbench.ledger import checkpoint_node
    from methodbench.mirror import Mirror

    graph = Graph(options.root, options.scale)
    node = graph.built(options.study, options.build, options.checkpoint)
    shown = checkpoint_node(node, graph.scale)
    with _job(options, f"{node.name} {node.run}") as log, pinned(options.gpu), Mirror(shown, _uri()) as log.tracker:
        _threads(options.threads)
        from methodbench.transform import transform

        transform(node, graph.root, log)
    _clock(options)


def run_evaluate(options: argparse.Namespace) -> None:
    from methodbench.gpu import pinned

    graph = Graph(options.root, options.scale)
    node = graph.evaluation(options.study, options.seed, options.checkpoint, options.job)
    with _job(options, f"{node.checkpoint.name} seed{node.seed} {node.name}") as log, pinned(options.gpu):
        _threads(options.threads)
        from methodbench.evaluate import evaluate

        evaluate(node, graph.root, graph.scale, _uri(), log)
    _clock(options)


def run_track(options: argparse.Namespace) -> None:
    from methodbench.ledger import experiment, finished
    from methodbench.track import reconcile
    from methodbench.transform import write_json

    graph = Graph(options.root, options.scale)
    with _job(options, f"{options.study} to MLflow") as log:
        nodes = finished(graph, graph.study(options.study))
        summary = reconcile(nodes, _uri(), [experiment(graph.scale, options.study)])
        log.say(str(summary))
    write_json(Path("results") / options.scale / options.study / "tracked.json", {"ok": summary.ok, "why": summary.why})


def run_report(options: argparse.Namespace) -> None:
    from methodbench.publication import publish_report

    with _job(options, f"{options.study} report") as log:
        publish_report(Graph(options.root, options.scale), options.study, _uri(), log)


def run_index(options: argparse.Namespace) -> None:
    from methodbench.index import render_index

    graph = Graph(options.root, options.scale)
    paper = Graph(options.root, "paper").study_names()
    render_index(Path(), options.scale, [graph.study(name).study for name in graph.study_names()], paper)


def run_explain(options: argparse.Namespace) -> None:
    from methodbench.explain import explain

    print("\n".join(explain(Graph(options.root, options.scale), options.target)))


def run_verify(options: argparse.Namespace) -> int:
    from methodbench.agreement import check

    found = check(Graph(options.root, options.scale), options.study, _uri())
    print("\n".join([*found.wrong, *found.told]))
    return 1 if found.wrong else 0


def run_docs(options: argparse.Namespace) -> int:
    from methodbench.docs import write

    stale = write(options.root, options.check)
    if stale:
        print(f"{', '.join(stale)}: {'out of date; run make docs' if options.check else 'written'}")
    return 1 if stale and options.check else 0


def run_plan(options: argparse.Namespace) -> None:
    from methodbench.plan import machine_of, plan, told

    machine = machine_of(options.cores, options.profile)
    print("\n".join(told(plan(Graph(options.root, options.scale), options.study, machine, Path()))))


def run_diff(options: argparse.Namespace) -> None:
    from methodbench.difference import differences

    print("\n".join(differences(options.before, options.after)))


def run_list(options: argparse.Namespace) -> None:
    graph = Graph(options.root, options.scale)
    for method in sorted(graph.methods.values(), key=lambda method: (method.kind, method.name)):
        print(f"{method.kind:<10} {method.name:<22} {method.role:<9} {method.summary}")
    for family in graph.families.values():
        print(f"{'benchmark':<10} {family.name:<22} {'':<9} {family.summary}")
    for scale in SCALES:
        for name in Graph(options.root, scale).study_names():
            print(f"{'study':<10} {scale + '/' + name:<22}")


_screen: TextIO | None = None  # where progress goes; a job sends everything else to its log file


@contextmanager
def _job(options: argparse.Namespace, name: str) -> Iterator[Log]:
    """A job's log: progress lines on the screen, and all that libraries print in the job's log file."""
    global _screen
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from methodbench.mirror import install_sigterm

    install_sigterm()
    if options.log is None:
        yield Log(name)
        return
    options.log.parent.mkdir(parents=True, exist_ok=True)
    _screen = os.fdopen(os.dup(2), "w", buffering=1)
    with options.log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield Log(name, stream=_screen)
    except UserError:
        raise
    except BaseException as error:
        print(f"methodbench: {name}: {type(error).__name__}: {error} (the whole story: {options.log})", file=_screen)
        raise


def _clock(options: argparse.Namespace) -> None:
    """Wall seconds of a job that has ended, beside its log, in the form of Snakemake's ``benchmark:`` files."""
    if options.log is not None:
        options.log.with_suffix(".tsv").write_text(f"s\n{time.monotonic() - options.began:.2f}\n", encoding="utf-8")


def _threads(count: int) -> None:
    """One count for every library that would otherwise take all cores."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(count)
    import torch

    torch.set_num_threads(count)


def _uri() -> str:
    from methodbench.track import default_uri

    return default_uri(Path())
