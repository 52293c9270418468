"""What a job's start costs: jobs that fork from a process with the libraries in it, against jobs that import them.

    python tests/perf/warm_jobs.py [--rounds 5]

The work is the smallest there is: scoring a model of a few thousand parameters, of the smoke scale, on four tasks of a
dozen items. Each round runs the same job once each way, in alternating order. Processor seconds count the job and, for
the forked one, what the warm process spends on it (not its own imports, once a run, which are printed apart).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from methodbench import warm

ROOT = Path(__file__).parents[2]
JOB = ["--scale", "smoke", "--study", "imm", "--seed", "0", "--checkpoint", "slerp", "--job", "main", "--threads", "1"]
TICKS = os.sysconf("SC_CLK_TCK")


def processor(server: int | None) -> float:
    """Seconds of this process's ended children, and of the warm process with its own."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime
    if server is not None:
        fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
        seconds += sum(map(int, fields[11:15])) / TICKS
    return seconds


def run(folder: Path, server: int | None, environment: dict[str, str]) -> tuple[float, float]:
    """(processor, wall) seconds of one job that finds nothing done."""
    shutil.rmtree(folder / "results/smoke/imm/seed0/scores/slerp", ignore_errors=True)
    command = [sys.executable, "-m", "methodbench", "evaluate", "--root", str(folder), *JOB]
    before, started = processor(server), time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall = time.monotonic() - started
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    if server is not None:
        time.sleep(1.5)  # until the warm process has counted the job
    return processor(server) - before, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cold = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", warm.ADDRESS: "off"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(ROOT / "Snakefile", folder / "Snakefile")
        for part in ("config", "methods", "benchmarks", "profiles"):
            (folder / part).symlink_to(ROOT / part)
        targets = ["results/smoke/imm/seed0/scores/slerp/main.json"]
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "scale=smoke", "--", *targets]
        subprocess.run(command, cwd=folder, env=cold, capture_output=True, check=True)

        os.environ.pop(warm.ADDRESS, None)
        os.environ["PYTHONPATH"] = str(ROOT / "src")
        server = warm.start()
        if server is None:
            sys.exit("no warm process here: not Linux, or a GPU is there")
        forked = {**cold, warm.ADDRESS: os.environ[warm.ADDRESS]}
        first, _ = run(folder, server.pid, forked)
        found: dict[str, list[tuple[float, float]]] = {"cold": [], "forked": []}
        for number in range(options.rounds):
            for kind in ("cold", "forked") if number % 2 else ("forked", "cold"):
                warmed = kind == "forked"
                found[kind].append(run(folder, server.pid if warmed else None, forked if warmed else cold))
        warm.stop(server)
    for place, what in enumerate(("processor", "wall")):
        ratios = [one[place] / two[place] for one, two in zip(found["cold"], found["forked"], strict=True)]
        means = {kind: statistics.mean(pair[place] for pair in pairs) for kind, pairs in found.items()}
        print(
            f"{what}: {means['cold']:.2f} s against {means['forked']:.2f} s, ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), {options.rounds} rounds"
        )
    print(f"the first forked job, with the imports: {first:.2f} s of processor time")


if __name__ == "__main__":
    main()
