"""Times that are not to be trusted, as masks: of everything, and of some of the units.

A session may have a table ``presentations/invalid_times`` (NWB's own name) with `start_time` and
`stop_time`. A column `applies_to` says of what: "" of everything, else of the units whose label
`probe` is that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.source import Key
from neuroarrays.lazy.arrays import LazyArray, wrap

INVALID_TIMES = "invalid_times"
#: `reason` of an invalid time that `restrict` cut away: nothing of it is left in the tree.
RESTRICTED = "cut away by restrict"
_PROBE = "probe"


def invalid_bins(session: xr.DataTree, begin: np.ndarray, end: np.ndarray) -> dict[str, np.ndarray]:
    """Bins that overlap an invalid time, by what it applies to.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree.
    begin, end : (...,) float64, s
        Edges of half-open bins, session clock.

    Returns
    -------
    dict of str to (...,) bool
        "" for everything, else by name of a probe; only those with such a bin.
    """
    found: dict[str, np.ndarray] = {}
    for a, b, name, _ in _rows(session):
        hit = (begin <= b) & (end > a)
        if hit.any():
            found[name] = found[name] | hit if name in found else hit
    return found


def invalid_times(session: xr.DataTree | None, units: xr.Dataset) -> list[np.ndarray]:
    """Stretches of time that are not to be trusted, of each unit.

    Parameters
    ----------
    session : DataTree node or None
        A session of a recording tree.
    units : Dataset
        A node of it along `unit_id`.

    Returns
    -------
    list of (n, 2) float64, s
        Starts and stops, session clock, as they stand in the table: they may overlap.
    """
    n = units.sizes.get(schema.UNIT, 1)
    probes = np.atleast_1d(units[_PROBE].values).tolist() if _PROBE in units else [None] * n
    rows = [] if session is None else _rows(session)
    by_scope: dict[object, np.ndarray] = {}
    for probe in set(probes):
        mine = [(a, b) for a, b, name, _ in rows if name in ("", probe)]
        by_scope[probe] = np.array(mine, float).reshape(-1, 2)
    return [by_scope[probe] for probe in probes]


def cut_away(session: xr.DataTree) -> np.ndarray:
    """Stretches of time of which nothing is left in a session.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree.

    Returns
    -------
    (n, 2) float64, s
        Starts and stops, session clock; they may overlap.
    """
    mine = [(a, b) for a, b, _, reason in _rows(session) if reason == RESTRICTED]
    return np.array(mine, float).reshape(-1, 2)


def _rows(session: xr.DataTree) -> list[tuple[float, float, str, str]]:
    """Start, stop, scope and reason of the invalid times of a session."""
    tables = session.children.get(schema.PRESENTATIONS)
    if tables is None or INVALID_TIMES not in tables.children:
        return []
    table = tables.children[INVALID_TIMES].to_dataset()
    if not {"start_time", "stop_time"} <= set(table.data_vars):
        return []
    start, stop = table["start_time"].values, table["stop_time"].values
    scope, reason = (
        table[name].values if name in table else np.full(start.size, "", object)
        for name in ("applies_to", "reason")
    )
    return list(zip(start.tolist(), stop.tolist(), scope.tolist(), reason.tolist(), strict=True))


def unit_validity(
    masks: Mapping[str, np.ndarray], unit_coords: Mapping[str, xr.Variable], dims: tuple[str, ...]
) -> xr.Variable | None:
    """`valid_units`: False in the bins that are invalid for the probe of a unit.

    Parameters
    ----------
    masks : dict of str to (...,) bool
        As `invalid_bins` gives them; "" is not looked at.
    unit_coords : dict of (unit_id,) variables
        Labels of the units, `probe` among them.
    dims : tuple of str
        Dims of the masks, ``(presentation_id, time)`` or ``(time,)``.

    Returns
    -------
    lazy variable, bool, or None
        Along the dims of `spike_data`; None if no unit is on such a probe.
    """
    if _PROBE not in unit_coords:
        return None
    probes = unit_coords[_PROBE].values
    names = [name for name in masks if name and (probes == name).any()]
    if not names:
        return None
    which = np.full(probes.size, -1, np.int64)
    for i, name in enumerate(names):
        which[probes == name] = i
    lazy = UnitValidity(np.stack([masks[name] for name in names]), which)
    place = (*dims[:-1], schema.UNIT, dims[-1]) if len(dims) == 2 else (*dims, schema.UNIT)
    return schema.var("area", "valid_units", wrap(lazy), place, tree=schema.ALIGNED)


@dataclass(frozen=True, repr=False, eq=False)
class UnitValidity(LazyArray):
    """One mask per probe, spread over the units where it is indexed.

    `invalid` is (mask, presentation, bin) or (mask, bin) bool, `which` (unit,) int64 the mask of
    each unit, -1 for none.
    """

    invalid: np.ndarray
    which: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        if self.invalid.ndim == 2:
            return (self.invalid.shape[1], self.which.size)
        return (self.invalid.shape[1], self.which.size, self.invalid.shape[2])

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(bool)

    def outer(self, key: Key) -> np.ndarray:
        which = np.atleast_1d(self.which[key[1]])
        picked = self.invalid
        for axis, k in ((1, key[0]), (2, key[-1])):
            if axis < picked.ndim:
                k = np.atleast_1d(np.arange(picked.shape[axis])[k])
                picked = picked.take(k, axis=axis)
        nothing = np.zeros((1, *picked.shape[1:]), bool)
        spread = ~np.concatenate([picked, nothing])[which]  # -1 is the last
        valid: np.ndarray = np.moveaxis(spread, 0, 1)
        return valid[tuple(0 if isinstance(k, int) else slice(None) for k in key)]

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, self.invalid, self.which)
