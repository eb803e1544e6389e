"""Requests to servers and buckets: bytes and listings, with retries and errors in plain words.

The library obstore makes the requests. Only the first request to an http(s) address is made with
Python's own client, because it tells where a redirect led; the requests that follow go there
directly. obstore's threads do not exist in a forked child, where it would wait for ever. A child of a
process that used obstore therefore makes all requests with Python's client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import Context, copy_context
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, TypeVar

from neuroarrays.errors import MissingDependency, required
from neuroarrays.files import addresses, dandi, python_client, state
from neuroarrays.files.python_client import PATIENCE, RETRIES
from neuroarrays.files.responses import NetworkError, Response, of_status, seconds, unchanged

#: Limits of time, s: to connect, for one request (8 MB on a slow line), and the first pause before a
#: request is repeated.
_CONNECT, _LONGEST, _PAUSE = 20, 900, 0.1
#: The most requests at once.
THREADS = 16

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(
    work: Callable[[T], R], items: Iterable[T], threads: str = "network"
) -> Iterator[R]:
    """Call a function for each item, in up to `THREADS` threads at once; yields the results in order.

    The function is one that waits for a server. It belongs to the opening that is under way. Ctrl-C
    ends the wait at once. A thread that still waits does not delay the end of the program, as a thread
    of an executor would.

    Parameters
    ----------
    work : callable
        The function.
    items : iterable
        Its arguments.
    threads : str
        Name of the threads. A function that calls `side_by_side` itself must use threads of another
        name.
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
    """A function that runs in the context, and so in the opening, of its caller."""
    return lambda item: context.run(work, item)


def _serve(queue: SimpleQueue[Any]) -> None:
    """Do the tasks of a queue, one after another, for ever."""
    while True:
        future, work, item = queue.get()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work(item))
            except BaseException as error:
                future.set_exception(error)
        del future, work, item  # A thread that waits must not keep the last result in memory.


def first(address: str, count: int, unless: str = "") -> Response:
    """Read the first bytes of a file, following redirects.

    Parameters
    ----------
    address : str
        Address of the file.
    count : int
        Number of bytes.
    unless : str
        A tag. If the file still has it, the answer has no bytes and `is_unchanged` is True.

    Raises
    ------
    NetworkError
        If there is no such file, or it cannot be read.
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
    obstore()  # An error now if it is not installed: the requests that follow need it.
    if not unless and not state.forked_from_network():
        _begin(address)
    return python_client.get(address, 0, count, {"If-None-Match": unless} if unless else {})


def _begin(address: str) -> None:
    """Make obstore's store for later requests, in a thread, while the first request waits."""
    state.queue("network", THREADS, _serve).put((Future(), opened, address))


#: A function that several threads call with the number of bytes that have arrived.
Told = Callable[[int], None]
#: Bytes that arrive between two calls of it.
_STEP = 1 << 18


def get(
    address: str, start: int, count: int, tag: str = "", unless: str = "", tell: Told | None = None
) -> Response:
    """Read bytes of a file.

    Parameters
    ----------
    address : str
        Address of the file, after redirects.
    start, count : int
        First byte, and number of bytes.
    tag : str
        The tag that the file must have.
    unless : str
        A tag that the file must not have any more.
    tell : callable, optional
        Called with the number of bytes as they arrive.

    Raises
    ------
    NetworkError
        As for `first`; of kind "changed" if the file does not have the tag, and "unchanged" if it
        still has the tag `unless`.
    """
    if state.forked_from_network():
        if not address.startswith(("http://", "https://")):
            words = "a process that was forked after the network was used"
            raise NetworkError("forked", words)
        return python_client.get(address, start, count, {"If-Match": tag} if tag else {})
    options: dict[str, Any] = {"range": (start, start + count)}
    options |= {"if_match": tag} if tag else {}
    options |= {"if_none_match": unless} if unless else {}

    def ask() -> Response:
        store, path = opened(address)
        result = obstore().get(store, path, options=options)
        if tell is None:
            return _response(result.meta, address, bytes(result.bytes()))
        pieces = []
        for piece in result.stream(min_chunk_size=_STEP):
            pieces.append(bytes(piece))
            tell(len(pieces[-1]))
        return _response(result.meta, address, b"".join(pieces))

    return _translated(ask)


def part(address: str, start: int = 0, count: int | None = None, tag: str = "") -> bytes:
    """Read `count` bytes of a file, or all up to its end; a negative `start` reads the last bytes.

    `tag` is the tag that the file must have; it is used only if a `count` is given.

    Raises
    ------
    NetworkError
        As for `first`.
    """
    if count is not None and start >= 0:
        return get(address, start, count, tag).data if count else b""
    if state.forked_from_network():
        if not address.startswith(("http://", "https://")):
            words = "a process that was forked after the network was used"
            raise NetworkError("forked", words)
        return python_client.rest(address, start)
    byte_range = {"suffix": -start} if start < 0 else {"offset": start}
    options: dict[str, Any] = {"range": byte_range} if start else {}

    def ask() -> bytes:
        store, path = opened(address)
        return bytes(obstore().get(store, path, options=options).bytes())

    return _translated(ask)


