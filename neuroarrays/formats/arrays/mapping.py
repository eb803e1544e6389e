"""A mapping says which array is what; here it becomes the nodes of a tree.

::

    tree = "recording"                 # or "aligned"
    session = "rat 1"

    ["CA1/spikes"]                     # a node: area/spikes, area/series, position, ...
    spike_times = "spikes/*/time"      # "*": one array per unit, in the file's order

    [position]
    time = "t"                         # or {rate = 30.0, start = 0.0}
    x = {array = "X", units = "cm"}    # also scale, offset, dims, dtype, column
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.files.members import MemberSource
from neuroarrays.files.source import Info, Source
from neuroarrays.formats.arrays.entries import Entry, nearest, number, read_entry
from neuroarrays.formats.arrays.lazies import Cast, Column, Grid, Joined, Ordered, Squeezed
from neuroarrays.lazy.arrays import Arranged, FileArray, LazyArray, Regular, file_array, wrap
from neuroarrays.lazy.indexes import dataset

#: Keys of a mapping that are no node.
SETTINGS = ("tree", "session", "file", "attrs", "neuroarrays_mapping")


@dataclass
class Arrays:
    """The arrays of a file, as a mapping names them."""

    source: Source
    infos: Mapping[str, Info]

    def missing(self, name: str, where: str) -> FormatError:
        """The error for a name that is not there, with the nearest that is."""
        left = self.source.left_out() if isinstance(self.source, MemberSource) else {}
        if name in left:
            return FormatError(self.source.path, where, "numbers or text",
                               f"{name!r} of class {left[name]}, which is not read",
                               "convert it to numbers where it was made")  # fmt: skip
        return FormatError(
            self.source.path, where, f"the array {name!r}",
            f"{shorten(self.infos, 8)}{nearest(name, self.infos)}",
            "`neuroarrays info` on the file lists its arrays",
        )  # fmt: skip

    def matching(self, pattern: str, where: str) -> dict[tuple[str, ...], str]:
        """Names that fit a pattern, by what each "*" stands for; in the order of the file."""
        expression = re.compile(re.escape(pattern.strip("/")).replace(r"\*", "([^/]*)"))
        found = {}
        for name in self.infos:
            fits = expression.fullmatch(name)
            if fits:
                found[fits.groups()] = name
        if not found:
            raise self.missing(pattern, where)
        return found

    def one(self, name: str, where: str, scale: float = 1.0, offset: float = 0.0) -> FileArray:
        """A lazy array by name."""
        name = name.strip("/")
        if name not in self.infos:
            raise self.missing(name, where)
        if self.infos[name].dtype.kind == "O" and not self.infos[name].text:
            raise FormatError(self.source.path, name, "numbers or text", "Python objects")
        return file_array(self.source, name, scale, offset)


def array_of(arrays: Arrays, entry: Entry, where: str) -> LazyArray:
    """The array that an entry of a mapping names, all "*" as leading axes."""
    factors = entry.scale, entry.offset
    if "*" not in entry.array:
        array: LazyArray = arrays.one(entry.array, where, *factors)
        if entry.column is None:
            return array
        if not array.shape or entry.column >= array.shape[-1]:
            raise FormatError(arrays.source.path, where, f"a column of shape {array.shape}",
                              f"column = {entry.column}")  # fmt: skip
        return Column(array, entry.column)
    found = arrays.matching(entry.array, where)
    bases = [arrays.one(name, where, *factors) for name in found.values()]
    axes = [list(dict.fromkeys(part)) for part in zip(*found, strict=True)]
    lead = tuple(len(axis) for axis in axes)
    shapes = {base.shape for base in bases}
    if len(bases) != int(np.prod(lead)):
        lead = (len(bases),)  # not the same number below each: one axis for all
    if len(shapes) > 1:
        raise FormatError(
            arrays.source.path, where, f"arrays of one shape for every {entry.array!r}",
            f"{len(bases)} arrays of shapes {shorten(sorted(shapes), 4)}",
        )  # fmt: skip
    return Grid(tuple(squeezed(base, 1) for base in bases), lead)


def squeezed(array: LazyArray, ndim: int) -> LazyArray:
    """Without axes of length 1, as far as it takes to have so few."""
    kept = list(range(len(array.shape)))
    for axis in reversed(range(len(array.shape))):
        if len(kept) > ndim and array.shape[axis] == 1:
            kept.remove(axis)
    return array if len(kept) == len(array.shape) else Squeezed(array, tuple(kept))


#: Dims where a mapping does not say them, by role and number of axes.
_DIMS: dict[str, dict[int, tuple[str, ...]]] = {
    "table": {1: (schema.PRESENTATION,)},
    "spikes": {1: (schema.UNIT,)},
    "stimulus": {3: (schema.FRAME, "y", "x"), 2: (schema.FRAME, "x"), 1: (schema.FRAME,)},
    "session": {1: (schema.TIME,), 3: (schema.TIME, "y", "x"), 4: (schema.TIME, "channel", "y", "x")},
    "": {1: (schema.TIME,), 2: (schema.TIME, schema.UNIT), 3: (schema.PRESENTATION, schema.TIME, schema.UNIT)},
}  # fmt: skip


def variable(
    arrays: Arrays, tree: str, role: str, place: tuple[str, str], said: Any
) -> xr.Variable:
    """A variable of a node; `place` is the node and the name."""
    where, name = "/".join(place), place[1]
    entry = read_entry(said, arrays.source.path, where)
    array, dims = array_of(arrays, entry, where), entry.dims
    if not dims:
        usual: Mapping[int, tuple[str, ...]] = _DIMS.get(role, _DIMS[""])
        array = squeezed(array, 1 if sum(n > 1 for n in array.shape) < 2 else len(array.shape))
        dims = usual.get(len(array.shape), ())
        if name == schema.UNIT or role == "spikes":
            dims = (schema.UNIT,)
    array = squeezed(array, len(dims))
    if len(dims) != len(array.shape):
        raise FormatError(
            arrays.source.path, where, f"dims for an array of shape {array.shape}",
            f"dims = {list(dims)}" if dims else "none",
            "say which axis is what: dims = [\"time\", \"unit_id\"]",
        )  # fmt: skip
    array, dims = _arranged(array, dims, tree, role, name)
    record = schema.spec(tree, role, name)
    if record.units and entry.units not in ("", record.units):
        raise FormatError(
            arrays.source.path, f"{where}/units", f"{record.units!r}, which {name} has in a tree",
            f"{entry.units!r}", "convert it: {array = ..., scale = ..., units = "
            f"{record.units!r}}}, or take another name",
        )  # fmt: skip
    kinds, wanted = record.kinds, entry.dtype
    if not wanted and array.dtype.kind in "biu" and array.dtype.kind not in kinds and "f" in kinds:
        wanted = "f8"
    if wanted:
        array = _cast(arrays, array, wanted, where)
    return schema.var(role, name, wrap(array), dims, tree, **_told(entry))


def _told(entry: Entry) -> dict[str, str]:
    """Attributes that a mapping gives; the schema's own stand where it gives none."""
    return {k: v for k, v in (("units", entry.units), ("long_name", entry.long_name)) if v}


