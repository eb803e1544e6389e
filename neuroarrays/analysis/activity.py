"""Estimate how active the units of each area are, for a first look at a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.conditions import RATE, clock_of, totals, trials_of
from neuroarrays.tree.counted import mean_rates
from neuroarrays.tree.records import SessionRecord

#: The rows of an aligned area that are read: number and length of the stretches.
_OF_TRIALS, _OF_CLOCK = (100, 1), (20, 1000)


def rates_by_area(tree: xr.DataTree, sessions: Sequence[SessionRecord]) -> dict[str, xr.DataArray]:
    """Firing rates of the units of all sessions of a recording; all spikes are read.

    Parameters
    ----------
    tree : xr.DataTree
        The root of a recording tree.
    sessions : sequence of SessionRecord
        The sessions to use.

    Returns
    -------
    dict of str to (unit_id,) DataArray, spikes/s
        Rates by the name of the area; areas without spikes are left out.
    """
    rates: dict[str, list[np.ndarray]] = {}
    for area in (area for session in sessions for area in session.areas if area.n_spikes):
        rates.setdefault(area.name, []).append(mean_rates(_node(tree, area.path)))
    return {
        name: xr.DataArray(np.concatenate(parts), dims=schema.UNIT, attrs=RATE)
        for name, parts in rates.items()
    }


def responses_by_area(
    tree: xr.DataTree, sessions: Sequence[SessionRecord]
) -> dict[str, xr.DataArray]:
    """Mean responses of the units of an aligned tree, from a part of its values.

    Parameters
    ----------
    tree : xr.DataTree
        The root of an aligned tree.
    sessions : sequence of SessionRecord
        The sessions to use; of a session in several blocks only the first is read.

    Returns
    -------
    dict of str to (unit_id,) DataArray
        Responses by the name of the area: spikes/s for counts, their own unit for signals. They are
        means over up to 100 presentations, or up to 20 stretches of 1,000 bins, evenly spread.
    """
    means: dict[str, dict[str, xr.DataArray]] = {}
    for session in sessions:
        for area in session.areas:
            done = session.name in means.get(area.name, ())
            if not done and {schema.SPIKE_DATA, schema.RESPONSES} & set(area.units):
                mean = _mean_response(_node(tree, area.path).to_dataset())
                means.setdefault(area.name, {})[session.name] = mean
    return {
        name: xr.concat(list(each.values()), schema.UNIT, combine_attrs="drop_conflicts")
        for name, each in means.items()
    }


def shares_of_peak(rates: xr.DataArray) -> tuple[xr.DataArray, np.ndarray]:
    """Divide the responses of each unit by its highest one, and find its position.

    Parameters
    ----------
    rates : (unit_id, n) DataArray
        Responses, in any unit.

    Returns
    -------
    shares : (unit_id, n) DataArray
        Shares without unit; 0 for units that never respond, NaN where a response is NaN.
    peak : (unit_id,) int64
        Position of the highest response.
    """
    values = rates.values
    highest = np.max(np.where(np.isfinite(values), values, -np.inf), axis=1)[:, None]
    with np.errstate(all="ignore"):
        shares = np.where(highest > 0, values / highest, 0)
    return rates.copy(data=shares), np.argmax(np.nan_to_num(shares), axis=1)


def _node(tree: xr.DataTree, path: str) -> xr.DataTree:
    node = tree[path]
    assert isinstance(node, xr.DataTree)
    return node


def _mean_response(node: xr.Dataset) -> xr.DataArray:
    """Mean of each unit over a part of an area, (unit_id,)."""
    trials = schema.PRESENTATION in node.sizes
    _, response = (trials_of if trials else clock_of)(node)
    dims = response.values.dims
    rows = _evenly(node.sizes[dims[0]], *(_OF_TRIALS if trials else _OF_CLOCK))
    node = node.isel({dims[0]: rows})
    total, n = totals(node, node[response.values.name].transpose(*dims))
    with np.errstate(invalid="ignore"):
        mean = total / n * response.scale
    attrs: Mapping[str, str] = response.attrs
    return xr.DataArray(mean, dims=schema.UNIT, attrs=attrs)


def _evenly(n: int, number: int, length: int) -> np.ndarray:
    """Rows of stretches of one length, evenly spread over all `n`, or all rows."""
    if n <= number * length:
        return np.arange(n)
    starts = np.linspace(0, n - length, number).astype(int)
    return (starts[:, None] + np.arange(length)).ravel()
