"""Join the results of many areas along units; conditions are matched by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.matching import (
    ANSWER,
    Axis,
    Parts,
    Variables,
    agree,
    attributes,
    axis,
    content,
    equal,
    shared,
)
from neuroarrays.errors import SchemaError
from neuroarrays.lazy.trees import tree_of
from neuroarrays.tree.areas import AreaPath

#: Labels of the results of several areas.
_BLOCK = "block"
#: Name of the number of presentations, which is 0 where there are none.
_NUMBER = "n"


def together(answers: Mapping[AreaPath, Any], name: str) -> Any:
    """Join the results of several areas to one.

    Parameters
    ----------
    answers : mapping of AreaPath to DataArray, Dataset, DataFrame or scalar
        Results of one kind. Arrays with units are joined along `unit_id`, others along ``path``.
    name : str
        Name of the function, for results without a name.

    Returns
    -------
    xr.DataArray, xr.Dataset or pd.DataFrame
        The joined result; scalars become a DataArray. The coordinates or columns `session` and
        `area` (and `block`, if there are several) tell where each entry is from.

    Raises
    ------
    SchemaError
        If the results differ in kind, unit, type, clock or size.
    """
    kinds = {area: _kind(answer, area, name) for area, answer in answers.items()}
    agree(kinds, f"{name}: the kind of the result", "return the same kind for each area")
    kind = next(iter(kinds.values()))
    if kind == "a DataFrame":
        return _rows(answers)
    if kind == "a number or text":
        labels = {schema.PATH: (schema.PATH, [area.path for area in answers])} | _where(
            list(answers), schema.PATH
        )
        values = np.array([np.asarray(answer)[()] for answer in answers.values()])
        return xr.DataArray(values, labels, schema.PATH, name)
    if kind == "a Dataset":
        return _joined(answers)
    names = {answer.name for answer in answers.values()}
    out = _joined({area: array.to_dataset(name=ANSWER) for area, array in answers.items()})
    array = out[ANSWER]
    return array.rename(names.pop() if len(names) == 1 else None)


def side_by_side(answers: Mapping[AreaPath, Any], name: str) -> xr.DataTree:
    """Put the results of several areas into a tree, each at the path of its area."""
    nodes = {}
    for area, answer in answers.items():
        if isinstance(answer, xr.DataArray):
            answer = answer.to_dataset(name=answer.name or name)
        elif not isinstance(answer, xr.Dataset):
            answer = xr.Dataset({name: _scalar(answer, area, name)})
        nodes[area.path] = answer.assign_attrs(
            {schema.SESSION: area.session, schema.AREA: area.area}
        )
    return tree_of(nodes)


def are_apart(answers: Mapping[AreaPath, Any]) -> bool:
    """Whether results are about pairs of units; units of different areas make no pairs."""
    return any(schema.OTHER_UNIT in getattr(answer, "dims", ()) for answer in answers.values())


def _kind(answer: Any, area: AreaPath, name: str) -> str:
    kinds = {xr.DataArray: "a DataArray", xr.Dataset: "a Dataset", pd.DataFrame: "a DataFrame"}
    for of, words in kinds.items():
        if isinstance(answer, of):
            return words
    _scalar(answer, area, name)
    return "a number or text"


def _scalar(answer: Any, area: AreaPath, name: str) -> Any:
    """Check that a result is a number, truth value or text.

    Raises
    ------
    SchemaError
        If it is something else.
    """
    if isinstance(answer, str | bytes | bool | int | float | complex | np.generic) or (
        isinstance(answer, np.ndarray) and answer.ndim == 0
    ):
        return answer
    msg = (
        f"{name} of {area.path} returned {type(answer).__name__}; expected a DataArray, Dataset, "
        "DataFrame, or one number or text"
    )
    raise SchemaError(msg)


def _rows(tables: Mapping[AreaPath, pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other, with columns for the area of each row."""
    many = len({area.block for area in tables}) > 1
    parts = []
    for area, table in tables.items():
        named = [name is not None for name in table.index.names]
        columns = table.reset_index() if all(named) else table.reset_index(drop=True)
        where = {_BLOCK: area.block} if many else {}
        where |= {schema.SESSION: area.session, schema.AREA: area.area}
        columns = columns.rename(columns={name: f"{name}_in_file" for name in where})
        parts.append(columns.assign(**where))
    table = pd.concat(parts, ignore_index=True)
    return table[[*where, *(column for column in table if column not in where)]]


def _where(
    places: Sequence[AreaPath], dim: str, sizes: Sequence[int] | None = None
) -> dict[str, Any]:
    """Coordinates with the session and area of each entry."""
    sizes = [1] * len(places) if sizes is None else sizes
    columns = {_BLOCK: [p.block for p in places]} if len({p.block for p in places}) > 1 else {}
    columns |= {schema.SESSION: [p.session for p in places], schema.AREA: [p.area for p in places]}
    return {name: (dim, np.repeat(np.array(of), sizes)) for name, of in columns.items()}


# ------------------------------------------------------------------------------------------ arrays


