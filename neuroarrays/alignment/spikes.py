"""Count spikes in bins, labelled and lazy: only what is indexed is counted.

`neuroarrays.kernels.counts` does the counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import Bins, check_bin_width, check_window, longest_duration
from neuroarrays.alignment.clocks import whole_clock
from neuroarrays.errors import NotInTree, option
from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.schema.given import yes_or_no
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.trains import Trains, spikes_node, trains_of

# ------------------------------------------------------------------------------ lazy counts


@dataclass(frozen=True, repr=False, eq=False)
class TrialCounts(LazyArray):
    """Counts of presentations x units x bins; only what is indexed is counted."""

    trains: Trains
    units: np.ndarray
    origins: np.ndarray
    limits: np.ndarray
    n_bins: int
    bin_width: float
    dtype: np.dtype
    binarize: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.origins.size, self.units.size, self.n_bins)

    def outer(self, key: Key) -> np.ndarray:
        from neuroarrays.kernels import counts

        rows, chosen, bins = key
        origins, limits = np.atleast_1d(self.origins[rows]), np.atleast_1d(self.limits[rows])
        units = np.atleast_1d(self.units[chosen])
        first, last = self.trains.first[units], self.trains.last[units]
        dtype = np.dtype("u4") if self.binarize else self.dtype
        times = self.trains.load(units)
        with _readable_overflow(self.dtype):
            counted = counts.count_trials(
                times, first, last, origins, limits, self.n_bins, self.bin_width, dtype
            )
        if self.binarize:
            counted = (counted > 0).astype(self.dtype)
        return outer.take(counted, (*outer.dropping_ints((rows, chosen)), bins))


#: The most bytes of counts that are made at once for `binarize`.
_AT_ONCE = 4 << 20


@dataclass(frozen=True, repr=False, eq=False)
class ClockCounts(LazyArray):
    """Counts of bins x units on one continuous clock."""

    trains: Trains
    units: np.ndarray
    origin: float
    n_bins: int
    bin_width: float
    dtype: np.dtype
    binarize: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n_bins, self.units.size)

    def outer(self, key: Key) -> np.ndarray:
        bins, chosen = key
        units = np.atleast_1d(self.units[chosen])
        wanted = np.arange(self.n_bins)[bins] if isinstance(bins, slice) else np.atleast_1d(bins)
        out = np.empty((wanted.size, units.size), self.dtype)
        if not out.size:
            return out[outer.dropping_ints(key)]
        times = self.trains.load(units)
        # Consecutive bins are counted together, other bins run by run.
        breaks = np.flatnonzero(np.diff(wanted) != 1) + 1
        for first, last in pairwise([0, *breaks.tolist(), wanted.size]):
            self._count(times, units, int(wanted[first]), out[first:last])
        return out[outer.dropping_ints(key)]

    def _count(self, times: np.ndarray, units: np.ndarray, start_bin: int, out: np.ndarray) -> None:
        """Count bins into an array (bin, unit), without another array of its size."""
        from neuroarrays.kernels import counts

        first, last = self.trains.first[units], self.trains.last[units]
        clock = (times, first, last, self.origin)
        with _readable_overflow(self.dtype):
            if not self.binarize:
                bins = (len(out), self.bin_width, self.dtype, out)
                counts.count_clock(*clock, *bins, start_bin=start_bin)
                return
            rows = max(1, _AT_ONCE // (4 * units.size))
            for low in range(0, len(out), rows):
                part = out[low : low + rows]
                begin = start_bin + low
                counted = counts.count_clock(
                    *clock, len(part), self.bin_width, "u4", start_bin=begin
                )
                np.greater(counted, 0, out=part, casting="unsafe")


@dataclass
class _readable_overflow:
    """Add to the error of a count that does not fit which dtype to ask for."""

    dtype: np.dtype
    wider: dict[int, str] = field(default_factory=lambda: {1: "uint16", 2: "uint32", 4: "uint64"})

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, OverflowError):
            ask = self.wider.get(self.dtype.itemsize, "uint64")
            msg = f"{error}; ask for {option('dtype', ask)} instead of {str(self.dtype)!r}"
            raise OverflowError(msg) from error


# ---------------------------------------------------------------------------------- labelled


def check_dtype(dtype: Any) -> np.dtype:
    """Check the dtype of counts, which is an integer."""
    try:
        kind: np.dtype = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "iu":
        msg = f"dtype={dtype!r}: counts are integers; expected e.g. 'uint8' or 'uint16'"
        raise ValueError(msg)
    return kind.newbyteorder("=")


def bin_spikes(
    spikes: xr.Dataset | xr.DataTree,
    starts: Any = None,
    bin_width: float = 0.02,
    window: Sequence[float] | None = None,
    *,
    stops: Any = None,
    units: Sequence[int] | None = None,
    dtype: Any = "uint8",
    binarize: bool = False,
) -> xr.DataArray:
    """Count spikes in bins, relative to onsets or on one continuous clock.

    Bins are half-open, ``[edge_k, edge_k+1)``. With ``rate = 1 / bin_width``, ``edge_k = start + k
    / rate`` if the rate is an integer, else ``start + k * bin_width``. A start that is on the bin
    grid of the session clock has the edges of that grid. The result is lazy: only what is indexed
    is counted.

    Parameters
    ----------
    spikes : Dataset or DataTree node
        A spikes node of a recording tree, ``spike_times (spike,)`` in seconds and ``row_size
        (unit_id,)``, the number of spikes of each unit; or its area.
    starts : (presentation_id,) array or DataArray, s, optional
        Onsets on the session clock; labels of a DataArray are kept. Without them the counts are on
        one continuous clock.
    bin_width : float, s
        Width of a bin.
    window : (float, float), s, optional
        With `starts`: start and stop relative to each onset (default: from the onset to the end of
        the longest presentation, which needs `stops`). Without: the part of the session clock to
        count (default: all the recorded time, see `align`; it does not depend on `units`).
    stops : (presentation_id,) array, s, optional
        Spikes at or after the stop of a presentation are not counted; NaN for no stop.
    units : list of int, optional
        Labels of the units to count (default: all). The spikes of others are not read.
    dtype : integer dtype
        Dtype of the counts. If a count does not fit, OverflowError names the dtype to ask for.
    binarize : bool
        If True, bins with any spike are 1, others 0.

    Returns
    -------
    xr.DataArray
        ``spike_data``, the spikes per bin: ``(presentation_id, unit_id, time)`` with `time`
        relative to onset, or ``(time, unit_id)`` with `time` on the session clock. `time` has the
        centres of the bins in seconds.

    Raises
    ------
    ValueError
        If a bin width, window, dtype or other option is not possible, or times are not in seconds.
    SchemaError
        If `spikes` is not a spikes node, or its units were selected by position.
    NotInTree
        If one of `units` does not exist.
    OverflowError
        When counts that do not fit `dtype` are read.

    Examples
    --------
    >>> import neuroarrays as na
    >>> spikes = na.load_sample()["A2929-200711/adn/spikes"]
    >>> na.bin_spikes(spikes, [700.0, 710.0], bin_width=0.05, window=(0, 0.25)).sizes
    Frozen({'presentation_id': 2, 'unit_id': 7, 'time': 5})
    """
    width, kind = check_bin_width(bin_width), check_dtype(dtype)
    yes_or_no(binarize=binarize)
    asked = None if window is None else check_window(window)
    spikes = spikes_node(spikes)
    node = spikes.to_dataset() if isinstance(spikes, xr.DataTree) else spikes
    session = spikes.parent and spikes.parent.parent if isinstance(spikes, xr.DataTree) else None
    coords: dict[Any, Any]
    if starts is None:
        bins = (
            Bins.within(asked, width) if asked else whole_clock("the spikes", session, width, node)
        )
        coords = {}
    else:
        onsets = seconds(starts, "starts")
        if onsets.ndim != 1:
            msg = f"starts has shape {onsets.shape}: expected one onset per presentation"
            raise ValueError(msg)
        limits = None if stops is None else seconds(stops, "stops")
        if limits is not None and limits.shape != onsets.shape:
            msg = f"stops has shape {limits.shape}, starts has {onsets.shape}: expected one each"
            raise ValueError(msg)
        window = asked or (0.0, longest_duration(onsets, limits))
        bins = Bins.within(window, width, onsets, limits)
        coords = _labels(starts)
    counts, labels = spike_counts(node, bins, kind, binarize, units=units)
    coords = labels | {schema.TIME: bins.axis} | coords
    return xr.DataArray(counts, coords, name=schema.SPIKE_DATA)


def spike_counts(
    spikes: xr.Dataset,
    bins: Bins,
    dtype: np.dtype,
    binarize: bool = False,
    *,
    units: Sequence[int] | None = None,
) -> tuple[xr.Variable, dict[Any, xr.Variable]]:
    """Count the spikes of a node in given bins, lazily, as `bin_spikes` does.

    Returns
    -------
    counts : lazy variable, spikes per bin
        ``(presentation_id, unit_id, time)`` or ``(time, unit_id)``.
    labels : dict of str to variable
        Coordinates of the units: one value for each unit, or one for all.
    """
    trains = trains_of(spikes)
    chosen = unit_positions(spikes, units)
    labels = {
        name: coord if coord.ndim == 0 or units is None else coord[chosen]
        for name, coord in spikes.coords.variables.items()
        if coord.dims in ((schema.UNIT,), ())
    }
    if schema.UNIT not in spikes.dims:  # one unit, selected by its label
        labels = {name: label.set_dims({schema.UNIT: 1}) for name, label in labels.items()}
    counts = counts_of(trains, chosen, bins, dtype, binarize)
    along = (schema.TIME, schema.UNIT)
    dims = along if bins.onsets is None else (schema.PRESENTATION, *along[::-1])
    variable = schema.var("area", schema.SPIKE_DATA, wrap(counts), dims, tree=schema.ALIGNED)
    return variable, labels


def counts_of(
    trains: Trains, units: np.ndarray, bins: Bins, dtype: np.dtype, binarize: bool
) -> TrialCounts | ClockCounts:
    """Make the lazy counts of spike trains in bins.

    Parameters
    ----------
    trains : Trains
        Spike times in s, one unit after the other.
    units : (unit,) int64
        Positions of the units to count.
    bins : Bins
        The bins to count in.
    dtype : integer dtype
        Dtype of the counts.
    binarize : bool
        If True, bins with any spike are 1, others 0.

    Returns
    -------
    LazyArray, spikes per bin
        Counts (presentation, unit, bin), or (bin, unit) on one clock.
    """
    if bins.onsets is None:
        return ClockCounts(trains, units, bins.start, bins.count, bins.width, dtype, binarize)
    origins = bins.onsets + bins.start
    return TrialCounts(trains, units, origins, bins.limits, bins.count, bins.width, dtype, binarize)


def _labels(starts: Any) -> dict[Any, xr.Variable]:
    """The labels of a DataArray of onsets, else 0, 1, 2, ..."""
    if isinstance(starts, xr.DataArray) and schema.PRESENTATION in starts.coords:
        return {k: c.variable for k, c in starts.coords.items() if c.dims == starts.dims}
    return {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, np.arange(len(starts)))}


def unit_positions(node: xr.Dataset, units: Sequence[int] | None) -> np.ndarray:
    """Positions of unit labels in a spikes node; None means all."""
    if units is None:
        return np.arange(node.variables[schema.ROW_SIZE].size)
    labels = np.asarray(units)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        msg = f"units={units!r:.60}: expected labels of units, such as [3, 7]"
        raise ValueError(msg)
    ids = np.atleast_1d(node.coords[schema.UNIT].values)
    position = {int(label): i for i, label in enumerate(ids)}
    for unit in units:
        if int(unit) not in position:
            raise NotInTree("unit", int(unit), ids.tolist())
    return np.array([position[int(unit)] for unit in units], np.int64)
