"""Answers of many areas put together: along units, conditions matched by value, nothing misaligned."""

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
from neuroarrays.tree.places import Place

#: Labels of answers of several areas, and of the branch of a tree with several.
_BLOCK = "block"
#: The number of presentations, 0 where there are none.
_NUMBER = "n"


def together(answers: Mapping[Place, Any], name: str) -> Any:
    """Answers about several areas as one.

    Parameters
    ----------
    answers : mapping of Place to DataArray, Dataset, DataFrame or scalar
        Of one kind. Arrays with units are put together along `unit_id`, others along ``path``.
    name : str
        Of what gave them, for an answer without a name.

    Returns
    -------
    xr.DataArray, xr.Dataset or pd.DataFrame
        Scalars become a DataArray. The coordinates, or columns, `session` and `area` say where
        each comes from; `block` too if there are several.

    Raises
    ------
    SchemaError
        If answers do not fit together: other kinds, units, types, clocks or sizes.
    """
    kinds = {place: _kind(answer, place, name) for place, answer in answers.items()}
    agree(kinds, f"{name}: what it gives", "a function gives the same kind for every area")
    kind = next(iter(kinds.values()))
    if kind == "a DataFrame":
        return _rows(answers)
    if kind == "a number or text":
        labels = {schema.PATH: (schema.PATH, [place.path for place in answers])} | _where(
            list(answers), schema.PATH
        )
        values = np.array([np.asarray(answer)[()] for answer in answers.values()])
        return xr.DataArray(values, labels, schema.PATH, name)
    if kind == "a Dataset":
        return _joined(answers)
    names = {answer.name for answer in answers.values()}
    out = _joined({place: array.to_dataset(name=ANSWER) for place, array in answers.items()})
    array = out[ANSWER]
    return array.rename(names.pop() if len(names) == 1 else None)


def side_by_side(answers: Mapping[Place, Any], name: str) -> xr.DataTree:
    """Answers about several areas as a tree with a node for each, at the path of its area."""
    nodes = {}
    for place, answer in answers.items():
        if isinstance(answer, xr.DataArray):
            answer = answer.to_dataset(name=answer.name or name)
        elif not isinstance(answer, xr.Dataset):
            answer = xr.Dataset({name: _scalar(answer, place, name)})
        nodes[place.path] = answer.assign_attrs(
            {schema.SESSION: place.session, schema.AREA: place.area}
        )
    return tree_of(nodes)


def are_apart(answers: Mapping[Place, Any]) -> bool:
    """Whether answers are about pairs of units: those of different areas are no pairs."""
    return any(schema.OTHER_UNIT in getattr(answer, "dims", ()) for answer in answers.values())


def _kind(answer: Any, place: Place, name: str) -> str:
    kinds = {xr.DataArray: "a DataArray", xr.Dataset: "a Dataset", pd.DataFrame: "a DataFrame"}
    for of, words in kinds.items():
        if isinstance(answer, of):
            return words
    _scalar(answer, place, name)
    return "a number or text"


