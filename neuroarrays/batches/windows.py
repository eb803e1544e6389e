"""`SpikeWindowSamples`, a dataset of windows of spike counts from a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment import interpolation
from neuroarrays.alignment.bins import check_bin_width
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.base import Batch
from neuroarrays.batches.recorded import RecordedSamples
from neuroarrays.batches.target_checks import check_target
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.schema.given import choice
from neuroarrays.tree.columns import duration


class SpikeWindowSamples(RecordedSamples):
    """A dataset of windows of spike counts, which are binned when they are needed.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree, with a `spikes` node.
    length : float, s
        Length of a window.
    bin_width : float, s
        Width of a bin; its edges are those of `na.bin_spikes`.
    starts : (n,) float, s, optional
        Starts of the windows on the session clock, within the recorded time (default: one every
        `stride`).
    stride : float, s, optional
        Time from one start to the next (default: `length`).
    window : (float, float) or (n, 2) float, s, optional
        Stretches, such as a side of a split; windows are wholly within one (default: all the
        recorded time).
    series : sequence of str
        Signals of the recording to interpolate at the centres of bins: ``"running/speed"``. NaN
        where there are no data.
    dtype : {"uint8", "float32", "float16"}
        Dtype of the counts; series are float32.
    labels : bool
        Put `session`, `area` and `unit_id` into every batch.
    transform : callable, optional
        A function from batch to batch.

    Notes
    -----
    Windows are within the time in which all units of the area were recorded and are valid; outside
    of it a count of 0 would not mean silence. A batch is ``{"spike_data": (n, bins, unit),
    <series>: (n, bins), "time": (n,) float64}``: spikes per bin, series in their unit, and the
    starts in s. Sorted spikes are kept in memory, ten bytes each, once for all datasets of the
    process; workers that are not forked sort them again.

    Raises
    ------
    SchemaError
        If the area has no spikes.
    ValueError
        If no window fits, or a window of `starts` is not wholly within the time when all units were
        recorded.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> adn = tree["A2929-200711/adn"]
    >>> data = na.batches.SpikeWindowSamples(adn, 1.0, bin_width=0.02, window=(671, 700))
    >>> len(data), tuple(data.batch([0, 1])["spike_data"].shape)
    (29, (2, 50, 7))
    """

    def __init__(  # noqa: PLR0913
        self,
        area: xr.DataTree,
        length: float,
        bin_width: float = 0.02,
        starts: Any = None,
        *,
        stride: float | None = None,
        window: Any = None,
        series: Sequence[str] = (),
        dtype: str = "uint8",
        labels: bool = False,
        transform: Callable[[Batch], Batch] | None = None,
    ):
        choice(dtype, "dtype", ("uint8", "float32", "float16"))
        self.dtype = np.dtype(dtype)
        length = duration(length, "length")
        step = length if stride is None else duration(stride, "stride")
        extent = length, check_bin_width(bin_width), step
        super().__init__(area, extent, starts, window, labels, transform, ordered=False)
        self.series = {name: self._signal(area, name) for name in series}

    def _signal(self, area: xr.DataTree, name: str) -> fields.Field:
        """Return the field of a signal, interpolated at the centres of the bins of each window."""
        from neuroarrays.kernels import grid

        variable = name.rpartition("/")[2]
        array = gathering.find(area, name, of_recording=True)
        node = array.to_dataset(name=variable)
        offsets = grid.bin_centres(0.0, self.bins, self.bin_width)
        dims = (schema.PRESENTATION, schema.TIME)
        signal = interpolation.series_at(
            node, self.starts, offsets, None, None, dims, self.bin_width
        )
        lazy = array_of(signal[variable])
        return fields.LazyRows(lazy, 0, gathering.location(area, name))

    def _series(self, field: fields.Field, numbers: np.ndarray) -> np.ndarray:
        """Return a signal at the bins of windows, (n, bins) float32 in its unit."""
        values = np.empty((numbers.size, *field.shape[1:]), np.float32)
        field.rows(numbers, values)
        return values

    def unread(self) -> list[LazyArray]:
        return [array for signal in self.series.values() for array in signal.unread()]

    def shapes(self) -> dict[str, str]:
        counts = {schema.SPIKE_DATA: f"{(self.bins, len(self.trains.first))} {self.dtype}"}
        return counts | dict.fromkeys(self.series, f"{(self.bins,)} float32")

    def batch(self, indices: Sequence[int]) -> Batch:
        from neuroarrays.kernels import events

        rows = self._numbers(indices)
        shape = (rows.size, self.bins, self.slices.n_units)
        counted = self.buffers.get(shape, np.dtype(np.uint8))
        try:
            events.count_windows(self.slices, self.starts[rows], self.bin_width, counted)
        except OverflowError as error:
            msg = f"{self.location}: {schema.SPIKE_DATA}: {error}; take a smaller bin_width"
            raise OverflowError(msg) from error
        out = counted
        if self.dtype != counted.dtype:
            out = self.buffers.get(shape, self.dtype)
            out[...] = counted
        arrays = {schema.SPIKE_DATA: out}
        for name, field in self.series.items():
            values = self.buffers.get((rows.size, *field.shape[1:]), np.dtype(np.float32))
            field.rows(rows, values)
            check_target(self, name, values, partial(self._series, field))
            arrays[name] = values
        arrays[schema.TIME] = self.starts[rows]
        return self._finish(arrays)
