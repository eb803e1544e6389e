"""Read bytes from an http(s) address with Python's own client.

Unlike the library in `network`, it tells where a redirect led, and works in a forked process.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, InvalidURL
from typing import Any, BinaryIO

from neuroarrays.files import addresses, state
from neuroarrays.files.responses import BUSY, NetworkError, Response, of_status, seconds, unchanged

#: Seconds to wait for a silent server, the number of times a busy one is asked again, and the pause before
#: the first repetition, s.
PATIENCE, RETRIES, _PAUSE = 60, 6, 0.1
#: The most bytes of a file that is requested without a size.
_LARGEST = 1 << 30


def get(address: str, start: int, count: int, headers: dict[str, str]) -> Response:
    """Return bytes of a file. The request is repeated if the server is busy or the reply is cut.

    If a header asks for bytes only of a changed file, the response to an unchanged one is `unchanged`.

    Raises
    ------
    NetworkError
        If they cannot be had.
    """
    with_range = {"Range": f"bytes={start}-{start + count - 1}", **headers}
    return _again(lambda: _response(address, start, count, with_range), start)


def whole(address: str, most: int) -> bytes:
    """Return all bytes at an address, at most `most` of them.

    Raises
    ------
    NetworkError
        If they cannot be had, or are more.
    """

    def ask() -> Response:
        with _opened(address, {}) as reply:
            data = _body(reply, most + 1)
        if len(data) > most:
            raise NetworkError("other", f"an answer of more than {most:,} bytes")
        return Response(data, len(data), "", 0, "")

    return _again(ask).data


def rest(address: str, start: int) -> bytes:
    """Return the bytes of a file from `start` on; a negative start counts from its end.

    Raises
    ------
    NetworkError
        If they cannot be had, or are more than `_LARGEST`.
    """
    headers = {"Range": f"bytes={start}{'-' * (start > 0)}"} if start else {}

    def ask() -> Response:
        with _opened(address, headers) as reply:
            if start and reply.status != 206:
                raise NetworkError("no ranges", "a server that sends files only whole")
            data = _body(reply, _LARGEST + 1)
            length = reply.headers.get("Content-Length", f"{len(data)}")
        if len(data) > _LARGEST:
            raise NetworkError("other", f"an answer of more than {_LARGEST:,} bytes")
        if length != f"{len(data)}":
            raise NetworkError("busy", "an answer that ends early")
        return Response(data, len(data), "", 0, "")

    return _again(ask, start).data


#: The certificates of this machine; reading them takes 40 ms.
_contexts: state.Cache[ssl.SSLContext] = state.Cache(state.ENTRY, lambda _: state.ENTRY)


class _NotWritten(Exception):
    """The file cannot be written. The cause of this exception tells why."""


def copy(address: str, out: BinaryIO, tell: Callable[[int], None]) -> int:
    """Write all bytes at an address to a file.

    Returns
    -------
    int
        Time of the last change, s since 1970; 0 if the server does not state it.

    Raises
    ------
    NetworkError
        If they cannot be read, or are fewer than the server stated.
    """

    def ask() -> Response:
        out.seek(0)
        out.truncate()
        done = 0
        with _opened(address, {}) as reply:
            if reply.headers.get("Content-Encoding", "identity") != "identity":
                raise NetworkError("other", "a server that packs what it sends")
            while data := reply.read(1 << 20):
                try:
                    out.write(data)
                except OSError as error:  # an error of this machine: repeating does not help
                    raise _NotWritten from error
                done += len(data)
                tell(done)
            size = int(reply.headers.get("Content-Length", done))
            modified = _modified(reply.headers.get("Last-Modified", ""))
        if done != size:
            raise HTTPException(f"{done} of {size} bytes")
        return Response(b"", size, "", modified, "")

    try:
        return _again(ask).modified
    except _NotWritten as error:
        raise (error.__cause__ or error) from None


def _again(ask: Callable[[], Response], start: int = 0) -> Response:
    """Call `ask`, again and with longer and longer pauses while the server is busy."""
    failure = NetworkError("other", "nothing was asked")
    for attempt in range(RETRIES + 1):
        if attempt:
            time.sleep(min(_PAUSE * 2 ** (attempt - 1), 4))
        again = False
        try:
            return ask()
        except urllib.error.HTTPError as error:
            error.close()
            failure, again = of_status(error.code, start), error.code in BUSY
        except urllib.error.URLError as error:
            failure, again = _unreachable(error.reason)
        except NetworkError as error:
            failure, again = error, error.kind == "busy"
        except InvalidURL:
            failure = NetworkError("address", "an address that is none")
        except TimeoutError:
            failure = NetworkError("busy", "no answer in time")
        except (HTTPException, OSError) as error:
            words = f"an answer that ends early ({type(error).__name__})"
            failure, again = NetworkError("busy", words), True
        except ValueError:
            failure = NetworkError("address", "an address that is none")
        if not again:
            break
    raise failure


def _opened(address: str, headers: dict[str, str]) -> Any:
    """Open the reply to a request; a password goes in a header that is not sent on to a redirect."""
    address, password = addresses.without_password(address)
    request = urllib.request.Request(address, headers=headers)
    for name, value in password.items():
        request.add_unredirected_header(name, value)
    context = (
        _contexts.get_or_make("", ssl.create_default_context) if request.type == "https" else None
    )
    return urllib.request.urlopen(request, timeout=PATIENCE, context=context)


def _body(reply: Any, most: int) -> bytes:
    """Return at most `most` bytes of a reply.

    Raises
    ------
    TimeoutError
        If they arrive too slowly.
    """
    end = time.monotonic() + 2 * PATIENCE
    pieces, count = [], 0
    while count < most and (piece := reply.read1(min(most - count, 1 << 16))):
        pieces.append(piece)
        count += len(piece)
        if time.monotonic() > end:
            raise TimeoutError
    return b"".join(pieces)


def _response(address: str, start: int, count: int, headers: dict[str, str]) -> Response:
    """Return the response to one request for bytes, also if the file is unchanged."""
    try:
        return _partial(address, start, count, headers)
    except urllib.error.HTTPError as error:
        if error.code != 304:
            raise
        error.close()
        where = addresses.with_password(error.geturl(), address)
        return unchanged(headers.get("If-None-Match", ""), where)


def _partial(address: str, start: int, count: int, headers: dict[str, str]) -> Response:
    """Return the response to one request for bytes; a reply with other bytes is refused."""
    with _opened(address, headers) as reply:
        headers_of_reply: HTTPMessage = reply.headers
        where = addresses.with_password(reply.geturl(), address)
        modified = _modified(headers_of_reply.get("Last-Modified", ""))
        tag = headers_of_reply.get("ETag", "")
        if headers_of_reply.get("Content-Encoding", "identity") != "identity":
            raise NetworkError("no ranges", "a server that packs what it sends")
        if reply.status == 206:
            span = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+)", headers_of_reply.get("Content-Range", "").strip()
            )
            if span is None or int(span[1]) != start:
                words = "a part of the file of which the server does not say which, or of how much"
                raise NetworkError("no ranges", words)
            size = int(span[2])
            data = _body(reply, count)
            if len(data) != max(0, min(count, size - start)):
                raise NetworkError("busy", "an answer of other bytes than were asked for")
            return Response(data, size, tag, modified, where)
        length = headers_of_reply.get("Content-Length", "")
        if reply.status == 200 and length.isdecimal() and int(length) <= count and start == 0:
            data = _body(reply, count)  # the server sent a small file whole
            if len(data) == int(length):
                return Response(data, len(data), tag, modified, where)
            raise NetworkError("busy", "an answer that ends early")
    raise NetworkError("no ranges", "a server that sends files only whole")


def _unreachable(reason: object) -> tuple[NetworkError, bool]:
    """Return the error of a failed connection, and whether to try again."""
    if isinstance(reason, socket.gaierror):
        return NetworkError("unknown host", "no server of that name"), False
    if isinstance(reason, ConnectionRefusedError):
        return NetworkError("refused", "a server that takes no connection"), False
    if isinstance(reason, TimeoutError):
        return NetworkError("busy", "no answer in time"), False
    return NetworkError("busy", f"no connection ({type(reason).__name__})"), True


def _modified(text: str) -> int:
    """Return the date in a header as seconds since 1970; 0 if there is none."""
    try:
        return seconds(parsedate_to_datetime(text)) if text else 0
    except (TypeError, ValueError):
        return 0
