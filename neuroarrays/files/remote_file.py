"""Remote files, which are read in cached blocks.

HDF5 reads its structure in small steps, each of which would be a request. Blocks of one size are
fetched once and cached. Neighbouring blocks are fetched in one request, others in parallel threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError, typed_word
from neuroarrays.files import buckets, network, openings, state
from neuroarrays.files.byte_ranges import ByteRanges
from neuroarrays.files.location import Location, Stamp
from neuroarrays.files.positioned import PositionedFile, changed
from neuroarrays.files.progress import Bar, is_watched
from neuroarrays.files.responses import NetworkError, Response

#: Bytes of a block, of the first request to a file, and of all blocks that a process caches.
BLOCK, FIRST, KEPT = 1 << 16, 1 << 18, 256 << 20
#: Largest gap, in bytes, between two blocks that are fetched in one request. With 16 requests at once each
#: costs a sixteenth of the 50 ms of an answer, in which a line of 40 MB/s carries 128 KB.
_GAP = 1 << 18
#: The most bytes of one request, and of a read that is cached in blocks.
_PIECE, _LARGE = 8 << 20, 64 << 20

#: Seconds of a read after which a progress bar is shown.
_SHOWN = 1.0

_blocks: state.Cache[bytes] = state.Cache(KEPT, len)
#: The ranges that earlier openings read, by version.
_kept: state.Cache[ByteRanges] = state.Cache(64 << 20, lambda ranges: state.ENTRY + ranges.nbytes)


@dataclass
class Version:
    """One version of the content of a remote file.

    Attributes
    ----------
    stamp : tuple of int
        A digest of its tag, its size in bytes, and the time of its last change in s since 1970.
    tag : str
        Its ETag.
    address : str
        The address after all redirects; it may have a signature.
    reload : callable
        Returns the ranges that earlier openings read, from disk, when they are no longer in memory.
    touched : list of (int, int)
        Ranges (start, count) that the opening under way reads and that are not in `kept`.
    """

    stamp: Stamp
    tag: str
    address: str = field(repr=False)
    reload: Callable[[], ByteRanges] = field(default=ByteRanges, repr=False)
    touched: list[tuple[int, int]] = field(default_factory=list, repr=False)

    _key: object = field(default_factory=object, repr=False)

    @property
    def kept(self) -> ByteRanges:
        """The ranges that earlier openings read."""
        return _kept.get_or_make(self._key, self.reload)

    def hold(self, ranges: ByteRanges) -> None:
        """Set the ranges that earlier openings read."""
        _kept.drop(lambda key: key is self._key)
        _kept.put(self._key, ranges)

    @property
    def strong(self) -> str:
        """The tag if equal tags mean equal bytes, else ""."""
        return "" if self.tag.startswith("W/") else self.tag


def stamp_of(response: Response) -> Stamp:
    """Return the stamp of the file that a response is from."""
    identity = response.tag or f"{response.modified}"
    digest = hashlib.blake2b(identity.encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little"), response.size, response.modified


class RemoteFile(PositionedFile):
    """A remote file.

    Parameters
    ----------
    location : Location
        Where it is.
    version : Version
        The version that is read; others are refused.
    renew : callable
        Returns the version with a valid address, after the address of a redirect has expired.
    keep : callable
        Called with the version at the end of an opening that read new ranges of it.
    """

    waits = True

    def __init__(
        self,
        location: Location,
        version: Version,
        renew: Callable[[], Version],
        keep: Callable[[Version], None],
    ):
        self.location, self.version, self.path = location, version, location.path
        self.size, self._renew, self._keep = version.stamp[1], renew, keep
        self.is_new = not version.kept.starts

    def fill(self, buffers: Sequence[Any], start: int) -> int:
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        count = max(0, min(sum(map(len, views)), self.size - start))
        if count == 0:
            return 0
        done, data = 0, self._bytes(start, count)
        for view in views:
            piece = data[done : done + len(view)]
            view[: len(piece)] = piece
            done += len(piece)
        return done

    def readv(self, parts: Sequence[tuple[int, Sequence[Any]]]) -> list[int]:
        sizes = [sum(memoryview(buffer).nbytes for buffer in buffers) for _, buffers in parts]
        self.prefetch([(start, size) for (start, _), size in zip(parts, sizes, strict=True)])
        return super().readv(parts)

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        numbers: dict[int, None] = {}
        for start, count in ranges:
            count = min(count, self.size - start)
            if count > 0 and start >= 0 and self.version.kept.get(start, count) is None:
                self._note(start, count)
                numbers |= dict.fromkeys(range(start // BLOCK, (start + count - 1) // BLOCK + 1))
                if len(numbers) * BLOCK > _LARGE:
                    return  # more than is cached: it is fetched when it is read
        self._ensure(numbers)

    def check_unchanged(self, where: str = "") -> None:
        """Do nothing: each request names the version that it is for."""

    def close(self) -> None:
        """Do nothing: no connection is held open."""

    # ------------------------------------------------------------------------------------- bytes

    def _bytes(self, start: int, count: int) -> memoryview:
        """Return a range of bytes, from the caches or the server."""
        self._note(start, count)
        cached = self.version.kept.get(start, count)
        if cached is not None:
            return cached
        if count > _LARGE:
            starts = range(start, start + count, _PIECE)
            runs = [(begin, min(_PIECE, start + count - begin)) for begin in starts]
            return memoryview(b"".join(self.fetched(runs)))
        first_block, last_block = start // BLOCK, (start + count - 1) // BLOCK
        blocks = self._ensure(range(first_block, last_block + 1))
        data = (
            blocks[first_block]
            if first_block == last_block
            else b"".join(blocks[n] for n in range(first_block, last_block + 1))
        )
        begin = start - first_block * BLOCK
        return memoryview(data)[begin : begin + count]

    def _note(self, start: int, count: int) -> None:
        """Note a range that the opening under way reads, to be kept on disk."""
        under_way = openings.current()
        if (
            under_way is not None
            and under_way.keeps
            and self.version.kept.get(start, count) is None
        ):
            self.version.touched.append((start, count))
            under_way.keep.setdefault(id(self.version), lambda: self._keep(self.version))

    def _key(self, number: int) -> tuple[Location, Stamp, int]:
        """Return the key of a block in the cache."""
        return self.location, self.version.stamp, number

    def _ensure(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Return blocks by number; those that are not cached are fetched, neighbours in one request."""
        blocks: dict[int, bytes] = {}
        missing = []
        for number in numbers:
            block = _blocks.get(self._key(number))
            if block is None:
                missing.append(number)
            else:
                blocks[number] = block
        runs: list[tuple[int, int]] = []
        for number in sorted(missing):
            begin, most = number * BLOCK, min(BLOCK, self.size - number * BLOCK)
            end = begin + most - runs[-1][0] if runs else 0
            if runs and begin - sum(runs[-1]) <= _GAP and end <= _PIECE:
                runs[-1] = runs[-1][0], end
            else:
                runs.append((begin, most))
        for (begin, _), data in zip(runs, self.fetched(runs), strict=True):
            for offset in range(0, len(data), BLOCK):
                number = (begin + offset) // BLOCK
                block = data if len(data) <= BLOCK else data[offset : offset + BLOCK]
                blocks[number] = _blocks.put(self._key(number), block)
        return blocks

    def fetched(
        self, runs: Sequence[tuple[int, int]], tell: network.Told | None = None
    ) -> list[bytes]:
        """Fetch ranges of bytes in parallel; a bar shows the progress.

        Parameters
        ----------
        runs : sequence of (int, int)
            First byte and count of each range.
        tell : callable, optional
            Called with the number of bytes that arrived, in place of a bar.
        """
        watched = tell is None and is_watched()
        total = sum(count for _, count in runs)
        with Bar(watched, self.location.name, total, delay=_SHOWN) as bar:
            report = tell or (bar.add if watched else None)
            return list(network.side_by_side(lambda run: self._fetch(run, report), runs))

    def _fetch(self, run: tuple[int, int], tell: network.Told | None) -> bytes:
        """Fetch one range of bytes; another version of the file is refused."""
        start, count = run
        try:
            response = self._response(start, count, tell)
        except NetworkError as error:
            failed = error
        else:
            if stamp_of(response)[:2] != self.version.stamp[:2]:
                raise changed(self.path)
            if len(response.data) == count:
                return response.data
            failed = NetworkError("busy", "an answer of fewer bytes than were asked for")
        raise failure(self.location, failed)

    def _response(self, start: int, count: int, tell: network.Told | None) -> Response:
        """Request bytes; if the address of a redirect has expired, renew it and request them again."""
        address = self.version.address
        try:
            return network.get(address, start, count, self.version.strong, tell=tell)
        except NetworkError as error:
            if error.kind != "denied" or address == self.location.address:
                raise
        self.version.address = self._renew().address  # the address of the redirect has expired
        return network.get(self.version.address, start, count, self.version.strong, tell=tell)


