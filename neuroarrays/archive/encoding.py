"""Encode the variables and attributes of a tree for an archive, and decode them.

netCDF can store numbers, text, and attributes of these. Values of other types are written in the
nearest form, which every netCDF reader can read, and a note in the attribute `_neuroarrays` (JSON)
tells our reader how to restore the original:

* bool is written as int8 with the attribute ``dtype="bool"``, which is xarray's own convention;
* text is written as UTF-8 of variable length. None and NaN in a column of text are written as a text
  that the column does not contain. The CF attribute ``missing_value`` names it, so that xarray reads
  NaN. In a column with both, NaN becomes None;
* text of fixed width and float16 are written as text and float32;
* for attributes see `neuroarrays.archive.attributes`.
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
from neuroarrays.archive.chunk_shapes import chunk_shape, raw_chunk_shape
from neuroarrays.errors import SchemaError
from neuroarrays.files.writing import interruptible
from neuroarrays.lazy.arrays import identity
from neuroarrays.lazy.indexes import form_of, usual_form


@dataclass
class Encoded:
    """A variable with all that determines how it is written.

    Attributes
    ----------
    node, name : str
        Path of its node, and its name.
    variable : xr.Variable
        The variable; its values may be lazy.
    kind : {"raw", "bool", "cast", "text"}
        How its values are converted for the file.
    stored : np.dtype
        The dtype in the file; object for text.
    native, note : dict
        The attributes in the form of netCDF, and the content of `_neuroarrays`.
    index : (str, str), optional
        For rows that may repeat: the name of the variable that tells which stored row each row is,
        and the dimension of the stored rows.
    """

    node: str
    name: str
    variable: xr.Variable
    kind: str
    stored: np.dtype
    native: dict[str, Any]
    note: dict[str, Any] = field(default_factory=dict)
    index: tuple[str, str] | None = None

    @property
    def path(self) -> str:
        """Its path in the file."""
        return f"{self.node}/{self.name}".lstrip("/")

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """The shape of its chunks if they are compressed; None if it is stored in one piece."""
        if self.kind == "text":
            return None
        return chunk_shape(self.variable.dims, self.variable.shape, self.stored.itemsize)

    @property
    def raw_chunks(self) -> tuple[int, ...] | None:
        """The shape of its chunks if they are not compressed; None if it is stored in one piece."""
        if self.chunks is None:
            return None
        return raw_chunk_shape(self.variable.dims, self.variable.shape, self.stored.itemsize)

    @property
    def row_index_path(self) -> str:
        """The path in the file of the variable `index`; "" if its rows cannot repeat."""
        return f"{self.node}/{self.index[0]}".lstrip("/") if self.index else ""

    def block(self, key: tuple[slice, ...]) -> np.ndarray:
        """Return the values of a block with the stored dtype. Lazy values are computed only here."""
        with interruptible():
            values = np.asarray(self.variable[key].values)
        return np.ascontiguousarray(values, self.stored).reshape(values.shape)

    def identity(self) -> Hashable:
        """Return a key that is equal for variables with the same bytes and attributes in the file."""
        attrs = json.dumps([self.native, self.note], default=_jsonable, sort_keys=True)
        return identity(self.variable), self.variable.dims, attrs

    def attrs(self) -> dict[str, Any]:
        """Return all attributes that are written."""
        return self.native | ({HIDDEN: json.dumps(self.note)} if self.note else {})


def encode_row_index(encoded: Encoded, row_index: np.ndarray) -> Encoded:
    """Encode the variable that tells which stored row each row of another variable is.

    The form is the indexed ragged array of the CF conventions (section 9.3.4): along presentations the
    number of the stored row, with the attribute ``instance_dimension``. The labels of presentations
    move from `encoded` to this variable.

    Parameters
    ----------
    encoded : Encoded
        The variable whose rows are stored once; its attributes are changed.
    row_index : (row,) int64
        The number of the stored row of each row.
    """
    assert encoded.index is not None
    name, dim = encoded.index
    native = {"instance_dimension": dim, "long_name": f"row of {encoded.name} along {dim}, from 0"}
    if "coordinates" in encoded.native:
        native["coordinates"] = encoded.native["coordinates"]
    encoded.native = {k: v for k, v in encoded.native.items() if k != "coordinates"}
    encoded.note = encoded.note | {"places": encoded.row_index_path}
    variable = xr.Variable(encoded.variable.dims[:1], row_index)
    return Encoded(encoded.node, name, variable, "raw", np.dtype("<i8"), native)


def _jsonable(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def encode(node: str, name: Hashable, variable: xr.Variable) -> Encoded:
    """Determine how a variable is written.

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
    """Return all values of a column of text, with its shape, as str objects.

    If values are missing, the attributes and the note of `encoded` are changed to say so.

    Raises
    ------
    SchemaError
        If a value is neither text nor missing.
    """
    with interruptible():
        values = np.asarray(encoded.variable.values)
    out = np.empty(values.shape, object)
    gaps: list[tuple[int, ...]] = []
    has_none = False
    for at, value in np.ndenumerate(values):
        if isinstance(value, bytes) and values.dtype.kind == "S":
            value = value.decode("utf-8", "surrogateescape")
        if isinstance(value, str) and "\0" not in value and encodable(value):
            out[at] = str(value)
        elif _is_gap(value):
            gaps.append(at)
            has_none |= value is None
        else:
            kind = "text that is not UTF-8" if isinstance(value, str) else type(value).__name__
            msg = (
                f"{encoded.path}: value {value!r} at {at} is {kind}; expected text, or None or NaN "
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
        encoded.note = encoded.note | {"missing": "none" if has_none else "nan"}
    return out


def _is_gap(value: Any) -> bool:
    """Return whether a value in a column of text stands for a missing one."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def decode(
    values: np.ndarray, kind: str, dtype: np.dtype, missing: Sequence[str] | None
) -> np.ndarray:
    """Restore values from stored ones.

    Parameters
    ----------
    values : np.ndarray
        Stored values, of any shape; text as str objects.
    kind : {"raw", "bool", "cast", "text"}
        How they were converted.
    dtype : np.dtype
        The dtype to restore.
    missing : (str, str), optional
        The text that marks a missing value, and which value that is ("none" or "nan").
    """
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


@dataclass
class Node:
    """A node with all that determines how it is written: its path, attributes and variables."""

    path: str
    attrs: dict[str, Any]
    variables: list[Encoded]


def encode_node(path: str, tree: xr.DataTree, kind: str) -> Node:
    """Determine how a node is written, without inherited variables and those that opening adds.

    Parameters
    ----------
    path : str
        Path of the node; the root is "".
    tree : xr.DataTree
        The node.
    kind : str
        Kind of the tree: `schema.RECORDING` or `schema.ALIGNED`.
    """
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
    if kind == schema.ALIGNED and table is not None:
        columns = {n: v.dims for n, v in table.to_dataset(inherit=False).data_vars.items()}
        if set(views) != set(viewable(columns, encoded)):
            note["views"] = sorted(map(str, views))
    forms = {n: form_of(index) for n, index in dataset.xindexes.items()}
    unusual = {
        str(n): form
        for n, form in forms.items()
        if form != usual_form(n, dataset.variables, kind == schema.RECORDING)
    }
    note |= {"indexes": unusual} if unusual else {}
    note |= _name_labels(dataset, views, encoded, native)
    attrs = native | ({HIDDEN: json.dumps(note)} if note else {})
    _name_row_index(encoded.get(schema.STIMULUS), {*tree.children, *tree.dims, *dataset.variables})
    return Node(path, attrs, list(encoded.values()))


def _name_labels(
    dataset: xr.Dataset,
    views: list[Hashable],
    encoded: Mapping[Hashable, Encoded],
    native: dict[str, Any],
) -> dict[str, Any]:
    """Name the labels of a node in the CF attributes ``coordinates`` of its variables, or its own.

    Parameters
    ----------
    dataset, views
        The node, and the coordinates that are not written.
    encoded, native
        Its variables and its attributes, which get the attribute.

    Returns
    -------
    dict
        For the note of the node: the labels whose names have spaces, which CF cannot list.
    """
    labels = [n for n in dataset.coords if n not in dataset.dims and n not in views]
    unnamed = {str(n) for n in labels}
    for name in dataset.data_vars:
        labels_of = [
            str(n)
            for n in labels
            if set(dataset.variables[n].dims) <= set(dataset.variables[name].dims)
            and not any(c.isspace() for c in str(n))
        ]
        if labels_of:
            encoded[name].native["coordinates"] = " ".join(labels_of)
            unnamed -= set(labels_of)
    plain = [n for n in sorted(unnamed) if not any(c.isspace() for c in n)]
    if plain:
        native["coordinates"] = " ".join(plain)
    spaced = sorted(unnamed - set(plain))
    return {"coords": spaced} if spaced else {}


def _name_row_index(stimulus: Encoded | None, used: set[Any]) -> None:
    """Name the row index of a stimulus along presentations, whose frames may repeat.

    `used` has the names that the node has already.
    """
    if stimulus is None or stimulus.variable.dims[:1] != (schema.PRESENTATION,):
        return
    index, dim = f"{stimulus.name}_index", f"{stimulus.name}_instance"
    while {index, dim} & used:
        index, dim = f"{index}_", f"{dim}_"
    stimulus.index = index, dim


def viewable(table: Mapping[Any, Sequence[Hashable]], variables: Mapping[Any, Any]) -> list[str]:
    """Return the columns of `presentations` (name -> dims) that an area shows as coordinates."""
    return [
        n
        for n, dims in table.items()
        if tuple(dims) == (schema.PRESENTATION,) and n not in variables
    ]


def _views(tree: xr.DataTree, dataset: xr.Dataset) -> list[Hashable]:
    """Return the coordinates of a node that equal a column of its `presentations`."""
    if schema.PRESENTATIONS not in tree.children:
        return []
    table = tree.children[schema.PRESENTATIONS].to_dataset(inherit=False)
    views: list[Hashable] = []
    for name in dataset.coords:
        if name in table.data_vars and name not in dataset.dims:
            label, column = dataset.variables[name], table.variables[name]
            if label.dims == column.dims == (schema.PRESENTATION,) and label.dtype == column.dtype:
                is_equal = identity(label) == identity(column) or bool(label.equals(column))
                if is_equal and label.attrs == column.attrs:
                    views.append(name)
    return views
