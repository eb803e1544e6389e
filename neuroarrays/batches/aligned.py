"""Datasets of aligned trees: `TrialSamples` of presentations, and `ClipSamples` of windows of a clock."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.base import AreaSamples, Batch
from neuroarrays.batches.encoding import encoded
from neuroarrays.batches.labels import Labels, presentation_labels, unit_labels
from neuroarrays.batches.masks import masks_for, masks_of
from neuroarrays.batches.split_checks import check_rows
from neuroarrays.batches.target_checks import check_targets
from neuroarrays.lazy.arrays import LazyArray

#: A function that writes the rows, or clips, of a batch: it gets a field and the array to fill.
Gather = Callable[[fields.Field, np.ndarray], None]


class AlignedSamples(AreaSamples):
    """The base of `TrialSamples` and `ClipSamples`; `dim` is the dimension of samples or frames."""

    def __init__(  # noqa: PLR0913
        self,
        area: xr.DataTree,
        inputs: Sequence[str],
        targets: Sequence[str],
        dim: str,
        dtype: str | Mapping[str, str | None] | None,
        cache: bool | str,
        labels: bool,
        transform: Callable[[Batch], Batch] | None,
        encode: Mapping[str, Any] | None = None,
    ):
        super().__init__(area, area, labels, transform)
        names = gathering.names(inputs, targets)
        if not names:
            msg = f"{self.location}: no variables: give inputs= or targets="
            raise ValueError(msg)
        if isinstance(dtype, Mapping) and (unknown := [n for n in dtype if n not in names]):
            msg = f"dtype: {unknown[0]!r} is not among the variables {names}"
            raise ValueError(msg)
        self.targets = frozenset(targets)
        #: Labels of the units, such as ``neurons.layer`` and ``neurons.cell_motor_coordinates``.
        self.neurons: Labels = unit_labels(area)
        fields.check_cache(cache)
        codes = encoded(area, encode, names, dim)
        #: The labels of each encoded variable, in the order of their codes.
        self.encodings = {name: field.labels for name, field in codes.items()}
        self.fields = {n: codes.get(n) or gathering.field(area, n, dim, cache) for n in names}
        self.dtypes = {
            name: field.dtype if name in codes else gathering.dtype_of(area, name, field, dtype)
            for name, field in self.fields.items()
        }
        self.masks = masks_of(area, dim, self.location)
        self.dims = {n: (dim,) if n in codes else gathering.dims_of(area, n, dim) for n in names}
        #: The unit of measurement of each variable, as the file has it.
        self.units = {n: gathering.unit(area, n) for n in names if n not in codes}
        #: Names of the masks of each target whose dtype has NaN.
        self.masked = {
            name: masks_for(name, self.dims[name], self.masks)
            for name in self.targets
            if self.dtypes[name].kind == "f"
        }

    def load(self) -> None:
        for field in self._all_fields():
            field.load()

    def unread(self) -> list[LazyArray]:
        return [array for field in self._all_fields() for array in field.unread()]

    def _all_fields(self) -> list[fields.Field]:
        return [*self.fields.values(), *(mask.field for mask in self.masks.values())]

    def shapes(self) -> dict[str, str]:
        return {n: f"{f.shape[1:]} {self.dtypes[n]}" for n, f in self.fields.items()}

    def _values(self, name: str, lead: tuple[int, ...], gather: Gather) -> np.ndarray:
        """Return a variable in a batch, (*lead, ...), or OverflowError if its dtype cannot hold it."""
        field = self.fields[name]
        out = self.buffers.get((*lead, *field.shape[1:]), self.dtypes[name])
        stored = field.dtype.newbyteorder("=")
        if out.dtype.kind in "iu" and stored != out.dtype and stored.kind in "iu":
            wide = np.empty(out.shape, stored)
            gather(field, wide)
            fields.check_range(wide, out.dtype, f"{self.location}: {name}")
            out[...] = wide
        else:
            gather(field, out)
        return out

    def values(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return a variable at rows of the area, (n, ...) in its dtype, without applying masks."""
        return self._values(name, rows.shape, lambda field, out: field.rows(rows, out))

    def _masks(self, lead: tuple[int, ...], gather: Gather) -> dict[str, np.ndarray]:
        """Return the masks of a batch by name, (*lead, ...) bool each."""
        values = {}
        for name, mask in self.masks.items():
            values[name] = self.buffers.get((*lead, *mask.field.shape[1:]), np.dtype(bool))
            gather(mask.field, values[name])
        return values

    def _blank(self, name: str, out: np.ndarray, masks: Mapping[str, np.ndarray]) -> None:
        """Set a target to NaN where its masks say that it is not known."""
        for key in self.masked.get(name, ()):
            self.masks[key].blank(masks[key], out, self.dims[name])


