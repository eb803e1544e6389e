"""Make the nodes of a tree from a mapping, which describes the arrays of a file.

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

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError, shorten
from neuroarrays.files.members import MemberSource
from neuroarrays.files.source import Info, Source
from neuroarrays.formats.arrays import stated
from neuroarrays.formats.arrays.entries import Entry, nearest, read_entry
from neuroarrays.formats.arrays.fields import cast, lazy_of
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged, Stacked, Taken
from neuroarrays.schema.names import fitted

#: The most notes about arrays that are left out.
_NOTES = 50
#: The most arrays that a note names as left out by the mapping.
_NAMED = 20
#: Keys of a mapping that are not nodes.
SETTINGS = ("tree", "session", "file", "attrs", "neuroarrays_mapping")


@dataclass
class Arrays:
    """The arrays of a file, as a mapping names them.

    Attributes
    ----------
    source : Source
        The source of the file or folder.
    infos : mapping of str to Info
        Every array that can be read, by name.
    broken : mapping of str to error
        Files of a folder that cannot be read, by name.
    notes : list of str
        What a user should know about the arrays: guesses, and what was left out.
    """

    source: Source
    infos: Mapping[str, Info]
    broken: Mapping[str, NeuroArraysError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def named_left_out(self) -> dict[str, str]:
        """The kinds of the arrays of the file whose kind is not read, by name."""
        return self.source.left_out() if isinstance(self.source, MemberSource) else {}

    def left_out(self) -> list[str]:
        """Arrays of the file that are not read, each with the reason."""
        notes = [f"{name} left out: {kind}" for name, kind in self.named_left_out().items()]
        notes += [
            f"{name} left out: {text_without_path(error)}" for name, error in self.broken.items()
        ]
        if len(notes) > _NOTES:
            notes = [*notes[:_NOTES], f"{len(notes) - _NOTES} more left out"]
        if rest := [name for name in self.infos if name not in self.used]:
            notes.append(f"not in the mapping: {shorten(rest, _NAMED)}")
        return notes

    def missing(self, name: str, where: str) -> FormatError:
        """Return the error for a name that does not exist, with the most similar name."""
        left = self.named_left_out()
        if name in left:
            return FormatError(
                self.source.path,
                where,
                "numbers or text",
                f"{name!r} of class {left[name]}, which is not read",
                "convert it to numbers where it was made",
            )
        return FormatError(
            self.source.path,
            where,
            f"the array {name!r}",
            f"{shorten(self.infos, 8)}{nearest(name, self.infos)}",
            "`neuroarrays info` on the file lists its arrays",
        )

    def matching(self, pattern: str, where: str) -> dict[tuple[str, ...], str]:
        """Return the names that fit a pattern, by the text of each "*", in the order of the file."""
        pattern = pattern.strip("/")
        if pattern in self.infos:  # also where a "*" is part of the name
            self.used.add(pattern)
            return {(): pattern}
        self._check_readable(pattern)
        names = {}
        for name in self.infos:
            stars = fitted(name, pattern)
            if stars is not None:
                names[stars] = name
        if not names:
            raise self.missing(pattern, where)
        self.used.update(names.values())
        return names

    def _check_readable(self, pattern: str) -> None:
        """Raise the error of a damaged file that fits a pattern, so that no unit is lost silently."""
        for name, error in self.broken.items():
            inside = "/".join(pattern.split("/")[: name.count("/") + 1])
            if fitted(name, inside) is not None:
                raise error

    def lazy_array(
        self, name: str, where: str, scale: float = 1.0, offset: float = 0.0
    ) -> LazyArray:
        """Return a lazy array by name."""
        name = name.strip("/")
        if name not in self.infos:
            self._check_readable(name)
            raise self.missing(name, where)
        self.used.add(name)
        if self.infos[name].dtype.kind == "O" and not self.infos[name].text:
            raise FormatError(self.source.path, name, "numbers or text", "Python objects")
        return lazy_of(self.source, name, scale, offset)

    def unit_in_file(self, entry: Entry, where: str, is_time: bool = False) -> str:
        """Return the unit that the file states for the (first) array of an entry, or "".

        Notes are added about factors in the file that the mapping does not apply.

        Raises
        ------
        FormatError
            If it is a time in ms, us or ns, and the mapping has no scale.
        """
        first = next(iter(self.matching(entry.array, where).values()))
        if is_time:
            stated.check_seconds(self.source, first, where, entry.scale)
            if part := self.source.unwritten(first):
                self.notes.append(f"{first}: {part} were never written: they read as fill values")
        is_scaled = (entry.scale, entry.offset) != (1.0, 0.0)
        for note in stated.not_applied(self.source, first, is_scaled):
            if note not in self.notes:
                self.notes.append(note)
        return stated.unit_of(self.source, first) if entry.scale == 1.0 else ""


def text_without_path(error: NeuroArraysError) -> str:
    """Return the text of an error, without the path."""
    if isinstance(error, FormatError):
        return "; ".join(
            filter(None, (f"expected {error.expected}, found {error.found}", error.hint))
        )
    return str(error)


def array_of(arrays: Arrays, entry: Entry, where: str) -> LazyArray:
    """Return the array of an entry of a mapping, with each "*" as a leading axis."""
    factors = entry.scale, entry.offset
    if "*" not in entry.array or entry.array.strip("/") in arrays.infos:
        array: LazyArray = arrays.lazy_array(entry.array, where, *factors)
        if entry.column is None:
            return array
        if not array.shape or entry.column >= array.shape[-1]:
            raise FormatError(
                arrays.source.path,
                where,
                f"a column of shape {array.shape}",
                f"column = {entry.column}",
            )
        return Taken(array, entry.column, len(array.shape) - 1)
    names = arrays.matching(entry.array, where)
    bases = [arrays.lazy_array(name, where, *factors) for name in names.values()]
    axes = [list(dict.fromkeys(part)) for part in zip(*names, strict=True)]
    lead = tuple(len(axis) for axis in axes)
    shapes = {base.shape for base in bases}
    if len(bases) != int(np.prod(lead)):
        lead = (len(bases),)  # the numbers below each differ, so all arrays are along one axis
    if len(shapes) > 1:
        raise FormatError(
            arrays.source.path,
            where,
            f"arrays of one shape for every {entry.array!r}",
            f"{len(bases)} arrays of shapes {shorten(sorted(shapes), 4)}",
        )
    return Stacked(tuple(squeezed(base, 1) for base in bases), lead)


def check_stars(arrays: Arrays, node: str, entries: Mapping[str, Any]) -> None:
    """Raise an error if arrays per unit exist for other units than the rest of the node."""
    first: tuple[str, set[tuple[str, ...]]] | None = None
    for name, value in entries.items():
        array = value.get("array") if isinstance(value, Mapping) else value
        if not isinstance(array, str) or "*" not in array or array.strip("/") in arrays.infos:
            continue
        stars = set(arrays.matching(array, f"{node}/{name}"))
        known, units = first = first or (name, stars)
        same_kind = len(next(iter(stars))) == len(next(iter(units)))
        if same_kind and stars & units and stars != units:
            odd = sorted("/".join(star) for star in stars ^ units)
            raise FormatError(
                arrays.source.path,
                f"{node}/{name}",
                f'the same "*" as {known}',
                f"{shorten(odd, 4)} in one of them only",
            )


def squeezed(array: LazyArray, ndim: int) -> LazyArray:
    """Return the array without axes of length 1, until it has at most `ndim` axes."""
    for axis in reversed(range(len(array.shape))):
        if len(array.shape) > ndim and array.shape[axis] == 1:
            array = Taken(array, 0, axis)
    return array


#: Dimensions of an array whose entry has no `dims`, by role of the node and number of axes.
_DIMS: dict[str, dict[int, tuple[str, ...]]] = {
    schema.EVENTS: {1: (schema.EVENT,)},
    "table": {1: (schema.PRESENTATION,)},
    "spikes": {1: (schema.UNIT,)},
    "observed": {1: (schema.INTERVAL,)},
    "stimulus": {3: (schema.FRAME, "y", "x"), 2: (schema.FRAME, "x"), 1: (schema.FRAME,)},
    "session": {
        1: (schema.TIME,),
        3: (schema.TIME, "y", "x"),
        4: (schema.TIME, "channel", "y", "x"),
    },
    "": {
        1: (schema.TIME,),
        2: (schema.TIME, schema.UNIT),
        3: (schema.PRESENTATION, schema.TIME, schema.UNIT),
    },
}


def variable(
    arrays: Arrays, tree: str, role: str, address: tuple[str, str], value: Any
) -> xr.Variable:
    """Return a variable of a node; `address` is the node and the name."""
    where, name = "/".join(address), address[1]
    entry = read_entry(value, arrays.source.path, where)
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
            arrays.source.path,
            where,
            f"dims for an array of shape {array.shape}",
            f"dims = {list(dims)}" if dims else "none",
            'say which axis is what: dims = ["time", "unit_id"]',
        )
    array, dims = _arranged(array, dims, tree, role, name)
    record = schema.spec(tree, role, name)
    if record.units and entry.units not in ("", record.units):
        raise FormatError(
            arrays.source.path,
            f"{where}/units",
            f"{record.units!r}, which {name} has in a tree",
            f"{entry.units!r}",
            "convert it: {array = ..., scale = ..., units = "
            f"{record.units!r}}}, or take another name",
        )
    unit = arrays.unit_in_file(entry, where, is_time=record.units == "s")
    attrs = {"units": entry.units or ("" if record.units else unit), "long_name": entry.long_name}
    kinds, wanted = record.kinds, entry.dtype
    if record.units and array.dtype.kind not in "biuf" and "f" in kinds:
        what = f"text, the first {array.load().ravel()[:1].tolist()}"
        hint = "dates and other texts are no numbers: convert them where they were made"
        raise FormatError(arrays.source.path, where, f"numbers in {record.units}", what, hint)
    if not wanted and array.dtype.kind in "biu" and array.dtype.kind not in kinds and "f" in kinds:
        wanted = "f8"
    if wanted:
        array = _cast(arrays, array, wanted, where)
    given = {key: text for key, text in attrs.items() if text}  # the schema has the others
    return schema.var(role, name, wrap(array), dims, tree, **given)


def _cast(arrays: Arrays, array: LazyArray, dtype: str, where: str) -> LazyArray:
    if array.dtype.kind not in "biuf":
        raise FormatError(
            arrays.source.path,
            where,
            "numbers",
            f"{array.dtype} of shape {array.shape}",
            "text has no other dtype",
        )
    return cast(array, np.dtype(dtype), arrays.source.path)


def _arranged(
    array: LazyArray, dims: tuple[str, ...], tree: str, role: str, name: str
) -> tuple[LazyArray, tuple[str, ...]]:
    """Return the array with axes in the order of the schema, and length 1 for missing units or channels."""
    allowed = schema.spec(tree, role, name).dims
    wanted = None
    for new in ((), (schema.UNIT,), ("channel",)):
        wanted = wanted or next((d for d in allowed if set(d) == {*dims, *new}), None)
    if wanted is None:
        first = schema.TIME
        if role == "spikes":
            first = schema.SPIKE if schema.SPIKE in dims else schema.UNIT
        if tree == schema.ALIGNED and schema.PRESENTATION in dims:
            first = schema.PRESENTATION
        front = [d for d in dims if d == first]
        wanted = (*front, *(d for d in dims if d not in front))
    if wanted == dims:
        return array, dims
    axes = tuple(dims.index(d) if d in dims else Arranged.NEW for d in wanted)
    return Arranged(array, axes), wanted


def _whole(arrays: Arrays, value: Any, where: str) -> np.ndarray:
    """Read all values of an array along one axis."""
    array = squeezed(array_of(arrays, read_entry(value, arrays.source.path, where), where), 1)
    if len(array.shape) != 1 or array.dtype.kind not in "biuf":
        raise FormatError(
            arrays.source.path,
            where,
            "numbers along one axis",
            f"{array.dtype} of shape {array.shape}",
        )
    return np.asarray(array.load())


def integers(arrays: Arrays, value: Any, where: str) -> np.ndarray:
    """Read all values of an array along one axis, as int64 (labels and counts)."""
    values = _whole(arrays, value, where)
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise FormatError(arrays.source.path, where, "whole numbers", f"{values[:5]}")
    return whole


def together(
    arrays: Arrays,
    node: str,
    variables: Mapping[str, xr.Variable],
    coords: Mapping[str, xr.Variable],
) -> xr.Dataset:
    """Return the dataset of a node, after checking that sizes agree."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, array in {**coords, **variables}.items():
        for dim, size in zip(array.dims, array.shape, strict=True):
            known, other = sizes.setdefault(str(dim), (size, name))
            if known != size:
                hint = ""
                if known in array.shape:
                    hint = (
                        f"{name} looks transposed: its axis of {known:,} is {dim}; say dims = "
                        '["unit_id", "time"], or the other way round'
                    )
                if (
                    dim == schema.UNIT
                    and schema.SPIKE_TIMES in variables
                    and size == variables[schema.SPIKE_TIMES].size
                ):
                    hint = 'a value for each spike has dims = ["spike"]'
                raise FormatError(
                    arrays.source.path,
                    f"{node}/{name}",
                    f"{known:,} along {dim}, as {other}",
                    f"{size:,} (shape {array.shape})",
                    hint,
                )
    return dataset(variables, coords)
