"""Windows counted from the raw spikes of a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment import interpolation
from neuroarrays.alignment.bins import check_bin_width
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.base import AreaSamples, Batch
from neuroarrays.errors import SchemaError
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.schema import given
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.observed import counting
from neuroarrays.tree.stretches import Stretches
from neuroarrays.tree.trains import Trains, trains_of

#: Windows that are looked at together.
_WINDOWS = 4096


class SpikeWindowSamples(AreaSamples):
    """Windows binned from raw spike trains as they are asked for.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree, with a `spikes` node.
    length : float, s
        Length of a window.
    bin_width : float, s
        Width of a bin; its edges are those of `na.bin_spikes`.
    starts : (n,) float, s, optional
        Starts of the windows on the session clock, anywhere in the time that was recorded. Every
        `stride` unless given.
    stride : float, s, optional
        From one start to the next one's; `length` unless given.
    window : (float, float) or (n, 2) float, s, optional
        Stretches that windows lie in entirely; all the time that was recorded unless given.
    series : sequence of str
        Signals of the recording to interpolate at the bins' centres: ``"running/speed"``. NaN
        where there are no data.
    dtype : {"uint8", "float32", "float16"}
        Of the counts; the series are float32.
    labels : bool
        Put `session`, `area` and `unit_id` into every batch.
    transform : callable, optional
        From batch to batch.

    Notes
    -----
    Windows lie in the time in which all units of the area were recorded and are to be trusted: no
    spike outside of it does not mean silence. A batch is ``{"spike_data": (n, bins, unit), <series>: (n, bins), "time": (n,) float64}``. The
    spikes are kept in memory in order of time, ten bytes each, and are put in that order again in
    every worker that is not forked.

    Raises
    ------
    SchemaError
        If the area has no spikes.
    ValueError
        If no window fits, or one of `starts` lies where not all units were recorded.
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
        from neuroarrays.kernels import grid

        where = gathering.location(area)
        if schema.SPIKES not in area.children:
            msg = f"{where} has no spikes node: {given.instead(area, 'spikes')}"
            raise SchemaError(msg)
        if dtype not in ("uint8", "float32", "float16"):
            msg = f"dtype={dtype!r}: expected 'uint8', 'float32' or 'float16'"
            raise ValueError(msg)
        node = area[schema.SPIKES].to_dataset()
        super().__init__(area, node, labels, transform)
        length = float(seconds(length, "length"))
        stride = length if stride is None else float(seconds(stride, "stride"))
        self.bin_width, self.dtype = check_bin_width(bin_width), np.dtype(dtype)
        self.bins = grid.bins_to_cover(length, self.bin_width)
        self.trains: Trains = trains_of(node)
        self._observed = _shared(counting(node, area.parent))
        self.starts = self._starts(starts, length, stride, window)
        self.series = {name: self._signal(area, name) for name in series}
        self._slices: Any = None

    def _starts(self, starts: Any, length: float, stride: float, window: Any) -> np.ndarray:
        shared = self._observed
        if starts is not None:
            begins = seconds(starts, "starts")
        else:
            spans = shared.rows if window is None else seconds(window, "window").reshape(-1, 2)
            if window is not None and not shared.from_data and len(spans):
                spans = Stretches(spans, False).within(shared.rows).rows
            slack = 1e-6 * self.bin_width
            begins = np.concatenate(
                [
                    a + stride * np.arange(np.floor((b - a - length + slack) / stride) + 1)
                    for a, b in spans
                    if b - a + slack >= length
                ]
                or [np.empty(0)]
            )
            begins = begins[self._whole(begins)]
        if begins.ndim != 1 or not begins.size or not np.isfinite(begins).all():
            low, high = shared.extent
            msg = (
                f"{self.location}: no window of {length:g} s (all units were recorded for "
                f"{shared.seconds:g} s from {low:.3f} to {high:.3f} s, window={window}, starts of "
                f"shape {begins.shape})"
            )
            raise ValueError(msg)
        if not (whole := self._whole(begins)).all():
            msg = (
                f"{self.location}: {(~whole).sum():,} of {whole.size:,} windows reach into time in which "
                f"not all units were recorded, or are to be trusted: the first starts at "
                f"{begins[~whole][0]:g} s. No spike there does not mean silence; leave them out, or "
                "choose units with na.select_units"
            )
            raise ValueError(msg)
        return begins

    def _whole(self, starts: np.ndarray) -> np.ndarray:
        """Whether all bins of windows lie in the time in which all units were recorded."""
        from neuroarrays.kernels import grid

        edges = grid.bin_edges(0.0, self.bins, self.bin_width)
        whole = np.zeros(starts.shape, bool)
        for low in range(0, len(starts), _WINDOWS):
            part = starts[low : low + _WINDOWS, None]
            inside = self._observed.hold(part + edges[:-1], part + edges[1:])
            whole[low : low + _WINDOWS] = inside.all(axis=1)
        return whole

    def _signal(self, area: xr.DataTree, name: str) -> fields.Field:
        from neuroarrays.kernels import grid

        variable = name.rpartition("/")[2]
        array = gathering.find(area, name)
        node = array.to_dataset(name=variable)
        offsets = grid.bin_centres(0.0, self.bins, self.bin_width)
        dims = (schema.PRESENTATION, schema.TIME)
        signal = interpolation.series_at(
            node, self.starts, offsets, None, None, dims, self.bin_width
        )
        lazy = array_of(signal[variable])
        return fields.LazyRows(lazy, 0, gathering.location(area, name))

    @property
    def slices(self) -> Any:
        """The spikes in order of time slice; see `neuroarrays.kernels.events`."""
        if self._slices is None:
            from neuroarrays.kernels import events

            times = self.trains.load(np.arange(self.trains.first.size))
            self._slices = events.slice_by_time(times, self.trains.first, self.trains.last)
        return self._slices

    def load(self) -> None:
        _ = self.slices

    def unread(self) -> list[LazyArray]:
        return [array for signal in self.series.values() for array in signal.unread()]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_slices": None}

    def __len__(self) -> int:
        return int(self.starts.size)

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
            arrays[name] = values
        arrays[schema.TIME] = self.starts[rows]
        return self._finish(arrays)


def _shared(observed: Sequence[Stretches]) -> Stretches:
    """The time that all units have in common."""
    each = list({id(stretches): stretches for stretches in observed}.values())
    shared = each[0] if each else Stretches(np.empty((0, 2)), False)
    for stretches in each[1:]:
        shared = stretches.within(shared.rows)
    return Stretches(shared.rows, all(stretches.from_data for stretches in each))
