"""Bytes from behind an address: one request, asked again where a server is busy, and what went wrong, in words.

obstore carries the bytes. The first request to an http(s) address is made with Python's own client, which
says where a redirect led: the requests that follow go there directly. After a fork, obstore's threads are
gone and it would wait for ever, so a child whose parent used it reads with Python's client throughout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import Context, copy_context
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, TypeVar

from neuroarrays.errors import MissingDependency
from neuroarrays.files import addresses, dandi, python_client, state
from neuroarrays.files.answers import Answer, NetworkError, of_status, seconds, unchanged
from neuroarrays.files.python_client import PATIENCE, RETRIES

#: Seconds until a connection is given up, of one request at most (8 MB on a slow line), and the first pause
#: before a server is asked again.
_CONNECT, _LONGEST, _PAUSE = 20, 900, 0.1


#: Requests at once.
THREADS = 16

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(
    work: Callable[[T], R], items: Iterable[T], threads: str = "network"
) -> Iterator[R]:
    """What some work gives for each item in turn; `THREADS` of them are under way at once.

    The work waits for a server, and belongs to the opening that is under way. Ctrl-C ends the wait at once,
    and a thread that still waits does not hold up the end of the program, as one of an executor would.

    Parameters
    ----------
    work : callable
        What is done with each item.
    items : iterable
        Each is handed to the work.
    threads : str
        Name of the threads that do it; work that calls this function itself needs others than it calls for.
    """
    queue = state.queue(threads, THREADS, _serve)
    futures: list[Future[R]] = []
    for item in items:
        futures.append(Future())
        queue.put((futures[-1], _within(copy_context(), work), item))
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _within(context: Context, work: Callable[[T], R]) -> Callable[[T], R]:
    """Work that belongs to the opening in which it was asked for."""
    return lambda item: context.run(work, item)


def _serve(queue: SimpleQueue[Any]) -> None:
    while True:
        future, work, item = queue.get()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work(item))
            except BaseException as error:
                future.set_exception(error)
        del future, work, item  # nothing is held while waiting


def first(address: str, count: int, unless: str = "") -> Answer:
    """The first bytes of an address, following redirects.

    Parameters
    ----------
    address : str
        Of a file.
    count : int
        How many bytes.
    unless : str
        A tag: an answer that says "unchanged" and has no bytes if the file still has it.

    Raises
    ------
    NetworkError
        If there is no such file, or it cannot be had.
    MissingDependency
        If obstore is not installed.
    """
    if address.startswith("dandi://"):
        address = dandi.download_address(address)
    if not address.startswith(("http://", "https://")):
        try:
            return get(address, 0, count, unless=unless)
        except NetworkError as error:
            if error.kind != "unchanged":
                raise
        return unchanged(unless, address)
    obstore()  # which is needed for the rest
    if not unless and not state.forked_from_network():
        _begin(address)
    return python_client.get(address, 0, count, {"If-None-Match": unless} if unless else {})


def _begin(address: str) -> None:
    """Make the store that later requests need while the first one waits for its answer."""
    state.queue("network", THREADS, _serve).put((Future(), opened, address))


#: Told how many more bytes have arrived; by several threads.
Told = Callable[[int], None]
#: Bytes after which it is told.
_STEP = 1 << 18


def get(
    address: str, start: int, count: int, tag: str = "", unless: str = "", tell: Told | None = None
) -> Answer:
    """Bytes of a file behind an address.

    Parameters
    ----------
    address : str
        Where redirects led.
    start, count : int
        Which bytes.
    tag : str
        An error of kind "changed" if the file has another.
    unless : str
        An error of kind "unchanged" if the file still has this tag.
    tell : callable, optional
        Told of bytes as they arrive.

    Raises
    ------
    NetworkError
        As `first`.
    """
    if state.forked_from_network():
        if not address.startswith(("http://", "https://")):
            words = "a process that was forked after the network was used"
            raise NetworkError("forked", words)
        return python_client.get(address, start, count, {"If-Match": tag} if tag else {})
    options: dict[str, Any] = {"range": (start, start + count)}
    options |= {"if_match": tag} if tag else {}
    options |= {"if_none_match": unless} if unless else {}

    def ask() -> Answer:
        store, path = opened(address)
        result = obstore().get(store, path, options=options)
        if tell is None:
            return _said(result.meta, address, bytes(result.bytes()))
        pieces = []
        for piece in result.stream(min_chunk_size=_STEP):
            pieces.append(bytes(piece))
            tell(len(pieces[-1]))
        return _said(result.meta, address, b"".join(pieces))

    return _asked(ask)


def part(address: str, start: int = 0, count: int | None = None, tag: str = "") -> bytes:
    """Bytes of a file: all, from a place on, or the last ones from a negative start on.

    Raises
    ------
    NetworkError
        As `first`.
    """
    if count is not None and start >= 0:
        return get(address, start, count, tag).data if count else b""
    if state.forked_from_network():
        if not address.startswith(("http://", "https://")):
            words = "a process that was forked after the network was used"
            raise NetworkError("forked", words)
        return python_client.rest(address, start)
    where = {"suffix": -start} if start < 0 else {"offset": start}
    options: dict[str, Any] = {"range": where} if start else {}

    def ask() -> bytes:
        store, path = opened(address)
        return bytes(obstore().get(store, path, options=options).bytes())

    return _asked(ask)


def listed(address: str) -> dict[str, str]:
    """Name -> "file" or "folder" of what is directly below a prefix of a bucket.

    Raises
    ------
    NetworkError
        If it cannot be listed.
    """
    if address.startswith("dandi://"):
        return dandi.folder_entries(address)
    store, prefix = _bucket(address)
    found = _asked(lambda: obstore().list_with_delimiter(store, prefix or None))
    start = len(prefix) + 1 if prefix else 0
    names = {path[start:].rstrip("/"): "folder" for path in found["common_prefixes"]}
    return names | {meta["path"][start:]: "file" for meta in found["objects"]}


def few_below(address: str, most: int = 1000) -> list[tuple[str, Answer]] | None:
    """As `walked`, in one request; None where there are more files than it lists.

    Raises
    ------
    NetworkError
        If it cannot be listed.
    """
    store, prefix = _bucket(address)
    start = len(prefix) + 1 if prefix else 0

    def ask() -> list[Any] | None:
        entries: list[Any] = []
        for page in obstore().list(store, prefix or None, chunk_size=most):
            entries += page
            if len(entries) >= most:
                return None
        return entries

    entries = _asked(ask)
    if entries is None:
        return None
    return [(meta["path"][start:], _said(meta, address)) for meta in entries]


def walked(address: str) -> list[tuple[str, Answer]]:
    """Every file below a prefix of a bucket: its name there, and what the listing says of it.

    Raises
    ------
    NetworkError
        If it cannot be listed.
    """
    store, prefix = _bucket(address)
    start = len(prefix) + 1 if prefix else 0
    pages = _asked(lambda: list(obstore().list(store, prefix or None)))
    return [(meta["path"][start:], _said(meta, address)) for page in pages for meta in page]


def files_below(address: str) -> list[tuple[str, int | None]]:
    """Name and size, bytes, of every file below an address; [] on a plain server, which lists nothing.

    The size is None of an asset of DANDI that is no file.

    Raises
    ------
    NetworkError
        If it cannot be listed.
    """
    if address.startswith("dandi://"):
        return dandi.files_below(address)
    if address.startswith(("http://", "https://")):
        return []
    return [(name, answer.size) for name, answer in walked(address.rstrip("/")) if name]


def _asked(ask: Callable[[], R]) -> R:
    """What a call of the library gives; its failure in our words."""
    try:
        return ask()
    except (MissingDependency, NetworkError):
        raise
    except Exception as error:
        failure = _failure(error)
    raise failure  # outside, so that no address is kept as the error's context


def _bucket(address: str) -> tuple[Any, str]:
    if state.forked_from_network():
        raise NetworkError("forked", "a process that was forked after the network was used")
    if address.startswith("dandi://"):
        raise NetworkError("other", "a folder of DANDI where one file is wanted")
    store, path = _asked(lambda: opened(address))
    return store, path.strip("/")


def _said(meta: Any, address: str, data: bytes = b"") -> Answer:
    tag = str(meta.get("e_tag") or "")  # no version of a bucket: a condition is on the tag
    return Answer(data, int(meta["size"]), tag, seconds(meta["last_modified"]), address)


def obstore() -> Any:
    """The library that carries the bytes.

    Raises
    ------
    MissingDependency
        If it is not installed.
    """
    try:
        import obstore as library
    except ImportError as error:
        raise MissingDependency("obstore", "remote", "reading remote files") from error
    return library


def opened(address: str) -> tuple[Any, str]:
    """The store of an address, kept for the process, and the path of the file in it."""
    from neuroarrays.files import buckets

    obstore()
    state.use_network()
    if address.startswith(("http://", "https://")):
        return _stores.get_or_make(address, lambda: _http(address)), ""
    top, path = buckets.split(address)
    return _stores.get_or_make(top, lambda: buckets.store(top, options())), path


def options() -> dict[str, Any]:
    """Options of every store: limits of time, and how often it is asked again."""
    return {
        "client_options": {
            "allow_http": True,
            "connect_timeout": f"{_CONNECT}s",
            "read_timeout": f"{PATIENCE}s",  # of silence
            "timeout": f"{_LONGEST}s",
        },
        "retry_config": {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=PATIENCE),
            "backoff": {
                "init_backoff": timedelta(seconds=_PAUSE),
                "max_backoff": timedelta(seconds=4),
                "base": 2,
            },
        },
    }


def _http(address: str) -> Any:
    from obstore.store import HTTPStore

    address, password = addresses.without_password(address)
    settings = options()
    settings["client_options"] |= {"default_headers": password} if password else {}
    return HTTPStore.from_url(address, **settings)


#: Stores of obstore by the address that they are of: each has connections.
_stores: state.Cache[Any] = state.Cache(
    256, lambda _: 1, close=lambda _: None
)  # not used in a forked child


# ------------------------------------------------------------------------------------- of obstore


def _failure(error: Exception) -> NetworkError:
    """What an error of obstore means, without its text, which holds the address."""
    name, text = type(error).__name__, str(error)
    kinds = {
        "FileNotFoundError": ("missing", "nothing"),
        "NotFoundError": ("missing", "nothing"),
        "PermissionDeniedError": ("denied", "no permission (status 403)"),
        "UnauthenticatedError": ("denied", "no permission (status 401)"),
        "PreconditionError": ("changed", "another file"),
        "NotModifiedError": ("unchanged", "the same file"),
        "NotSupportedError": ("no ranges", "a server that sends files only whole"),
    }
    if name in kinds:
        return NetworkError(*kinds[name])
    if "non-partial response" in text:
        return NetworkError(*kinds["NotSupportedError"])
    if re.search(r"Missing ?(AccessKeyId|SecretAccessKey)", text):
        return NetworkError("credentials", "credentials of S3 of which one half is missing")
    status = re.search(r"status code: (\d+)", text)
    if status:
        return of_status(int(status[1]), start=0)
    if "dns error" in text:
        return NetworkError("unknown host", "no server of that name")
    if "onnection refused" in text:
        return NetworkError("refused", "a server that takes no connection")
    if "redirect" in text:
        return NetworkError("redirects", "redirects in a circle")
    if re.search(r"timed out|kind: Timeout", text):
        return NetworkError("busy", "no answer in time")
    return NetworkError("busy", f"no answer with the bytes that were asked for ({name})")
