"""Batches gathered ahead by a thread, while the loop computes with the one it has."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from neuroarrays.errors import ThreadEnded
from neuroarrays.schema.given import whole_number

#: Batches gathered ahead of a training loop, unless it is told how many.
TRAINING = 2
#: Threads that gather at once in a process: of more loaders than that, the rest gather when asked.
MOST = 32
_NAME = "neuroarrays-prefetch"
#: How often a loop that waits for a batch looks whether the thread is alive, s.
_LOOK = 0.5
#: How long the end of a loop waits for a batch that is just being gathered, s.
_PATIENCE = 5.0
_NO_REQUEST = object()


def check_prefetch(prefetch: Any) -> int:
    """The number of batches to gather ahead, checked.

    Raises
    ------
    ValueError
        If it is no whole number, or negative.
    """
    return whole_number(prefetch, "prefetch", 0)


def gathered(fetch: Callable[[Any], Any], requests: Iterable[Any], ahead: int) -> Iterator[Any]:
    """What `fetch` makes of each request, ahead by a thread, if it may be and there are not too many.

    Whoever iterates a thousand loaders at once needs no thousand threads: those that are there
    gather ahead for all that such a loop can compute with.
    """
    running = sum(thread.name == _NAME for thread in threading.enumerate())
    return Prefetched(fetch, requests, ahead) if ahead and running < MOST else map(fetch, requests)


class Prefetched(Iterator[Any]):
    """What `fetch` makes of each request, in their order, made ahead by one thread.

    Parameters
    ----------
    fetch : callable
        From a request to a batch; it runs in the thread.
    requests : iterable
        Sample numbers of each batch; taken in the thread of the loop.
    ahead : int
        The most batches that are gathered, or being gathered, while the loop has another.

    Notes
    -----
    An error of `fetch` is raised in the loop when its batch is due, with its traceback. The thread
    ends with the last batch, with an error, and when this object is closed or nobody refers to it
    any more: the end of a loop, Ctrl-C, the end of the process.

    Raises
    ------
    ThreadEnded
        If the thread is gone: it was ended from outside, or this is a forked child.
    """

    def __init__(self, fetch: Callable[[Any], Any], requests: Iterable[Any], ahead: int):
        self._requests, self._ahead, self._due = iter(requests), ahead, 0
        self._asked: SimpleQueue[Any] = SimpleQueue()
        self._gathered: SimpleQueue[Any] = SimpleQueue()
        # The thread knows the queues, not this object, so that it keeps nothing alive.
        work = (fetch, self._asked, self._gathered)
        self._thread = threading.Thread(target=_gather, args=work, name=_NAME, daemon=True)
        self._thread.start()
        #: Ends the thread; also called when nobody refers to this object, and at exit.
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
            batch, error = self._take()
            self._due -= 1
            if error is not None:
                raise error
        except BaseException:
            self.close()
            raise
        finally:
            error = None  # its traceback refers to this frame
        return batch

    def _take(self) -> tuple[Any, BaseException | None]:
        """The next batch, or the error in its place."""
        while True:
            alive = self._thread.is_alive()  # before looking: what it left behind is there then
            try:
                answer: tuple[Any, BaseException | None]
                answer = self._gathered.get(timeout=_LOOK if alive else 0)
            except Empty:
                if not alive:
                    msg = (
                        "the thread that gathers batches ahead has ended before its work was done "
                        "(in a forked process it does not exist): iterate the loader anew, or give "
                        "it prefetch=0"
                    )
                    raise ThreadEnded(msg) from None
            else:
                return answer


def _gather(
    fetch: Callable[[Any], Any], asked: SimpleQueue[Any], gathered: SimpleQueue[Any]
) -> None:
    """Answer requests with pairs (batch, error), until the request None or an error."""
    try:
        while (request := asked.get()) is not None:
            # No name for the batch: the loop alone holds it, so that its memory is used again.
            gathered.put((fetch(request), None))
    except BaseException as error:
        gathered.put((None, _of_the_loop(error)))


def _of_the_loop(error: BaseException) -> BaseException:
    """What the loop raises: an error of the thread, but not what would end the loop or the process."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    msg = f"the thread that gathers batches ahead was ended by {type(error).__name__}"
    ended = ThreadEnded(f"{msg}: iterate the loader anew")
    ended.__cause__ = error
    return ended


def _end(asked: SimpleQueue[Any], gathered: SimpleQueue[Any], thread: threading.Thread) -> None:
    """Let a thread end, wait for it, and let go of what nobody waits for any more."""
    _empty(asked)
    asked.put(None)
    if thread is not threading.current_thread():  # where the collector of garbage runs in it
        thread.join(_PATIENCE)
    _empty(gathered)


def _empty(queue: SimpleQueue[Any]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()
