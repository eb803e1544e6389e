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
    n_units = len(observed) or probes.size
    mask_of = np.full(n_units, -1, np.int64)
    for i, name in enumerate(names):
        mask_of[probes == name] = i
    numbers = {key: i for i, key in enumerate(stated)}
    observed_of = np.full(n_units, -1, np.int64)
    observed_of[: len(observed)] = [numbers.get(id(stretches), -1) for stretches in observed]
    n_bins = edges.shape[-1] - 1
    invalid = np.zeros((0, *edges.shape[:-1], n_bins), bool)
    if names:
        invalid = np.stack([masks[name] for name in names])
    if edges.ndim == 1:
        validity = _Validity(
            edges[None], invalid[:, None], mask_of, tuple(stated.values()), observed_of
        )
        mask = Computed(_valid_on_clock, (n_bins, n_units), np.dtype(bool), (validity,))
        mask_dims = (*dims, schema.UNIT)
    else:
        validity = _Validity(edges, invalid, mask_of, tuple(stated.values()), observed_of)
        shape = (len(edges), n_units, n_bins)
        mask = Computed(_valid_in_presentations, shape, np.dtype(bool), (validity,))
        mask_dims = (*dims[:-1], schema.UNIT, dims[-1])
    return schema.var("area", schema.VALID_UNITS, wrap(mask), mask_dims, tree=schema.ALIGNED)


def _valid_in_presentations(
    rows: np.ndarray, units: np.ndarray, bins: np.ndarray, validity: _Validity
) -> np.ndarray:
    """Which bins of which units count, (presentation, unit, bin) bool; arguments are positions."""
    edges, mask_of, observed_of = (
        validity.edges,
        validity.mask_of[units],
        validity.observed_of[units],
    )
    begin, end = edges[rows[:, None], bins], edges[rows[:, None], bins + 1]
    valid = np.ones((units.size, rows.size, bins.size), bool)
    for number in np.unique(observed_of[observed_of >= 0]):
        valid[observed_of == number] = validity.observed[number].covers(begin, end)
    for number in np.unique(mask_of[mask_of >= 0]):
        valid[mask_of == number] &= ~validity.invalid[number][rows[:, None], bins]
    return np.moveaxis(valid, 0, 1)


def _valid_on_clock(bins: np.ndarray, units: np.ndarray, validity: _Validity) -> np.ndarray:
    """Which bins of a continuous clock count for which units, (bin, unit) bool."""
    return np.asarray(_valid_in_presentations(np.zeros(1, np.int64), units, bins, validity)[0].T)


@dataclass(frozen=True, eq=False)
class _Validity:
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
    observed_of : (unit,) int64
        The number of the times of each unit, -1 for a unit that was recorded throughout.
    """

    edges: np.ndarray
    invalid: np.ndarray
    mask_of: np.ndarray
    observed: tuple[Stretches, ...]
    observed_of: np.ndarray
