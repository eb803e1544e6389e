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

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.formats.arrays.lazies import Cast, Column, Grid, Joined, Ordered, Squeezed
from neuroarrays.indexes import dataset
from neuroarrays.lazy import Arranged, FileArray, LazyArray, Regular, file_array, wrap
from neuroarrays.source import Info, Source

#: Keys of a mapping that are no node, and of an array that are no attribute.
SETTINGS = ("tree", "session", "file", "attrs", "neuroarrays_mapping")
_KEYS = (
    "array",
    "column",
    "dims",
    "dtype",
    "scale",
    "offset",
    "units",
    "rate",
    "start",
    "long_name",
)


@dataclass
class Arrays:
    """The arrays of a file, as a mapping names them."""

    source: Source
    infos: Mapping[str, Info]

    def missing(self, name: str, where: str) -> FormatError:
        """The error for a name that is not there, with the nearest that is."""
        near = difflib.get_close_matches(name, self.infos, 1, 0.4)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        return FormatError(
            self.source.path, where, f"the array {name!r}",
            f"{shorten(self.infos, 8)}{guess}", "`neuroarrays info` on the file lists its arrays",
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


def array_of(arrays: Arrays, said: Any, where: str) -> LazyArray:
    """The array that an entry of a mapping names, all "*" as leading axes."""
    said = {"array": said} if isinstance(said, str) else said
    if not isinstance(said, Mapping) or not isinstance(said.get("array"), str):
        raise FormatError(arrays.source.path, where, "the name of an array, or {array = ...}",
                          f"{said!r}"[:80])  # fmt: skip
    unknown = set(said) - set(_KEYS)
    if unknown:
        raise FormatError(arrays.source.path, where, f"keys among {shorten(_KEYS)}",
                          shorten(sorted(unknown)))  # fmt: skip
    factors = float(said.get("scale", 1.0)), float(said.get("offset", 0.0))
    if "*" not in said["array"]:
        array: LazyArray = arrays.one(said["array"], where, *factors)
        column = said.get("column")
        if column is None:
            return array
        if not isinstance(column, int) or not array.shape or not 0 <= column < array.shape[-1]:
            raise FormatError(arrays.source.path, where, f"a column of shape {array.shape}",
                              f"column = {column!r}")  # fmt: skip
        return Column(array, column)
    found = arrays.matching(said["array"], where)
    bases = [arrays.one(name, where, *factors) for name in found.values()]
    axes = [list(dict.fromkeys(part)) for part in zip(*found, strict=True)]
    lead = tuple(len(axis) for axis in axes)
    shapes = {base.shape for base in bases}
    if len(bases) != int(np.prod(lead)):
        lead = (len(bases),)  # not the same number below each: one axis for all
    if len(shapes) > 1:
        raise FormatError(
            arrays.source.path, where, f"arrays of one shape for every {said['array']!r}",
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
    "session": {3: (schema.TIME, "y", "x"), 4: (schema.TIME, "channel", "y", "x")},
    "": {1: (schema.TIME,), 2: (schema.TIME, schema.UNIT), 3: (schema.PRESENTATION, schema.TIME, schema.UNIT)},
}  # fmt: skip


def variable(
    arrays: Arrays, tree: str, role: str, place: tuple[str, str], said: Any
) -> xr.Variable:
    """A variable of a node; `place` is the node and the name."""
    where, name = "/".join(place), place[1]
    array = array_of(arrays, said, where)
    entry: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    dims: tuple[str, ...] = tuple(entry.get("dims", ()))
    if not dims:
        usual: Mapping[int, tuple[str, ...]] = _DIMS.get(role, _DIMS[""])
        array = squeezed(array, 1 if sum(n > 1 for n in array.shape) < 2 else len(array.shape))
        dims = usual.get(len(array.shape), ())
        if name == schema.UNIT or role == "spikes":
            dims = (schema.UNIT,)
    array = squeezed(array, len(dims))
    if len(dims) != len(array.shape) or len(set(dims)) < len(dims):
        raise FormatError(
            arrays.source.path, where, f"dims for an array of shape {array.shape}",
            f"dims = {list(dims)}" if dims else "none",
            "say which axis is what: dims = [\"time\", \"unit_id\"]",
        )  # fmt: skip
    array, dims = _arranged(array, dims, tree, role, name)
    attrs = {k: entry[k] for k in ("units", "long_name") if k in entry}
    kinds = schema.spec(tree, role, name).kinds
    if "dtype" in entry:
        array = Cast(array, np.dtype(str(entry["dtype"])), arrays.source.path)
    elif array.dtype.kind in "biu" and array.dtype.kind not in kinds and "f" in kinds:
        array = Cast(array, np.dtype("f8"), arrays.source.path)
    return schema.var(role, name, wrap(array), dims, tree, **attrs)


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
        front = [d for d in dims if d == schema.PRESENTATION] or [d for d in dims if d == first]
        wanted = (*front, *(d for d in dims if d not in front))
    if wanted == dims:
        return array, dims
    axes = tuple(dims.index(d) if d in dims else Arranged.NEW for d in wanted)
    return Arranged(array, axes), wanted


def spikes(arrays: Arrays, node: str, said: Mapping[str, Any]) -> xr.Dataset:
    """A node of spike trains: one array, one per unit, or all with a label each."""
    told = said.get("spike_times")
    where = f"{node}/spike_times"
    entry: dict[str, Any] = {"array": told} if isinstance(told, str) else dict(told or {})
    factors = float(entry.get("scale", 1.0)), float(entry.get("offset", 0.0))
    names = list(arrays.matching(str(entry.get("array", "")), where).values())
    trains = [squeezed(arrays.one(name, where, *factors), 1) for name in names]
    for name, train in zip(names, trains, strict=True):
        if len(train.shape) != 1 and 0 not in train.shape:
            raise FormatError(arrays.source.path, name, "spike times along one axis",
                              f"shape {train.shape}")  # fmt: skip
    kept = [t for t in trains if len(t.shape) == 1]
    sizes = np.array([t.shape[0] if len(t.shape) == 1 else 0 for t in trains], np.int64)
    ids = np.arange(sizes.size)
    times: LazyArray = kept[0] if len(trains) == 1 and kept else Joined(tuple(kept))
    if times.dtype.kind in "iu":
        times = Cast(times, np.dtype("f8"), arrays.source.path)
    if "unit" in said:
        labels = squeezed(arrays.one(said["unit"], f"{node}/unit"), 1).load()
        if labels.shape != times.shape or labels.dtype.kind not in "iuf":
            raise FormatError(arrays.source.path, f"{node}/unit", "a unit for each spike",
                              f"{labels.size:,} for {times.shape[0]:,} spikes")  # fmt: skip
        ids, sizes = np.unique(labels.astype(np.int64), return_counts=True)
        times = Ordered(times, np.argsort(labels, kind="stable"))
    elif "row_size" in said:
        sizes = (
            squeezed(arrays.one(said["row_size"], f"{node}/row_size"), 1).load().astype(np.int64)
        )
        ids = np.arange(sizes.size)
        if sizes.sum() != times.shape[0]:
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


def clock(arrays: Arrays, node: str, said: Any, length: int) -> xr.Variable:
    """The time coordinate of a node: an array, or {rate, start}."""
    if isinstance(said, Mapping) and "rate" in said:
        rate, start = float(said["rate"]), float(said.get("start", 0.0))
        if not np.isfinite([rate, start]).all() or rate <= 0:
            raise FormatError(arrays.source.path, f"{node}/time", "a rate above 0 Hz", str(rate))
        return xr.Variable(schema.TIME, wrap(Regular(start, rate, length)), {"units": "s"})
    array = squeezed(array_of(arrays, said, f"{node}/time"), 1)
    if len(array.shape) != 1 or array.dtype.kind not in "iuf":
        raise FormatError(arrays.source.path, f"{node}/time", "times along one axis",
                          f"{array.dtype} of shape {array.shape}")  # fmt: skip
    if array.dtype.kind != "f":
        array = Cast(array, np.dtype("f8"), arrays.source.path)
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
                    hint = f"{name} looks transposed: say its dims, time is the axis of {known}"
                raise FormatError(
                    arrays.source.path, f"{node}/{name}", f"{known:,} along {dim}, as {other}",
                    f"{size:,} (shape {one.shape})", hint,
                )  # fmt: skip
    return dataset(made, coords)
