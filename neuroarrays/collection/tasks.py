"""Tasks that may fail, run one by one, under dask or on a cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from neuroarrays.errors import MissingDependency, NeuroArraysError, option
from neuroarrays.files.safety import on_purpose

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Outcome:
    """How a task ended: its result, or the error as text."""

    name: str
    result: Any = None
    error: str = ""


def error_text(error: BaseException) -> str:
    """An error in one line, with its type unless this library raised it: then it speaks to the user."""
    text = " ".join(str(error).split())
    ours = isinstance(error, NeuroArraysError) or on_purpose(error)
    return text if ours else f"{type(error).__name__}: {text}"


class Runner:
    """Runs tasks in this process, in others, in threads or on a cluster.

    Parameters
    ----------
    workers : int
        Tasks at a time.
    scheduler : str, optional
        "processes", "threads" or the address of a dask.distributed scheduler.
    strict : bool
        Raise at the first failure; else `failures` holds them.
    progress : callable
        Told the number of finished tasks, of all tasks, and the name of one.
    """

    def __init__(self, workers: int, scheduler: str | None, strict: bool, progress: Progress):
        if workers < 1:
            msg = f"{option('workers', workers)}: expected 1 or more"
            raise ValueError(msg)
        local = "processes" if workers > 1 else "sync"
        self.workers, self.where = workers, scheduler or local
        self.strict, self.progress = strict, progress
        self.failures: list[tuple[str, str]] = []
        self.pool: Executor | None = None
        if "://" not in self.where and self.where not in ("processes", "threads", "sync"):
            msg = f"{option('scheduler', scheduler)}: expected 'processes', 'threads' or an address (tcp://...)"
            raise ValueError(msg)

    def __call__(self, function: Callable[[Any], Outcome], tasks: Sequence[Any]) -> list[Any]:
        """Results of the tasks that did not fail, in any order."""
        results: list[Any] = []
        seen = 0

        def done(outcome: Outcome) -> None:
            nonlocal seen
            seen += 1
            self.progress(seen, len(tasks), outcome.name)
            if not outcome.error:
                results.append(outcome.result)
                return
            if self.strict:
                msg = f"{outcome.name}: {outcome.error}"
                raise NeuroArraysError(msg)
            self.failures.append((outcome.name, outcome.error))

        if not tasks:
            return results
        if "://" in self.where:
            self._on_cluster(function, tasks, done)
        elif self.where == "sync":
            for task in tasks:
                done(function(task))
        else:
            self._with_dask(function, tasks, done)
        return results

    def _with_dask(
        self,
        function: Callable[[Any], Outcome],
        tasks: Sequence[Any],
        done: Callable[[Outcome], None],
    ) -> None:
        import dask.multiprocessing
        import dask.threaded
        from dask.callbacks import Callback

        graph = {f"task-{i}": (_call, function, [task]) for i, task in enumerate(tasks)}
        options: dict[str, Any] = {"num_workers": self.workers}
        get: Any = dask.threaded.get
        if self.where == "processes":
            get = dask.multiprocessing.get
            options |= {"chunksize": 1, "pool": self._processes()}
        with Callback(posttask=lambda key, result, *_: done(result)):
            get(graph, list(graph), **options)

    def _processes(self) -> Executor:
        """The processes, started once for all that is run: each has to import everything."""
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.workers, mp_context=context)
        return self.pool

    def close(self) -> None:
        """End the processes."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None

    def _on_cluster(
        self,
        function: Callable[[Any], Outcome],
        tasks: Sequence[Any],
        done: Callable[[Outcome], None],
    ) -> None:
        try:
            from distributed import Client, as_completed
        except ImportError as error:
            raise MissingDependency("distributed", "distributed", "scheduler=") from error
        with Client(self.where) as client:
            futures = client.map(function, tasks, pure=False)
            names = dict(zip(futures, tasks, strict=True))
            for future in as_completed(futures):
                if future.status == "finished":
                    done(future.result())
                else:  # its worker died
                    done(Outcome(str(names[future])[:80], error=error_text(future.exception())))


def _call(function: Callable[[Any], Outcome], boxed: list[Any]) -> Outcome:
    return function(boxed[0])
