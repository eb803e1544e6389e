"""Where the values of a batch come from: an array, spike counts kept as events, or a file.

A `Field` is one variable along one leading dimension; it writes rows or clips into a buffer that is
used again. No xarray object is made per batch, and none per sample.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.files import state
from neuroarrays.lazy.arrays import LazyArray, array_of

#: Bytes that ``cache="auto"`` keeps in memory, of all datasets of the process together, so that many
#: sessions need no more than one.
CACHE_BYTES = 1 << 30
#: Values read at once while a variable is taken into memory, bytes: larger ones are no faster.
_BLOCK = 8 << 20
#: Rows at least this large are copied one by one, smaller ones are gathered by numpy, bytes.
_LARGE = 1 << 16
#: Buffers of one size that are kept for reuse: one that the loop has and one that it is given, two
#: that a thread gathers ahead, for two variables of that size.
_SPARE = 8


class Buffers:
    """Memory for batches, used again once no array refers to it any more.

    Half the time of gathering a large batch goes into fresh pages; memory used before has them.
    An array counts as free when no view and no tensor refers to it any more.
    """

    def __init__(self) -> None:
        self._kept: dict[int, list[np.ndarray]] = {}
        self._lock = state.Lock()
        self._allocate: Callable[[int], np.ndarray] = _fresh
        #: Has memory of so many bytes that nobody holds, in place of what is kept here.
        self.elsewhere: Callable[[int], np.ndarray] | None = None

    def allocate_by(self, allocate: Callable[[int], np.ndarray]) -> None:
        """From now on, use memory that a function makes: of so many bytes, (size,) uint8."""
        with self._lock:
            if allocate is not self._allocate:
                self._allocate = allocate
                self._kept.clear()

    def get(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array with any values, C-contiguous, that nobody else holds."""
        nbytes = math.prod(shape) * dtype.itemsize
        memory = (self.elsewhere or self._unused)(rounded(nbytes))
        return memory[:nbytes].view(dtype).reshape(shape)

    def _unused(self, size: int) -> np.ndarray:
        """Memory of (size,) uint8 that nobody holds."""
        with self._lock:
            kept = self._kept.setdefault(size, [])
            number = next((i for i in range(len(kept)) if sys.getrefcount(kept[i]) <= 2), None)
            if number is None:
                kept.append(self._allocate(size))
                del kept[:-_SPARE]
                number = len(kept) - 1
            return kept[number]

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()


def rounded(nbytes: int) -> int:
    """The size of the buffer for so many bytes: a power of two, so that others can use it again."""
    return 1 << max(12, (nbytes - 1).bit_length()) if nbytes else 1 << 12


def _fresh(size: int) -> np.ndarray:
    return np.empty(size, np.uint8)


class Field(ABC):
    """A variable as rows along one dimension.

    Attributes
    ----------
    shape : tuple of int
        ``(row, ...)``
    dtype : np.dtype
        As stored.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @abstractmethod
    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Write ``(n, ...)`` rows, in any order, cast to the dtype of `out`."""

    def load(self) -> None:  # noqa: B027  most have nothing to read
        """Read now what is kept in memory; otherwise it is read with the first batch."""

    def unread(self) -> list[LazyArray]:
        """The arrays that are read for every batch, also once `load` was called."""
        return []

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        """Write ``(n, length, ...)`` rows that follow one another from each start."""
        length = out.shape[1]
        flat = out.reshape(len(starts) * length, *self.shape[1:])
        self.rows((starts[:, None] + np.arange(length)).ravel(), flat)


class Dense(Field):
    """Values in memory."""

    def __init__(self, values: np.ndarray):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.values.nbytes

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        if out[:1].nbytes >= _LARGE:
            for i, row in enumerate(rows.tolist()):
                out[i] = self.values[row]
        elif out.dtype == self.dtype and self.values.flags.c_contiguous:
            # "clip" writes straight to `out`; the rows were checked before.
            np.take(self.values, rows, axis=0, out=out, mode="clip")
        else:
            out[...] = self.values[rows]

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        length = out.shape[1]
        for i, start in enumerate(starts.tolist()):
            out[i] = self.values[start : start + length]


