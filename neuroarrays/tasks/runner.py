"""Tasks that may fail, run one by one, in threads or processes, or on a cluster."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from neuroarrays.errors import Held, NeuroArraysError, option, required, warn_of, warnings_held
from neuroarrays.files import state
from neuroarrays.files.safety import on_purpose
from neuroarrays.tasks.children import Children
from neuroarrays.tasks.cluster import check_workers

if TYPE_CHECKING:
    from distributed import Client

Progress = Callable[[int, int, str], None]
#: Where tasks can run, besides a cluster.
_HERE = ("sync", "threads", "processes")
_ENDED = (
    "its process ended before it was done: it was killed (is there memory enough?), or could not "
    "begin, which a script without `if __name__ == '__main__':` does"
)
_OTHER_FILES = "a cluster's workers have to see the same files under the same paths"


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes
    ----------
    name : str
        Of the task, for people.
    result : object
        What it gave.
    error : str
        What it failed with, as text; "" if it did not.
    exception : BaseException, optional
        The error itself, where it is raised as it is.
    warnings : tuple of (str, type)
        Text and kind of each warning of a task in another thread or process. The runner warns of
        them, at the line of the user's program.
    """

    name: str
    result: Any = None
    error: str = ""
    exception: BaseException | None = None
    warnings: tuple[Held, ...] = ()


def error_text(error: BaseException) -> str:
    """An error in one line, with its type unless this library raised it: then it speaks to the user."""
    text = " ".join(str(error).split())
    ours = isinstance(error, NeuroArraysError) or on_purpose(error)
    return text if ours else f"{type(error).__name__}: {text}"


def current_client() -> Client | None:
    """The dask.distributed client that was made in this process and is open; None without."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    try:
        client: Client = Client.current()
    except ValueError:
        return None
    return client


class Runner:
    """Runs tasks in this process, in others, in threads or on a cluster.

    Parameters
    ----------
    workers : int
        Tasks at a time, here.
    scheduler : str or distributed.Client, optional
        "sync" (this process, one by one), "processes", "threads", the address of a
        dask.distributed scheduler, or its client. Unless given, processes for several workers.
    strict : bool
        Raise at the first failure; else `failures` holds them.
    progress : callable
        Told the number of finished tasks, of all tasks, and the name of one.

    Raises
    ------
    ValueError
        If there can be no such number of workers, or no such scheduler.
    """

    def __init__(
        self, workers: int, scheduler: str | Client | None, strict: bool, progress: Progress
    ):
        if not isinstance(workers, int) or workers < 1:
            msg = f"{option('workers', workers)}: expected 1 or more"
            raise ValueError(msg)
        local = "processes" if workers > 1 else "sync"
        self.workers = workers
        where: Any = local if scheduler is None else scheduler
        self.where = where
        self.strict, self.progress = strict, progress
        self.failures: list[tuple[str, str]] = []
        self.pool: Executor | None = None
        self.children: Children | None = None
        is_text = isinstance(where, str)
        if not ("://" in where or where in _HERE if is_text else hasattr(where, "map")):
            msg = (
                f"{option('scheduler', scheduler)}: expected 'processes', 'threads', 'sync', an "
                "address (tcp://...) or a distributed.Client"
            )
            raise ValueError(msg)

    def __call__(
        self,
        function: Callable[[Any], Outcome],
        tasks: Sequence[Any],
        *,
        each: Callable[[Any], None] | None = None,
        limit: Callable[[Any], float | None] | None = None,
        same: Callable[[Any], Hashable] = id,
    ) -> list[Any]:
        """Do all tasks.

        Parameters
        ----------
        function : callable
            Of a module; gives the outcome of a task, and raises nothing.
        tasks : sequence
            Where they run in other processes, what a pickle can hold.
        each : callable, optional
            Told each result in this process, as soon as it is there.
        limit : callable, optional
            Seconds that a task may take. In "processes" and on a cluster tasks are then done by
            `Children`, which a task that hangs or dies may end; they have the attribute `path`.
            Without it, "processes" are a pool without bounds: a function of the user's may need
            hours and all memory, and large answers come back as bytes, where children send text.
        same : callable
            Tasks for which it gives the same should go to the same process.

        Returns
        -------
        list
            Results of the tasks that did not fail, in any order.
        """
        results: list[Any] = []
        seen = 0

        def done(outcome: Outcome) -> None:
            nonlocal seen
            seen += 1
            self.progress(seen, len(tasks), outcome.name)
            warn_of(outcome.warnings)
            if not outcome.error:
                results.append(outcome.result)
                if each is not None:
                    each(outcome.result)
                return
            if self.strict:
                msg = f"{outcome.name}: {outcome.error}"
                raise outcome.exception or NeuroArraysError(msg)
            self.failures.append((outcome.name, outcome.error))

        if not tasks:
            return results
        if self.where == "sync":
            for task in tasks:
                done(function(task))
        elif self.where == "threads":
            self._in_threads(function, tasks, done)
        elif self.where == "processes" and limit is not None:

            def came(task: Any, outcome: Outcome | None, why: str) -> None:
                done(outcome or Outcome(_name_of(task), error=why))

            self.children = self.children or Children(self.workers)
            self.children.run(function, tasks, limit, same, came)
        elif self.where == "processes":
            self._in_processes(function, tasks, done)
        else:
            self._on_cluster(function, tasks, done, limit)
        return results

    def close(self) -> None:
        """End the processes."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None
        if self.children is not None:
            self.children.close()

    def _in_threads(
        self,
        function: Callable[[Any], Outcome],
        tasks: Sequence[Any],
        done: Callable[[Outcome], None],
    ) -> None:
        with ThreadPoolExecutor(self.workers, "neuroarrays-task") as pool:
            futures = {pool.submit(_elsewhere, function, task) for task in tasks}
            try:
                for future in as_completed(list(futures)):
                    futures.discard(future)  # its result is held once only
                    done(future.result())
            finally:
                for future in futures:
                    future.cancel()

    def _in_processes(
        self,
        function: Callable[[Any], Outcome],
        tasks: Sequence[Any],
        done: Callable[[Outcome], None],
    ) -> None:
        """All tasks; where a process dies, those that may have killed it are run one by one."""
        waiting = list(tasks)
        while waiting := self._until_one_dies(function, waiting, done):
            suspects, waiting = waiting[: 2 * self.workers + 1], waiting[2 * self.workers + 1 :]
            for task in suspects:
                with _processes(1) as alone:
                    try:
                        outcome = alone.submit(_elsewhere, function, task).result()
                    except BrokenProcessPool:
                        outcome = Outcome(_name_of(task), error=_ENDED)
                    done(outcome)

    def _until_one_dies(
        self,
        function: Callable[[Any], Outcome],
        tasks: Sequence[Any],
        done: Callable[[Outcome], None],
    ) -> list[Any]:
        """Tasks that were not finished because a process died, in their order."""
        if not tasks:
            return []
        if self.pool is None:  # started once for all that is run: each has to import everything
            self.pool = _processes(self.workers)
        number = {self.pool.submit(_elsewhere, function, task): i for i, task in enumerate(tasks)}
        lost: list[int] = []
        try:
            for future in as_completed(list(number)):
                i = number.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    lost.append(i)
                    continue
                done(outcome)
        finally:
            for future in number:
                future.cancel()
        if lost:
            self.close()
        return [tasks[i] for i in sorted(lost)]

    def _on_cluster(
        self,
        function: Callable[[Any], Outcome],
        tasks: Sequence[Any],
        done: Callable[[Outcome], None],
        limit: Callable[[Any], float | None] | None,
    ) -> None:
        distributed = required("distributed", "distributed", "scheduler=")
        client = self.where
        if not isinstance(client, distributed.Client):
            client = distributed.Client(client)
        number: dict[Any, int] = {}
        try:
            check_workers(client)
            calls = [
                _Call(function, task, limit is not None, limit and limit(task)) for task in tasks
            ]
            futures = client.map(_on_worker, calls, pure=False)
            number |= {future: i for i, future in enumerate(futures)}
            del futures
            each = distributed.as_completed(list(number), with_results=True, raise_errors=False)
            for future, outcome in each:
                task = tasks[number.pop(future)]
                if future.status == "error":  # what came is (kind, error, traceback)
                    outcome = Outcome(_name_of(task), error=_lost(outcome[1]))
                done(outcome)
        finally:
            client.cancel(list(number))
            if client is not self.where:
                client.close()


