"""Where a result comes from: code, commit, library versions, machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import methodbench

LIBRARIES = ("torch", "transformers", "lm_eval", "snakemake", "mlflow", "datasets", "accelerate", "numpy", "mamba_ssm")
# Engine files that can change a number; the others only move, name or show numbers.
SHAPING = ("training", "decoding", "sampling", "runtime", "policy", "evaluate", "growing_cache")


@cache
def versions() -> dict[str, str]:
    """Installed versions of the libraries that shape results, and ours."""
    found = {"methodbench": methodbench.__version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit(root: Path) -> str:
    """The commit of the working tree at `root`, with "+" if what a run reads differs from it; "" outside git.

    Reports do not count: a run writes them, so that a clone would differ as soon as the first is there.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "--short=12", "HEAD")
    changed = head and git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)reports")
    return f"{head}+" if changed else head


@cache
def code_digest(entry: str) -> str:
    """sha256 over the sources behind an entry "package.module:name": its folder, and the engine's shaping files."""
    module = entry.partition(":")[0]
    spec = find_spec(module)
    engine = Path(methodbench.__file__).parent
    files = {engine / f"{name}.py" for name in SHAPING}
    if spec and spec.origin:
        files |= set(Path(spec.origin).parent.glob("*.py"))
    total = hashlib.sha256()
    for file in sorted(file for file in files if file.exists()):
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def machine() -> str:
    """One line about the machine: processor, cores, memory, GPUs if any."""
    import psutil

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {psutil.cpu_count() or 1} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"
