"""Columns of NWB's dynamic tables: plain, ragged and enumerated ones, and references to other rows.

The type of a dataset (`neurodata_type`) tells what it is; in a file without types, its name and shape do.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import ragged, vectors
from neuroarrays.formats.nwb.account import Account, printable, unreadable
from neuroarrays.lazy.arrays import file_array
from neuroarrays.tree.observed import OF_UNITS

#: The largest whole number up to which float64 holds all whole numbers exactly.
_EXACT = 1 << 53


@dataclass(frozen=True)
class Table:
    """A dynamic table with its columns and their auxiliary datasets.

    Attributes
    ----------
    names : tuple of str
        Names of its columns, without `id`, indexes and elements.
    indexes : dict of str to list of str
        Name of a ragged column -> the paths of its indexes, the innermost first.
    elements : dict of str to str
        Name of an enumerated column -> the path of its labels.
    """

    path: str
    names: tuple[str, ...]
    indexes: dict[str, list[str]]
    elements: dict[str, str]


def read_table(account: Account, path: str) -> Table:
    """Return the columns of a table, by the types and names of its datasets."""
    source = account.source
    names = dict.fromkeys(source.names(path))  # asked for many names
    stated = source.attr(path, "colnames")
    # MATLAB pads names of one matrix of characters with blanks.
    stated = dict.fromkeys(
        str(name).rstrip() for name in (stated if isinstance(stated, list) else ())
    )
    for name in stated:
        if name not in names:
            account.leave(f"{path}/{name}", "named in colnames, not in the file")
    indexes: dict[str, list[str]] = {}
    elements: dict[str, str] = {}
    belonging = {"id"}
    for name in names:
        with account.step(f"{path}/{name}"):
            base = name
            while _is_index(source, path, f"{base}_index", names, stated):
                base += "_index"
                indexes.setdefault(name, []).append(f"{path}/{base}")
                belonging.add(base)
            labels = _elements_of(source, path, name, names)
            if labels:
                elements[name] = labels
                belonging.add(labels.rpartition("/")[2])
    for name in names:
        orphan = name.endswith("_index") and name.removesuffix("_index") not in names
        if orphan and source.attr(f"{path}/{name}", "neurodata_type") == "VectorIndex":
            account.leave(f"{path}/{name}", "an index, of which the column is not in the file")
            belonging.add(name)
    columns = tuple(name for name in names if name not in belonging)
    indexes = {name: levels for name, levels in indexes.items() if name in columns}
    return Table(path, columns, indexes, elements)


def _is_index(
    source: Source, path: str, name: str, names: Container[str], stated: Container[str]
) -> bool:
    """Whether a dataset is the index of a ragged column.

    If it has no type, and the table states it as a column, it is an index where the column that it
    could belong to has another number of values.
    """
    if name not in names:
        return False
    kind = source.attr(f"{path}/{name}", "neurodata_type")
    if kind:
        return bool(kind == "VectorIndex")
    info = vectors.list_info(source, f"{path}/{name}")
    if info is None or info.dtype.kind not in "iuf" or len(info.shape) != 1:
        return False
    column = f"{path}/{name.removesuffix('_index')}"
    return name not in stated or vectors.length(source, column) != info.shape[0]


def _elements_of(source: Source, path: str, name: str, names: Container[str]) -> str:
    """Return the path of the labels of an enumerated column, or ""."""
    target = source.attr(f"{path}/{name}", "elements")
    if isinstance(target, str) and target:
        return target.strip("/")
    if f"{name}_elements" not in names:
        return ""
    is_enum = source.attr(f"{path}/{name}", "neurodata_type") == "EnumData"
    return f"{path}/{name}_elements" if is_enum else ""


# ------------------------------------------------------------------------------- rows and ids


def read_ids(
    account: Account, path: str, size: int, cut: bool = False
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the identifiers of rows, (size,) int64, or row numbers if the file has no usable ones.

    If there are more identifiers than rows, `cut` tells whether to use the first ones.

    Returns
    -------
    (size,) int64
        Identifiers.
    dict
        The identifiers of the file if they are text: {"id": (size,) object}; else empty.
    """
    account.source.check_rows(path, size)
    numbers = np.arange(size, dtype=np.int64)
    name = f"{path}/id"
    more: dict[str, Any] = {}
    with account.step(name):
        info = vectors.list_info(account.source, name)
        if info is None:
            return numbers, more
        is_cut = cut and len(info.shape) == 1 and info.shape[0] > size
        if info.shape != (size,) and not is_cut:
            shape = info.shape[0] if len(info.shape) == 1 else info.shape
            account.leave(name, f"{shape} identifiers for {size} rows, which are numbered instead")
        elif info.text:
            account.take(name)
            more["id"] = vectors.read_list(account.source, name)[:size]
        elif info.dtype.kind in "iuf":
            stored = vectors.read_list(account.source, name)[:size]
            with np.errstate(invalid="ignore"):  # NaN becomes another number, which is not equal
                ids = stored.astype(np.int64)
            if (ids == stored).all() and not (stored.dtype.kind == "u" and (ids < 0).any()):
                account.take(name)
                return ids, more
            account.leave(name, "not all are whole numbers of 64 bits; rows are numbered instead")
        else:
            account.leave(name, f"{unreadable(info)}; rows are numbered instead")
    return numbers, more