def _lost(error: BaseException) -> str:
    """Why a task has no result: its worker died, or could not read what it was sent."""
    if type(error).__name__ == "KilledWorker":
        return "its worker was killed, and so were others that tried it (is there memory enough?)"
    return error_text(error)


@dataclass(frozen=True)
class _Call:
    """A task on its way to a worker, and for how many seconds it may be at work there, if there is a limit."""

    function: Callable[[Any], Outcome]
    task: Any
    is_limited: bool
    seconds: float | None


#: The process in which each thread of a worker does tasks that have a limit.
_children: state.Cache[Children] = state.Cache(
    0, lambda _: 0, close=lambda children: children.close(), any_session=True
)


def _on_worker(call: _Call) -> Outcome:
    """A task on a worker of a cluster; of a file that is not there it says which worker that is."""
    outcome = _in_time(call) if call.is_limited else _elsewhere(call.function, call.task)
    path = str(getattr(call.task, "path", "://"))
    is_gone = outcome.error and "://" not in path and not os.path.exists(path)
    if is_gone or isinstance(outcome.exception, FileNotFoundError):
        from distributed import get_worker

        at = f"on the worker {get_worker().address} ({socket.gethostname()}): {_OTHER_FILES}"
        msg = f"{outcome.error}; {at}"
        return replace(outcome, error=msg, exception=NeuroArraysError(f"{outcome.name}: {msg}"))
    return outcome


def _elsewhere(function: Callable[[Any], Outcome], task: Any) -> Outcome:
    """Do a task in another thread or process, where no line of the user's program is above it."""
    with warnings_held() as held:
        outcome = function(task)
    return replace(outcome, warnings=tuple(held)) if held else outcome


def _in_time(call: _Call) -> Outcome:
    """A task in a process that is ended when the time of the task is over."""
    children = _children.get_or_make(threading.get_ident(), lambda: Children(1))
    outcomes: list[Outcome] = []

    def came(task: Any, outcome: Outcome | None, why: str) -> None:
        outcomes.append(outcome or Outcome(_name_of(task), error=why))

    with warnings_held() as held:
        children.run(call.function, [call.task], lambda _: call.seconds, id, came)
    return replace(outcomes[0], warnings=tuple(held))


def _processes(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _name_of(task: Any) -> str:
    """What a task is called, where it did not live to say it."""
    return str(getattr(task, "name", task))[:1000]


def cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