class Events(Field):
    """Counts in memory, as events; see `neuroarrays.kernels.events`."""

    def __init__(self, first: np.ndarray, places: np.ndarray, shape: tuple[int, ...], dtype: Any):
        self.first, self.places = first, places
        self.shape, self.dtype = shape, np.dtype(dtype)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.first.nbytes + self.places.nbytes

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        from neuroarrays.kernels import events

        flat = out.reshape(len(rows), math.prod(self.shape[1:]))
        if out.dtype == np.float16:  # no compiled code for it
            flat[...] = events.expand(
                self.first, self.places, rows, np.empty(flat.shape, self.dtype)
            )
        else:
            events.expand(self.first, self.places, rows, flat)


class LazyRows(Field):
    """Rows of a lazy array: only the rows asked for are read, chunk by chunk, in any order."""

    def __init__(self, array: LazyArray, axis: int, location: str):
        self.array, self.axis, self.location = array, axis, location
        self.shape = (array.shape[axis], *(n for i, n in enumerate(array.shape) if i != axis))
        self.dtype = array.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def unread(self) -> list[LazyArray]:
        return [self.array]

    def read(self, rows: slice | np.ndarray) -> np.ndarray:
        """Values of rows, in their order."""
        try:
            return np.moveaxis(self.array.outer(self._key(rows)), self.axis, 0)
        except NeuroArraysError as error:
            raise _located(error, self.location) from error

    def rows(self, rows: slice | np.ndarray, out: np.ndarray) -> None:
        try:
            self.array.into(self._key(rows), np.moveaxis(out, 0, self.axis))
        except NeuroArraysError as error:
            raise _located(error, self.location) from error

    def _key(self, rows: slice | np.ndarray) -> tuple[slice | np.ndarray, ...]:
        whole = [slice(0, n, 1) for n in self.array.shape]
        return (*whole[: self.axis], rows, *whole[self.axis + 1 :])

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        length = out.shape[1]
        order = np.argsort(starts, kind="stable")
        ordered = starts[order]
        # Clips that overlap or nearly touch are one read.
        runs = np.split(order, np.flatnonzero(np.diff(ordered) > length) + 1)
        for run in runs:
            low, high = int(starts[run[0]]), int(starts[run[-1]]) + length
            if len(run) == 1:
                self.rows(slice(low, high, 1), out[run[0]])
                continue
            values = self.read(slice(low, high, 1))
            for i in run.tolist():
                begin = int(starts[i]) - low
                out[i] = values[begin : begin + length]


class Labelled(Field):
    """Any other variable (dask, or a selection of a lazy one): one selection per batch."""

    def __init__(self, variable: xr.Variable, dim: str):
        others = [d for d in variable.dims if d != dim]
        self.variable = variable.transpose(dim, *others)
        self.shape, self.dtype = self.variable.shape, self.variable.dtype

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        data = self.variable[rows].data
        if hasattr(data, "compute"):
            data = data.compute(scheduler="synchronous")
        out[...] = data


class Looked(Field):
    """Rows of another field by a table: images by presentation."""

    def __init__(self, base: Field, table: np.ndarray):
        self.base, self.table = base, table
        self.shape, self.dtype = (len(table), *base.shape[1:]), base.dtype

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        self.base.rows(self.table[rows], out)

    def load(self) -> None:
        self.base.load()

    def unread(self) -> list[LazyArray]:
        return self.base.unread()


class ByteRanges(Field):
    """A stored field in memory. Pickled, it is sent as the file it was read from, not its values.

    Unless kept `always`, it is read from where it is stored if there is no room at its first use.
    """

    def __init__(self, stored: LazyRows, always: bool):
        self.stored, self.shape, self.dtype = stored, stored.shape, stored.dtype
        self.always = always
        self._field: Dense | Events | LazyRows | None = None
        self._lock = state.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        field = self._field
        return 0 if field is None or field is self.stored else field.nbytes

    @property
    def field(self) -> Dense | Events | LazyRows:
        """The values, read on first use."""
        with self._lock:
            if self._field is None:
                fits = self.always or _bytes_kept() + self.stored.nbytes <= CACHE_BYTES
                self._field = _loaded(self.stored) if fits else self.stored
        return self._field

    def load(self) -> None:
        _ = self.field

    def unread(self) -> list[LazyArray]:
        return self.field.unread()

    def forget(self) -> None:
        """Let go of the values; the next use reads them again."""
        with self._lock:
            self._field = None

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        self.field.rows(rows, out)

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        self.field.clips(starts, out)

    def __reduce__(self) -> tuple[Any, tuple[LazyRows, bool]]:
        return kept, (self.stored, self.always)


