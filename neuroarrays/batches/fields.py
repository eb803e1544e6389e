"""Fields, from which the values of a batch come: an array, spike counts kept as events, or a file.

A `Field` is one variable along one leading dimension. It writes rows or clips into a buffer, and
buffers are reused. No xarray object is made for a batch or a sample.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.files import state
from neuroarrays.lazy.arrays import LazyArray, array_of

#: Bytes that ``cache="auto"`` keeps in memory, for all datasets of the process together, so that many
#: sessions need no more memory than one.
CACHE_BYTES = 1 << 30
#: Bytes that are read at once while a variable is read into memory; larger blocks are no faster.
_BLOCK = 8 << 20
#: Rows of at least so many bytes are copied one by one; numpy gathers smaller ones.
_LARGE = 1 << 16


class Field(ABC):
    """A variable as rows along one dimension.

    Attributes
    ----------
    shape : tuple of int
        ``(row, ...)``
    dtype : np.dtype
        Dtype of the stored values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @abstractmethod
    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Write rows, (n,) int64 in any order, to `out` (n, ...), cast to its dtype."""

    def load(self) -> None:  # noqa: B027  most fields have nothing to read
        """Read now what is kept in memory, not with the first batch."""

    def unread(self) -> list[LazyArray]:
        """Return the arrays that are read for every batch, even after `load`."""
        return []

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        """Write the consecutive rows from each start, (n,) int64, to `out` (n, length, ...)."""
        length = out.shape[1]
        flat = out.reshape(len(starts) * length, *self.shape[1:])
        self.rows((starts[:, None] + np.arange(length)).ravel(), flat)


class Dense(Field):
    """Values in memory."""

    def __init__(self, values: np.ndarray):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    @property
    def nbytes(self) -> int:
        """Size in memory, bytes."""
        return self.values.nbytes

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        if out[:1].nbytes >= _LARGE:
            for i, row in enumerate(rows.tolist()):
                out[i] = self.values[row]
        elif out.dtype == self.dtype and self.values.flags.c_contiguous:
            # With mode="clip" numpy writes to `out` without a copy; the rows were checked before.
            np.take(self.values, rows, axis=0, out=out, mode="clip")
        else:
            out[...] = self.values[rows]

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        length = out.shape[1]
        for i, start in enumerate(starts.tolist()):
            out[i] = self.values[start : start + length]


class Events(Field):
    """Spike counts kept in memory as events; see `neuroarrays.kernels.events`."""

    def __init__(self, first: np.ndarray, places: np.ndarray, shape: tuple[int, ...], dtype: Any):
        self.first, self.places = first, places
        self.shape, self.dtype = shape, np.dtype(dtype)

    @property
    def nbytes(self) -> int:
        """Size in memory, bytes."""
        return self.first.nbytes + self.places.nbytes

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        from neuroarrays.kernels import events

        flat = out.reshape(len(rows), math.prod(self.shape[1:]))
        if out.dtype == np.float16:  # there is no compiled code for this dtype
            flat[...] = events.expand(
                self.first, self.places, rows, np.empty(flat.shape, self.dtype)
            )
        else:
            events.expand(self.first, self.places, rows, flat)


class LazyRows(Field):
    """Rows of a lazy array along `axis`; only the requested rows are read, chunk by chunk."""

    def __init__(self, array: LazyArray, axis: int, location: str):
        self.array, self.axis, self.location = array, axis, location
        self.shape = (array.shape[axis], *(n for i, n in enumerate(array.shape) if i != axis))
        self.dtype = array.dtype

    @property
    def nbytes(self) -> int:
        """Size of all values, bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def unread(self) -> list[LazyArray]:
        return [self.array]

    def read(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return the values of rows in the given order, (n, ...)."""
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
        """Return the index of rows along `axis` and of everything along the other axes."""
        whole = [slice(0, n, 1) for n in self.array.shape]
        return (*whole[: self.axis], rows, *whole[self.axis + 1 :])

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        length = out.shape[1]
        order = np.argsort(starts, kind="stable")
        ordered = starts[order]
        # Clips that overlap or nearly touch are read together.
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


class AnyVariable(Field):
    """Any other variable (of dask, or selected from a lazy one), with one selection per batch."""

    def __init__(self, variable: xr.Variable, dim: str):
        others = [d for d in variable.dims if d != dim]
        self.variable = variable.transpose(dim, *others)
        self.shape, self.dtype = self.variable.shape, self.variable.dtype

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        data = self.variable[rows].data
        if hasattr(data, "compute"):
            data = data.compute(scheduler="synchronous")
        out[...] = data


class Lookup(Field):
    """Rows of another field that are looked up in a table, such as the image of each presentation."""

    def __init__(self, base: Field, table: np.ndarray):
        self.base, self.table = base, table
        self.shape, self.dtype = (len(table), *base.shape[1:]), base.dtype

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        self.base.rows(self.table[rows], out)

    def load(self) -> None:
        self.base.load()

    def unread(self) -> list[LazyArray]:
        return self.base.unread()


class Cached(Field):
    """A stored field that is kept in memory from its first use on.

    If `always` is False and the memory of `CACHE_BYTES` is used up at its first use, the field is
    read from its file for every batch. Pickling stores where the file is, not the values.
    """

    def __init__(self, stored: LazyRows, always: bool):
        self.stored, self.shape, self.dtype = stored, stored.shape, stored.dtype
        self.always = always
        self._field: Dense | Events | LazyRows | None = None
        self._lock = state.Lock()

    @property
    def nbytes(self) -> int:
        """Size in memory, bytes; 0 before the first use."""
        field = self._field
        return 0 if field is None or field is self.stored else field.nbytes

    @property
    def field(self) -> Dense | Events | LazyRows:
        """The field with the values, which are read on first use."""
        with self._lock:
            if self._field is None:
                fits = self.always or _cached_bytes() + self.stored.nbytes <= CACHE_BYTES
                self._field = _loaded(self.stored) if fits else self.stored
        return self._field

    def load(self) -> None:
        _ = self.field

    def unread(self) -> list[LazyArray]:
        return self.field.unread()

    def forget(self) -> None:
        """Drop the values; the next use reads them again."""
        with self._lock:
            self._field = None

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        self.field.rows(rows, out)

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        self.field.clips(starts, out)

    def __reduce__(self) -> tuple[Any, tuple[LazyRows, bool]]:
        return cached, (self.stored, self.always)


#: The fields that all datasets of this process keep in memory.
_CACHED: state.Shared[Cached] = state.Shared(Cached.forget)


def cached(stored: LazyRows, always: bool) -> Cached:
    """Return a stored field that is kept in memory; all datasets of a process share it."""
    from dask.base import tokenize

    token = f"{tokenize(stored.array)} {stored.axis} {always}"
    return _CACHED.get_or_make(token, lambda: Cached(stored, always))


def _cached_bytes() -> int:
    """Return the size of all fields that this process keeps in memory, bytes."""
    return sum(field.nbytes for field in _CACHED.values())


def _loaded(stored: LazyRows) -> Dense | Events:
    """Read all rows in blocks; counts become events if these take less than half the memory."""
    total = stored.nbytes
    step = max(1, _BLOCK // max(1, total // max(1, stored.shape[0])))
    blocks = [slice(i, min(i + step, stored.shape[0]), 1) for i in range(0, stored.shape[0], step)]
    # Some datasets are published with counts of int8.
    counts = stored.dtype.kind == "u" or stored.dtype == np.int8
    if counts and len(stored.shape) > 1 and total:
        sparse = _sparse(stored, blocks, total // 2)
        if sparse is not None:
            return sparse
    values = np.empty(stored.shape, stored.dtype)
    for block in blocks:
        values[block] = stored.read(block)
    return Dense(values)


def _sparse(stored: LazyRows, blocks: list[slice], limit: int) -> Events | None:
    """Read counts as events; None if they need more than `limit` bytes or are negative."""
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
    """Return the error of a read with the name of the variable that was read."""
    if isinstance(error, FormatError):
        return error.with_hint(f"it was read for {location}")
    kind = MissingPath if isinstance(error, MissingPath) else NeuroArraysError
    return kind(f"{location}: {error}")


@runtime_checkable
class Repeating(Protocol):
    """A lazy array whose equal rows are stored once."""

    def distinct(self) -> tuple[LazyArray, np.ndarray]:
        """Return the stored rows, and the number of the stored row of each row, (row,) int64."""


def check_range(values: np.ndarray, dtype: np.dtype, what: str) -> None:
    """Check that an integer dtype holds all of some whole numbers.

    Raises
    ------
    OverflowError
        If it does not; the message names the value.
    """
    limits = np.iinfo(dtype)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        worst = values.min() if values.min() < limits.min else values.max()
        msg = f"{what} has the value {worst}, which {dtype} cannot hold"
        raise OverflowError(msg)


def check_cache(cache: bool | str) -> None:
    """Check that `cache` is "auto", True or False."""
    if cache not in ("auto", True, False):
        msg = f"cache={cache!r}: expected 'auto', True or False"
        raise ValueError(msg)


def field_of(variable: xr.Variable, dim: str, location: str, cache: bool | str) -> Field:
    """Return the field of a variable, with its rows along a dimension.

    Parameters
    ----------
    variable : xr.Variable
        A numeric variable, in memory or lazy.
    dim : str
        The dimension of the rows.
    location : str
        Session, area and variable, for error messages.
    cache : {"auto", True, False}
        Whether a lazy variable is kept in memory from its first use on; "auto" keeps it if there is
        room then.

    Returns
    -------
    Field
        The class depends on the kind of data.
    """
    data, axis = array_of(variable), variable.dims.index(dim)
    if isinstance(data, np.ndarray):
        return Dense(np.moveaxis(data, axis, 0))
    if not isinstance(data, LazyArray):
        return AnyVariable(variable, dim)
    if isinstance(data, Repeating) and axis == 0:
        base, table = data.distinct()
        return Lookup(_cached_if(cache, LazyRows(base, axis, location)), table)
    return _cached_if(cache, LazyRows(data, axis, location))


def _cached_if(cache: bool | str, stored: LazyRows) -> Field:
    """Return a stored field, kept in memory if `cache` is "auto" or True."""
    return cached(stored, cache is True) if cache else stored
