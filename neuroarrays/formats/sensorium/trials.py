"""Lazy arrays over a file per trial: any outer index reads the files it needs, and no others."""

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

#: Files of a batch from which on threads share them, and the most threads.
SHARED, THREADS = 32, 4
#: Bytes before the place asked for that are read along rather than seeking there.
_ALONG = 1 << 16
#: Tables of small values per trial (behaviour) up to this size stay in memory once read.
_SMALL = 1 << 24

Numbers = range | np.ndarray


@dataclass(frozen=True, repr=False, eq=False)
class TrialFiles(LazyArray):
    """`(trial, *axes)` of a folder with an npy file per trial, all of one shape and dtype.

    Attributes
    ----------
    files : Store
        Folder or zip.
    folder : str
        Such as ``data/responses``.
    numbers : range or (trial,) int64
        Name of each trial's file, without ``.npy``.
    header : npy.Header
        Of the first file; the others are compared with it as they are read.
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
        numbers = _named(self.numbers, first)
        cut = Stretch.of(self.header.dtype, self.header.shape, self.header.fortran, item)
        out = np.empty((len(numbers), *cut.shape), self.dtype)
        if out.size:
            read = self._whole if cut.whole else self._part
            waits = self.files.location.local_path is None
            share(len(numbers), lambda rows: read(numbers, rows, out, cut), waits)
        return out[0] if single else out

    def _whole(self, numbers: list[int], rows: range, out: np.ndarray, cut: Stretch) -> None:
        """Each file in one read, straight into its row."""
        raw = self.header.raw
        head, wanted = bytearray(len(raw)), len(raw) + self.header.nbytes
        flat = out.reshape(len(out), -1).view(np.uint8)
        for row in rows:
            name = f"{self.folder}/{numbers[row]}.npy"
            (got,) = self.files.readv(name, [(0, (head, flat[row]))])
            if head != raw or got != wanted:
                self._differs(name, bytes(head[: min(got, len(head))]), got)
                self._again(name, flat[row], 0)

    def _part(self, numbers: list[int], rows: range, out: np.ndarray, cut: Stretch) -> None:
        """Read from each file the stretch that holds what was asked for, then select from it."""
        raw = self.header.raw
        head, buffer = bytearray(len(raw)), np.empty(cut.stop - cut.start, np.uint8)
        near = cut.start <= _ALONG
        skipped = bytearray(cut.start if near else 0)
        parts: list[Any] = (
            [(0, [head, skipped, buffer])]
            if near
            else [(0, [head]), (len(raw) + cut.start, [buffer])]
        )
        wanted = len(raw) + len(skipped) + len(buffer)
        for row in rows:
            name = f"{self.folder}/{numbers[row]}.npy"
            got = sum(self.files.readv(name, parts))
            if head != raw or got != wanted:
                self._differs(name, bytes(head[: min(got, len(head))]), got, cut)
                self._again(name, buffer, cut.start)
            out[row] = cut.select(buffer)

    def _differs(self, name: str, head: bytes, got: int, cut: Stretch | None = None) -> None:
        """Raise if a file differs from the first; return if only its header is longer."""
        path = self.files.path_of(name)
        if got < npy.HEAD and len(head) < len(self.header.raw):
            length = f"{got} bytes: truncated" if got else "an empty file"
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
                f"{got:,}: truncated",
                "restore the file from the original",
            )

    def _again(self, name: str, buffer: np.ndarray, start: int) -> None:
        """Read the values of a file whose header has another length."""
        at = len(npy.header_in(self.files, name).raw) + start
        (got,) = self.files.readv(name, [(at, [buffer])])
        if got < len(buffer):
            raise FormatError(
                self.files.path_of(name),
                "",
                f"{at + len(buffer):,} bytes or more",
                f"{at + got:,}: truncated",
            )


def _named(numbers: Numbers, key: Any) -> list[int]:
    """The numbers at one entry of an outer key."""
    if isinstance(numbers, range) and not isinstance(key, np.ndarray):
        return [numbers[key]] if isinstance(key, int) else list(numbers[key])
    picked = numbers[0] + key if isinstance(numbers, range) else numbers[key]
    listed: list[int] = np.atleast_1d(picked).tolist()
    return listed


# --------------------------------------------------------------------------------------- threads


#: Files of a server that are asked for at once.
_AT_ONCE = 16


def share(count: int, work: Callable[[range], None], waits: bool = False) -> None:
    """Do `work` on all of `range(count)`; of many, on stretches in threads.

    Opening a file waits for the disk, and both that and reading leave the interpreter to others.

    Parameters
    ----------
    count : int
        How many files there are.
    work : callable
        Reads those of a range.
    waits : bool
        Whether each file takes a request to a server: then 16 are under way at once.
    """
    workers = min(THREADS, os.cpu_count() or 1, count // (SHARED // 2))
    if waits:
        workers = min(_AT_ONCE, count)
    if workers < 2:
        work(range(count))
        return
    # not the threads of the network, for which each of these waits
    pool = state.pool("files elsewhere", _AT_ONCE) if waits else state.pool("files", THREADS)
    ends = [count * part // workers for part in range(workers + 1)]
    jobs = [pool.submit(work, range(a, b)) for a, b in pairwise(ends)]
    errors = [error for job in jobs if (error := job.exception()) is not None]
    if errors:
        raise errors[0]


# ------------------------------------------------------------------------------ made from others


@dataclass(frozen=True, repr=False, eq=False)
class Remembered(LazyArray):
    """An array of small values, one file per trial, that is read once and kept.

    Rows are read when they are asked for, and stay in memory.
    """

    base: LazyArray

    @classmethod
    def of(cls, base: LazyArray) -> LazyArray:
        """The array, remembered if it is small (16 MB)."""
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
