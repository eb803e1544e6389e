"""The state of a process between calls: caches, open files, threads, and their locks.

All such state is in this module, so that its size is bounded (`Cache.limit`, bytes), it can be freed
(`release`), and it is correct after a fork.

Locks are taken in one order: `hdf5`, then the lock of the tables below, which is never held while
something is read, made or closed. A fork waits for both, for numba while it compiles, and for
imports in other threads, because a child would wait forever for a half-finished one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, overload

from neuroarrays.files import forks

V = TypeVar("V")

ENTRY = 512  #: Estimated bytes of a small entry of a table (a name, a position, a dtype).
_CACHES: list[Cache[Any] | Shared[Any]] = []
_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()
_POOLS: dict[str, ThreadPoolExecutor] = {}
_QUEUES: dict[str, SimpleQueue[Any]] = {}
#: The progress bar that is shown in this process; bars inside it show nothing.
BARS: list[object] = []
#: Open files and threads of the parent process. They are kept so that they are not closed here.
_INHERITED: list[object] = []
_FOR: list[object] = []  # the last argument of `keep_for`
#: A function that is called for each value that a thread adds to a cache (cache, key, bytes).
NOTES: ContextVar[Callable[[Any, Any, int], None] | None] = ContextVar("NOTES", default=None)


class Lock:
    """A re-entrant lock. It is free in a forked child, also if a thread of the parent held it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Make it free, in a child process, where the thread that held it does not exist."""
        self._lock = threading.RLock()


#: Held while a thread is inside HDF5, which only one thread may be at a time.
hdf5 = Lock()
_tables = Lock()


class cached_property(Generic[V]):
    """An attribute that is computed when it is first used.

    This is `functools.cached_property` without a lock. In Python 3.11 that has one lock for all
    objects of a class, and a process forked while another thread holds it would wait forever.
    """

    def __init__(self, compute: Callable[[Any], V]):
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> cached_property[V]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> V: ...
    def __get__(self, instance: object | None, owner: type) -> cached_property[V] | V:
        if instance is None:
            return self
        value: V = instance.__dict__.setdefault(self._name, self._compute(instance))
        return value


class Cache(Generic[V]):
    """Values by key; above `limit` bytes, the least recently used values are dropped.

    Parameters
    ----------
    limit : int
        The most bytes. The newest value is kept even if it is larger.
    weigh : callable
        Returns the bytes of a value.
    entries : callable, optional
        Returns the largest number of values.
    close : callable, optional
        Called with each dropped value. Such values (open files) are not used in a forked child.
    any_session : bool, optional
        Whether the values are for all sessions, as helper processes are; `keep_for` keeps them.
    """

    def __init__(
        self,
        limit: int,
        weigh: Callable[[V], int],
        entries: Callable[[], int] | None = None,
        close: Callable[[V], None] | None = None,
        any_session: bool = False,
    ):
        self.limit, self._weigh, self._entries, self._close = limit, weigh, entries, close
        self.any_session = any_session
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._nbytes = 0
        self._newest: tuple[Any, V | None] = None, None  # most lookups; keys are slow to compare
        _CACHES.append(self)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self._nbytes

    def keys(self) -> list[Any]:
        """The keys, the least recently used first."""
        with _tables:
            return list(self._kept)

    def get(self, key: Hashable) -> V | None:
        """The value of a key; None if there is none."""
        newest, value = self._newest
        if newest is key:
            return value
        with _tables:
            entry = self._kept.get(key)
            if entry is not None:
                self._kept.move_to_end(key)
                self._newest = key, entry[0]
        return None if entry is None else entry[0]

    def put(self, key: Hashable, value: V) -> V:
        """Add a value and return it; if another thread has added one first, return that one."""
        weight = self._weigh(value)
        most = float("inf") if self._entries is None else max(1, self._entries())
        evicted: list[V] = []
        with _tables:
            if key in self._kept:
                value = self._kept[key][0]
            else:
                self._kept[key] = value, weight
                self._nbytes += weight
                if (note := NOTES.get()) is not None:
                    note(self, key, weight)
            self._kept.move_to_end(key)
            self._newest = key, value
            while len(self._kept) > 1 and (self._nbytes > self.limit or len(self._kept) > most):
                dropped, freed = self._kept.popitem(last=False)[1]
                self._nbytes -= freed
                evicted.append(dropped)
        self._let_go(evicted)
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key. If there is none, it is made (outside any lock) and added."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value

    def drop(self, which: Callable[[Any], bool] = lambda _: True) -> None:
        """Drop the values whose keys are chosen; all by default."""
        with _tables:
            self._newest = None, None
            dropped = [self._kept.pop(key) for key in [key for key in self._kept if which(key)]]
            self._nbytes -= sum(weight for _, weight in dropped)
        self._let_go([value for value, _ in dropped])

    def release(self) -> None:
        """Drop all values."""
        self.drop()

    def _let_go(self, values: list[V]) -> None:
        """Close values that were dropped."""
        if self._close is not None:
            for value in values:
                self._close(value)

    def after_fork(self) -> None:
        """In a child process: set aside what is open, as it belongs to the parent."""
        if self._close is not None and self._kept:
            _INHERITED.append(self._kept)
            self._kept, self._nbytes, self._newest = OrderedDict(), 0, (None, None)


class Shared(Generic[V]):
    """Objects that all callers with the same key share, for as long as one of them uses them.

    Parameters
    ----------
    forget : callable
        Frees the memory of an object, which is filled again when needed. `release` calls it.
    """

    def __init__(self, forget: Callable[[V], None]):
        self._forget = forget
        self._kept: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        _CACHES.append(self)

    def values(self) -> list[V]:
        """All objects that are in use."""
        return list(self._kept.values())

    def __getitem__(self, key: str) -> V:
        with _tables:
            shared: V = self._kept[key]
        return shared

    def get_or_make(self, key: str, make: Callable[[], V]) -> V:
        """The object of a key, made if there is none."""
        value = make()
        with _tables:
            shared: V = self._kept.setdefault(key, value)
        return shared

    def release(self) -> None:
        """Ask every object to free its memory."""
        for value in self.values():
            self._forget(value)

    def after_fork(self) -> None:
        """In a child process: do nothing, as memory is copied by a fork."""


def entries(table: Sized) -> int:
    """Size of a table of small entries, bytes (an estimate)."""
    return ENTRY * (1 + len(table))


def pool(name: str, threads: int) -> ThreadPoolExecutor:
    """The thread pool of that name in this process; a forked child makes its own."""
    with _tables:
        if name not in _POOLS:
            _POOLS[name] = ThreadPoolExecutor(threads, f"neuroarrays-{name}")
        return _POOLS[name]


def queue(name: str, threads: int, serve: Callable[[SimpleQueue[Any]], None]) -> SimpleQueue[Any]:
    """The queue of that name in this process, served by daemon threads; a forked child makes its own.

    Unlike the threads of `pool`, these do not hold up the end of the program while they wait for a server.
    """
    with _tables:
        tasks = _QUEUES.get(name)
        if tasks is None:
            tasks = _QUEUES[name] = SimpleQueue()
            for _ in range(threads):
                threading.Thread(target=serve, args=(tasks,), daemon=True).start()
        return tasks


def release() -> None:
    """Close all files that this process holds open, and empty all caches.

    Trees remain valid; their values are read again when needed. Use this to free memory in a long
    session, before a disk is unmounted, or before another program replaces a file.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.release()
    """
    for cache in _CACHES:
        cache.release()
    with _tables:
        _POOLS.clear()  # their threads end when nothing uses them any more


def close(paths: Sequence[str]) -> None:
    """Close the files at some paths and below them, and drop what was read from them."""
    tops = [path if "://" in path else os.path.abspath(path) for path in paths]

    def inside(key: Any) -> bool:
        first = key[0] if isinstance(key, tuple) and key else key
        path = getattr(first, "path", first)
        return isinstance(path, str) and any(
            path == top or path.startswith((top.rstrip("/") + "/", top + os.sep)) for top in tops
        )

    for cache in _CACHES:
        if isinstance(cache, Cache):
            cache.drop(inside)


@contextlib.contextmanager
def passing(keep: Callable[[int], bool] = lambda nbytes: False) -> Iterator[None]:
    """Drop, at the end of the block, the values that this thread added to caches in it.

    Parameters
    ----------
    keep : callable, optional
        Called with the bytes of all these values; if it returns True, they are not dropped.
    """
    noted: dict[Cache[Any], set[Any]] = {}
    weights: list[int] = []

    def note(cache: Cache[Any], key: Any, weight: int) -> None:
        noted.setdefault(cache, set()).add(key)
        weights.append(weight)

    token = NOTES.set(note)
    try:
        yield
    finally:
        NOTES.reset(token)
        if not keep(sum(weights)):
            for cache, keys in noted.items():
                if not cache.any_session:
                    cache.drop(keys.__contains__)


def keep_for(what: object) -> None:
    """Empty the caches of other sessions (locations), as a worker needs only its own."""
    if [what] != _FOR:
        for cache in _CACHES:
            if not (isinstance(cache, Cache) and cache.any_session):
                cache.release()
        _FOR[:] = [what]


# ------------------------------------------------------------------------------------------ forks


#: The locks that each running guard holds, and the libraries after which a guard was registered.
_HELD: list[list[Any]] = []
_GUARDED: set[str] = set()


def before_fork() -> None:
    """Wait until no other thread is at a point where a forked child would be stuck."""
    locks = [hdf5, _tables, *forks.compiling()]
    for lock in locks:
        lock.__enter__()
    _HELD.append(locks)
    forks.wait_for_imports()


def after_fork_in_parent() -> None:
    """Release the locks that `before_fork` took."""
    for lock in reversed(_HELD.pop()):
        lock.__exit__(None, None, None)


def after_fork_in_child() -> None:
    """Renew the locks in a child, and set aside the threads and open files of the parent."""
    for lock in _HELD.pop()[2:]:
        lock.__exit__(None, None, None)
    forks.import_anew()
    for renewable in list(_LOCKS):
        renewable.renew()
    for cache in _CACHES:
        cache.after_fork()
    for table in (_POOLS, _QUEUES):
        _INHERITED.extend(table.values())
        table.clear()
    BARS.clear()


def guard_forks(loaded: str = "") -> None:
    """Register the functions above to run at each fork, on platforms that have forks.

    Call this again once a library that registers such functions too (h5py) is `loaded`. The functions
    registered last run first, so that our lock is taken before that of the library, as elsewhere.
    """
    if loaded not in _GUARDED and hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=before_fork,
            after_in_parent=after_fork_in_parent,
            after_in_child=after_fork_in_child,
        )
    _GUARDED.add(loaded)


guard_forks()

#: Processes that have used the network library. Its threads do not exist in their forked children.
_NETWORK: set[int] = set()


def use_network() -> None:
    """Note that this process uses the network library, which does not work after a fork."""
    _NETWORK.add(os.getpid())


def forked_from_network() -> bool:
    """Whether this process was forked from one that used the network library."""
    return bool(_NETWORK) and os.getpid() not in _NETWORK
