"""Encode the variables and attributes of a tree for an archive, and decode them.

netCDF can store numbers, text, and attributes of these. Other types are written in the nearest
form, which any reader of netCDF can read, with a note in the attribute `_neuroarrays` (JSON), from
which our reader restores the original:

* bool: int8 with the attribute ``dtype="bool"``, xarray's own convention;
* text: vlen UTF-8. None and NaN in a column of text: a text that the column does not have, named
  by the CF attribute ``missing_value`` (so xarray reads NaN); a column with both reads as None;
* fixed-width text and float16: text and float32;
* attributes: `neuroarrays.archive.attributes`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.archive.attributes import HIDDEN, encodable, split_attrs
from neuroarrays.errors import SchemaError
from neuroarrays.files.writing import interruptible
from neuroarrays.lazy.arrays import identity
from neuroarrays.lazy.indexes import form_of, usual_form

#: Smaller arrays are neither chunked nor compressed.
SMALL = 4096
#: Bytes of a chunk of an array, and of a 1-D array; presentations in a chunk. Of 300 units x 250
#: bins, one per chunk (75 kB) reads 256 random presentations 2 x faster than three, all of
#: them at 80-90 % of the speed (benchmarks/bench_archive.py).
CHUNK, LONG_CHUNK, MOST_PRESENTATIONS = 1 << 17, 1 << 20, 16
#: Bytes of a chunk of presentations of floats, which shrink little and are read at random: one image
#: of 36 x 64 is decoded in a third of the time that three take. Also the least of any presentations: more
#: chunks of fewer bytes cost more than what is decoded in vain.
RANDOM_CHUNK = 1 << 13


@dataclass
class Encoded:
    """A variable in its written form.

    Attributes
    ----------
    kind : {"raw", "bool", "cast", "text"}
        How values are converted to stored ones.
    stored : np.dtype
        Dtype in the file; object for text.
    native, note : dict
        Attributes in the form of netCDF, and the content of `_neuroarrays`.
    """

    node: str
    name: str
    variable: xr.Variable
    kind: str
    stored: np.dtype
    native: dict[str, Any]
    note: dict[str, Any] = field(default_factory=dict)
    #: Names for repeated rows: the variable with their positions, and the dimension of the stored
    #: rows.
    index: tuple[str, str] | None = None

    @property
    def path(self) -> str:
        """Place in the file."""
        return f"{self.node}/{self.name}".lstrip("/")

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of its chunks if they are compressed; None if it is stored in one piece."""
        if self.kind == "text":
            return None
        return chunk_shape(self.variable.dims, self.variable.shape, self.stored.itemsize)

    @property
    def raw_chunks(self) -> tuple[int, ...] | None:
        """Shape of its chunks if they are not compressed."""
        if self.chunks is None:
            return None
        return raw_chunk_shape(self.variable.dims, self.variable.shape, self.stored.itemsize)

    @property
    def places(self) -> str:
        """Path in the file of the numbers of the rows, if repeated rows are stored once."""
        return f"{self.node}/{self.index[0]}".lstrip("/") if self.index else ""

    def block(self, key: tuple[slice, ...]) -> np.ndarray:
        """Values of a block in the form in which they are stored; values are computed only here."""
        with interruptible():
            values = np.asarray(self.variable[key].values)
        return np.ascontiguousarray(values, self.stored).reshape(values.shape)

    def identity(self) -> Hashable:
        """Equal for variables that would be written with the same bytes and attributes."""
        same = identity(self.variable)
        attrs = json.dumps([self.native, self.note], default=_jsonable, sort_keys=True)
        return same, self.variable.dims, attrs

    def attrs(self) -> dict[str, Any]:
        """All attributes that are written."""
        return self.native | ({HIDDEN: json.dumps(self.note)} if self.note else {})


def encode_places(encoded: Encoded, places: np.ndarray) -> Encoded:
    """The variable that says which row is which, of a variable whose rows are stored once.

    CF calls the form an indexed ragged array: along presentations the number of each one's row,
    with the attribute ``instance_dimension``. What labels presentations goes along with it.
    """
    assert encoded.index is not None
    name, dim = encoded.index
    native = {"instance_dimension": dim, "long_name": f"row of {encoded.name} along {dim}, from 0"}
    if "coordinates" in encoded.native:
        native["coordinates"] = encoded.native["coordinates"]
    encoded.native = {k: v for k, v in encoded.native.items() if k != "coordinates"}
    encoded.note = encoded.note | {"places": encoded.places}
    variable = xr.Variable(encoded.variable.dims[:1], places)
    return Encoded(encoded.node, name, variable, "raw", np.dtype("<i8"), native)


