"""How a batch is gathered: rows or clips of a variable, written into a buffer that is used again.

A `Field` is one variable of a tree along one leading dimension. Where its values come from is its
own matter: an array in memory, spike counts kept as events, or a file read chunk by chunk. No
xarray object is made per batch, and none per sample.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError, NotInTree, SchemaError
from neuroarrays.lazy import LazyArray, unwrap

#: Bytes of one dataset's variables, as they are stored, that ``cache="auto"`` keeps in memory.
CACHE_BYTES = 1 << 30
#: Values read at once while a variable is taken into memory, bytes.
_BLOCK = 32 << 20
#: Rows at least this large are copied one by one, smaller ones are gathered by numpy, bytes.
_LARGE = 1 << 16
#: Buffers of one size that are kept for reuse: one in use, one in a queue, one to write to.
_SPARE = 3

_KEPT: weakref.WeakValueDictionary[str, Field] = weakref.WeakValueDictionary()


class Buffers:
    """Memory that is handed out again once nobody holds what was made of it.

    Half the time of gathering a large batch goes into fresh pages; memory used before has them.
    An array counts as free when no view and no tensor refers to it any more.
    """

    def __init__(self) -> None:
        self._kept: dict[int, list[np.ndarray]] = {}
        self._lock = threading.Lock()

    def get(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array with any values, C-contiguous, that nobody else holds."""
        nbytes = int(np.prod(shape)) * dtype.itemsize
        size = 1 << max(12, (nbytes - 1).bit_length()) if nbytes else 1 << 12
        with self._lock:
            kept = self._kept.setdefault(size, [])
            place = next((i for i in range(len(kept)) if sys.getrefcount(kept[i]) <= 2), None)
            if place is None:
                kept.append(np.empty(size, np.uint8))
                del kept[:-_SPARE]
                place = len(kept) - 1
            return kept[place][:nbytes].view(dtype).reshape(shape)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()


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

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        """Write ``(n, length, ...)`` rows that follow one another from each start."""
        length = out.shape[1]
        flat = out.reshape(len(starts) * length, *self.shape[1:])
        self.rows((starts[:, None] + np.arange(length)).ravel(), flat)


class Dense(Field):
    """Values in memory."""

    def __init__(self, values: np.ndarray):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

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

        flat = out.reshape(len(rows), -1)
        if out.dtype == np.float16:  # no compiled code for it
            flat[...] = events.expand(
                self.first, self.places, rows, np.empty(flat.shape, self.dtype)
            )
        else:
            events.expand(self.first, self.places, rows, flat)


class Stored(Field):
    """A lazy array: what is asked for is read, chunk by chunk, whatever the order of the rows."""

    def __init__(self, array: LazyArray, axis: int, place: str):
        self.array, self.axis, self.place = array, axis, place
        self.shape = (array.shape[axis], *(n for i, n in enumerate(array.shape) if i != axis))
        self.dtype = array.dtype

    def read(self, rows: slice | np.ndarray) -> np.ndarray:
        """Values of rows, in their order."""
        key: list[slice | np.ndarray] = [slice(0, n, 1) for n in self.array.shape]
        key[self.axis] = rows
        try:
            return np.moveaxis(self.array.outer(tuple(key)), self.axis, 0)
        except NeuroArraysError as error:
            raise _located(error, self.place) from error

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        out[...] = self.read(rows)

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        length = out.shape[1]
        order = np.argsort(starts, kind="stable")
        ordered = starts[order]
        # Clips that overlap or nearly touch are one read.
        runs = np.split(order, np.flatnonzero(np.diff(ordered) > length) + 1)
        for run in runs:
            low, high = int(starts[run[0]]), int(starts[run[-1]]) + length
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


class Kept(Field):
    """A stored field in memory. It travels to another process as what it was read from."""

    def __init__(self, stored: Stored):
        self.stored, self.shape, self.dtype = stored, stored.shape, stored.dtype
        self._field: Field | None = None
        self._lock = threading.Lock()

    @property
    def field(self) -> Dense | Events:
        """The values, read on first use."""
        with self._lock:
            if self._field is None:
                self._field = _loaded(self.stored)
        return self._field  # type: ignore[return-value]

    def rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        self.field.rows(rows, out)

    def clips(self, starts: np.ndarray, out: np.ndarray) -> None:
        self.field.clips(starts, out)

    def __reduce__(self) -> tuple[Any, tuple[Stored]]:
        return kept, (self.stored,)


def kept(stored: Stored) -> Kept:
    """A stored field in memory; one for all who ask for the same array in this process."""
    from dask.base import tokenize

    token = f"{tokenize(stored.array)} {stored.axis}"
    found = _KEPT.get(token)
    if found is None:
        found = _KEPT[token] = Kept(stored)
    return found  # type: ignore[return-value]


