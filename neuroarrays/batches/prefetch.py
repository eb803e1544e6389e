"""A thread that gathers batches ahead, while the loop computes with another batch."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from neuroarrays.errors import Held, ThreadEnded, warn_of, warnings_held
from neuroarrays.schema.given import whole_number

#: Default number of batches that are gathered ahead of a training loop.
TRAINING = 2
#: The most threads of a process that gather ahead; further loaders gather each batch when needed.
MOST = 32
_NAME = "neuroarrays-prefetch"
#: Interval at which a loop that waits for a batch checks whether the thread is alive, s.
_LOOK = 0.5
#: Time for which the end of a loop waits for a batch that is being gathered, s.
_PATIENCE = 5.0
_NO_REQUEST = object()
#: A batch, or the error in its place, and the texts and kinds of the warnings of it.
Outcome = tuple[Any, BaseException | None, tuple[Held, ...]]


def check_prefetch(prefetch: Any) -> int:
    """Return the number of batches to gather ahead, after checking it.

    Raises
    ------
    ValueError
        If it is not a whole number of 0 or more.
    """
    return whole_number(prefetch, "prefetch", 0)


def gathered(fetch: Callable[[Any], Any], requests: Iterable[Any], ahead: int) -> Iterator[Any]:
    """Return an iterator over `fetch(request)` of each request, which a thread gathers ahead.

    No thread is started if `ahead` is 0 or `MOST` threads run already: a loop over a thousand loaders
    at once does not need a thousand threads.
    """
    running = sum(thread.name == _NAME for thread in threading.enumerate())
    return Prefetched(fetch, requests, ahead) if ahead and running < MOST else map(fetch, requests)


class Prefetched(Iterator[Any]):
    """An iterator over `fetch(request)` of each request, in order, which one thread computes ahead.

    Parameters
    ----------
    fetch : callable
        A function from a request to a batch; it runs in the thread.
    requests : iterable
        Sample numbers of each batch; it is iterated in the thread of the loop.
    ahead : int
        The most batches that are gathered, or being gathered, while the loop has another.

    Notes
    -----
    An error of `fetch` is raised in the loop in place of its batch, with its traceback. Warnings of
    this package are given in the loop, too. The thread ends after the last batch, after an error,
    and when this object is closed or deleted: at the end of a loop, after Ctrl-C, at the end of the
    process.

    Raises
    ------
    ThreadEnded
        If the thread does not run any more: something else ended it, or this is a forked child.
    """

    def __init__(self, fetch: Callable[[Any], Any], requests: Iterable[Any], ahead: int):
        self._requests, self._ahead, self._due = iter(requests), ahead, 0
        self._asked: SimpleQueue[Any] = SimpleQueue()
        self._gathered: SimpleQueue[Any] = SimpleQueue()
        # The thread refers to the queues and not to this object, which can so be deleted.
        work = (fetch, self._asked, self._gathered)
        self._thread = threading.Thread(target=_gather, args=work, name=_NAME, daemon=True)
        self._thread.start()
        #: A function that ends the thread; it is also called when this object is deleted, and at exit.
        self.close = weakref.finalize(self, _end, self._asked, self._gathered, self._thread)

    def __next__(self) -> Any:
        if not self.close.alive:
            raise StopIteration
        try:
            while self._due <= self._ahead:
                request = next(self._requests, _NO_REQUEST)
                if request is _NO_REQUEST:
                    break
                self._asked.put(request)
                self._due += 1
            if not self._due:
                raise StopIteration
            batch, error, caught = self._take()
            self._due -= 1
            warn_of(caught)  # here the line of the user's loop is above
            if error is not None:
                raise error
        except BaseException:
            self.close()
            raise
        finally:
            error = None  # its traceback refers to this frame
        return batch

    def _take(self) -> Outcome:
        """Wait for the next batch and return (batch, None, warnings), or (None, error, warnings)."""
        while True:
            # This is asked before the queue is read: a thread that has ended has put all its batches.
            alive = self._thread.is_alive()
            try:
                outcome: Outcome = self._gathered.get(timeout=_LOOK if alive else 0)
            except Empty:
                if not alive:
                    msg = (
                        "the thread that gathers batches ahead has ended before its work was done "
                        "(in a forked process it does not exist): iterate the loader anew, or give "
                        "it prefetch=0"
                    )
                    raise ThreadEnded(msg) from None
            else:
                return outcome


def _gather(
    fetch: Callable[[Any], Any], requests: SimpleQueue[Any], gathered: SimpleQueue[Any]
) -> None:
    """Answer requests with (batch, error, warnings) until there is an error or the request is None."""
    with warnings_held() as caught:
        try:
            while (request := requests.get()) is not None:
                # The batch gets no name here: only the loop refers to it, so its memory can be reused.
                gathered.put((fetch(request), None, tuple(caught)))
                caught.clear()
        except BaseException as error:
            gathered.put((None, _of_the_loop(error), tuple(caught)))


def _of_the_loop(error: BaseException) -> BaseException:
    """Return the error that the loop raises for an error of the thread.

    StopIteration and errors such as SystemExit, which would end the loop or the process, become
    ThreadEnded.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    msg = f"the thread that gathers batches ahead was ended by {type(error).__name__}"
    ended = ThreadEnded(f"{msg}: iterate the loader anew")
    ended.__cause__ = error
    return ended


def _end(requests: SimpleQueue[Any], gathered: SimpleQueue[Any], thread: threading.Thread) -> None:
    """Let a thread end, wait for it, and drop the batches that nobody waits for any more."""
    _empty(requests)
    requests.put(None)
    if thread is not threading.current_thread():  # the garbage collector may run in that thread
        thread.join(_PATIENCE)
    _empty(gathered)


def _empty(queue: SimpleQueue[Any]) -> None:
    """Remove all entries of a queue."""
    with suppress(Empty):
        while True:
            queue.get_nowait()