def _scalar(answer: Any, place: Place, name: str) -> Any:
    """A number, truth value or text.

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
        f"{name} of {place.path} gives {type(answer).__name__}: expected a DataArray, Dataset, "
        "DataFrame, or one number or text"
    )
    raise SchemaError(msg)


def _rows(tables: Mapping[Place, pd.DataFrame]) -> pd.DataFrame:
    """Tables below one another, with columns that say of which area each row is."""
    many = len({place.block for place in tables}) > 1
    parts = []
    for place, table in tables.items():
        named = [name is not None for name in table.index.names]
        columns = table.reset_index() if all(named) else table.reset_index(drop=True)
        where = {_BLOCK: place.block} if many else {}
        where |= {schema.SESSION: place.session, schema.AREA: place.area}
        columns = columns.rename(columns={name: f"{name}_in_file" for name in where})
        parts.append(columns.assign(**where))
    table = pd.concat(parts, ignore_index=True)
    return table[[*where, *(column for column in table if column not in where)]]


def _where(places: Sequence[Place], dim: str, sizes: Sequence[int] | None = None) -> dict[str, Any]:
    """Coordinates that say of which session and area each entry is."""
    sizes = [1] * len(places) if sizes is None else sizes
    columns = {_BLOCK: [p.block for p in places]} if len({p.block for p in places}) > 1 else {}
    columns |= {schema.SESSION: [p.session for p in places], schema.AREA: [p.area for p in places]}
    return {name: (dim, np.repeat(np.array(of), sizes)) for name, of in columns.items()}


# ------------------------------------------------------------------------------------------ arrays


def _joined(parts: Parts) -> xr.Dataset:
    """Datasets along `unit_id`, or ``path`` where they have none."""
    has_units = {place: schema.UNIT in part.sizes for place, part in parts.items()}
    agree(has_units, "whether there are units", "an answer has unit_id in all areas, or in none")
    along = schema.UNIT if next(iter(has_units.values())) else schema.PATH
    if along == schema.PATH:
        parts = {
            place: part.expand_dims({schema.PATH: [place.path]}) for place, part in parts.items()
        }
    else:
        parts = {place: _named_by_us(part) for place, part in parts.items()}
    sizes = [part.sizes[along] for part in parts.values()]
    ends = np.cumsum([0, *sizes])
    rows = {
        place: slice(int(a), int(b)) for place, a, b in zip(parts, ends[:-1], ends[1:], strict=True)
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
    """With labels of the file called `session` or `area` under another name."""
    ours = (schema.SESSION, schema.AREA, _BLOCK)
    return part.rename({name: f"{name}_in_file" for name in ours if name in part.variables})


@dataclass(frozen=True)
class _Frame:
    """What parts are put into: rows of each along `along`, and other dimensions."""

    along: str
    rows: Mapping[Place, slice]
    axes: Mapping[str, Axis]
    shape: Mapping[str, int]

    def placed(self, name: str, parts: Variables, n_parts: int, is_data: bool) -> xr.Variable:
        """A variable of all parts: as it is where it is the same in all, else along the rows."""
        first = next(iter(parts.values()))
        attrs = attributes(name, parts)
        alike = all(set(v.dims) == set(first.dims) for v in parts.values())
        whole = all(
            self.axes[str(dim)].positions[place] is None
            for place, v in parts.items()
            for dim in v.dims
            if dim != self.along
        )
        if not is_data and alike and whole and self.along not in first.dims:
            arrays = [v.transpose(*first.dims).values for v in parts.values()]
            if len(parts) == n_parts and all(equal(arrays[0], array) for array in arrays[1:]):
                return xr.Variable(first.dims, arrays[0], attrs)
        dims = [str(dim) for v in parts.values() for dim in v.dims]
        dims = list(dict.fromkeys(dims if self.along in dims else [self.along, *dims]))
        everything = whole and len(parts) == n_parts
        dtype, fill = _room(name, [v.values for v in parts.values()], everything, is_data)
        values = np.full([self.shape[dim] for dim in dims], fill, dtype)
        for place, variable in parts.items():
            variable = variable.set_dims(
                {d: variable.sizes.get(d, self._size(place, d)) for d in dims}
            )
            values[self._at(place, dims)] = variable.transpose(*dims).values
        return xr.Variable(dims, values, attrs)

    def _size(self, place: Place, dim: str) -> int:
        """How long a dimension is in a part that does not have it in a variable."""
        if dim == self.along:
            return len(range(self.shape[dim])[self.rows[place]])
        positions = self.axes[dim].positions[place]
        return self.axes[dim].size if positions is None else len(positions)

    def _at(self, place: Place, dims: Sequence[str]) -> Any:
        """Where the values of a part go."""
        parts: list[Any] = [
            self.rows[place] if dim == self.along else self.axes[dim].positions[place]
            for dim in dims
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


def _room(
    name: str, parts: Sequence[np.ndarray], everything: bool, is_data: bool
) -> tuple[np.dtype, Any]:
    """The dtype that holds all parts, and what stands where a part has nothing."""
    kinds = {content(values) for values in parts}
    if is_data and "text" in kinds and not kinds <= {"text", "objects"}:
        msg = f"{name!r} holds texts in some areas and numbers in others"
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
