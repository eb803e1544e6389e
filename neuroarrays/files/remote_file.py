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

#: Bytes of a block, of the first request to a file, and of all blocks that a process keeps.
BLOCK, FIRST, KEPT = 1 << 16, 1 << 18, 256 << 20
#: Bytes between two blocks that take no longer than another request: of 16 requests at once, each costs a
#: sixteenth of a wait, in which a line of 40 MB/s carries 128 KiB if an answer takes 50 ms.
_GAP = 1 << 18
#: Bytes of one request at most, and bytes from which on a read is not kept in blocks.
_PIECE, _LARGE = 8 << 20, 64 << 20

#: Seconds of a read from which on a bar shows how far it is.
_SHOWN = 1.0

_blocks: state.Cache[bytes] = state.Cache(KEPT, len)
#: What earlier openings read, by version.
_kept: state.Cache[ByteRanges] = state.Cache(64 << 20, lambda kept: state.ENTRY + kept.nbytes)


@dataclass
class Version:
    """One content of a file behind an address.

    Attributes
    ----------
    stamp : tuple of int
        A digest of its tag, its size in bytes, its time of change in s.
    tag : str
        Its ETag.
    address : str
        Where redirects led; may hold a signature.
    reload : callable
        Gives what earlier openings read, from disk, when memory let go of it.
    touched : list of (int, int)
        Start and count of what the opening under way reads and `kept` has not.
    """

    stamp: Stamp
    tag: str
    address: str = field(repr=False)
    reload: Callable[[], ByteRanges] = field(default=ByteRanges, repr=False)
    touched: list[tuple[int, int]] = field(default_factory=list, repr=False)

    _key: object = field(default_factory=object, repr=False)

    @property
    def kept(self) -> ByteRanges:
        """What earlier openings read."""
        return _kept.get_or_make(self._key, self.reload)

    def hold(self, ranges: ByteRanges) -> None:
        """Set the ranges that earlier openings read."""
        _kept.drop(lambda key: key is self._key)
        _kept.put(self._key, ranges)

    @property
    def strong(self) -> str:
        """The tag where it names these very bytes, else ""."""
        return "" if self.tag.startswith("W/") else self.tag


