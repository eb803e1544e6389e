"""Bins of units that do not count: not recorded, or by a probe that is not to be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.arrays import wrap
from neuroarrays.lazy.computed import Computed
from neuroarrays.tree.stretches import Stretches

_PROBE = "probe"


def unit_validity(
    masks: Mapping[str, np.ndarray],
    observed: Sequence[Stretches],
    unit_coords: Mapping[str, xr.Variable],
    edges: np.ndarray,
    dims: tuple[str, ...],
) -> xr.Variable | None:
    """`valid_units`: False in the bins that do not count for a unit.

    Parameters
    ----------
    masks : dict of str to (...,) bool
        As `validity.invalid_bins` gives them, by name of a probe; "" is not looked at.
    observed : sequence of Stretches
        When each unit was recorded; empty where that is when the session was.
    unit_coords : dict of (unit_id,) variables
        Labels of the units, `probe` among them.
    edges : (..., time + 1) float64, s
        Edges of half-open bins, session clock.
    dims : tuple of str
        Dims of the masks, ``(presentation_id, time)`` or ``(time,)``.

    Returns
    -------
    lazy variable, bool, or None
        Along the dims of `spike_data`; None if all bins of all units count.
    """
    probes = unit_coords[_PROBE].values if _PROBE in unit_coords else np.empty(0, object)
    names = [name for name in masks if name and (probes == name).any()]
    stated = {id(stretches): stretches for stretches in observed if not stretches.from_data}
    if not names and not stated:
        return None
    number = len(observed) or probes.size
    which = np.full(number, -1, np.int64)
    for i, name in enumerate(names):
        which[probes == name] = i
    group_of = {key: i for i, key in enumerate(stated)}
    group = np.full(number, -1, np.int64)
    group[: len(observed)] = [group_of.get(id(stretches), -1) for stretches in observed]
    bad = np.zeros((0, *edges.shape[:-1], edges.shape[-1] - 1), bool)
    if names:
        bad = np.stack([masks[name] for name in names])
    clock, n_bins = edges.ndim == 1, edges.shape[-1] - 1
    rows, bad = (edges[None], bad[:, None]) if clock else (edges, bad)
    whose = _Invalid(rows, bad, which, tuple(stated.values()), group)
    shape = (n_bins, number) if clock else (len(edges), number, n_bins)
    function = _valid_clock if clock else _valid_trials
    lazy = Computed(function, shape, np.dtype(bool), (whose,))
    where = (*dims[:-1], schema.UNIT, dims[-1]) if len(dims) == 2 else (*dims, schema.UNIT)
    return schema.var("area", schema.VALID_UNITS, wrap(lazy), where, tree=schema.ALIGNED)


def _valid_trials(
    rows: np.ndarray, units: np.ndarray, bins: np.ndarray, whose: _Invalid
) -> np.ndarray:
    """(row, unit, bin) bool: which bins of which units count."""
    begin, end = whose.edges[rows[:, None], bins], whose.edges[rows[:, None], bins + 1]
    valid = np.ones((units.size, rows.size, bins.size), bool)
    for number in np.unique(whose.group[units]):
        if number >= 0:
            valid[whose.group[units] == number] = whose.observed[number].hold(begin, end)
    for number in np.unique(whose.which[units]):
        if number >= 0:
            bad = whose.invalid[number][rows[:, None], bins]
            valid[whose.which[units] == number] &= ~bad
    return np.moveaxis(valid, 0, 1)


def _valid_clock(bins: np.ndarray, units: np.ndarray, whose: _Invalid) -> np.ndarray:
    """(bin, unit) bool, on a continuous clock."""
    return np.asarray(_valid_trials(np.zeros(1, np.int64), units, bins, whose)[0].T)


@dataclass(frozen=True, eq=False)
class _Invalid:
    """The bins that do not count, and the units that they belong to.

    Attributes
    ----------
    edges : (presentation, bin + 1) float64, s
        Edges of the bins, session clock; one row on a continuous clock.
    invalid : (mask, presentation, bin) bool
        Bins that are not to be trusted.
    which : (unit,) int64
        The mask of each unit, -1 for none.
    observed : tuple of Stretches
        When units were recorded.
    group : (unit,) int64
        Which of these each has, -1 for none: recorded throughout.
    """

    edges: np.ndarray
    invalid: np.ndarray
    which: np.ndarray
    observed: tuple[Stretches, ...]
    group: np.ndarray