def _cast(arrays: Arrays, array: LazyArray, dtype: str, where: str) -> LazyArray:
    if array.dtype.kind not in "biuf":
        raise FormatError(arrays.source.path, where, "numbers", f"{array.dtype} of shape "
                          f"{array.shape}", "text has no other dtype")  # fmt: skip
    return Cast(array, np.dtype(dtype), arrays.source.path)


def _arranged(
    array: LazyArray, dims: tuple[str, ...], tree: str, role: str, name: str
) -> tuple[LazyArray, tuple[str, ...]]:
    """In an order that the schema has, with an axis of one unit or channel where it wants one."""
    allowed = schema.spec(tree, role, name).dims
    wanted = None
    for new in ((), (schema.UNIT,), ("channel",)):
        wanted = wanted or next((d for d in allowed if set(d) == {*dims, *new}), None)
    if wanted is None:
        first = schema.UNIT if role == "spikes" else schema.TIME
        if tree == schema.ALIGNED and schema.PRESENTATION in dims:
            first = schema.PRESENTATION
        front = [d for d in dims if d == first]
        wanted = (*front, *(d for d in dims if d not in front))
    if wanted == dims:
        return array, dims
    axes = tuple(dims.index(d) if d in dims else Arranged.NEW for d in wanted)
    return Arranged(array, axes), wanted