#: Fields in memory, for all datasets of this process together.
_kept: state.Shared[ByteRanges] = state.Shared(ByteRanges.forget)


def kept(stored: LazyRows, always: bool) -> ByteRanges:
    """A stored field in memory; one for all who ask for the same array in this process."""
    from dask.base import tokenize

    token = f"{tokenize(stored.array)} {stored.axis} {always}"
    return _kept.get_or_make(token, lambda: ByteRanges(stored, always))


def _bytes_kept() -> int:
    """Bytes that this process keeps."""
    return sum(field.nbytes for field in _kept.values())


def _loaded(stored: LazyRows) -> Dense | Events:
    """All rows, read in blocks: as events where that takes less than half the memory."""
    total = stored.nbytes
    step = max(1, _BLOCK // max(1, total // max(1, stored.shape[0])))
    blocks = [slice(i, min(i + step, stored.shape[0]), 1) for i in range(0, stored.shape[0], step)]
    counts = stored.dtype.kind == "u" or stored.dtype == np.int8  # as others publish them
    if counts and len(stored.shape) > 1 and total:
        sparse = _sparse(stored, blocks, total // 2)
        if sparse is not None:
            return sparse
    values = np.empty(stored.shape, stored.dtype)
    for block in blocks:
        values[block] = stored.read(block)
    return Dense(values)


def _sparse(stored: LazyRows, blocks: list[slice], limit: int) -> Events | None:
    from neuroarrays.kernels import events
    from neuroarrays.kernels.stretches import stretches

    width = math.prod(stored.shape[1:])
    needed = 8 * stored.shape[0] * stretches(width)
    sizes, places = [], []
    for block in blocks:
        values = np.ascontiguousarray(stored.read(block))
        if values.min() < 0 or needed + 2 * int(values.sum(dtype=np.int64)) > limit:
            return None
        unsigned = values.view(f"u{values.itemsize}").reshape(len(values), width)
        size, positions = events.compress(unsigned)
        needed += positions.nbytes
        sizes.append(size)
        places.append(positions)
    first = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    return Events(first, np.concatenate(places), stored.shape, stored.dtype)


def _located(error: NeuroArraysError, location: str) -> NeuroArraysError:
    """The error of a read, with the variable it was for."""
    if isinstance(error, FormatError):
        hint = "; ".join(filter(None, [error.hint, f"it was read for {location}"]))
        return FormatError(error.path, error.where, error.expected, error.found, hint)
    kind = MissingPath if isinstance(error, MissingPath) else NeuroArraysError
    return kind(f"{location}: {error}")


@runtime_checkable
class Repeating(Protocol):
    """A lazy array of which equal rows are stored once."""

    def distinct(self) -> tuple[LazyArray, np.ndarray]:
        """The rows that are stored, and (row,) which of them each row is."""


def check_cache(cache: bool | str) -> None:
    """Refuse other values than the three there are."""
    if cache not in ("auto", True, False):
        msg = f"cache={cache!r}: expected 'auto', True or False"
        raise ValueError(msg)


def field_of(variable: xr.Variable, dim: str, location: str, cache: bool | str) -> Field:
    """The rows of a variable along a dimension.

    Parameters
    ----------
    variable : xr.Variable
        Numbers, from anywhere.
    dim : str
        One of its dimensions.
    location : str
        What errors call it.
    cache : {"auto", True, False}
        Whether a lazy one is kept in memory from its first use on; "auto" if there is room then.

    Returns
    -------
    Field
        Of the kind that its data ask for.
    """
    data, axis = array_of(variable), variable.dims.index(dim)
    if isinstance(data, np.ndarray):
        return Dense(np.moveaxis(data, axis, 0))
    if not isinstance(data, LazyArray):
        return Labelled(variable, dim)
    if isinstance(data, Repeating) and axis == 0:
        base, places = data.distinct()
        return Looked(_lazily(LazyRows(base, axis, location), cache), places)
    return _lazily(LazyRows(data, axis, location), cache)


def _lazily(stored: LazyRows, cache: bool | str) -> Field:
    return kept(stored, cache is True) if cache else stored
