"""Masks of the bins in which a unit does not count: not recorded, or its probe is invalid."""

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
    """Make `valid_units`, which is False in the bins that do not count for a unit.

    Parameters
    ----------
    masks : dict of str to (...,) bool
        Masks by the name of the probe, from `invalid.invalid_bins`; "" is ignored.
    observed : sequence of Stretches
        When each unit was recorded; empty if each was recorded as long as the session.
    unit_coords : dict of (unit_id,) variables
        Labels of the units, `probe` included.
    edges : (..., time + 1) float64, s
        Edges of half-open bins, session clock.
    dims : tuple of str
        Dimensions of the masks, ``(presentation_id, time)`` or ``(time,)``.

    Returns
    -------
    lazy variable, bool, or None
        A mask along the dimensions of `spike_data`; None if all bins of all units count.
    """
    probes = unit_coords[_PROBE].values if _PROBE in unit_coords else np.empty(0, object)
    names = [name for name in masks if name and (probes == name).any()]
    stated = {id(stretches): stretches for stretches in observed if not stretches.from_data}
    if not names and not stated:
        return None
    number = len(observed) or probes.size
    mask_of = np.full(number, -1, np.int64)
    for i, name in enumerate(names):
        mask_of[probes == name] = i
    group_of = {key: i for i, key in enumerate(stated)}
    group = np.full(number, -1, np.int64)
    group[: len(observed)] = [group_of.get(id(stretches), -1) for stretches in observed]
    bad = np.zeros((0, *edges.shape[:-1], edges.shape[-1] - 1), bool)
    if names:
        bad = np.stack([masks[name] for name in names])
    clock, n_bins = edges.ndim == 1, edges.shape[-1] - 1
    rows, bad = (edges[None], bad[:, None]) if clock else (edges, bad)
    whose = _Invalid(rows, bad, mask_of, tuple(stated.values()), group)
    shape = (n_bins, number) if clock else (len(edges), number, n_bins)
    function = _valid_clock if clock else _valid_trials
    lazy = Computed(function, shape, np.dtype(bool), (whose,))
    where = (*dims[:-1], schema.UNIT, dims[-1]) if len(dims) == 2 else (*dims, schema.UNIT)
    return schema.var("area", schema.VALID_UNITS, wrap(lazy), where, tree=schema.ALIGNED)


def _valid_trials(
    rows: np.ndarray, units: np.ndarray, bins: np.ndarray, whose: _Invalid
) -> np.ndarray:
    """Which bins of which units count, (row, unit, bin) bool."""
    begin, end = whose.edges[rows[:, None], bins], whose.edges[rows[:, None], bins + 1]
    valid = np.ones((units.size, rows.size, bins.size), bool)
    for number in np.unique(whose.group[units]):
        if number >= 0:
            valid[whose.group[units] == number] = whose.observed[number].hold(begin, end)
    for number in np.unique(whose.mask_of[units]):
        if number >= 0:
            bad = whose.invalid[number][rows[:, None], bins]
            valid[whose.mask_of[units] == number] &= ~bad
    return np.moveaxis(valid, 0, 1)


def _valid_clock(bins: np.ndarray, units: np.ndarray, whose: _Invalid) -> np.ndarray:
    """The same on a continuous clock, (bin, unit) bool."""
    return np.asarray(_valid_trials(np.zeros(1, np.int64), units, bins, whose)[0].T)


@dataclass(frozen=True, eq=False)
class _Invalid:
    """The bins that do not count, and the units that they belong to.

    Attributes
    ----------
    edges : (presentation, bin + 1) float64, s
        Edges of the bins on the session clock; one row on a continuous clock.
    invalid : (mask, presentation, bin) bool
        Bins that are invalid.
    mask_of : (unit,) int64
        The number of the mask of each unit, -1 for none.
    observed : tuple of Stretches
        Distinct times in which units were recorded.
    group : (unit,) int64
        The number of the times of each unit, -1 for a unit that was recorded throughout.
    """

    edges: np.ndarray
    invalid: np.ndarray
    mask_of: np.ndarray
    observed: tuple[Stretches, ...]
    group: np.ndarray