# ------------------------------------------------------------------------------------ columns


def free(name: str) -> str:
    """Return the name of a column, changed if the tree uses the name for something else."""
    reserved = {
        schema.UNIT,
        schema.SPIKE,
        schema.TIME,
        schema.PRESENTATION,
        schema.ROW_SIZE,
        schema.EVENT,
        *OF_UNITS,
    }
    return printable(f"{name}_column" if name in reserved else name)


def description(source: Source, name: str) -> dict[str, Any]:
    """Return the description of an object as attributes, if it has one."""
    text = str(source.attr(name, "description") or "")
    return {"description": printable(text)} if text and text != "no description" else {}


def read_columns(
    account: Account, table: Table, size: int, dim: str, skip: Iterable[str] = ()
) -> dict[str, xr.Variable]:
    """Read the columns of a table along `dim`; columns that do not fit are left, each with its reason."""
    columns: dict[str, xr.Variable] = {}
    names = set(table.names)
    for name in table.names:
        path = f"{table.path}/{name}"
        if name in skip or account.is_left(path):
            continue
        with account.step(path):
            column = read_column(account, table, name, size, dim)
            if column is not None:
                columns[free(name)] = column
                if f"{name}_meanings" in names:
                    columns |= _meanings(account, table, name, column)
                account.take(path, *table.indexes.get(name, ()))
                account.take(*filter(None, [table.elements.get(name)]))
        if account.is_left(path):
            leave_ragged(account, table, name, f"index of {name}")
    return columns


def _meanings(
    account: Account, table: Table, name: str, column: xr.Variable
) -> dict[str, xr.Variable]:
    """Return what the values of a column mean, by the table `<column>_meanings`; {} of a column that has none."""
    source, path = account.source, f"{table.path}/{name}_meanings"
    if column.ndim != 1 or column.dtype.kind not in "iubO":
        return {}
    with account.step(path):
        values, texts = (
            vectors.read_list(source, f"{path}/{part}") for part in ("value", "meaning")
        )
        meanings = dict(zip(map(str, values), map(str, texts), strict=True))
        known = [meanings.get(str(value)) for value in column.values]
        if None in known:
            account.remark(path, f"{known.count(None):,} of {len(known):,} values have no meaning")
        account.take(*(f"{path}/{part}" for part in ("id", "value", "meaning")))
        labels = np.array([*(text or "" for text in known), None], object)[:-1]
        return {free(f"{name}_meaning"): xr.Variable(column.dims, labels)}
    return {}


def is_list(source: Source, table: Table, name: str) -> bool:
    """Whether the entries of a ragged column are lists of numbers or texts with one axis."""
    info = source.info(f"{table.path}/{name}")
    return info is not None and len(info.shape) == 1 and not unreadable(info)


