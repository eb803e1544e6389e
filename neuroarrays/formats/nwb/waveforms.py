"""Columns of units in NWB with values of each spike, ragged once or twice: waveforms, amplitudes.

Waveforms are ragged twice. A first index tells which rows belong to one spike, a row for each electrode
of its unit. A second index, of the first one, tells which spikes belong to one unit. In the tree waveforms
are (spike, electrode, sample).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import columns, ragged
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.columns import Table
from neuroarrays.lazy.arrays import LazyArray, data_of, file_array
from neuroarrays.lazy.views import Blocks, Taken, sliced

#: Column of units in the NWB schema -> its dimensions after the first. Waveforms come before the
#: electrodes of a unit; if these differ in number, they get another dimension.
WAVEFORMS = "waveforms"
ELECTRODE, SAMPLE = "waveform_electrode", "waveform_sample"
COLUMNS = {
    WAVEFORMS: (ELECTRODE, SAMPLE),
    "waveform_mean": (SAMPLE, ELECTRODE),
    "waveform_sd": (SAMPLE, ELECTRODE),
    "electrodes": (ELECTRODE,),
}
#: When each sample of a waveform was, s: from the spike, or from its first sample.
SAMPLE_TIME = "waveform_time"
#: A waveform with more samples gets no times, because a damaged file may declare any size.
_MOST_SAMPLES = 1_000_000


def of_spikes(
    account: Account, table: Table, name: str, ends: np.ndarray
) -> tuple[LazyArray, dict[str, Any]] | None:
    """Return a ragged column with values of each spike, lazily; None if it has other rows.

    Parameters
    ----------
    account : Account
        The record of the file.
    table : Table
        The table of units.
    name : str
        Name of the column.
    ends : (unit,) int64
        One past the last spike of each unit.

    Returns
    -------
    (spike, ...) LazyArray
        Values in the order of the file, in the unit that it states. A column that is ragged twice is
        (spike, value, ...), with NaN where a spike has fewer values than others.
    dict
        Attributes of the column.

    Raises
    ------
    FormatError
        If an index is not valid.
    """
    source, path, levels = account.source, f"{table.path}/{name}", table.indexes[name]
    info = source.info(path)
    if info is None or not info.shape or info.dtype.kind not in "iuf" or len(levels) > 2:
        return None
    inner = levels[0] if len(levels) == 2 else path
    _, spikes = ragged.bounds(source, inner, levels[-1])
    if not np.array_equal(spikes, ends):
        return None
    array: LazyArray = file_array(source, path)
    if len(levels) == 2:
        starts, stops = ragged.bounds(source, path, levels[0])
        total = int(ends[-1]) if ends.size else 0
        ragged.past_the_end(account, inner, levels[-1], ends)
        array = _by_spike(source, path, array, starts[:total], stops[:total])
        ragged.past_the_end(account, path, levels[0], stops)
    return array, columns.description(source, path) | facts(source, path)


def _by_spike(
    source: Source, path: str, array: LazyArray, starts: np.ndarray, stops: np.ndarray
) -> LazyArray:
    """Return a column with the rows of each spike along the second axis: (spike, row of it, ...)."""
    sizes = stops - starts
    if sizes.size and sizes[0] and (sizes == sizes[0]).all():
        return Blocks(sliced(array, slice(0, int(stops[-1]))), int(sizes[0]))
    longest = int(sizes.max(initial=0))
    stored = int(np.prod(array.shape, dtype=object)) * array.dtype.itemsize
    ragged.check_padding(source, path, (sizes.size, longest, *array.shape[1:]), stored)
    source.check_rows(path, sizes.size * longest)  # the file may declare more values than it holds
    behind = np.arange(longest) >= sizes[:, None]
    return Taken(array, np.where(behind, -1, starts[:, None] + np.arange(longest)))


def facts(source: Source, path: str) -> dict[str, Any]:
    """Return the unit and the rate (Hz) of a column of waveforms as attributes."""
    unit = str(source.attr(path, "unit") or "")
    rate = source.attr(path, "sampling_rate")
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    stated = {"units": unit, "sampling_rate": rate if is_number else None}
    return {key: value for key, value in stated.items() if value}


def dims_of(name: str, shape: tuple[int, ...], sizes: dict[str, int]) -> tuple[str, ...]:
    """Return the dimensions of the further axes of a column: samples and electrodes, or numbered ones.

    Their sizes are added to `sizes`. A column whose sizes differ from those of another column gets other
    dimensions.
    """
    axes = (SAMPLE,) if name == WAVEFORMS and len(shape) == 2 else COLUMNS.get(name, ())
    pairs = dict(zip(axes, shape[1:], strict=False))
    if len(pairs) < len(shape) - 1 or any(sizes.get(k, n) != n for k, n in pairs.items()):
        return tuple(f"{columns.free(name)}_axis{axis}" for axis in range(1, len(shape)))
    sizes.update(pairs)
    return tuple(pairs)


def with_axes(
    source: Source, table: Table, read: dict[str, xr.Variable], sizes: dict[str, int]
) -> dict[str, xr.Variable]:
    """Return columns of units with named axes, and `waveform_time` in s if the rate is known."""
    labelled = dict(read)
    for name in (name for name in COLUMNS if name in read):
        variable = read[name]
        dims = (schema.UNIT, *dims_of(name, variable.shape, sizes))
        attrs = variable.attrs | facts(source, f"{table.path}/{name}")
        labelled[name] = xr.Variable(dims, data_of(variable), attrs)
    return labelled | _sample_times(source, table, sizes)


def _sample_times(source: Source, table: Table, sizes: dict[str, int]) -> dict[str, xr.Variable]:
    """Return the time of each sample of a waveform, (waveform_sample,) s; {} if no rate is known."""
    if sizes.get(SAMPLE, _MOST_SAMPLES + 1) > _MOST_SAMPLES:
        return {}
    for name in (name for name in COLUMNS if name in table.names):
        path = f"{table.path}/{name}"
        rate, before = (
            source.attr(path, key) for key in ("sampling_rate", "time_before_peak_in_ms")
        )
        if isinstance(rate, int | float) and 0 < rate < np.inf:
            is_stated = isinstance(before, int | float) and bool(np.isfinite(before))
            times = np.arange(sizes[SAMPLE]) / rate - (before / 1000 if is_stated else 0.0)
            since = "the peak of the spike" if is_stated else "the first sample of the waveform"
            attrs = {"units": "s", "long_name": f"time from {since}"}
            return {SAMPLE_TIME: xr.Variable(SAMPLE, times, attrs)}
    return {}
