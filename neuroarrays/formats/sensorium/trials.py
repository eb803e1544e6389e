"""Lazy arrays over one file per trial; an index reads only the files that it needs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import npy, outer, state
from neuroarrays.files.outer import Key
from neuroarrays.files.placed import Stretch
from neuroarrays.files.state import cached_property
from neuroarrays.files.store import Store
from neuroarrays.lazy.arrays import LazyArray, cached

#: Number of files of a batch from which on threads share them; the most threads.
SHARED, THREADS = 32, 4
#: Up to so many bytes before the wanted ones are read along, which is faster than seeking.
_ALONG = 1 << 16
#: Tables of small values per trial (behaviour) up to this size stay in memory once read.
_SMALL = 1 << 24

Numbers = range | np.ndarray


@dataclass(frozen=True, repr=False, eq=False)
class TrialFiles(LazyArray):
    """The npy files of a folder as one array (trial, ...); all have one shape and dtype.

    Attributes
    ----------
    files : Store
        Folder or zip of the session.
    folder : str
        Folder of the files, such as ``data/responses``.
    numbers : range or (trial,) int64
        Number of each trial's file, which is called ``<number>.npy``.
    header : NpyHeader
        Header of the first file; those of other files are compared with it when they are read.
    """

    files: Store
    folder: str
    numbers: Numbers
    header: npy.NpyHeader

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.numbers), *self.header.shape)

    @cached_property
    def dtype(self) -> np.dtype:
        return self.header.dtype.newbyteorder("=")

    def outer(self, key: Key) -> np.ndarray:
        first, item = key[0], key[1:]
        single = isinstance(first, int)
        numbers = _numbers_at(self.numbers, first)
        cut = Stretch.of(self.header.dtype, self.header.shape, self.header.fortran, item)
        out = np.empty((len(numbers), *cut.shape), self.dtype)
        if out.size:
            read = self._whole if cut.whole else self._part
            waits = self.files.location.local_path is None
            share(len(numbers), lambda rows: read(numbers, rows, out, cut), waits)
        return out[0] if single else out

    def _whole(self, numbers: list[int], rows: range, out: np.ndarray, cut: Stretch) -> None:
        """Read each file at once, directly into its row of `out`."""
        raw = self.header.raw
        head, expected = bytearray(len(raw)), len(raw) + self.header.nbytes
        flat = out.reshape(len(out), -1).view(np.uint8)
        for row in rows:
            name = f"{self.folder}/{numbers[row]}.npy"
            (n_read,) = self.files.readv(name, [(0, (head, flat[row]))])
            if head != raw or n_read != expected:
                self._check(name, bytes(head[: min(n_read, len(head))]), n_read)
                self._read_again(name, flat[row], 0)

    def _part(self, numbers: list[int], rows: range, out: np.ndarray, cut: Stretch) -> None:
        """Read the stretch of each file that has the wanted values, and select them."""
        raw = self.header.raw
        head, buffer = bytearray(len(raw)), np.empty(cut.stop - cut.start, np.uint8)
        near = cut.start <= _ALONG
        skipped = bytearray(cut.start if near else 0)
        parts: list[Any] = (
            [(0, [head, skipped, buffer])]
            if near
            else [(0, [head]), (len(raw) + cut.start, [buffer])]
        )
        expected = len(raw) + len(skipped) + len(buffer)
        for row in rows:
            name = f"{self.folder}/{numbers[row]}.npy"
            n_read = sum(self.files.readv(name, parts))
            if head != raw or n_read != expected:
                self._check(name, bytes(head[: min(n_read, len(head))]), n_read, cut)
                self._read_again(name, buffer, cut.start)
            out[row] = cut.select(buffer)

    def _check(self, name: str, head: bytes, n_read: int, cut: Stretch | None = None) -> None:
        """Raise an error if a file differs from the first in more than the length of its header."""
        path = self.files.path_of(name)
        if n_read < npy.HEAD and len(head) < len(self.header.raw):
            length = f"{n_read} bytes: truncated" if n_read else "an empty file"
            raise FormatError(
                path,
                "",
                f"{self.header}, as {self.numbers[0]}.npy beside it has",
                length,
                "restore the file from the original",
            )
        header = npy.parse(head, path) if npy.length(head, path) <= len(head) else None
        header = npy.header_in(self.files, name) if header is None else header
        if not header.same_values(self.header):
            raise FormatError(
                path,
                "",
                f"{self.header}, as {self.numbers[0]}.npy beside it has",
                str(header),
                "trials of one session have one shape and dtype; restore the one that differs from "
                "the rest from the original",
            )
        if header.raw == self.header.raw:
            stop = self.header.nbytes if cut is None else cut.stop
            raise FormatError(
                path,
                "",
                f"{len(header.raw) + stop:,} bytes or more",
                f"{n_read:,}: truncated",
                "restore the file from the original",
            )

    def _read_again(self, name: str, buffer: np.ndarray, start: int) -> None:
        """Read the values of a file whose header has another length."""
        offset = len(npy.header_in(self.files, name).raw) + start
        (n_read,) = self.files.readv(name, [(offset, [buffer])])
        if n_read < len(buffer):
            raise FormatError(
                self.files.path_of(name),
                "",
                f"{offset + len(buffer):,} bytes or more",
                f"{offset + n_read:,}: truncated",
            )


def _numbers_at(numbers: Numbers, key: Any) -> list[int]:
    """Return the file numbers at one entry of an outer key."""
    if isinstance(numbers, range) and not isinstance(key, np.ndarray):
        return [numbers[key]] if isinstance(key, int) else list(numbers[key])
    selected = numbers[0] + key if isinstance(numbers, range) else numbers[key]
    listed: list[int] = np.atleast_1d(selected).tolist()
    return listed


# --------------------------------------------------------------------------------------- threads


#: Number of files that are requested from a server at once.
_AT_ONCE = 16


def share(count: int, work: Callable[[range], None], waits: bool = False) -> None:
    """Call `work` for all of ``range(count)``, in threads if there are many files.

    Threads help because opening and reading a file release the interpreter lock.

    Parameters
    ----------
    count : int
        Number of files.
    work : callable
        A function that reads the files of a range.
    waits : bool
        Whether each file needs a request to a server; 16 are then requested at once.
    """
    workers = min(THREADS, os.cpu_count() or 1, count // (SHARED // 2))
    if waits:
        workers = min(_AT_ONCE, count)
    if workers < 2:
        work(range(count))
        return
    # These are not the threads of the network, for which each of these threads waits.
    pool = state.pool("files elsewhere", _AT_ONCE) if waits else state.pool("files", THREADS)
    ends = [count * part // workers for part in range(workers + 1)]
    jobs = [pool.submit(work, range(a, b)) for a, b in pairwise(ends)]
    errors = [error for job in jobs if (error := job.exception()) is not None]
    if errors:
        raise errors[0]


# ------------------------------------------------------------------------------ made from others


@dataclass(frozen=True, repr=False, eq=False)
class Remembered(LazyArray):
    """An array of small values, whose rows are read when they are needed and stay in memory."""

    base: LazyArray

    @classmethod
    def of(cls, base: LazyArray) -> LazyArray:
        """Return the array, remembered if it is small (up to 16 MB)."""
        return cls(base) if math.prod(base.shape) * base.dtype.itemsize <= _SMALL else base

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        rows, item = outer.positions(key[0]), key[1:]
        values, known = cached(
            self.__dask_tokenize__(),
            lambda: (np.empty(self.shape, self.dtype), np.zeros(self.shape[0], bool)),
        )
        missing = np.unique(rows[~known[rows]])
        if missing.size:
            whole = (slice(None),) * len(item)
            values[missing] = self.base._raw((missing, *whole))
            known[missing] = True
        return outer.take(values, key)
