"""Bytes from an http(s) address by Python's own client: it says where a redirect led, and survives a fork."""

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
from neuroarrays.files.answers import BUSY, Answer, NetworkError, of_status, seconds, unchanged

#: Seconds until a server that says nothing is given up; how often a busy one is asked again, and the first
#: pause, s.
PATIENCE, RETRIES, _PAUSE = 60, 6, 0.1
#: The most bytes of a file that is asked for without a size.
_LARGEST = 1 << 30


def get(address: str, start: int, count: int, headers: dict[str, str]) -> Answer:
    """Some bytes of a file, asked for again where the server is busy or the answer is cut.

    The answer says "unchanged" where a header asks for no bytes of a file that still has a tag.

    Raises
    ------
    NetworkError
        If they cannot be had.
    """
    asked = {"Range": f"bytes={start}-{start + count - 1}", **headers}
    return _again(lambda: _asked_once(address, start, count, asked), start)


def whole(address: str, most: int) -> bytes:
    """All bytes of an answer, of which there may be so many.

    Raises
    ------
    NetworkError
        If they cannot be had, or are more.
    """

    def ask() -> Answer:
        with _opened(address, {}) as answer:
            data = _body(answer, most + 1)
        if len(data) > most:
            raise NetworkError("other", f"an answer of more than {most:,} bytes")
        return Answer(data, len(data), "", 0, "")

    return _again(ask).data


def rest(address: str, start: int) -> bytes:
    """All bytes of a file, those from a place on, or the last ones from a negative start on.

    Raises
    ------
    NetworkError
        If they cannot be had, or are more than `_LARGEST`.
    """
    headers = {"Range": f"bytes={start}{'-' * (start > 0)}"} if start else {}

    def ask() -> Answer:
        with _opened(address, headers) as answer:
            if start and answer.status != 206:
                raise NetworkError("no ranges", "a server that sends files only whole")
            data = _body(answer, _LARGEST + 1)
            length = answer.headers.get("Content-Length", f"{len(data)}")
        if len(data) > _LARGEST:
            raise NetworkError("other", f"an answer of more than {_LARGEST:,} bytes")
        if length != f"{len(data)}":
            raise NetworkError("busy", "an answer that ends early")
        return Answer(data, len(data), "", 0, "")

    return _again(ask, start).data


#: The certificates of this machine, which take 40 ms to read.
_contexts: state.Cache[ssl.SSLContext] = state.Cache(state.ENTRY, lambda _: state.ENTRY)


class _NotWritten(Exception):
    """A write failed, for the reason that is its cause."""


def copy(address: str, out: BinaryIO, tell: Callable[[int], None]) -> int:
    """Write all bytes of an answer to a file, and return the time of change, s; 0 where it is not said.

    Raises
    ------
    NetworkError
        If they cannot be had, or are fewer than was said.
    """

    def ask() -> Answer:
        out.seek(0)
        out.truncate()
        done = 0
        with _opened(address, {}) as answer:
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise NetworkError("other", "a server that packs what it sends")
            while data := answer.read(1 << 20):
                try:
                    out.write(data)
                except OSError as error:  # of this machine: the server is not asked again
                    raise _NotWritten from error
                done += len(data)
                tell(done)
            size = int(answer.headers.get("Content-Length", done))
            modified = _modified(answer.headers.get("Last-Modified", ""))
        if done != size:
            raise HTTPException(f"{done} of {size} bytes")
        return Answer(b"", size, "", modified, "")

    try:
        return _again(ask).modified
    except _NotWritten as error:
        raise (error.__cause__ or error) from None


def _again(ask: Callable[[], Answer], start: int = 0) -> Answer:
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
    """An answer; a password goes in a header that does not follow a redirect."""
    address, password = addresses.without_password(address)
    request = urllib.request.Request(address, headers=headers)
    for name, value in password.items():
        request.add_unredirected_header(name, value)
    context = (
        _contexts.get_or_make("", ssl.create_default_context) if request.type == "https" else None
    )
    return urllib.request.urlopen(request, timeout=PATIENCE, context=context)


def _body(answer: Any, most: int) -> bytes:
    """So many bytes of an answer, or all; given up where they come too slowly."""
    end = time.monotonic() + 2 * PATIENCE
    pieces, count = [], 0
    while count < most and (piece := answer.read1(min(most - count, 1 << 16))):
        pieces.append(piece)
        count += len(piece)
        if time.monotonic() > end:
            raise TimeoutError
    return b"".join(pieces)


def _asked_once(address: str, start: int, count: int, headers: dict[str, str]) -> Answer:
    try:
        return _answered(address, start, count, headers)
    except urllib.error.HTTPError as error:
        if error.code != 304:
            raise
        error.close()
        where = addresses.with_password(error.geturl(), address)
        return unchanged(headers.get("If-None-Match", ""), where)


def _answered(address: str, start: int, count: int, headers: dict[str, str]) -> Answer:
    with _opened(address, headers) as answer:
        said: HTTPMessage = answer.headers
        where = addresses.with_password(answer.geturl(), address)
        modified = _modified(said.get("Last-Modified", ""))
        tag = said.get("ETag", "")
        if said.get("Content-Encoding", "identity") != "identity":
            raise NetworkError("no ranges", "a server that packs what it sends")
        if answer.status == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", said.get("Content-Range", "").strip())
            if span is None or int(span[1]) != start:
                words = "a part of the file of which the server does not say which, or of how much"
                raise NetworkError("no ranges", words)
            size = int(span[2])
            data = _body(answer, count)
            if len(data) != max(0, min(count, size - start)):
                raise NetworkError("busy", "an answer of other bytes than were asked for")
            return Answer(data, size, tag, modified, where)
        length = said.get("Content-Length", "")
        if answer.status == 200 and length.isdecimal() and int(length) <= count and start == 0:
            data = _body(answer, count)  # a small file, sent whole
            if len(data) == int(length):
                return Answer(data, len(data), tag, modified, where)
            raise NetworkError("busy", "an answer that ends early")
    raise NetworkError("no ranges", "a server that sends files only whole")


def _unreachable(reason: object) -> tuple[NetworkError, bool]:
    """Why there is no connection, and whether to try again."""
    if isinstance(reason, socket.gaierror):
        return NetworkError("unknown host", "no server of that name"), False
    if isinstance(reason, ConnectionRefusedError):
        return NetworkError("refused", "a server that takes no connection"), False
    if isinstance(reason, TimeoutError):
        return NetworkError("busy", "no answer in time"), False
    return NetworkError("busy", f"no connection ({type(reason).__name__})"), True


def _modified(text: str) -> int:
    try:
        return seconds(parsedate_to_datetime(text)) if text else 0
    except (TypeError, ValueError):
        return 0
