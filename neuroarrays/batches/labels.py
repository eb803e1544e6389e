"""Labels of units and presentations, also under the names that SENSORIUM's programs use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree
from neuroarrays.formats.sensorium import layout


class Labels(Mapping[str, np.ndarray]):
    """The columns of a table, as attributes and by name.

    Columns have the names of the tree (``tier``, ``layer``), and those of the files of SENSORIUM
    (``tiers``, ``frame_image_id``, ``unit_ids``, ``cell_motor_coordinates``).

    Parameters
    ----------
    columns : mapping of str to (row,) xr.Variable
        The columns, which are read when they are used.
    published : mapping of str to str
        Names in the files of SENSORIUM, by the names in the tree.
    rows : (n,) int64, optional
        Positions of the rows to show (default: all).
    """

    def __init__(
        self,
        columns: Mapping[str, xr.Variable],
        published: Mapping[str, str],
        rows: np.ndarray | None = None,
    ):
        self._columns, self._published, self._rows = dict(columns), dict(published), rows

    def __getitem__(self, name: str) -> np.ndarray:
        if name == layout.MOTOR_FILE and set(layout.MOTOR) <= set(self._columns):
            return np.stack([self[axis] for axis in layout.MOTOR], axis=1)
        plain = layout.plain_name(name)
        to_tree = {published: in_tree for in_tree, published in self._published.items()}
        spellings = (name, plain, to_tree.get(plain))
        column = next((spelling for spelling in spellings if spelling in self._columns), None)
        if column is None:
            raise NotInTree("column", name, list(self))
        values = np.asarray(self._columns[column].values)
        return values if self._rows is None else values[self._rows]

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_"):  # while an object is unpickled, `_columns` does not exist yet
            raise AttributeError(name)
        try:
            return self[name]
        except NotInTree as error:
            raise AttributeError(str(error)) from error

    def __iter__(self) -> Iterator[str]:
        motor = set(layout.MOTOR) <= set(self._columns)
        names = [self._published.get(n, n) for n in self._columns]
        return iter(names + [layout.MOTOR_FILE] * motor)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self, *self._columns})

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self)}>"


def unit_labels(area: xr.DataTree) -> Labels:
    """Return the labels of an area's units.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.

    Returns
    -------
    Labels
        Columns (unit_id,).
    """
    published = {in_tree: name for name, in_tree in layout.UNITS.items()}
    return Labels(_along(area, schema.UNIT), published)


def presentation_labels(area: xr.DataTree, rows: np.ndarray | None = None) -> Labels:
    """Return the labels of an area's presentations; its table comes before its coordinates.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree; one without a table has its columns among its variables.
    rows : (n,) int64, optional
        Positions of the presentations to show (default: all).

    Returns
    -------
    Labels
        Columns (presentation_id,), or (n,) of `rows`.
    """
    table = area.children.get(schema.PRESENTATIONS)
    columns = _along(area, schema.PRESENTATION, coords_only=table is not None)
    if table is not None:
        columns |= _along(table, schema.PRESENTATION, coords_only=False)
    published = {in_tree: name for name, in_tree in layout.COLUMNS.items()}
    return Labels(columns, published, rows)


def _along(node: xr.DataTree, dim: str, coords_only: bool = True) -> dict[str, xr.Variable]:
    """Return the coordinates of a node along one dimension, or all its variables along it."""
    data = node.to_dataset()  # called once, because `node.coords` makes a dataset each time
    names = [*data.coords] if coords_only else [*data.coords, *data.data_vars]
    variables = {str(name): data.variables[name] for name in names}
    return {name: variable for name, variable in variables.items() if variable.dims == (dim,)}
