"""Arrays of records (HDF5 compound types, tables of pandas and PyTables) as one array per field."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import outer
from neuroarrays.files.pickles import load_pickle
from neuroarrays.files.source import Info, Source, text_array
from neuroarrays.formats.arrays.cells import cells_of, lazy_cell
from neuroarrays.lazy.arrays import FileArray, LazyArray, file_array
from neuroarrays.lazy.computed import Computed, Elementwise
from neuroarrays.tree.columns import seconds


def _record_field(
    base: FileArray, field: str, column: int | None, scale: float, offset: float
) -> LazyArray:
    """Return one field of records, or one column of it; whole records are read."""
    stored = np.dtype(base.dtype[field])
    shape = (*base.shape, *(stored.shape if column is None else ()))
    scaled = (scale, offset) != (1.0, 0.0)
    dtype = np.dtype("f8") if scaled else stored.base.newbyteorder("=")
    dtype = np.dtype(object) if stored.base.kind in "SU" else dtype
    return Computed(_of_records, shape, dtype, (base, field, column, scale, offset))


def _of_records(*arguments: Any) -> np.ndarray:
    *picked, base, field, column, scale, offset = arguments
    lead = len(base.shape)
    values = np.asarray(base.outer(tuple(map(outer.compact, picked[:lead])))[field])
    if column is not None:
        values = values[..., column]
    values = outer.take_after(values, tuple(picked[lead:]), lead)
    if values.dtype.kind in "SUO":
        return text_array(values)
    return values if (scale, offset) == (1.0, 0.0) else values * scale + offset


def _scaled_seconds(values: np.ndarray, scale: float, offset: float) -> np.ndarray:
    return np.asarray(seconds(values) * scale + offset)


def cast(array: LazyArray, dtype: np.dtype, path: str) -> LazyArray:
    """Return an array in another dtype that must hold its values exactly."""
    return Elementwise(_exactly, (array,), dtype, (dtype, path))


def _exactly(values: np.ndarray, dtype: np.dtype, path: str) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        converted = np.asarray(values).astype(dtype)
    if dtype.kind in "iub" and not np.array_equal(converted, values):
        raise FormatError(
            path,
            "",
            f"values that {dtype} holds exactly",
            "others",
            "take another dtype in the mapping",
        )
    return converted


def fields_of(source: Source, name: str, info: Info) -> dict[str, tuple[str, int | None]]:
    """Return the fields of an array of records by name, with a column if columns have names."""
    by_name: dict[str, tuple[str, int | None]] = {}
    for field in info.dtype.names or ():
        shape = np.dtype(info.dtype[field]).shape
        columns = _columns(source, name, field) if len(shape) == 1 else []
        if len(shape) == 1 and len(columns) == shape[0]:
            by_name |= {f"{name}/{column}": (field, i) for i, column in enumerate(columns)}
        else:
            by_name[f"{name}/{field}"] = (field, None)
    return by_name


def _columns(source: Source, name: str, field: str) -> list[str]:
    """Return the names of the columns of a block of a pandas table; [] if it has none."""
    stated = source.attr(name, f"{field}_kind")
    if not isinstance(stated, str):
        return []
    try:
        labels = load_pickle(stated.encode("latin-1", "replace"), (), path=source.path, where=name)
    except NeuroArraysError:
        return []
    if not isinstance(labels, list | tuple):
        return []
    levels = [
        [str(part) for part in label] if isinstance(label, tuple) else [str(label)]
        for label in labels
    ]
    names = joined(levels)
    return names if len(set(names)) == len(names) else []


def joined(levels: list[list[str]]) -> list[str]:
    """Return names of columns, such as "nose/x", from their levels; levels equal for all are left out."""
    telling = [len(set(level)) > 1 for level in zip(*levels, strict=False)]
    if not any(telling):
        telling = [True] * len(telling)
    return [
        "/".join(
            part.replace("/", "_")
            for part, differs in zip(parts, telling, strict=False)
            if differs and part
        )
        for parts in levels
    ]


def lazy_of(source: Source, name: str, scale: float = 1.0, offset: float = 0.0) -> LazyArray:
    """Return the lazy array of a name, also of a field of an array of records.

    Raises
    ------
    FormatError
        If there is none.
    """
    parts = name.strip("/").split("/")
    for i in range(1, len(parts) + 1):  # downwards: HDF5 does not look below an array
        above = "/".join(parts[:i])
        info = source.info(above)
        if info is None:
            continue
        if i == len(parts) and info.dtype.kind == "m":
            return Elementwise(
                _scaled_seconds, (file_array(source, above),), np.dtype("f8"), (scale, offset)
            )
        cells = cells_of(source, above, info) if i == len(parts) - 1 else []
        if cells and parts[-1].isdecimal() and int(parts[-1]) < len(cells):
            return lazy_cell(source, above, int(parts[-1]), scale, offset)
        if i == len(parts) and info.dtype.names is None:
            return file_array(source, above, scale, offset)
        known = fields_of(source, above, info)
        if name.strip("/") in known:
            field, column = known[name.strip("/")]
            return _record_field(file_array(source, above), field, column, scale, offset)
        break
    raise FormatError(source.path, name, "an array", "nothing of that name")