def stamp_of(response: Response) -> Stamp:
    """The stamp of the file that an answer is from."""
    known = response.tag or f"{response.modified}"
    digest = hashlib.blake2b(known.encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little"), response.size, response.modified


class RemoteFile(PositionedFile):
    """A file behind an address.

    Parameters
    ----------
    location : Location
        Where it is.
    version : Version
        Which content of it is read; another is refused.
    renew : callable
        Gives the version with an address that is valid, where a redirect led to one that expired.
    keep : callable
        Told of the version when an opening ends that read of it what is not kept.
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

    def fill(self, buffers: Sequence[Any], at: int) -> int:
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        count = max(0, min(sum(map(len, views)), self.size - at))
        if count == 0:
            return 0
        done, data = 0, self._bytes(at, count)
        for view in views:
            piece = data[done : done + len(view)]
            view[: len(piece)] = piece
            done += len(piece)
        return done

    def readv(self, parts: Sequence[tuple[int, Sequence[Any]]]) -> list[int]:
        sizes = [sum(memoryview(buffer).nbytes for buffer in buffers) for _, buffers in parts]
        self.prefetch([(at, size) for (at, _), size in zip(parts, sizes, strict=True)])
        return super().readv(parts)

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        wanted: dict[int, None] = {}
        for at, count in ranges:
            count = min(count, self.size - at)
            if count > 0 and at >= 0 and self.version.kept.get(at, count) is None:
                self._note(at, count)
                wanted |= dict.fromkeys(range(at // BLOCK, (at + count - 1) // BLOCK + 1))
                if len(wanted) * BLOCK > _LARGE:
                    return  # more than is kept: fetched when it is read
        self._ensure(wanted)

    def check_unchanged(self, where: str = "") -> None:
        """Every request says which content it means, so nothing is asked for it here."""

    def close(self) -> None:
        """Nothing is held."""

    # ------------------------------------------------------------------------------------- bytes

    def _bytes(self, at: int, count: int) -> memoryview:
        self._note(at, count)
        kept = self.version.kept.get(at, count)
        if kept is not None:
            return kept
        if count > _LARGE:
            starts = range(at, at + count, _PIECE)
            runs = [(begin, min(_PIECE, at + count - begin)) for begin in starts]
            return memoryview(b"".join(self.fetched(runs)))
        first, last = at // BLOCK, (at + count - 1) // BLOCK
        blocks = self._ensure(range(first, last + 1))
        data = (
            blocks[first] if first == last else b"".join(blocks[n] for n in range(first, last + 1))
        )
        begin = at - first * BLOCK
        return memoryview(data)[begin : begin + count]

    def _note(self, at: int, count: int) -> None:
        """Remember what the opening that is under way reads."""
        under_way = openings.current()
        if under_way is not None and under_way.keeps and self.version.kept.get(at, count) is None:
            self.version.touched.append((at, count))
            under_way.keep.setdefault(id(self.version), lambda: self._keep(self.version))

    def _key(self, number: int) -> tuple[Location, Stamp, int]:
        return self.location, self.version.stamp, number

    def _ensure(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Blocks by number: those that are kept, and the others fetched, neighbours in one request."""
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
        """The bytes of some ranges, fetched side by side; a bar shows them as they arrive.

        Parameters
        ----------
        runs : sequence of (int, int)
            First byte and count of each range.
        tell : callable, optional
            Told of the bytes in place of a bar.
        """
        watched = tell is None and is_watched()
        total = sum(count for _, count in runs)
        with Bar(watched, self.location.name, total, delay=_SHOWN) as bar:
            told = tell or (bar.add if watched else None)
            return list(network.side_by_side(lambda run: self._one(run, told), runs))

    def _one(self, run: tuple[int, int], tell: network.Told | None) -> bytes:
        start, count = run
        try:
            response = self._asked(start, count, tell)
        except NetworkError as error:
            failed = error
        else:
            if stamp_of(response)[:2] != self.version.stamp[:2]:
                raise changed(self.path)
            if len(response.data) == count:
                return response.data
            failed = NetworkError("busy", "an answer of fewer bytes than were asked for")
        raise failure(self.location, failed)

    def _asked(self, start: int, count: int, tell: network.Told | None) -> Response:
        address = self.version.address
        try:
            return network.get(address, start, count, self.version.strong, tell=tell)
        except NetworkError as error:
            if error.kind != "denied" or address == self.location.address:
                raise
        self.version.address = self._renew().address  # the one that a redirect led to has expired
        return network.get(self.version.address, start, count, self.version.strong, tell=tell)


def in_memory(path: str) -> int:
    """Bytes of blocks that this process keeps of the files at an address and below it."""
    keys = [key for key in _blocks.keys() if is_below(key[0].path, path)]  # noqa: SIM118  no dict
    return BLOCK * len(keys)


def is_below(path: str, top: str) -> bool:
    """Whether an address is another, or lies below it."""
    return path == top or path.startswith(f"{top.rstrip('/')}/")


def remember(location: Location, version: Version, data: bytes) -> None:
    """Keep the blocks at the beginning of a file, which came with its first request."""
    whole = len(data) if len(data) == version.stamp[1] else len(data) // BLOCK * BLOCK
    for begin in range(0, whole, BLOCK):
        _blocks.put((location, version.stamp, begin // BLOCK), data[begin : begin + BLOCK])


def failure(location: Location, error: NetworkError) -> NeuroArraysError:
    """The error of ours for what a request led to."""
    if error.kind == "missing":
        return MissingPath(f"{location.as_given}: no such file or folder")
    if error.kind == "changed":
        return changed(location.path)
    expected = "a file that can be read"
    return FormatError(location.as_given, "", expected, error.words, hint_of(location, error))


def hint_of(location: Location, error: NetworkError) -> str:
    """What to do about a request that failed."""
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