class TrialSamples(AlignedSamples):
    """A dataset whose samples are presentations.

    Parameters
    ----------
    area : DataTree node or xr.Dataset
        An area of an aligned tree whose variables are along `presentation_id`.
    inputs, targets : sequence of str
        Variables: paths below the area (``"pupil/x"``), or names in the session above it
        (``"stimulus"``). Images along `image_id` are looked up by the `image_id` of each
        presentation.
    rows : (n,) int or (presentation_id,) bool, optional
        Positions of the presentations, or a mask, such as a side of a split (default: all).
    dtype : {"float32", "float16", "uint8", None} or mapping
        Dtype of all variables, or of each variable by name; None keeps the stored dtype.
    cache : {"auto", True, False}
        Keep variables in memory from the first batch on. "auto" keeps them while all datasets of
        the process together need less than `neuroarrays.batches.fields.CACHE_BYTES`. Counts are
        kept as events if that is smaller; repeated images are kept once. Datasets of a process
        share memory.
    labels : bool
        Put `session`, `area` and `unit_id` into every batch.
    transform : callable, optional
        A function from batch to batch, such as `Scaling`.
    encode : mapping of str to (sequence of str or True), optional
        Text columns of the presentations to encode as int64: the position of each text in a list of
        labels, or in the order of appearance (True); -1 for a missing text.

    Attributes
    ----------
    encodings : dict of str to list of str
        The labels of each encoded variable. Loaders keep them in their state.
    neurons : Labels
        Labels of the units, as attributes. The names in the files of SENSORIUM also work:
        ``neurons.cell_motor_coordinates``.
    trial_info : Labels
        Labels of the samples, in the same way: ``trial_info.tiers``.

    Notes
    -----
    A batch is ``{name: (n, ...)}``, with axes and units as in the tree, `presentation_id` ``(n,)``
    int64, and the masks of the area: `valid` ``(n, time)``, `valid_units` ``(n, unit_id, time)``,
    `withheld` and `behavior_withheld` ``(n,)``. Targets are NaN where their masks say so.

    Raises
    ------
    NotInTree
        If a variable does not exist.
    SchemaError
        If a variable is not along presentations, or there are no presentations.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.align(na.load_sample(), "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> ca1 = ripples["A2929-200711/ca1"]
    >>> data = na.batches.TrialSamples(ca1, ["spike_data"], ["duration"])
    >>> len(data)
    594
    >>> batch = data.batch([0, 5])
    >>> tuple(batch["spike_data"].shape), tuple(batch["duration"].shape)
    ((2, 8, 30), (2,))
    """

    chosen_by = ("rows",)

    def __init__(  # noqa: PLR0913
        self,
        area: xr.DataTree | xr.Dataset,
        inputs: Sequence[str],
        targets: Sequence[str] = (),
        rows: Any = None,
        *,
        dtype: str | Mapping[str, str | None] | None = "float32",
        cache: bool | str = "auto",
        labels: bool = False,
        transform: Callable[[Batch], Batch] | None = None,
        encode: Mapping[str, Any] | None = None,
    ):
        dim, node = schema.PRESENTATION, gathering.area_of(area)
        super().__init__(node, inputs, targets, dim, dtype, cache, labels, transform, encode)
        data = node.to_dataset()
        n = data.sizes.get(dim, 0)
        self.rows = check_rows(range(n) if rows is None else rows, n, f"{self.location}: rows")
        ids = data.variables[dim].values if dim in data.variables else np.arange(n)
        self.ids = np.asarray(ids, np.int64)
        self.trial_info: Labels = presentation_labels(node, self.rows)
        time = data.variables[schema.TIME].values if schema.TIME in data.variables else np.empty(0)
        self.clock = f"{time.size} bins from {time[0]:.6g} to {time[-1]:.6g} s" if time.size else ""

    @property
    def tiers(self) -> np.ndarray:
        """The tier of each sample, (n,) str."""
        return self.trial_info.tiers

    def __len__(self) -> int:
        return int(self.rows.size)

    def batch(self, indices: Sequence[int]) -> Batch:
        rows = self.rows[self._numbers(indices)]

        def gather(field: fields.Field, out: np.ndarray) -> None:
            field.rows(rows, out)

        arrays: dict[str, np.ndarray] = {}
        masks = self._masks(rows.shape, gather)
        for name in self.fields:
            out = self._values(name, rows.shape, gather)
            self._blank(name, out, masks)
            arrays[name] = out
        arrays |= masks
        check_targets(self, arrays)
        arrays[schema.PRESENTATION] = self.ids[rows]
        return self._finish(arrays)


