"""Tasks in child processes of our own: one that hangs or dies is named, and the others go on.

The children are those of `neuroarrays.files.guard`: each has a bound of time and memory, and a script
needs no ``if __name__ == "__main__":`` for them.
"""

from __future__ import annotations

import base64
import io
import itertools
import pickle
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib import import_module
from typing import Any

from neuroarrays.errors import Held, NeuroArraysError, warn_of, warnings_held
from neuroarrays.files import guard
from neuroarrays.files.locating import locate
from neuroarrays.files.location import Location

#: Of children, so that two runs at a time have children of their own.
_NUMBERS = itertools.count(2000)
#: What a task gave, why its process ended or "", and text and kind of each warning.
_Answer = tuple[Any, str, tuple[Held, ...]]


class Children:
    """Child processes that do tasks, kept from one call to the next.

    Parameters
    ----------
    workers : int
        How many at a time.
    """

    def __init__(self, workers: int):
        self.numbers = [next(_NUMBERS) for _ in range(workers)]
        self.ready: set[tuple[int, str]] = set()

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        limit: Callable[[Any], float | None],
        same: Callable[[Any], Hashable],
        done: Callable[[Any, Any, str], None],
    ) -> None:
        """Do all tasks.

        Parameters
        ----------
        function : callable
            Of a module; takes a task, and gives what a pickle can hold.
        tasks : sequence
            Each with the path that it reads in `path`; what a pickle can hold.
        limit : callable
            Seconds that a task may take, the start of a process not counted; None for what
            `guard.in_child` allows for opening a file.
        same : callable
            Tasks for which it gives the same go to one child, which keeps what it read between them, unless
            others would have nothing to do.
        done : callable
            Told in this thread, of each: the task, what the function gave, and "", or None and why
            its process ended.
        """
        groups: dict[Hashable, list[Any]] = {}
        for task in tasks:
            groups.setdefault(same(task), []).append(task)
        waiting = deque(groups.values())
        if len(waiting) < len(self.numbers):
            waiting = deque([task] for task in tasks)
        free, at_work = list(self.numbers), dict[Future[_Answer], tuple[int, list[Any]]]()
        pool = ThreadPoolExecutor(len(self.numbers), "neuroarrays-child")
        try:
            while waiting or at_work:
                while waiting and free:
                    self._begin(pool, function, free.pop(), waiting.popleft(), limit, at_work)
                finished, _ = wait(at_work, return_when=FIRST_COMPLETED)
                for future in finished:
                    number, group = at_work.pop(future)
                    if group[1:]:
                        self._begin(pool, function, number, group[1:], limit, at_work)
                    else:
                        free.append(number)
                    result, why, warned = future.result()
                    warn_of(warned)  # here the line of the user's program is above
                    done(group[0], result, why)
        except BaseException:
            self.close()  # what is at work has no more child, and comes back at once
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _begin(
        self,
        pool: ThreadPoolExecutor,
        function: Callable[[Any], Any],
        number: int,
        group: list[Any],
        limit: Callable[[Any], float | None],
        at_work: dict[Future[_Answer], tuple[int, list[Any]]],
    ) -> None:
        """Give the first task of a group to a child."""
        future = pool.submit(self._in_child, function, group[0], number, limit(group[0]))
        at_work[future] = number, group

    def _in_child(
        self, function: Callable[[Any], Any], task: Any, number: int, limit: float | None
    ) -> _Answer:
        """What a task gave, or why its process ended, and what it warned of."""
        ready, call = (number, function.__module__), _packed((function, task))
        try:
            if ready not in self.ready:
                module = function.__module__
                guard.in_child(f"{__name__}:begun", task.path, number=number, module=module)
                self.ready.add(ready)
            answer = guard.in_child(
                f"{__name__}:done_here",
                task.path,
                number=number,
                limit=limit,
                keeps=True,
                call=call,
            )
        except (NeuroArraysError, TypeError) as error:
            self.ready -= {each for each in self.ready if each[0] == number}
            return None, str(error), ()
        result, warned = _unpacked(answer)
        return result, "", warned

    def close(self) -> None:
        """End the processes."""
        guard.end(self.numbers)


class _Pickler(pickle.Pickler):
    """For a pipe to a child of ours: an address goes with what is secret in it."""

    def reducer_override(self, obj: Any) -> Any:
        return (locate, (obj.address,)) if isinstance(obj, Location) else NotImplemented


def _packed(content: Any) -> str:
    """As text for the pipe between a child and its parent, which nobody else reads or writes."""
    to = io.BytesIO()
    _Pickler(to, pickle.HIGHEST_PROTOCOL).dump(content)
    return base64.b64encode(to.getvalue()).decode("ascii")


def _unpacked(text: str) -> Any:
    return pickle.loads(base64.b64decode(text))


# ----------------------------------------------------------------------------------- in the child


def begun(path: str, module: str) -> None:
    """Import what tasks need."""
    import_module(module)


def done_here(path: str, call: str) -> str:
    """Do a task that came through the pipe."""
    function, task = _unpacked(call)
    with warnings_held() as held:
        result = function(task)
    return _packed((result, tuple(held)))
