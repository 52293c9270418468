"""Jobs that start at once: a process that has imported the libraries forks for each of them.

Importing torch, transformers, TRL and lm-eval takes a core some five seconds, about as long as many a job of a mini
study works. So a run of Snakemake starts one process (`start`) that imports them at the first job's request. Every
job's command hands over its arguments, environment, working folder and open files, and waits (`forwarded`); the job
itself runs in a fork. Nothing of ours is imported before the fork and no random number drawn, so a job does what it
would do by itself: if no such process answers, it does.

Only on Linux, where forking after these imports is safe, and only without a GPU, since a library may touch it while it
is imported and a fork could not use it then. The socket lies in a folder that no other user can enter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ADDRESS = "METHODBENCH_WARM"  # environment variable: where the process listens
GPUS = ("/dev/nvidiactl", "/dev/kfd")  # files of the drivers
LIBRARIES = (
    "transformers",
    "transformers.trainer",
    "transformers.models.auto.processing_auto",
    "trl.trainer.sft_trainer",
    "lm_eval.evaluator",
    "lm_eval.models.huggingface",
    "lm_eval.models.hf_vlms",
    "rouge_score.rouge_scorer",
    "mlflow",
    "pandas",
    "scipy.stats",
)
ENVIRONMENT = {  # what libraries read while they are imported; a job sets its own number of threads
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
GRACE = 10.0  # seconds between asking a job to end and ending it
SIZE = 4  # bytes of a message's length


def start() -> subprocess.Popen[bytes] | None:
    """Start the process for this one's jobs; it ends with this one. None where jobs had better start by themselves."""
    if sys.platform != "linux" or any(Path(file).exists() for file in GPUS) or os.environ.get(ADDRESS):
        return None
    address = str(Path(tempfile.mkdtemp(prefix="methodbench-")) / "jobs")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)  # here, so that no job can come too early
        listener.listen()
        server = subprocess.Popen(
            [sys.executable, "-m", "methodbench.warm", str(listener.fileno()), address, str(os.getpid())],
            env={**os.environ, **ENVIRONMENT},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    os.environ[ADDRESS] = address
    atexit.register(stop, server)
    return server


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the warm process and wait for it, so that what its jobs used counts as used by this process's children."""
    server.terminate()
    server.wait()


def forwarded(arguments: Sequence[str], module: str = "methodbench.cli", grace: float = GRACE) -> int | None:
    """The exit code of `module`'s `main`, run in a fork of the warm process; None if there is no such process.

    If this process is killed, the fork is asked to end, and made to after `grace` seconds.
    """
    address = os.environ.get(ADDRESS)
    if not address:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            server.connect(address)
        except OSError:
            return None
        request = {"module": module, "arguments": list(arguments), "grace": grace}
        request |= {"environment": dict(os.environ), "folder": os.getcwd()}
        message = json.dumps(request).encode()
        socket.send_fds(server, [len(message).to_bytes(SIZE)], [0, 1, 2])
        server.sendall(message)
        answer = server.recv(1)
    return answer[0] if answer else 1


def serve(listener: socket.socket, address: str, parent: int) -> None:
    """Answer every connection by a fork, until the process `parent`, which started this one, is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Snakemake decides what an interrupt ends
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    listener.settimeout(1)
    try:
        while os.getppid() == parent:
            reap()
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            warm_up()
            with client:
                if os.fork() == 0:
                    listener.close()
                    try:
                        attend(client)
                    finally:
                        os._exit(1)
    finally:
        Path(address).unlink()
        Path(address).parent.rmdir()
        deadline = time.monotonic() + 1  # those whose job is done are just about to end
        while reap() and time.monotonic() < deadline:
            time.sleep(0.01)


def reap() -> bool:
    """Collect the processes that have ended; are there others?"""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def warm_up() -> None:
    """Import the libraries, the first time."""
    if gc.get_freeze_count():
        return
    for library in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(library)
    with suppress(Exception):  # what goes wrong here, the first job will say
        rehearse()
    gc.collect()
    gc.freeze()  # a fork's collector would write to every page of these, and so copy it


def rehearse() -> None:
    """Do what libraries do at their first use and remember. No tensor is made: a fork cannot use torch's threads.

    transformers compiles the names of all architectures' old weights, for 0.2 s. MLflow's tables, queries and list of
    migrations take 0.8 s, so one run is written into a database that is thrown away.
    """
    if "mlflow" not in sys.modules:
        return
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    get_checkpoint_conversion_mapping("")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory(prefix="methodbench-") as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        store = SqlAlchemyStore(uri, Path(folder).as_uri())
        client = MlflowClient(tracking_uri=uri)
        experiment = client.create_experiment("rehearsal", Path(folder).as_uri())
        client.get_experiment_by_name("rehearsal")
        run = client.create_run(experiment, 0, {"tag": "value"}, "rehearsal").info.run_id
        client.search_runs([experiment], "tags.tag = 'value'", order_by=["attributes.start_time DESC"])
        client.log_batch(run, [Metric("metric", 0.0, 0, 0)], [Param("param", "value")], [RunTag("tag", "value")])
        client.set_terminated(run, "FINISHED", 0)
        store.engine.dispose()


def attend(client: socket.socket) -> None:
    """In a process of its own: fork the job, tell the client how it ended, and end it if the client is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    length, files, _, _ = socket.recv_fds(client, SIZE, 3)
    wanted = int.from_bytes(length)
    message = b""
    while len(message) < wanted:
        message += client.recv(wanted - len(message))
    request = json.loads(message)
    job = os.fork()
    if job == 0:
        client.close()
        work(request, files)
    threading.Thread(target=end_with, args=(client, job, request["grace"]), daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    with suppress(OSError):
        client.sendall(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)


def end_with(client: socket.socket, job: int, grace: float) -> None:
    """Wait for the client to go away, which it does first only if it is killed; then end the job as well."""
    with suppress(OSError):
        client.recv(1)
    with suppress(ProcessLookupError):
        os.kill(job, signal.SIGTERM)
        time.sleep(grace)
        os.kill(job, signal.SIGKILL)


def work(request: Mapping[str, Any], files: Sequence[int]) -> None:
    """Be the job: its files, environment and folder, then its command; the process ends as a command would.

    Except that Python does not take down what it imported: in a fork that takes seconds, too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["methodbench", *request["arguments"]]
    code = 1
    try:
        code = importlib.import_module(request["module"]).main()
    except SystemExit as end:  # argparse
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing ends its processes
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]))
