"""Labels of units and presentations under the names that SENSORIUM's own programs read them by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree
from neuroarrays.formats.sensorium import layout


class Labels(Mapping[str, np.ndarray]):
    """Columns of one table, as attributes and by name.

    A name is that of the tree (``tier``, ``layer``) or that of the files of SENSORIUM (``tiers``,
    ``frame_image_id``, ``unit_ids``, ``cell_motor_coordinates``).

    Parameters
    ----------
    columns : mapping of str to (row,) xr.Variable
        Read when they are asked for.
    published : mapping of str to str
        The tree's name of some columns -> that of the files.
    rows : (n,) int64, optional
        Positions of the rows to show. All unless given.
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
        to_tree = {published: ours for ours, published in self._published.items()}
        ours = next((n for n in (name, plain, to_tree.get(plain)) if n in self._columns), None)
        if ours is None:
            raise NotInTree("column", name, list(self))
        values = np.asarray(self._columns[ours].values)
        return values if self._rows is None else values[self._rows]

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_"):  # also while it is unpickled
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
    """The labels of an area's units.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.

    Returns
    -------
    Labels
        Columns of (unit_id,).
    """
    published = {ours: name for name, ours in layout.UNITS.items()}
    return Labels(_along(area, schema.UNIT), published)


def presentation_labels(area: xr.DataTree, rows: np.ndarray | None = None) -> Labels:
    """The labels of an area's presentations, those of its table first.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.
    rows : (n,) int64, optional
        Positions of the presentations to show. All unless given.

    Returns
    -------
    Labels
        Columns of (presentation_id,), or of `rows`.
    """
    table = area.children.get(schema.PRESENTATIONS)
    columns = _along(area, schema.PRESENTATION)
    if table is not None:
        columns |= _along(table, schema.PRESENTATION, coords_only=False)
    return Labels(columns, {ours: name for name, ours in layout.COLUMNS.items()}, rows)


def _along(node: xr.DataTree, dim: str, coords_only: bool = True) -> dict[str, xr.Variable]:
    """The coordinates of a node along one dimension, or all its variables, coordinates first."""
    data = node.to_dataset()  # once: each coordinate asked of a node makes one
    names = [*data.coords] if coords_only else [*data.coords, *data.data_vars]
    every = {str(name): data.variables[name] for name in names}
    return {name: variable for name, variable in every.items() if variable.dims == (dim,)}