def _loaded(stored: Stored) -> Dense | Events:
    """All rows, read in blocks: as events where that takes less than half the memory."""
    total = int(np.prod(stored.shape)) * stored.dtype.itemsize
    step = max(1, _BLOCK // max(1, total // max(1, stored.shape[0])))
    blocks = [slice(i, min(i + step, stored.shape[0]), 1) for i in range(0, stored.shape[0], step)]
    if stored.dtype.kind == "u" and len(stored.shape) > 1 and total:
        sparse = _sparse(stored, blocks, total // 2)
        if sparse is not None:
            return sparse
    values = np.empty(stored.shape, stored.dtype)
    for block in blocks:
        values[block] = stored.read(block)
    return Dense(values)


def _sparse(stored: Stored, blocks: list[slice], limit: int) -> Events | None:
    from neuroarrays.kernels import events

    width = int(np.prod(stored.shape[1:]))
    held = 8 * stored.shape[0] * events.stretches(width)
    sizes, places = [], []
    for block in blocks:
        values = stored.read(block)
        if held + 2 * int(values.sum(dtype=np.int64)) > limit:
            return None
        size, place = events.compress(values.reshape(len(values), width))
        held += place.nbytes
        sizes.append(size)
        places.append(place)
    first = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    return Events(first, np.concatenate(places), stored.shape, stored.dtype)


def _located(error: NeuroArraysError, place: str) -> NeuroArraysError:
    """The error of a read, with the variable it was for."""
    if isinstance(error, FormatError):
        hint = "; ".join(filter(None, [error.hint, f"it was read for {place}"]))
        return FormatError(error.path, error.where, error.expected, error.found, hint)
    kind = MissingPath if isinstance(error, MissingPath) else NeuroArraysError
    return kind(f"{place}: {error}")


# ------------------------------------------------------------------------------------- labelled


def place(area: xr.DataTree, name: str = "") -> str:
    """Session, area and variable, as errors name them."""
    path = area.path.strip("/") or str(area.name or "")
    return f"{path}: {name}" if name else path


def find(area: xr.DataTree, name: str) -> xr.DataArray:
    """A variable by its path below the area, or by its name in the session or block above it.

    Raises
    ------
    NotInTree
        If it is in none of them.
    """
    node: xr.DataTree | None = area
    label = None
    while node is not None:
        try:
            found = node[name]
        except KeyError:
            found = None
        if isinstance(found, xr.DataArray):
            path, _, own = name.rpartition("/")
            if own in (node[path] if path else node).data_vars:
                return found
            label = found if label is None else label  # a label may share a variable's name
        node = node.parent
    if label is not None:
        return label
    names = [
        f"{path}/{v}".removeprefix("./") for path, n in area.subtree_with_keys for v in n.data_vars
    ]
    raise NotInTree("variable", name, names, hint=f"looked in {place(area)} and above it")


def field(area: xr.DataTree, name: str, dim: str, cache: bool | str, room: list[int]) -> Field:
    """The field of a variable.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.
    name : str
        The variable; see `find`.
    dim : str
        The dimension whose rows are gathered.
    cache : {"auto", True, False}
        Whether what is lazy is taken into memory; "auto" while there is room.
    room : list of one int, bytes
        What is left for "auto"; counted down.

    Returns
    -------
    Field
        Of the variable's rows along `dim`.

    Raises
    ------
    NotInTree, SchemaError
        If there is no such variable, or it is not along `dim`.
    """
    array = find(area, name)
    if array.dtype.kind not in "biuf":
        msg = f"{place(area, name)} has dtype {array.dtype}: not a number, so not a tensor"
        raise SchemaError(msg)
    if dim == schema.PRESENTATION and schema.IMAGE in array.dims and dim not in array.dims:
        return _images(area, name, array, cache, room)
    if dim not in array.dims:
        msg = f"{place(area, name)} is not along {dim}: it has dims {array.dims}"
        raise SchemaError(msg)
    return _of(array.variable, dim, place(area, name), cache, room)


def _of(variable: xr.Variable, dim: str, where: str, cache: bool | str, room: list[int]) -> Field:
    if cache not in ("auto", True, False):
        msg = f"cache={cache!r}: expected 'auto', True or False"
        raise ValueError(msg)
    data, axis = unwrap(variable._data), variable.dims.index(dim)
    if isinstance(data, np.ndarray):
        return Dense(np.moveaxis(data, axis, 0))
    if not isinstance(data, LazyArray):
        return Labelled(variable, dim)
    stored = Stored(data, axis, where)
    nbytes = variable.dtype.itemsize * variable.size
    if cache is True or (cache == "auto" and nbytes <= room[0]):
        room[0] -= nbytes
        memory = kept(stored)
        _ = memory.field  # read now: before workers fork, and where an error belongs
        return memory
    return stored


def _images(
    area: xr.DataTree, name: str, array: xr.DataArray, cache: bool | str, room: list[int]
) -> Looked:
    """Images of presentations, by the image each of them shows."""
    table = area.children.get(schema.PRESENTATIONS)
    nodes = ([] if table is None else [table.to_dataset(inherit=False)]) + [area.to_dataset()]
    shown = next((n[schema.IMAGE].values for n in nodes if schema.IMAGE in n.variables
                  and n[schema.IMAGE].dims == (schema.PRESENTATION,)), None)  # fmt: skip
    if shown is None or schema.IMAGE not in array.coords:
        msg = (
            f"{place(area, name)} is along {schema.IMAGE}, but there is no {schema.IMAGE} of each "
            "presentation, or of each image, to look it up"
        )
        raise SchemaError(msg)
    known = {int(image): i for i, image in enumerate(array[schema.IMAGE].values)}
    missing = next((image for image in shown.tolist() if int(image) not in known), None)
    if missing is not None:
        raise NotInTree("image", missing, list(known), hint=place(area, name))
    rows = np.array([known[int(image)] for image in shown], np.int64)
    base = _of(array.variable, schema.IMAGE, place(area, name), cache, room)
    return Looked(base, rows)


def clock(area: xr.DataTree, names: list[str]) -> tuple[np.ndarray, float]:
    """The one clock of some variables: bin centres in seconds, and the step from one to the next.

    Raises
    ------
    SchemaError
        If they have two clocks, none, or one that goes backwards.
    """
    time, first = None, ""
    for name in names:
        array = find(area, name)
        if schema.TIME in array.dims and schema.TIME not in array.coords:
            msg = f"{place(area, name)} has no clock: nothing says how long its frames last"
            raise SchemaError(f"{msg}; give the reader the rate, or assign the coordinate time")
        if schema.TIME not in array.dims:
            msg = f"{place(area, name)} is not along time: it has dims {array.dims}"
            raise SchemaError(msg)
        if schema.PRESENTATION in array.dims:
            msg = f"{place(area, name)} is cut into presentations {array.dims}: use TrialDataset"
            raise SchemaError(msg)
        own = array.coords[schema.TIME].values
        if time is not None and not np.array_equal(own, time):
            msg = (
                f"{place(area, name)} has another clock ({own.size:,} samples) than {first} "
                f"({time.size:,} samples): bring both on one with na.align"
            )
            raise SchemaError(msg)
        if time is None:
            time, first = own.astype(np.float64), name
    assert time is not None
    steps = np.diff(time)
    if not (steps > 0).all():
        msg = f"{place(area, first)}: time goes backwards, stands still or is NaN; see na.validate"
        raise SchemaError(msg)
    width = find(area, first).coords[schema.TIME].attrs.get("bin_width")
    return time, float(width or (np.median(steps) if steps.size else 1.0))


def mask(area: xr.DataTree, name: str, dims: tuple[str, ...]) -> np.ndarray | None:
    """A mask of the area (`valid`, `withheld`) in memory; None where it has none of these dims.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.
    name : str
        Name of the mask.
    dims : tuple of str
        The dims it has to have.

    Returns
    -------
    (...) bool or None
        Along `dims`.
    """
    array = area.get(name)
    if not isinstance(array, xr.DataArray) or set(array.dims) != set(dims):
        return None
    return np.asarray(array.transpose(*dims).values, bool)


def stretches(
    starts: np.ndarray, width: float, window: Any, valid: np.ndarray | None, joined: bool
) -> np.ndarray:
    """Parts of a clock in which windows may lie.

    Parameters
    ----------
    starts : (time,) float64, s
        Left edges of the bins.
    width : float, s
        From one to the next; a step of 1.5 of it is a break.
    window : (2,) or (n, 2) float, s, or None
        Intervals to stay in; the whole clock for None.
    valid : (time,) bool or None
        Bins not to run over where False.
    joined : bool
        Take breaks of the clock for none.

    Returns
    -------
    (n, 2) int64
        First frame and the one past the last, in the order of `window`.
    """
    slack = width * 1e-6
    pairs = np.asarray((-np.inf, np.inf) if window is None else window, np.float64).reshape(-1, 2)
    low = np.searchsorted(starts, pairs[:, 0] - slack)
    high = np.searchsorted(starts + width, pairs[:, 1] + slack, side="right")
    cut = np.zeros(starts.size + 1, bool)
    if not joined and starts.size:
        cut[1:-1] = np.diff(starts) > 1.5 * width
    if valid is not None:
        cut[1:-1] |= valid[1:] != valid[:-1]
    cuts = np.flatnonzero(cut)
    found = []
    for begin, end in zip(low.tolist(), high.tolist(), strict=True):
        inner = cuts[(cuts > begin) & (cuts < end)]
        bounds = np.concatenate([[begin], inner, [end]])
        found += [
            (a, b) for a, b in itertools.pairwise(bounds) if b > a and (valid is None or valid[a])
        ]
    return np.array(found, np.int64).reshape(-1, 2)
