"""What a process keeps from one call to the next: caches, open files, threads, and their locks.

Everything that outlives a call stands here and nowhere else, so that there is one place to say how
much is kept (`Cache.limit`, bytes), to let go of it (`release`), and to bring it through a fork.

Locks are taken in one order: `hdf5`, then the lock of the tables below, which is never held while
something is read, made or closed. A fork waits for both, for numba while it compiles, and for
imports that another thread is in the middle of: a child that finds these half done waits for ever.
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

ENTRY = 512  #: Bytes that an entry of a table (a name, a place, a dtype) is taken to have.
_CACHES: list[Cache[Any] | Shared[Any]] = []
_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()
_POOLS: dict[str, ThreadPoolExecutor] = {}
_QUEUES: dict[str, SimpleQueue[Any]] = {}
#: The progress bar that is under way in this process: those that begin inside it show nothing.
BARS: list[object] = []
#: What the parent of this process had open: kept, so that nothing of it is closed here, and not used.
_INHERITED: list[object] = []
_FOR: list[object] = []  # what `keep_for` was called with last
#: Told of every value that a thread begins to keep (cache, key, bytes), where somebody asks.
NOTES: ContextVar[Callable[[Any, Any, int], None] | None] = ContextVar("NOTES", default=None)


class Lock:
    """A re-entrant lock, which is free in a forked child whoever held it in the parent."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Forget who holds it; in a child, where that thread is not."""
        self._lock = threading.RLock()


#: Held while a thread is inside HDF5, which has one thread at a time.
hdf5 = Lock()
_tables = Lock()


class cached_property(Generic[V]):
    """An attribute that is computed when it is first asked for.

    As that of `functools`, without its lock: in Python 3.11 the lock is one for all objects of a
    class, and a process that is forked while another thread holds it would wait for ever.
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
    """Values by key; where they take more than `limit` bytes, the least recently used go.

    Parameters
    ----------
    limit : int
        Bytes; the newest value stays, however large it is.
    weigh : callable
        Bytes of a value.
    entries : callable, optional
        The most values, whatever they weigh.
    close : callable, optional
        Called with a value that goes. Such values (open files) are not used in a forked child.
    any_session : bool, optional
        Whether the values serve every session, as a helper process does: `keep_for` leaves them.
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
        _CACHES.append(self)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return self._nbytes

    def keys(self) -> list[Any]:
        """The keys, the least recently used first."""
        with _tables:
            return list(self._kept)

    def get(self, key: Hashable) -> V | None:
        """The value of a key, None if it is not kept."""
        with _tables:
            entry = self._kept.get(key)
            if entry is None:
                return None
            self._kept.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: V) -> V:
        """Keep a value, and return the one that is kept: that of another thread if it was first."""
        weight = self._weigh(value)
        most = None if self._entries is None else max(1, self._entries())
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
            while len(self._kept) > 1 and (
                self._nbytes > self.limit or (most is not None and len(self._kept) > most)
            ):
                dropped, freed = self._kept.popitem(last=False)[1]
                self._nbytes -= freed
                evicted.append(dropped)
        self._let_go(evicted)
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key, made (outside any lock) and kept if it is not there."""
        kept = self.get(key)
        return self.put(key, make()) if kept is None else kept

    def drop(self, which: Callable[[Any], bool] = lambda _: True) -> None:
        """Let go of the values whose keys are chosen; of all by default."""
        values: list[V] = []
        with _tables:
            for key in [key for key in self._kept if which(key)]:
                value, weight = self._kept.pop(key)
                self._nbytes -= weight
                values.append(value)
        self._let_go(values)

    def release(self) -> None:
        """Let go of all values."""
        self.drop()

    def _let_go(self, values: list[V]) -> None:
        close = self._close
        if close is not None:
            for value in values:
                close(value)

    def after_fork(self) -> None:
        """In a child: what is open belongs to the parent."""
        if self._close is not None and self._kept:
            _INHERITED.append(self._kept)
            self._kept, self._nbytes = OrderedDict(), 0


class Shared(Generic[V]):
    """Objects that are shared by all callers that ask for the same key, as long as any caller holds them.

    Parameters
    ----------
    forget : callable
        What `release` calls with each: it lets go of memory and gets it back when asked again.
    """

    def __init__(self, forget: Callable[[V], None]):
        self._forget = forget
        self._kept: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        _CACHES.append(self)

    def values(self) -> list[V]:
        """The objects that there are."""
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
        """In a child: memory is there as it was."""


def entries(table: Sized) -> int:
    """Size of a table of small entries, bytes (an estimate)."""
    return ENTRY * (1 + len(table))


def pool(name: str, threads: int) -> ThreadPoolExecutor:
    """The thread pool of that name in this process; a forked child makes its own."""
    with _tables:
        executor = _POOLS.get(name)
        if executor is None:
            executor = _POOLS[name] = ThreadPoolExecutor(threads, f"neuroarrays-{name}")
        return executor


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
    """Close every file that this process holds open and forget every value that it keeps.

    Trees stay what they are: what is asked of them next is read anew. For a long session that has
    to give memory back, before a disk is unmounted, or before a file is replaced by another program.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.release()
    """
    for cache in _CACHES:
        cache.release()
    with _tables:
        _POOLS.clear()  # the threads end when nobody uses them any more


def close(paths: Sequence[str]) -> None:
    """Close what is open at some paths or below them, and forget what was read from there."""
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
    """Forget afterwards what this thread began to keep inside; what was kept before stays.

    Parameters
    ----------
    keep : callable, optional
        Told the bytes of all of it; True leaves it where it is.
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
    """Release what was read for other sessions (locations): a worker needs only its own."""
    if [what] != _FOR:
        for cache in _CACHES:
            if not (isinstance(cache, Cache) and cache.any_session):
                cache.release()
        _FOR[:] = [what]


# ------------------------------------------------------------------------------------------ forks


#: Of each guard that runs, what it holds; the libraries after which there is one.
_HELD: list[list[Any]] = []
_GUARDED: set[str] = set()


def before_fork() -> None:
    """Wait until no other thread is where a child could not go on from."""
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
    """Locks that no lost thread holds, no threads, and nothing that the parent has open."""
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
    """See to it that forks go by the functions above, where the platform has forks.

    To be called again once a library with a guard of its own (h5py) is `loaded`: of these guards
    the one registered last runs first, and everywhere else our lock is taken before the library's.
    """
    if loaded not in _GUARDED and hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=before_fork,
            after_in_parent=after_fork_in_parent,
            after_in_child=after_fork_in_child,
        )
    _GUARDED.add(loaded)


guard_forks()

#: Processes that the library for the network was used in: its threads are in none of their children.
_NETWORK: set[int] = set()


def use_network() -> None:
    """Note that this process uses the library for the network, which does not survive a fork."""
    _NETWORK.add(os.getpid())


def forked_from_network() -> bool:
    """Whether a process that used that library was forked to make this one."""
    return bool(_NETWORK) and os.getpid() not in _NETWORK
