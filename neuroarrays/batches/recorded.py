"""Windows of a recording: their possible starts, and their spikes."""

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
from neuroarrays.tree.observed import counted_time
from neuroarrays.tree.stretches import Stretches
from neuroarrays.tree.trains import Trains, trains_of

#: Windows that are looked at together.
_WINDOWS = 4096
#: Slices per second of spikes that are put in order: few spikes are in each.
_FINE = 512.0


class Spikes:
    """All spikes of an area by time, put in order at their first use.

    Parameters
    ----------
    trains : Trains
        Where they are.
    ordered : bool
        By time; otherwise by time slice, whatever their order inside one.
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
        """Let go of them; the next use puts them in order again."""
        with self._lock:
            self._slices = None

    def __reduce__(self) -> tuple[Any, tuple[Trains, bool]]:
        return spikes_of, (self.trains, self.ordered)


#: For all datasets of this process together: the sides of a split hold one copy.
_spikes: state.Shared[Spikes] = state.Shared(Spikes.forget)


def spikes_of(trains: Trains, ordered: bool) -> Spikes:
    """The spikes of an area by time; one object for all who ask for the same in this process."""
    # An array in memory is known by itself: whoever shares the object keeps it alive.
    name = id(trains.data) if isinstance(trains.data, np.ndarray) else repr(trains.key)
    key = f"{name} {hash(trains.first.tobytes())} {hash(trains.last.tobytes())} {ordered}"
    return _spikes.get_or_make(key, lambda: Spikes(trains, ordered))


class RecordedSamples(AreaSamples):
    """Windows of the spikes of an area of a recording.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree, with a `spikes` node.
    extent : (float, float, float), s
        Length of a window, width of the bins in it, and from one start to the next one's.
    starts, window
        As for `SpikeWindowSamples`.
    labels, transform
        As for `TrialSamples`.
    ordered : bool
        Whether the spikes have to be in order of time.
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
        if starts is None:  # `Jittered` moves windows about in their stretches
            turns = (
                np.flatnonzero(np.abs(np.diff(self.starts) - self.stride) > 0.5 * self.stride) + 1
            )
            #: Windows from one stretch's begin to the next one's.
            self.bounds = np.concatenate([[0], turns, [self.starts.size]])
            #: Windows to the next that does not overlap.
            self.step = int(np.ceil(length / self.stride - 1e-6))

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
                f"{self.location}: {(~whole).sum():,} of {whole.size:,} windows have time in which "
                f"not all units were recorded and valid; the first starts at "
                f"{begins[~whole][0]:g} s. A count of 0 there does not mean silence; leave "
                "these windows out, or "
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
    """The time that all units have in common."""
    each = list({id(stretches): stretches for stretches in observed}.values())
    shared = each[0] if each else Stretches(np.empty((0, 2)), False)
    for stretches in each[1:]:
        shared = stretches.within(shared.rows)
    return Stretches(shared.rows, all(stretches.from_data for stretches in each))
