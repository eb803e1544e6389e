"""Variables that are read in other processes, and meanwhile in this one."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

#: Seconds after which a thread or process that reads counts as hanging.
PATIENCE = 120


def in_processes(method: str, sent: bytes, count: int) -> list[dict[str, np.ndarray]]:
    """Values of pickled variables as processes started in one way read them, at once.

    Parameters
    ----------
    method : {"fork", "forkserver", "spawn"}
        How to start them.
    sent : bytes
        A pickled mapping of names to variables.
    count : int
        How many processes.
    """
    # Only the first server of a process counts: what it has loaded, its children need not load.
    multiprocessing.set_forkserver_preload([__name__, "h5py"])
    context = multiprocessing.get_context(method)
    started: list[tuple[Any, Connection]] = []
    try:
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
    try:
        pipe.send({path: variable.values for path, variable in pickle.loads(sent).items()})
    except BaseException as error:
        pipe.send({"error": repr(error)})


@contextmanager
def reading(sent: bytes) -> Iterator[None]:
    """A thread that reads pickled variables again and again meanwhile."""
    stop = threading.Event()

    def read() -> None:
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