def listed(address: str) -> dict[str, str]:
    """List the names directly below a prefix of a bucket, each with "file" or "folder".

    Raises
    ------
    NetworkError
        If it cannot be listed.
    """
    if address.startswith("dandi://"):
        return dandi.folder_entries(address)
    store, prefix = _bucket(address)
    listing = _translated(lambda: obstore().list_with_delimiter(store, prefix or None))
    start = len(prefix) + 1 if prefix else 0
    folders = {path[start:].rstrip("/"): "folder" for path in listing["common_prefixes"]}
    return folders | {meta["path"][start:]: "file" for meta in listing["objects"]}


def few_below(address: str, most: int = 1000) -> list[tuple[str, Response]] | None:
    """List the files below a prefix of a bucket in one request; None if there are `most` or more.

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

    entries = _translated(ask)
    if entries is None:
        return None
    return [(meta["path"][start:], _response(meta, address)) for meta in entries]


def walked(address: str) -> list[tuple[str, Response]]:
    """List every file below a prefix of a bucket: its name there, and its size, tag and time.

    Raises
    ------
    NetworkError
        If it cannot be listed.
    """
    store, prefix = _bucket(address)
    start = len(prefix) + 1 if prefix else 0
    pages = _translated(lambda: list(obstore().list(store, prefix or None)))
    return [(meta["path"][start:], _response(meta, address)) for page in pages for meta in page]


def files_below(address: str) -> list[tuple[str, int | None]]:
    """List the name and size (bytes) of every file below an address.

    The list is empty for a web server, which lists no files. The size is None for an asset of DANDI
    that is a folder.

    Raises
    ------
    NetworkError
        If it cannot be listed.
    """
    if address.startswith("dandi://"):
        return dandi.files_below(address)
    if address.startswith(("http://", "https://")):
        return []
    return [(name, response.size) for name, response in walked(address.rstrip("/")) if name]


def _translated(ask: Callable[[], R]) -> R:
    """Call a function of obstore, and raise its errors as `NetworkError`."""
    try:
        return ask()
    except (MissingDependency, NetworkError):
        raise
    except Exception as error:
        failure = _failure(error)
    raise failure  # outside `except`, so that obstore's error, which has the address, is not its context


def _bucket(address: str) -> tuple[Any, str]:
    """The store of a bucket, and the prefix in it."""
    if state.forked_from_network():
        raise NetworkError("forked", "a process that was forked after the network was used")
    if address.startswith("dandi://"):
        raise NetworkError("other", "a folder of DANDI where one file is wanted")
    store, path = _translated(lambda: opened(address))
    return store, path.strip("/")


def _response(meta: Any, address: str, data: bytes = b"") -> Response:
    """An answer from obstore's metadata of a file."""
    tag = str(meta.get("e_tag") or "")  # not the bucket's version: conditions compare the tag
    return Response(data, int(meta["size"]), tag, seconds(meta["last_modified"]), address)


def obstore() -> Any:
    """Import obstore.

    Raises
    ------
    MissingDependency
        If it is not installed.
    """
    return required("obstore", "remote", "reading remote files")


def opened(address: str) -> tuple[Any, str]:
    """The store of an address, which is made once per process, and the path of the file in it."""
    from neuroarrays.files import buckets

    obstore()
    state.use_network()
    if address.startswith(("http://", "https://")):
        return _stores.get_or_make(address, lambda: _http(address)), ""
    top, path = buckets.split(address)
    return _stores.get_or_make(top, lambda: buckets.store(top, options())), path


def options() -> dict[str, Any]:
    """Options of every store: limits of time, and the number of retries."""
    return {
        "client_options": {
            "allow_http": True,
            "connect_timeout": f"{_CONNECT}s",
            "read_timeout": f"{PATIENCE}s",  # without a byte
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
    """The store of an http(s) address; a password goes into a header."""
    from obstore.store import HTTPStore

    address, password = addresses.without_password(address)
    settings = options()
    settings["client_options"] |= {"default_headers": password} if password else {}
    return HTTPStore.from_url(address, **settings)


#: Stores of obstore by address. They hold connections; with `close`, a forked child does not use them.
_stores: state.Cache[Any] = state.Cache(256, lambda _: 1, close=lambda _: None)


# -------------------------------------------------------------------------- errors of obstore


def _failure(error: Exception) -> NetworkError:
    """Our error for one of obstore, without its text, which has the address.

    Most of obstore's errors have one class, and only their text tells them apart.
    """
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