def _jsonable(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def encode(node: str, name: Hashable, variable: xr.Variable) -> Encoded:
    """Find how to write a variable.

    Raises
    ------
    SchemaError
        If an archive cannot store the name or dtype.
    """
    if not isinstance(name, str) or not name or "/" in name or "\0" in name:
        msg = f"{node}: the variable name {name!r} cannot be written; rename it to text without '/'"
        raise SchemaError(msg)
    native, exact = split_attrs(variable.attrs)
    note: dict[str, Any] = {"attrs": exact} if exact else {}
    dtype = variable.dtype if isinstance(variable.dtype, np.dtype) else np.dtype(object)
    if dtype.kind in "OUST":
        if dtype.kind in "US":
            note["dtype"] = dtype.str
        return Encoded(node, name, variable, "text", np.dtype(object), native, note)
    if dtype.kind == "b":
        native = native | {"dtype": "bool"}
        return Encoded(node, name, variable, "bool", np.dtype("i1"), native, note)
    if dtype.kind == "f" and dtype.itemsize == 2:
        note["dtype"] = dtype.str
        return Encoded(node, name, variable, "cast", np.dtype("<f4"), native, note)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        msg = f"{node}/{name}: values of dtype {dtype} cannot be written; expected numbers or text"
        raise SchemaError(msg)
    return Encoded(node, name, variable, "raw", dtype.newbyteorder("<"), native, note)


def text_block(encoded: Encoded) -> np.ndarray:
    """All values of a column of text as str objects; sets its note and `missing_value`.

    Labels, not signals: read at once.

    Raises
    ------
    SchemaError
        If a value is neither text nor missing.
    """
    with interruptible():
        values = np.asarray(encoded.variable.values)
    out = np.empty(values.shape, object)
    gaps: list[tuple[int, ...]] = []
    none = False
    for at, value in np.ndenumerate(values):
        if isinstance(value, bytes) and values.dtype.kind == "S":
            value = value.decode("utf-8", "surrogateescape")
        if isinstance(value, str) and "\0" not in value and encodable(value):
            out[at] = str(value)
        elif _is_gap(value):
            gaps.append(at)
            none |= value is None
        else:
            what = "text that is not UTF-8" if isinstance(value, str) else type(value).__name__
            msg = (
                f"{encoded.path}: value {value!r} at {at} is {what}; expected text, or None or NaN "
                "where it is missing. Convert the column to text or numbers before saving"
            )
            raise SchemaError(msg)
    if gaps:
        mark, present = "<missing>", set(out.ravel().tolist())
        while mark in present:
            mark = f"<{mark}>"
        for at in gaps:
            out[at] = mark
        encoded.native = encoded.native | {"missing_value": mark}
        encoded.note = encoded.note | {"missing": "none" if none else "nan"}
    return out


def _is_gap(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def decode(
    values: np.ndarray, kind: str, dtype: np.dtype, missing: Sequence[str] | None
) -> np.ndarray:
    """Restore values from stored ones; `missing` is the mark of a missing one."""
    if kind != "text":
        return np.asarray(values, dtype)
    if missing:
        mark, gap = missing[0], None if missing[1] == "none" else np.nan
        values = values.copy()
        for at, value in np.ndenumerate(values):
            if value == mark:
                values[at] = gap
    if dtype.kind == "S":
        encoded = [text.encode("utf-8", "surrogateescape") for text in values.ravel()]
        return np.array(encoded, dtype).reshape(values.shape)
    return values if dtype.kind == "O" else values.astype(dtype)


def chunk_shape(
    dims: Sequence[Hashable], shape: tuple[int, ...], itemsize: int
) -> tuple[int, ...] | None:
    """Shape of the chunks of an array.

    Presentations: 1 to 16 whole ones, 128 kB, of floats 8 kB, and more of small ones, up to 8 kB; else rows of the first dimension, 128 kB; 1-D, 1 MB.

    Returns
    -------
    tuple of int or None
        None for arrays below 4 kB and empty ones: one piece, uncompressed.
    """
    if int(np.prod(shape, dtype=object)) * itemsize < SMALL:
        return None
    if len(shape) == 1:
        return (min(shape[0], LONG_CHUNK // itemsize),)
    row = int(np.prod(shape[1:], dtype=object)) * itemsize
    if row > LONG_CHUNK:
        return (1, *(chunk_shape(dims[1:], shape[1:], itemsize) or shape[1:]))
    rows = max(1, CHUNK // row)
    if dims[0] == schema.PRESENTATION:
        if itemsize >= 4:
            rows = max(1, RANDOM_CHUNK // row)
        rows = min(rows, max(MOST_PRESENTATIONS, RANDOM_CHUNK // row))
    return (min(rows, shape[0]), *shape[1:])


def raw_chunk_shape(
    dims: Sequence[Hashable], shape: tuple[int, ...], itemsize: int
) -> tuple[int, ...]:
    """Shape of the chunks of an array that is not compressed: whole rows, 128 kB or 1 MB.

    Any part of them can be read, so that small chunks serve only other programs, and the checksums.
    """
    row = max(1, int(np.prod(shape[1:], dtype=object)) * itemsize)
    if row > LONG_CHUNK:
        return chunk_shape(dims, shape, itemsize) or shape
    most = CHUNK if dims[0] == schema.PRESENTATION else LONG_CHUNK
    return (max(1, min(shape[0], most // row)), *shape[1:])


@dataclass
class Node:
    """A node in its written form."""

    path: str
    attrs: dict[str, Any]
    variables: list[Encoded]


def encode_node(path: str, tree: xr.DataTree, kind: str) -> Node:
    """Find how to write a node, without inherited variables and those that opening computes."""
    dataset = tree.to_dataset(inherit=False)
    views = _views(tree, dataset) if kind == schema.ALIGNED else []
    encoded = {
        name: encode(path, name, variable)
        for name, variable in dataset.variables.items()
        if name not in views
    }
    native, exact = split_attrs(dataset.attrs)
    note: dict[str, Any] = {"attrs": exact} if exact else {}
    table = tree.children.get(schema.PRESENTATIONS)
    if (
        kind == schema.ALIGNED
        and table is not None
        and set(views)
        != set(
            viewable(
                {n: v.dims for n, v in table.to_dataset(inherit=False).data_vars.items()}, encoded
            )
        )
    ):
        note["views"] = sorted(map(str, views))
    labels = [n for n in dataset.coords if n not in dataset.dims and n not in views]
    left = {str(n) for n in labels}
    for name in dataset.data_vars:
        labels_of = [
            str(n)
            for n in labels
            if set(dataset.variables[n].dims) <= set(dataset.variables[name].dims)
            and not any(c.isspace() for c in str(n))
        ]
        if labels_of:
            encoded[name].native["coordinates"] = " ".join(labels_of)
            left -= set(labels_of)
    forms = {n: form_of(index) for n, index in dataset.xindexes.items()}
    other = {
        str(n): form
        for n, form in forms.items()
        if form != usual_form(n, dataset.variables, kind == schema.RECORDING)
    }
    note |= {"indexes": other} if other else {}
    if left:
        plain = [n for n in sorted(left) if not any(c.isspace() for c in n)]
        native |= {"coordinates": " ".join(plain)} if plain else {}
        note |= {"coords": sorted(left - set(plain))} if left - set(plain) else {}
    attrs = native | ({HIDDEN: json.dumps(note)} if note else {})
    _name_places(encoded.get(schema.STIMULUS), {*tree.children, *tree.dims, *dataset.variables})
    return Node(path, attrs, list(encoded.values()))


def _name_places(stimulus: Encoded | None, taken: set[Any]) -> None:
    """Mark variables whose rows may repeat, to be stored once, with names that are not in use."""
    if stimulus is None or stimulus.variable.dims[:1] != (schema.PRESENTATION,):
        return
    index, dim = f"{stimulus.name}_index", f"{stimulus.name}_instance"
    while {index, dim} & taken:
        index, dim = f"{index}_", f"{dim}_"
    stimulus.index = index, dim


def viewable(table: Mapping[Any, Sequence[Hashable]], variables: Mapping[Any, Any]) -> list[str]:
    """Variables of `presentations` (name -> dims) that an area node shows as coordinates."""
    return [
        n
        for n, dims in table.items()
        if tuple(dims) == (schema.PRESENTATION,) and n not in variables
    ]


def _views(tree: xr.DataTree, dataset: xr.Dataset) -> list[Hashable]:
    """Coordinates of a node that are those of its `presentations`, in name, values and attrs."""
    if schema.PRESENTATIONS not in tree.children:
        return []
    table = tree.children[schema.PRESENTATIONS].to_dataset(inherit=False)
    views: list[Hashable] = []
    for name in dataset.coords:
        if name in table.data_vars and name not in dataset.dims:
            shown, column = dataset.variables[name], table.variables[name]
            if shown.dims == column.dims == (schema.PRESENTATION,) and shown.dtype == column.dtype:
                same = identity(shown) == identity(column)
                same = same or bool(shown.equals(column))
                if same and shown.attrs == column.attrs:
                    views.append(name)
    return views