def _joined(parts: Parts) -> xr.Dataset:
    """Datasets along `unit_id`, or along ``path`` if they have no units."""
    has_units = {area: schema.UNIT in part.sizes for area, part in parts.items()}
    agree(has_units, "the dimension unit_id", "return it for all areas, or for none")
    along = schema.UNIT if next(iter(has_units.values())) else schema.PATH
    if along == schema.PATH:
        parts = {area: part.expand_dims({schema.PATH: [area.path]}) for area, part in parts.items()}
    else:
        parts = {area: _named_by_us(part) for area, part in parts.items()}
    sizes = [part.sizes[along] for part in parts.values()]
    ends = np.cumsum([0, *sizes])
    rows = {
        area: slice(int(a), int(b)) for area, a, b in zip(parts, ends[:-1], ends[1:], strict=True)
    }
    dims = dict.fromkeys(str(dim) for part in parts.values() for dim in part.sizes if dim != along)
    axes = {dim: axis(dim, parts) for dim in dims}
    shape = {along: int(ends[-1])} | {dim: axis.size for dim, axis in axes.items()}
    frame = _Frame(along, rows, axes, shape)
    data: dict[Any, xr.Variable] = {}
    coords: dict[Any, Any] = {d: each.labels for d, each in axes.items() if each.labels is not None}
    for name in dict.fromkeys(name for part in parts.values() for name in part.variables):
        if name in axes:
            continue
        of_name = {p: part.variables[name] for p, part in parts.items() if name in part.variables}
        is_data = any(name in part.data_vars for part in parts.values())
        variable = frame.placed(str(name), of_name, len(parts), is_data)
        (data if is_data else coords)[name] = variable
    attrs = shared([part.attrs for part in parts.values()])
    return xr.Dataset(data, coords, attrs).assign_coords(_where(list(parts), along, sizes))


def _named_by_us(part: xr.Dataset) -> xr.Dataset:
    """Rename labels of the file that are called `session` or `area`."""
    ours = (schema.SESSION, schema.AREA, _BLOCK)
    taken = {name: f"{name}_in_file" for name in ours if name in part.variables}
    return part.rename(taken) if taken else part  # renaming nothing copies every variable


@dataclass(frozen=True)
class _Frame:
    """The joined arrays: rows of each part along `along`, and the other dimensions."""

    along: str
    rows: Mapping[AreaPath, slice]
    axes: Mapping[str, Axis]
    shape: Mapping[str, int]

    def placed(self, name: str, parts: Variables, n_parts: int, is_data: bool) -> xr.Variable:
        """A variable of all parts: unchanged if it is equal in all, else along the rows."""
        first = next(iter(parts.values()))
        attrs = attributes(name, parts)
        alike = all(set(v.dims) == set(first.dims) for v in parts.values())
        whole = all(
            self.axes[str(dim)].positions[area] is None
            for area, v in parts.items()
            for dim in v.dims
            if dim != self.along
        )
        if not is_data and alike and whole and self.along not in first.dims:
            arrays = [_values(v, first.dims) for v in parts.values()]
            if len(parts) == n_parts and all(equal(arrays[0], array) for array in arrays[1:]):
                return xr.Variable(first.dims, arrays[0], attrs)
        dims = [str(dim) for v in parts.values() for dim in v.dims]
        dims = list(dict.fromkeys(dims if self.along in dims else [self.along, *dims]))
        everything = whole and len(parts) == n_parts
        dtype, fill = _dtype_and_fill(name, [v.values for v in parts.values()], everything, is_data)
        values = np.full([self.shape[dim] for dim in dims], fill, dtype)
        for area, variable in parts.items():
            if set(variable.dims) != set(dims):
                sizes = {d: variable.sizes.get(d, self._size(area, d)) for d in dims}
                variable = variable.set_dims(sizes)
            values[self._at(area, dims)] = _values(variable, dims)
        return xr.Variable(dims, values, attrs)

    def _size(self, area: AreaPath, dim: str) -> int:
        """The length of a dimension in a part whose variable does not have it."""
        if dim == self.along:
            return len(range(self.shape[dim])[self.rows[area]])
        positions = self.axes[dim].positions[area]
        return self.axes[dim].size if positions is None else len(positions)

    def _at(self, area: AreaPath, dims: Sequence[str]) -> Any:
        """The positions of the values of a part."""
        parts: list[Any] = [
            self.rows[area] if dim == self.along else self.axes[dim].positions[area] for dim in dims
        ]
        if all(part is None or isinstance(part, slice) for part in parts):
            return tuple(slice(None) if part is None else part for part in parts)
        sizes = [self.shape[dim] for dim in dims]
        return np.ix_(
            *(
                np.arange(size)
                if part is None
                else np.arange(part.start, part.stop)
                if isinstance(part, slice)
                else part
                for part, size in zip(parts, sizes, strict=True)
            )
        )


def _values(variable: xr.Variable, dims: Sequence[Any]) -> np.ndarray:
    """The values of a variable with its dimensions in an order."""
    ordered = variable if variable.dims == tuple(dims) else variable.transpose(*dims)
    values: np.ndarray = ordered.values
    return values


def _dtype_and_fill(
    name: str, parts: Sequence[np.ndarray], everything: bool, is_data: bool
) -> tuple[np.dtype, Any]:
    """The dtype for all parts, and the value where a part has none."""
    kinds = {content(values) for values in parts}
    if is_data and "text" in kinds and not kinds <= {"text", "objects"}:
        msg = f"{name!r} has text in some areas and numbers in others"
        raise SchemaError(msg)
    if len(kinds) > 1 or any(values.dtype.kind == "O" for values in parts):
        return np.dtype(object), "" if kinds <= {"text", "objects"} else None
    dtype = np.result_type(*(values.dtype for values in parts))
    if kinds == {"text"}:
        return dtype, ""
    if kinds == {"time"}:
        return dtype, np.array("NaT", dtype)
    if name == _NUMBER and dtype.kind in "iuf":
        return dtype, 0
    if dtype.kind in "fc":
        return dtype, np.nan
    if everything:
        return dtype, 0
    return np.dtype(float), np.nan
