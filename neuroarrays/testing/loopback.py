"""A file server on this machine, for tests and measurements of remote reading.

It serves a folder as http(s) servers and object stores do: byte ranges, strong ETags, conditions, redirects,
and listings in the manner of S3. It counts every request, and can be slow, refuse, fail, cut its responses or
exchange a file. Only the standard library is needed, and nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import email.utils
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from xml.sax.saxutils import escape

from neuroarrays.files import state

_PIECE = 1 << 16


@dataclass
class Behaviour:
    """The behaviour of the server, which may be changed while it runs.

    Attributes
    ----------
    latency : float
        Time before the first byte of each response, s.
    bandwidth : float
        Bytes per second that all connections share; 0 for no limit.
    ranges, tags : bool
        Whether it supports byte ranges, and sends ETags.
    deny : int
        Status of all responses, such as 403; 0 for none.
    fail, cut : int
        Every n-th request gets the status 503, or half of its body; 0 for none.
    salt : str
        Changes every ETag, as if the files were exchanged.
    expires : float
        How long a signature is valid, s.
    clock : float
        How far the clock of the server is ahead, s, so that signatures expire.
    signed : bool
        Whether files are given only to addresses with a signature.
    """

    latency: float = 0.0
    bandwidth: float = 0.0
    ranges: bool = True
    tags: bool = True
    deny: int = 0
    fail: int = 0
    cut: int = 0
    salt: str = ""
    expires: float = 3600.0
    clock: float = 0.0
    signed: bool = False


@dataclass
class Seen:
    """The requests that the server received.

    Attributes
    ----------
    log : list of (str, int, str, int, int)
        Method, status, path, first byte and bytes of each request.
    headers : list of dict
        Headers of each request.
    sent : int
        Bytes of all bodies.
    """

    log: list[tuple[str, int, str, int, int]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.log)

    @property
    def statuses(self) -> dict[int, int]:
        """Number of responses by status."""
        return dict(Counter(entry[1] for entry in self.log))


class Loopback:
    """A server of a folder, in a thread of this process.

    ``/f/<path>`` is a file; ``/r/<path>`` leads to it with a signature; ``/loop/`` leads in a circle;
    ``/s3/<bucket>/<key>`` is an object of a bucket, which is a folder below the root, and
    ``/s3/<bucket>?list-type=2`` lists it.

    Parameters
    ----------
    root : path
        The folder.
    **behaviour
        Fields of `Behaviour`.

    Examples
    --------
    >>> import tempfile
    >>> with Loopback(tempfile.mkdtemp()) as server:
    ...     server.url("a b.nwb").rpartition("/")[2]
    'a%20b.nwb'
    """

    def __init__(self, root: str | os.PathLike[str], **behaviour: Any):
        self.root, self.behaviour = Path(root).resolve(), Behaviour(**behaviour)
        self.seen, self.lock, self._free = Seen(), state.Lock(), 0.0
        handler = type("Handler", (_Handler,), {"loopback": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str, way: str = "f") -> str:
        """The address of a file."""
        return f"{self.base}/{way}/{urllib.parse.quote(path)}"

    def reset(self) -> None:
        """Forget all requests."""
        with self.lock:
            self.seen = Seen()

    def wait_for_line(self, count: int) -> None:
        """Wait for the time that some bytes need on the line that all connections share."""
        rate = self.behaviour.bandwidth
        if rate:
            with self.lock:
                self._free = max(self._free, time.perf_counter()) + count / rate
                wait = self._free - time.perf_counter()
            time.sleep(max(0.0, wait))

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    loopback: Loopback

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """Answer one request."""
        parts = urllib.parse.urlsplit(self.path)
        if parts.path.startswith("/_/"):
            self._control(parts)
            return
        time.sleep(self.loopback.behaviour.latency)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer(parts)

    do_HEAD = do_GET

    def _answer(self, parts: urllib.parse.SplitResult) -> None:
        """Send what the path asks for, in the way that `behaviour` states."""
        path = urllib.parse.unquote(parts.path).lstrip("/")
        kind, _, rest = path.partition("/")
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        how = self.loopback.behaviour
        number = self.loopback.seen.requests + 1
        if how.fail and number % how.fail == 0:
            self._say(503, rest, {"Retry-After": "0"})
        elif how.deny:
            self._say(how.deny, rest)
        elif kind == "loop":
            self._say(302, rest, {"Location": parts.path})
        elif kind == "r":
            target = f"/f/{urllib.parse.quote(rest)}?X-Amz-Signature={time.time() + how.clock}"
            self._say(302, rest, {"Location": target})
        elif kind == "s3" and "list-type" in query:
            self._list(rest.rstrip("/"), query)
        elif kind in ("f", "s3"):
            signed = query.get("X-Amz-Signature")
            now = time.time() + how.clock
            has_expired = signed and now - float(signed) > how.expires
            if has_expired or (how.signed and not signed):
                self._say(403, rest)
            else:
                self._file(rest, kind == "s3")
        else:
            self._say(404, rest)

    def _file(self, path: str, is_object: bool = False) -> None:
        """Send a file, or a range of its bytes."""
        full = (self.loopback.root / path).resolve()
        if not full.is_relative_to(self.loopback.root) or not full.is_file():
            self._say(404, path)
            return
        how, status = self.loopback.behaviour, full.stat()
        tag = self._tag(full, is_object)
        headers = {"Last-Modified": email.utils.formatdate(status.st_mtime, usegmt=True)}
        if is_object:
            headers["x-amz-version-id"] = "3HL4kqtJvjVBH40Nrjfkd"
        if how.tags:
            headers["ETag"] = tag
            if self.headers.get("If-None-Match") == tag:
                self._say(304, path, headers)
                return
            if self.headers.get("If-Match", tag) != tag:
                self._say(412, path)
                return
        start, stop, code = 0, status.st_size, 200
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if match and how.ranges:
            code = 206
            if match[1]:
                start = int(match[1])
                stop = min(stop, int(match[2]) + 1) if match[2] else stop
            else:
                start = max(0, stop - int(match[2]))
            if start >= stop:
                self._say(416, path, {"Content-Range": f"bytes */{status.st_size}"})
                return
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{status.st_size}"
        self._send(code, path, headers, full, start, stop)

    def _tag(self, full: Path, is_object: bool) -> str:
        """Return the tag of an object of S3: its MD5, changed by the salt."""
        if is_object and not self.loopback.behaviour.salt:
            return f'"{hashlib.md5(full.read_bytes(), usedforsecurity=False).hexdigest()}"'
        status = full.stat()
        words = f"{full}{status.st_size}{status.st_mtime_ns}{self.loopback.behaviour.salt}"
        return f'"{hashlib.sha256(words.encode()).hexdigest()[:32]}"'

    def _send(
        self, code: int, path: str, headers: dict[str, str], full: Path, start: int, stop: int
    ) -> None:
        """Send headers and bytes; every n-th body is cut if `behaviour` says so."""
        body = self.command == "GET"
        number = self._note(code, path, start, stop - start if body else 0)
        cut = self.loopback.behaviour.cut
        end = start + (stop - start) // 2 if cut and number % cut == 0 else stop
        self.send_response(code)
        for name, value in {"Content-Length": str(stop - start), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with open(full, "rb") as file:
            file.seek(start)
            while body and start < end:
                piece = file.read(min(_PIECE, end - start))
                self.loopback.wait_for_line(len(piece))
                with self.loopback.lock:
                    self.loopback.seen.sent += len(piece)
                self.wfile.write(piece)
                start += len(piece)
        self.close_connection = self.close_connection or end < stop

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        """ListObjectsV2, in pages of `max-keys`."""
        top = self.loopback.root / bucket
        if not top.is_dir():
            self._say(404, bucket)
            return
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        keys = sorted(file.relative_to(top).as_posix() for file in top.rglob("*") if file.is_file())
        keys = [key for key in keys if key.startswith(prefix)]
        inside: dict[str, bool] = {}
        for key in keys:
            rest, end, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            inside[f"{prefix}{rest}{delimiter}" if end else key] = bool(end)
        names = [name for name in inside if name > query.get("continuation-token", "")]
        page = names[: int(query.get("max-keys", 1000))]
        entries = "".join(self._entry(top, name, inside[name]) for name in page)
        more = len(page) < len(names)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        text = (
            f'<?xml version="1.0"?><ListBucketResult><Name>{escape(bucket)}</Name>'
            f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        )
        self._say(200, f"{bucket}/{prefix}", {"Content-Type": "application/xml"}, text.encode())

    def _entry(self, top: Path, name: str, is_prefix: bool) -> str:
        """Return the XML of one entry of a listing."""
        if is_prefix:
            return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        status = (top / name).stat()
        when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(status.st_mtime))
        return (
            f"<Contents><Key>{escape(name)}</Key><LastModified>{when}</LastModified>"
            f"<ETag>{escape(self._tag((top / name).resolve(), is_object=True))}</ETag>"
            f"<Size>{status.st_size}</Size></Contents>"
        )

    def _say(
        self, code: int, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Send a status with a short body."""
        self._note(code, path, 0, len(body))
        self.send_response(code)
        length = {} if code == 304 else {"Content-Length": str(len(body))}
        for name, value in {**length, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _note(self, code: int, path: str, start: int, count: int) -> int:
        """Note a request, and return the number of requests so far."""
        with self.loopback.lock:
            self.loopback.seen.log.append((self.command, code, path, start, count))
            self.loopback.seen.headers.append(dict(self.headers.items()))
            return self.loopback.seen.requests

    def _control(self, parts: urllib.parse.SplitResult) -> None:
        """Send the numbers of requests and bytes to a `Process`, and forget them if it asks for this."""
        past = self.loopback.seen
        if parts.path == "/_/reset":
            self.loopback.reset()
        counts = {"requests": past.requests, "sent": past.sent, "log": past.log}
        body = json.dumps(counts).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def process(root: str | os.PathLike[str], **behaviour: Any) -> Iterator[Process]:
    """Start a server in another process, for measurements; it shares no lock with the reader."""
    stated = json.dumps(asdict(Behaviour(**behaviour)))
    command = [sys.executable, "-m", "neuroarrays.testing.loopback", str(root), stated]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield Process(child.stdout.readline().strip())
    finally:
        child.terminate()
        child.wait()


class Process:
    """A server in another process."""

    def __init__(self, base: str):
        self.base = base

    def url(self, path: str, way: str = "f") -> str:
        """The address of a file."""
        return f"{self.base}/{way}/{urllib.parse.quote(path)}"

    def reset(self) -> dict[str, Any]:
        """Return what was requested since the last call: ``requests``, bytes ``sent`` and the ``log``."""
        with urllib.request.urlopen(f"{self.base}/_/reset") as reply:
            counts: dict[str, Any] = json.load(reply)
        return counts


def main() -> None:
    """Serve a folder until standard input closes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("root")
    parser.add_argument("behaviour", nargs="?", default="{}")
    arguments = parser.parse_args()
    with Loopback(arguments.root, **json.loads(arguments.behaviour)) as server:
        sys.stdout.write(f"{server.base}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
