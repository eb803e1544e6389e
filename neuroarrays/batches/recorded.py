"""The base of datasets of windows of a recording: the starts of windows, and the spikes by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import gathering
from neuroarrays.batches.base import AreaSamples, Batch
from neuroarrays.errors import SchemaError
from neuroarrays.files import state
from neuroarrays.schema import given
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.counted import counted_time
from neuroarrays.tree.stretches import Stretches
from neuroarrays.tree.trains import Trains, trains_of

#: Number of windows that are checked together.
_WINDOWS = 4096
#: Time slices per second for spikes that are sorted by time, so that each slice has few spikes.
_FINE = 512.0


class Spikes:
    """All spikes of an area, which are sorted by time at their first use.

    Parameters
    ----------
    trains : Trains
        The spike trains of the area.
    ordered : bool
        If True, spikes are sorted by time; if False, they are only grouped by time slice.
    """

    def __init__(self, trains: Trains, ordered: bool):
        self.trains, self.ordered = trains, ordered
        self._slices: Any = None
        self._lock = state.Lock()

    @property
    def slices(self) -> Any:
        """The spikes; see `neuroarrays.kernels.events.Slices`."""
        from neuroarrays.kernels import events, tokens

        with self._lock:
            if self._slices is None:
                trains = self.trains
                times = trains.load(np.arange(trains.first.size))
                if self.ordered:
                    slices = events.slice_by_time(times, trains.first, trains.last, _FINE)
                    self._slices = tokens.in_order(slices)
                else:
                    self._slices = events.slice_by_time(times, trains.first, trains.last)
            return self._slices

    def forget(self) -> None:
        """Drop the sorted spikes; the next use sorts them again."""
        with self._lock:
            self._slices = None

    def __reduce__(self) -> tuple[Any, tuple[Trains, bool]]:
        return spikes_of, (self.trains, self.ordered)


#: The spikes of all datasets of this process, so that the sides of a split share one copy.
_spikes: state.Shared[Spikes] = state.Shared(Spikes.forget)


def spikes_of(trains: Trains, ordered: bool) -> Spikes:
    """Return the spikes of an area by time; all datasets of a process share them."""
    # An array in memory is identified by its id, because the shared object keeps it alive.
    name = id(trains.data) if isinstance(trains.data, np.ndarray) else repr(trains.key)
    key = f"{name} {hash(trains.first.tobytes())} {hash(trains.last.tobytes())} {ordered}"
    return _spikes.get_or_make(key, lambda: Spikes(trains, ordered))


class RecordedSamples(AreaSamples):
    """A dataset of windows of a recording, with the spikes of one area.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree, with a `spikes` node.
    extent : (float, float, float), s
        Length of a window, width of its bins, and time from one start to the next.
    starts, window
        As for `SpikeWindowSamples`.
    labels, transform
        As for `TrialSamples`.
    ordered : bool
        Whether the spikes must be sorted by time.
    """

    chosen_by = ("starts", "bins", "bin_width")

    def __init__(
        self,
        area: xr.DataTree,
        extent: tuple[float, float, float],
        starts: Any,
        window: Any,
        labels: bool,
        transform: Callable[[Batch], Batch] | None,
        ordered: bool,
    ):
        from neuroarrays.kernels import grid

        where = gathering.location(area)
        if schema.SPIKES not in area.children:
            msg = f"{where} has no spikes node: {given.instead(area, 'spikes')}"
            raise SchemaError(msg)
        node = area[schema.SPIKES].to_dataset()
        super().__init__(area, node, labels, transform)
        length, self.bin_width, self.stride = extent
        self.bins = grid.bins_to_cover(length, self.bin_width)
        self.trains: Trains = trains_of(node)
        self._spikes = spikes_of(self.trains, ordered)
        self._observed = _shared(counted_time(node, area.parent))
        self.starts = self._starts(starts, length, self.stride, window)
        if starts is None:  # these attributes are for `Jittered`, which shifts windows in stretches
            is_break = np.abs(np.diff(self.starts) - self.stride) > 0.5 * self.stride
            first = np.flatnonzero(is_break) + 1
            #: Number of the first window of each stretch, then the number of windows.
            self.bounds = np.concatenate([[0], first, [self.starts.size]])
            #: Number of windows from one window to the first one after it that does not overlap it.
            self.step = int(np.ceil(length / self.stride - 1e-6))

    def _starts(self, starts: Any, length: float, stride: float, window: Any) -> np.ndarray:
        """Return the starts of windows, (n,) float64 in s, as given or one every `stride`.

        Raises
        ------
        ValueError
            If there is no window, or a given one has time in which not all units were recorded.
        """
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
                f"{self.location}: {(~whole).sum():,} of {whole.size:,} windows have time in which "
                f"not all units were recorded and valid; the first starts at "
                f"{begins[~whole][0]:g} s. A count of 0 there does not mean silence; leave these "
                "windows out, or choose units with na.select_units"
            )
            raise ValueError(msg)
        return begins

    def _whole(self, starts: np.ndarray) -> np.ndarray:
        """Return whether all bins of each window lie in the time when all units were recorded."""
        from neuroarrays.kernels import grid

        edges = grid.bin_edges(0.0, self.bins, self.bin_width)
        whole = np.zeros(starts.shape, bool)
        for low in range(0, len(starts), _WINDOWS):
            part = starts[low : low + _WINDOWS, None]
            inside = self._observed.covers(part + edges[:-1], part + edges[1:])
            whole[low : low + _WINDOWS] = inside.all(axis=1)
        return whole

    @property
    def slices(self) -> Any:
        """The spikes by time; see `neuroarrays.kernels.events.Slices`."""
        return self._spikes.slices

    def load(self) -> None:
        _ = self.slices

    def __len__(self) -> int:
        return int(self.starts.size)


def _shared(observed: Sequence[Stretches]) -> Stretches:
    """Return the time in which all units were recorded, from the stretches of each unit."""
    distinct = list({id(stretches): stretches for stretches in observed}.values())
    shared = distinct[0] if distinct else Stretches(np.empty((0, 2)), False)
    for stretches in distinct[1:]:
        shared = stretches.within(shared.rows)
    return Stretches(shared.rows, all(stretches.from_data for stretches in distinct))
