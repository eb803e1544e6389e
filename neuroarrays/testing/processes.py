"""Processes that tests start: readers of variables, and children of `neuroarrays.files.guard`."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.files import guard

#: What the server of processes has loaded, so that its children need not.
LOADED = (__name__, "neuroarrays.testing.loaded")
#: Seconds after which a thread or process that reads counts as hanging.
PATIENCE = 120


def in_processes(
    method: str, sent: bytes, count: int, starting: AbstractContextManager[None] | None = None
) -> list[dict[str, np.ndarray]]:
    """Return the values of pickled variables that several processes read at once.

    Parameters
    ----------
    method : {"fork", "forkserver", "spawn"}
        How to start them.
    sent : bytes
        A pickled mapping of names to variables.
    count : int
        How many processes.
    starting : context manager, optional
        What goes on in this process while they are started.
    """
    multiprocessing.set_forkserver_preload([*LOADED])
    context = multiprocessing.get_context(method)
    started: list[tuple[Any, Connection]] = []
    try:
        with starting or nullcontext():
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_child, args=(theirs, sent), daemon=True)  # type: ignore[attr-defined]
                process.start()
                theirs.close()
                started.append((process, ours))
        answers = []
        for _process, pipe in started:
            assert pipe.poll(PATIENCE), f"a process started with {method} hangs"
            answers.append(pipe.recv())
        return answers
    finally:
        for process, pipe in started:
            process.join(1)
            process.kill()
            pipe.close()


def _child(pipe: Connection, sent: bytes) -> None:
    """Send the values of pickled variables, or an error, to the parent process."""
    try:
        pipe.send({path: variable.values for path, variable in pickle.loads(sent).items()})
    except BaseException as error:
        pipe.send({"error": repr(error)})


@contextmanager
def reading(sent: bytes) -> Iterator[None]:
    """Run a thread that reads pickled variables again and again in a ``with`` block."""
    stop = threading.Event()

    def read() -> None:
        """Read all values again and again, until told to stop."""
        while not stop.wait(0.001):
            for variable in pickle.loads(sent).values():
                _ = variable.values

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)


def run_script(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program as ``python -c`` does, in a process that shares nothing with this one.

    From the server of processes where there can be one: what it has loaded is not imported again.

    Parameters
    ----------
    code : str
        The program.
    *arguments : str
        What it finds in ``sys.argv[1:]``.

    Returns
    -------
    subprocess.CompletedProcess
        With `returncode`, `stdout` and `stderr`.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)
    multiprocessing.set_forkserver_preload([*LOADED])
    with tempfile.TemporaryDirectory() as folder:
        printed = [Path(folder, "stdout"), Path(folder, "stderr")]
        process = multiprocessing.get_context("forkserver").Process(
            target=_run, args=(code, arguments, printed), daemon=True
        )
        process.start()
        process.join(PATIENCE)
        process.kill()
        process.join()
        out, err = (path.read_text(encoding="utf-8") for path in printed)
    return subprocess.CompletedProcess(code, process.exitcode or 0, out, err)


def _run(code: str, arguments: Sequence[str], printed: Sequence[Path]) -> None:
    """Run code in this process, with its output in files."""
    for number, path in enumerate(printed, 1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})


class GuardChild:
    """A child like those of `neuroarrays.files.guard.start`, from a server of processes.

    A child that Python starts takes a second or two for its imports.

    Parameters
    ----------
    environment : dict of str to str
        Environment variables of the child.
    """

    def __init__(self, environment: dict[str, str]):
        multiprocessing.set_forkserver_preload([*LOADED])
        context = multiprocessing.get_context("forkserver")
        requests, to_child = context.Pipe(duplex=False)
        from_child, answers = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_answer_requests, args=(requests, answers, environment), daemon=True
        )
        self._process.start()
        requests.close()
        answers.close()
        self.stdin = os.fdopen(os.dup(to_child.fileno()), "wb")
        self.stdout = os.fdopen(os.dup(from_child.fileno()), "rb")
        to_child.close()
        from_child.close()

    @property
    def pid(self) -> int | None:
        """Number of the process."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status; minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """End the process."""
        self._process.kill()

    def wait(self) -> None:
        """Wait for the end of the process."""
        self._process.join()


def _answer_requests(
    requests: Connection, answers: Connection, environment: dict[str, str]
) -> None:
    """Serve the requests of the guard in this process."""
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(requests.fileno(), 0)
    os.dup2(answers.fileno(), 1)
    requests.close()
    answers.close()
    sys.stdin = os.fdopen(0, closefd=False)
    guard.main()
