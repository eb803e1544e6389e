"""Find out when an NWB session was recorded, from what the file states or from its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import ragged, vectors
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.series import Series
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.tree.extents import Part
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.observed import OF_UNITS, add_observed

_OF_UNITS, _EPOCHS = "units/obs_intervals", "intervals/epochs"
#: The most values of `obs_intervals` that are read; recordings have thousands.
_MOST = 1 << 22


def unit_stretches(account: Account, n_units: int) -> dict[str, xr.Variable]:
    """Return the observation intervals of each unit as variables along ``(unit_id, interval)``."""
    try:
        rows = stretches_of_units(account.source, n_units)
    except (FormatError, ValueError) as error:
        account.leave(f"{_OF_UNITS}_index", "index of obs_intervals")
        account.leave(_OF_UNITS, str(error))
        return {}
    account.take(_OF_UNITS, f"{_OF_UNITS}_index")
    return {
        name: schema.var("spikes", name, rows[:, :, column], (schema.UNIT, schema.INTERVAL))
        for column, name in enumerate(OF_UNITS)
    }


def stretches_of_units(source: Source, n_units: int) -> np.ndarray:
    """Return the observation intervals of each unit, (unit, interval, 2) float64 in s, padded with NaN.

    Raises
    ------
    FormatError, ValueError
        If they are not valid intervals, or too many to read.
    """
    info = source.info(_OF_UNITS)
    if info is None or info.shape[1:] != (2,) or info.dtype.kind not in "iuf":
        raise ValueError(f"shape {info and info.shape}, expected (n, 2) numbers")
    if info.shape[0] > _MOST:
        raise ValueError(f"{info.shape[0]:,} intervals, which is more than are read")
    starts, ends = np.arange(n_units), np.arange(n_units) + 1
    if source.info(f"{_OF_UNITS}_index") is not None:
        starts, ends = ragged.bounds(source, _OF_UNITS)
    if starts.size != n_units or (n_units and ends[-1] != info.shape[0]):
        raise ValueError(f"{info.shape[0]} rows for {n_units} units")
    sizes = ends - starts
    if n_units * int(sizes.max(initial=0)) > _MOST:
        raise ValueError(f"{sizes.max():,} intervals of one of {n_units:,} units")
    values = np.asarray(source.read(_OF_UNITS), np.float64)
    if not (np.isfinite(values).all() and (values[:, 0] <= values[:, 1]).all()):
        raise ValueError("a stop before its start, or no number")
    if not values.size:
        raise ValueError("none")
    whole = np.stack(
        merged(np.stack([values[:, 0], np.nextafter(values[:, 1], np.inf)], 1)), axis=1
    )
    most = max(int(sizes.max()), len(whole) if (sizes == 0).any() else 0)
    rows = np.full((n_units, most, 2), np.nan)
    unit = np.repeat(np.arange(n_units), sizes)
    rows[unit, np.arange(unit.size) - np.repeat(starts, sizes)] = values
    whole[:, 1] = np.nextafter(whole[:, 1], -np.inf)
    rows[sizes == 0, : len(whole)] = (
        whole  # no interval of these is stated, so take the time in which any unit was recorded
    )
    return rows


def with_observed(
    source: Source,
    groups: Mapping[str, xr.Dataset],
    series: Sequence[Series],
    tables: Sequence[str] = ("units",),
) -> dict[str, xr.Dataset]:
    """Return the groups of a session with the stretches in which it was recorded.

    Parameters
    ----------
    source : Source
        The source of the file.
    groups : dict of str to Dataset
        Its nodes by path below the session.
    series : list of Series
        All series of the file.
    tables : sequence of str
        Paths of all tables of units.
    """
    more = []
    for signal in series:  # also of areas that the caller does not want
        if signal.is_units:
            clock: LazyArray = (
                RegularClock(*signal.clock, signal.size)
                if isinstance(signal.clock, tuple)
                else vectors.times(source, signal.clock)
            )
            more.append(Part(signal.path, clock, ordered=True))
    for table in tables:
        spikes = f"{table}/spike_times"
        info = vectors.list_info(source, spikes) if "spike_times" in source.names(table) else None
        if info is not None and len(info.shape) == 1 and info.dtype.kind in "iuf":
            more.append(Part(spikes, vectors.times(source, spikes)))
    has_spikes = "spike_times" in source.names("units")
    n_units = vectors.length(source, "units/spike_times_index") if has_spikes else None
    try:
        each = stretches_of_units(source, n_units or 0).reshape(-1, 2)
    except (FormatError, ValueError):
        return add_observed(groups, more=more, rows=_epochs(source))
    starts, stops = merged(each[np.isfinite(each[:, 0])])
    return add_observed(groups, more=more, rows=(starts, stops), epochs=False)


def _epochs(source: Source) -> tuple[LazyArray, LazyArray] | None:
    """Return starts and stops of the epochs of the file, in s, if it has any."""
    names = [f"{_EPOCHS}/{name}" for name in ("start_time", "stop_time")]
    for name in names:
        info = vectors.list_info(source, name)
        if info is None or len(info.shape) != 1 or info.dtype.kind not in "iuf":
            return None
    starts, stops = (vectors.times(source, name) for name in names)
    return (starts, stops) if starts.shape == stops.shape and starts.shape[0] <= _MOST else None