def in_memory(path: str) -> int:
    """Return the bytes of cached blocks of the files at an address and below it."""
    keys = [key for key in _blocks.keys() if is_below(key[0].path, path)]  # noqa: SIM118  no dict
    return BLOCK * len(keys)


def is_below(path: str, top: str) -> bool:
    """Whether an address is another, or lies below it."""
    return path == top or path.startswith(f"{top.rstrip('/')}/")


def remember(location: Location, version: Version, data: bytes) -> None:
    """Cache the blocks at the beginning of a file, which the first request fetched."""
    whole = len(data) if len(data) == version.stamp[1] else len(data) // BLOCK * BLOCK
    for begin in range(0, whole, BLOCK):
        _blocks.put((location, version.stamp, begin // BLOCK), data[begin : begin + BLOCK])


def failure(location: Location, error: NetworkError) -> NeuroArraysError:
    """Return the error to raise for a failed request."""
    if error.kind == "missing":
        return MissingPath(f"{location.as_given}: no such file or folder")
    if error.kind == "changed":
        return changed(location.path)
    expected = "a file that can be read"
    return FormatError(location.as_given, "", expected, error.words, hint_of(location, error))


def hint_of(location: Location, error: NetworkError) -> str:
    """Return what the user can do about a failed request."""
    kind = location.path.partition("://")[0]
    if error.kind == "denied" and location.address != location.path:
        return "its signature is not, or no longer, valid: get a new address"
    if error.kind == "denied" and kind in buckets.CREDENTIALS and not buckets.has_credentials(kind):
        return f"it is not public; credentials are looked for in {buckets.credential_sources(kind)}"
    if error.kind == "denied" and kind in buckets.CREDENTIALS:
        return f"the credentials that were found (in {buckets.credential_sources(kind)}) do not open it: compare them"
    hints = {
        "denied": "ask its owner; an address with a signature is valid for a while only, and is not kept "
        "in pickles",
        "unknown host": "compare the name of the server, and see that this machine is connected",
        "refused": "see that the server runs, and compare its port",
        "no ranges": f"copy it first (neuroarrays fetch {typed_word(location.as_given)} -o FOLDER) and "
        "give the path",
        "redirects": "compare the address",
        "address": "compare the address",
        "busy": "try again later",
        "other": "compare the address, and ask who runs the server",
        "credentials": "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither for a public bucket",
        "forked": "start processes by spawn or forkserver, or open the recording in the child",
    }
    return hints.get(error.kind, "")