def spikes(arrays: Arrays, node: str, said: Mapping[str, Any]) -> xr.Dataset:
    """A node of spike trains: one array, one per unit, or all with a label each."""
    where = f"{node}/spike_times"
    entry = read_entry(said.get("spike_times"), arrays.source.path, where)
    names = list(arrays.matching(entry.array, where).values())
    trains = [squeezed(arrays.one(name, where, entry.scale, entry.offset), 1) for name in names]
    for name, train in zip(names, trains, strict=True):
        if len(train.shape) != 1 and 0 not in train.shape:
            raise FormatError(arrays.source.path, name, "spike times along one axis",
                              f"shape {train.shape}")  # fmt: skip
    kept = [t for t in trains if len(t.shape) == 1]
    sizes = np.array([t.shape[0] if len(t.shape) == 1 else 0 for t in trains], np.int64)
    ids = np.arange(sizes.size)
    times: LazyArray = kept[0] if len(trains) == 1 and kept else Joined(tuple(kept))
    if times.dtype.kind != "f":
        times = _cast(arrays, times, "f8", where)
    if "unit" in said:
        labels = integers(arrays, said["unit"], f"{node}/unit")
        if labels.shape != times.shape:
            raise FormatError(arrays.source.path, f"{node}/unit", "a unit for each spike",
                              f"{labels.size:,} for {times.shape[0]:,} spikes")  # fmt: skip
        ids, sizes = np.unique(labels, return_counts=True)
        times = Ordered(times, np.argsort(labels, kind="stable"))
    elif "row_size" in said:
        sizes = integers(arrays, said["row_size"], f"{node}/row_size")
        ids = np.arange(sizes.size)
        if sizes.sum() != times.shape[0] or (sizes < 0).any():
            raise FormatError(arrays.source.path, f"{node}/row_size", f"a sum of {times.shape[0]}",
                              str(sizes.sum()))  # fmt: skip
    made = {
        "spike_times": schema.var("spikes", "spike_times", wrap(times)),
        "row_size": schema.var("spikes", "row_size", sizes.astype(np.int64), sample_dimension="spike"),
    }  # fmt: skip
    coords = {schema.UNIT: xr.Variable(schema.UNIT, ids)}
    for name, value in said.items():
        if name not in ("spike_times", "unit", "row_size"):
            coords[name] = variable(arrays, schema.RECORDING, "spikes", (node, name), value)
    return together(arrays, node, made, coords)


def _whole(arrays: Arrays, said: Any, where: str) -> np.ndarray:
    """All values of an array along one axis."""
    array = squeezed(array_of(arrays, read_entry(said, arrays.source.path, where), where), 1)
    if len(array.shape) != 1 or array.dtype.kind not in "biuf":
        raise FormatError(arrays.source.path, where, "numbers along one axis",
                          f"{array.dtype} of shape {array.shape}")  # fmt: skip
    return np.asarray(array.load())


def integers(arrays: Arrays, said: Any, where: str) -> np.ndarray:
    """All values of an array along one axis, as int64; labels and counts."""
    values = _whole(arrays, said, where)
    with np.errstate(invalid="ignore"):
        made = values.astype(np.int64)
    if not np.array_equal(made, values):
        raise FormatError(arrays.source.path, where, "whole numbers", f"{values[:5]}")
    return made


def clock(arrays: Arrays, node: str, said: Any, length: int) -> xr.Variable:
    """The time coordinate of a node: an array, or {rate, start}."""
    path, where = arrays.source.path, f"{node}/time"
    if isinstance(said, Mapping) and "rate" in said:
        rate, start = number(said["rate"]), number(said.get("start", 0.0))
        if rate is None or start is None or rate <= 0 or set(said) - {"rate", "start"}:
            raise FormatError(path, where, "{rate, start}: a rate above 0 Hz, a start in s",
                              f"{dict(said)!r:.80}")  # fmt: skip
        return xr.Variable(schema.TIME, wrap(Regular(start, rate, length)), {"units": "s"})
    array = squeezed(array_of(arrays, read_entry(said, path, where), where), 1)
    if len(array.shape) != 1 or array.dtype.kind not in "iuf":
        raise FormatError(
            path, where, "times along one axis", f"{array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind != "f":
        array = Cast(array, np.dtype("f8"), path)
    return xr.Variable(schema.TIME, wrap(array), {"units": "s"})


def together(
    arrays: Arrays, node: str, made: Mapping[str, xr.Variable], coords: Mapping[str, xr.Variable]
) -> xr.Dataset:
    """The dataset of a node, if its sizes agree."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, one in {**coords, **made}.items():
        for dim, size in zip(one.dims, one.shape, strict=True):
            known, other = sizes.setdefault(str(dim), (size, name))
            if known != size:
                hint = ""
                if known in one.shape:
                    hint = (
                        f"{name} looks transposed: its axis of {known:,} is {dim}; say dims = "
                        '["unit_id", "time"], or the other way round'
                    )
                raise FormatError(
                    arrays.source.path, f"{node}/{name}", f"{known:,} along {dim}, as {other}",
                    f"{size:,} (shape {one.shape})", hint,
                )  # fmt: skip
    return dataset(made, coords)
