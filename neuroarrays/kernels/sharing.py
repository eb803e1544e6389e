"""Work that threads share. Starting them takes about as long as counting 10,000 spikes: some work is too small for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_threads(work: Callable[[int], T], n_parts: int, threads: int) -> list[T]:
    """Do all parts of some work in threads; with one part or one thread, none is started.

    Parameters
    ----------
    work : callable
        Called with the number of each part; releases the GIL, as compiled loops do.
    n_parts : int
        How many parts there are.
    threads : int
        How many threads share them.

    Returns
    -------
    list
        What `work` returns of each part, in their order.
    """
    if n_parts == 1 or threads == 1:
        return [work(part) for part in range(n_parts)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(n_parts)))