def read_column(
    account: Account, table: Table, name: str, size: int, dim: str
) -> xr.Variable | None:
    """Return one column along `dim`, or None if it was left."""
    source, path = account.source, f"{table.path}/{name}"
    info = source.info(path)
    if info is None and source.names(path):
        return None  # a group in a table; the walk over the file finds it at the end
    if info is None and source.link(path) is None:
        return None
    reason = unreadable(info)
    if isinstance(source.attr(path, "zarr_dtype"), list):  # records as text, by hdmf-zarr
        reason = "compound values"
    if reason:
        leave_ragged(account, table, name, reason)
        return None
    info = source.known(path)
    is_coded = info.dtype.kind in "iu"
    kind = str(source.attr(path, "neurodata_type") or "") if is_coded else ""
    attrs = description(source, path)
    if kind == "DynamicTableRegion":
        attrs |= _region(account, path)
    if name in table.indexes:
        values = _padded(account, table, name, size)
        return xr.Variable(_dims(dim, name, values.ndim), values, attrs)
    is_list = vectors.as_list(info).shape == (size,)
    if info.shape[:1] != (size,) and not is_list:
        account.leave(path, f"shape {info.shape} for {size} rows")
        return None
    dims = _dims(dim, name, 1 if is_list else len(info.shape))
    if name in table.elements:
        codes = vectors.read_list(source, path) if is_list else source.read(path)
        values = labels_of(account, path, codes, source.read(table.elements[name]))
        return xr.Variable(dims, values, attrs)
    if kind == "EnumData":
        account.remark(path, "codes whose labels are not in the file")
    array = vectors.list_array(source, path) if is_list else file_array(source, path)
    return array.variable(dims, attrs)


def _dims(dim: str, name: str, ndim: int) -> tuple[str, ...]:
    """Return the dimensions of a column: `dim`, and numbered ones for its further axes."""
    return dim, *(f"{free(name)}_axis{i}" for i in range(1, ndim))


def leave_ragged(account: Account, table: Table, name: str, reason: str) -> None:
    """Leave a ragged column with its indexes; an earlier reason for it stays."""
    for index in table.indexes.get(name, ()):
        account.leave(index, reason)
    account.leave(f"{table.path}/{name}", reason)


def _region(account: Account, path: str) -> dict[str, Any]:
    """Return attributes of a column of row numbers; a remark names numbers of rows that do not exist."""
    source = account.source
    target = str(source.attr(path, "table") or "").strip("/")
    size = vectors.length(source, f"{target}/id") if target else None
    if size is None:
        account.remark(path, "row numbers of a table that is not in the file")
    else:
        check_rows(account, path, source.read(path), size, target)
    return {"rows_of": target} if target else {}


def check_rows(account: Account, path: str, rows: np.ndarray, size: int, target: str) -> bool:
    """Whether all numbers are rows of a table of `size` rows; if not, a remark is added."""
    wrong = int(((rows < 0) | (rows >= size)).sum())
    if wrong:
        account.remark(
            path,
            f"{wrong:,} of {rows.size:,} row numbers are no row of {target}, which has {size:,}",
        )
    return not wrong


def labels_of(account: Account, path: str, codes: np.ndarray, labels: Any) -> np.ndarray:
    """Return the labels of codes as text; a code without a label is "", and a remark is added."""
    names = np.array([str(label) for label in np.ravel(labels)] + [""], object)
    if codes.dtype.kind not in "iufb":
        raise FormatError(account.source.path, f"/{path}", "numbers of labels", str(codes.dtype))
    known = (codes >= 0) & (codes < names.size - 1)
    wrong = int((~known).sum())
    if wrong:
        account.remark(path, f"{wrong:,} of {codes.size:,} codes have no label")
    texts: np.ndarray = names[np.where(known, codes, names.size - 1).astype(np.int64)]
    return texts


def _padded(account: Account, table: Table, name: str, size: int) -> np.ndarray:
    """Return a ragged column as text joined by ", " (then "; "), or as numbers padded with NaN."""
    source, path = account.source, f"{table.path}/{name}"
    values = source.read(path)
    if name in table.elements:
        values = labels_of(account, path, values, source.read(table.elements[name]))
    if values.dtype.kind in "iu" and values.size and _beyond(values):
        values = values.astype(str).astype(object)
    levels, within, stored = table.indexes[name], path, max(values.nbytes, 1)
    for level, index in enumerate(levels):
        is_last = level == len(levels) - 1
        rows = size if is_last else source.known(index).shape[0]
        starts, ends = ragged.bounds_of_rows(account, within, index, rows)
        if values.dtype == object:
            values = ragged.joined(values, starts, ends, ", " if level == 0 else "; ")
        else:
            values = ragged.filled(source, path, values, starts, ends, stored)
        within = index
    return values


def _beyond(values: np.ndarray) -> bool:
    return bool(values.max() > _EXACT or (values.dtype.kind == "i" and values.min() < -_EXACT))