class ClipSamples(AlignedSamples):
    """A dataset whose samples are windows of one clock.

    Parameters
    ----------
    area : DataTree node or xr.Dataset
        An area of an aligned tree on one continuous clock.
    inputs : sequence of str
        Variables: paths below the area (``"head_direction/ry"``), or names above it
        (``"stimulus"``).
    length : float, s
        Length of a window, a whole number of bins.
    targets : sequence of str
        Variables that are NaN where they are not valid.
    stride : float, s, optional
        Time from the start of a window to that of the next (default: `length`).
    window : (float, float) or (n, 2) float, s, optional
        Stretches of the clock, such as a side of a split; windows are wholly within one, by the
        time stamps of their frames (default: the whole clock).
    offsets : mapping of str to float, s, optional
        Delay of each variable: it is read this much later than the window.
    across_gaps : bool
        If True, windows may go over invalid bins, breaks of the clock and ends of a `block_id`. If
        False, these end a stretch.
    pad : bool
        If True, the rest of each stretch becomes a window too. After the end of the stretch `valid`
        is False and float variables are NaN.
    dtype, cache, labels, transform, encode
        As for `TrialSamples`; encoded texts are along `time`.

    Notes
    -----
    A batch is ``{name: (n, bins, ...)}`` in the units of the tree, with the starts of windows as
    `time` ``(n,)`` float64 in s, `valid` ``(n, bins)`` if the area has it or `pad` is True, and
    `valid_units` ``(n, bins, unit_id)`` if the area has it.

    Raises
    ------
    NotInTree
        If a variable does not exist.
    SchemaError
        If a variable is not along `time`, or is on another clock.
    ValueError
        If no window fits.

    Examples
    --------
    >>> import neuroarrays as na
    >>> clock = na.align(na.load_sample(), bin_width=0.1, window=(671, 900))
    >>> adn = clock["A2929-200711/adn"]
    >>> data = na.batches.ClipSamples(adn, ["spike_data"], 1.0, ["head_direction/ry"])
    >>> tuple(data.batch([0, 1])["spike_data"].shape)
    (2, 10, 7)
    """

    chosen_by = ("low", "high", "stride", "shifts")

    def __init__(  # noqa: PLR0913
        self,
        area: xr.DataTree | xr.Dataset,
        inputs: Sequence[str],
        length: float,
        targets: Sequence[str] = (),
        *,
        stride: float | None = None,
        window: Any = None,
        offsets: Mapping[str, float] | None = None,
        across_gaps: bool = False,
        pad: bool = False,
        dtype: str | Mapping[str, str | None] | None = "float32",
        cache: bool | str = "auto",
        labels: bool = False,
        transform: Callable[[Batch], Batch] | None = None,
        encode: Mapping[str, Any] | None = None,
    ):
        names, node = gathering.names(inputs, targets), gathering.area_of(area)
        stamps, width, begins = gathering.clock(node, names)
        dim = schema.TIME
        super().__init__(node, inputs, targets, dim, dtype, cache, labels, transform, encode)
        self.bins = gathering.bins_of("length", length, width)
        self.stride = self.bins if stride is None else gathering.bins_of("stride", stride, width)
        self.clock = f"{self.bins} bins of {width:.6g} s"
        if self.bins < 1 or self.stride < 1:
            msg = f"length={length!r}, stride={stride!r}: expected at least one bin of {width:g} s"
            raise ValueError(msg)
        self.time, later = begins, dict(offsets or {})
        if unknown := [name for name in later if name not in names]:
            msg = f"offsets: {unknown[0]!r} is not among the variables {names}"
            raise ValueError(msg)
        self.shifts = {
            n: gathering.bins_of(f"offsets of {n}", later.get(n, 0.0), width) for n in names
        }
        self.pad = pad
        stretches = gathering.stretches(node, stamps, width, window, across_gaps)
        self._windows(stretches, length, window)

    def _windows(self, stretches: np.ndarray, length: float, window: Any) -> None:
        """Place the windows in all stretches, (n, 2) int64 frames, and number them one after another."""
        early, late = min(0, *self.shifts.values()), max(0, *self.shifts.values())
        low, high = stretches[:, 0] - early, stretches[:, 1] - late
        spare = 0 if self.pad else self.bins - 1
        counts = np.maximum(0, -(-(high - low - spare) // self.stride))
        if self.pad:  # there is one more window, unless the last whole one reaches the end
            whole = np.maximum(0, (high - low - self.bins) // self.stride + 1)
            reached = (whole > 0) & ((whole - 1) * self.stride + self.bins >= high - low)
            counts = np.where(high > low, whole + ~reached, 0)
        low, high, counts = low[counts > 0], high[counts > 0], counts[counts > 0]
        if counts.size == 0:
            longest = max((stretches[:, 1] - stretches[:, 0]).max(initial=0), 0)
            step = length / self.bins
            span = (
                f"{self.time[0]:g} to {self.time[-1] + step:g} s" if self.time.size else "nothing"
            )
            msg = (
                f"{self.location}: no window of {length:g} s fits into "
                f"{'the clock' if window is None else np.asarray(window).tolist()}: the longest "
                f"stretch without a gap has {longest * step:g} s, the clock spans {span} "
                f"({', '.join(self.fields)})"
            )
            raise ValueError(msg)
        #: Number of the first window of each stretch, then the number of windows: (stretch + 1,).
        self.bounds = np.concatenate([[0], np.cumsum(counts)])
        #: First frame of each stretch, and the frame after its last one: (stretch,) int64 each.
        self.low, self.high = low, high
        #: Number of windows from one window to the first one after it that does not overlap it.
        self.step = -(-self.bins // self.stride)

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def shapes(self) -> dict[str, str]:
        return {n: f"{(self.bins, *f.shape[1:])} {self.dtypes[n]}" for n, f in self.fields.items()}

    def batch(self, indices: Sequence[int]) -> Batch:
        starts, ends = self.spans(indices)
        lead = starts.size, self.bins
        masks = self._masks(lead, partial(gathering.write_clips, starts, ends))
        arrays: dict[str, np.ndarray] = {}
        for name in self.fields:
            shift = self.shifts[name]
            gather = partial(gathering.write_clips, starts + shift, ends + shift)
            out = self._values(name, lead, gather)
            self._blank(name, out, self._masks(lead, gather) if shift else masks)
            arrays[name] = out
        if self.pad and schema.VALID not in masks:
            masks[schema.VALID] = starts[:, None] + np.arange(self.bins) < ends[:, None]
        arrays |= masks
        check_targets(self, arrays)
        arrays[schema.TIME] = self.time[starts]
        return self._finish(arrays)

    def spans(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first frame of each window, and the frame after its last, (n,) int64 each."""
        numbers = self._numbers(indices)
        stretch = np.searchsorted(self.bounds, numbers, side="right") - 1
        starts = self.low[stretch] + (numbers - self.bounds[stretch]) * self.stride
        return starts, np.minimum(starts + self.bins, self.high[stretch])

    def frames(self) -> ClipSamples:
        """Return a dataset in which each frame of the clock is a window, without labels and transform."""
        single_frames = copy.copy(self)
        single_frames.bins = single_frames.stride = single_frames.step = 1
        single_frames.low, single_frames.high = np.array([0]), np.array([self.time.size])
        single_frames.bounds = np.array([0, self.time.size])
        single_frames.shifts = dict.fromkeys(self.fields, 0)
        single_frames.pad, single_frames.labels, single_frames.transform = False, False, None
        return single_frames
