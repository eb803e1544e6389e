"""A signal with its sampling rate, its stretches without gaps, and its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, many, required
from neuroarrays.kernels.steps import HOLE, JITTER, even_step, has_mixed
from neuroarrays.lazy.arrays import LazyArray, array_of, wrap
from neuroarrays.lazy.computed import RegularClock, as_lazy
from neuroarrays.schema import given
from neuroarrays.tree.breaks import breaks
from neuroarrays.tree.columns import check_seconds, seconds

Signal = xr.DataArray | xr.Dataset | xr.DataTree


@dataclass(frozen=True, eq=False)
class Sampled:
    """A signal with the facts that its transformations need.

    Attributes
    ----------
    signal : (time, ...) DataArray
        Signal in any unit along `time` in s.
    rate : float, Hz
        Samples per second.
    stretches : (n, 2) int64
        The first sample of each valid stretch without a gap, and the sample after its last.
    """

    signal: xr.DataArray
    rate: float
    stretches: np.ndarray

    @property
    def name(self) -> str:
        """The name of the signal in an error."""
        return repr(self.signal.name or "the signal")

    @property
    def base(self) -> LazyArray:
        """The values (time, ...) in any unit."""
        return as_lazy(self.signal.variable)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of results: float32 for float32 and integers up to 16 bits, else float64."""
        return np.dtype(np.result_type(self.signal.dtype, np.float32))

    @property
    def longest(self) -> int:
        """Number of samples of the longest stretch."""
        return int(np.diff(self.stretches, axis=1).max(initial=0))

    def stamps(self, numbers: np.ndarray) -> np.ndarray:
        """Time stamps of the samples with these numbers, float64 in s; no others are read."""
        shape = np.shape(numbers)
        picked = xr.DataArray(np.ravel(numbers), dims=schema.TIME)
        clock = self.signal[schema.TIME].isel({schema.TIME: picked})
        return seconds(clock, "the clock").reshape(shape)

    def counts(self, times: np.ndarray) -> np.ndarray:
        """Tell which times are within a stretch, from its first to its last sample.

        Parameters
        ----------
        times : (...) float64, s
            Times on the session clock.
        """
        if not len(self.stretches):
            return np.zeros(np.shape(times), bool)
        bounds = self.stamps(self.stretches - [0, 1])
        bounds = bounds[np.argsort(bounds[:, 0], kind="stable")]
        rounding = 1e-6 / self.rate
        stretch = np.searchsorted(bounds[:, 0], times + rounding, side="right") - 1
        return np.asarray((stretch >= 0) & (times <= bounds[stretch, 1] + rounding))

    def chunked(self, variable: xr.Variable, sizes: dict[str, int]) -> xr.Variable:
        """Put a variable in dask chunks of these sizes, if the signal has chunks."""
        if self.signal.chunks is None:
            return variable
        along = dict(zip(self.signal.dims, self.signal.chunks, strict=True))
        return variable.chunk(
            {dim: sizes.get(str(dim), along.get(dim, -1)) for dim in variable.dims}
        )

    def result(
        self, lazy: LazyArray, attrs: dict[str, Any], name: str | None = None, drop: str = ""
    ) -> xr.DataArray:
        """Make a signal from a lazy array, with the labels and the chunks of this signal.

        Parameters
        ----------
        lazy : LazyArray
            Values (time, ...) of the same samples.
        attrs : dict
            More attributes; None removes one.
        name : str, optional
            Name of the result.
        drop : str
            A dimension that the result does not have.
        """
        dims = tuple(dim for dim in self.signal.dims if dim != drop)
        merged = {**self.signal.attrs, **attrs}
        variable = xr.Variable(dims, wrap(lazy), {k: v for k, v in merged.items() if v is not None})
        variable = self.chunked(variable, {})
        coords = {
            key: coord for key, coord in self.signal.coords.items() if set(coord.dims) <= set(dims)
        }
        # `xr.DataArray(variable, coords)` would copy the clock: 72 MB for an hour at 2,500 Hz.
        return xr.DataArray(variable, name=name or self.signal.name).assign_coords(coords)


def each(signal: Signal, transform: Callable[[xr.DataArray], Any]) -> Any:
    """Transform a signal, or each signal of a node.

    Parameters
    ----------
    signal : DataArray, Dataset or DataTree node
        Variables (time, ...) in any unit. If it is a node of a tree, the invalid times of its
        session are used.
    transform : callable
        A function of one DataArray, which has a coordinate `valid` if some of its time does not
        count.

    Returns
    -------
    DataArray or Dataset
        The result for the signal, or for each signal of the node by its name.

    Raises
    ------
    SchemaError
        If there are no numbers along time.
    """
    wanted = "signal: expected a variable or node along time, such as tree['session/LFP/LFP']"
    given.check(signal, xr.DataArray | xr.Dataset | xr.DataTree, wanted)
    if isinstance(signal, xr.DataArray):
        return transform(signal)
    node = signal.to_dataset() if isinstance(signal, xr.DataTree) else signal
    counting = _counting(signal, node) if isinstance(signal, xr.DataTree) else None
    names = [
        name
        for name, variable in node.data_vars.items()
        if variable.dims[:1] == (schema.TIME,)
        and variable.dtype.kind in "iuf"
        and name not in (schema.VALID, schema.BLOCK)
    ]
    if not names:
        msg = f"{wanted}; found {given.described(signal)}"
        raise SchemaError(msg)
    out = {}
    for name in names:
        array = node[name]
        for label in (schema.VALID, schema.BLOCK):
            if label in node.data_vars and node[label].dims == (schema.TIME,):
                array = array.assign_coords({label: node[label]})
        if counting is not None:
            array = array.assign_coords({schema.VALID: (schema.TIME, counting)})
        out[name] = transform(array)
    first = next(iter(out.values()))
    return xr.Dataset(out, attrs=node.attrs) if isinstance(first, xr.DataArray) else out


def _counting(tree: xr.DataTree, node: xr.Dataset) -> np.ndarray | None:
    """Which samples are not in an invalid time of their session; None if all are valid."""
    from neuroarrays.tree.invalid import cut_away, invalid_bins

    session = tree
    while session.parent is not None and session.parent.parent is not None:
        session = session.parent
    tables = session.children.get(schema.PRESENTATIONS)
    has = tables is not None and "invalid_times" in tables.children
    if not (has or len(cut_away(session))) or schema.TIME not in node.coords:
        return None
    clock = seconds(node[schema.TIME], "the clock")
    masks = invalid_bins(session, clock, np.nextafter(clock, np.inf))
    invalid = masks.get("")
    return None if invalid is None or not invalid.any() else ~invalid


def sampled(signal: xr.DataArray, purpose: str, regular: bool = True) -> Sampled:
    """Take a signal with its rate and stretches; refuse it if its clock is not regular.

    Parameters
    ----------
    signal : (time, ...) DataArray
        A signal in any unit, with `time` in seconds.
    purpose : str
        The function that needs the clock, for an error.
    regular : bool
        If True, the clock must be regular. If False, it may be missing, the rate is then NaN, and
        gaps in the clock do not end a stretch.

    Returns
    -------
    Sampled
        The signal on a clock in seconds, also if that of the signal is durations (timedelta64).

    Raises
    ------
    SchemaError
        If time is not its first dimension, it has too few samples or no numbers, or it is an angle.
    ValueError
        If its clock is missing or not regular; the message tells by how much.
    """
    name = check_numbers(signal)
    if "period" in signal.attrs:
        msg = (
            f"{name} is an angle (attribute period), which {purpose} does not take; give np.cos "
            "and "
            "np.sin of it, or delete the attribute if it never wraps around"
        )
        raise SchemaError(msg)
    if not regular:
        return Sampled(signal, np.nan, _valid_stretches(signal))
    size = signal.sizes[schema.TIME]
    if size < 2:
        msg = (
            f"{name} has {many(size, 'sample')}; expected at least 2, because {purpose} needs "
            "a sampling rate"
        )
        raise ValueError(msg)
    if schema.TIME not in signal.coords:
        msg = (
            f"{name} has no clock; expected a coordinate `time` in seconds, because {purpose} "
            "needs a sampling rate"
        )
        raise ValueError(msg)
    signal = _in_seconds(signal, name)
    rate = _rate(signal, name, purpose)
    return Sampled(signal, rate, _stretches(signal))


def regular(signal: xr.DataArray) -> Sampled | None:
    """A signal with its rate and stretches; None if its clock is not regular.

    Parameters
    ----------
    signal : (time, ...) DataArray
        A signal with a clock in seconds and at least 2 samples.
    """
    signal = _in_seconds(signal, repr(signal.name or "the signal"))
    try:
        rate = _rate(signal, "", "")
    except ValueError:
        return None
    return Sampled(signal, rate, _stretches(signal))


def outside(rows: np.ndarray, stretches: np.ndarray) -> np.ndarray:
    """Tell which samples are in none of the stretches.

    Parameters
    ----------
    rows : (n,) int64
        Numbers of samples.
    stretches : (stretch, 2) int64
        The first sample of each stretch and the sample after its last, in order.

    Returns
    -------
    (n,) bool
    """
    begun = np.searchsorted(stretches[:, 0], rows, side="right")
    ends = np.append(0, stretches[:, 1])  # no sample before the first stretch counts
    return np.asarray(rows >= ends[begun])


def check_numbers(signal: xr.DataArray) -> str:
    """Refuse anything but numbers along time; return the name of the signal for errors.

    Raises
    ------
    SchemaError
        If time is not its first dimension, or it holds no numbers.
    """
    name = repr(signal.name or "the signal")
    if signal.dims[:1] != (schema.TIME,):
        msg = f"{name} has dims {signal.dims}; expected time first"
        if schema.TIME in signal.dims:
            msg += ", as from signal.transpose('time', ...)"
        raise SchemaError(msg)
    if signal.dtype.kind not in "iufb":
        msg = f"{name} has dtype {signal.dtype}; expected numbers"
        raise SchemaError(msg)
    return name


def _in_seconds(signal: xr.DataArray, name: str) -> xr.DataArray:
    """The signal on a clock in seconds: durations are converted, other units refused."""
    clock = signal[schema.TIME]
    check_seconds(clock, f"the clock of {name}")
    if clock.dtype.kind == "m":
        return signal.assign_coords(
            {schema.TIME: (schema.TIME, seconds(clock, "the clock"), {"units": "s"})}
        )
    return signal


def _rate(signal: xr.DataArray, name: str, purpose: str) -> float:
    """Samples per second of a regular clock; gaps between stretches are not counted as steps."""
    clock = _regular(signal)
    if clock is not None:
        return clock.rate
    stamps = seconds(signal[schema.TIME], "the clock")
    even = even_step(stamps)
    if even is not None:
        return 1 / even
    if not np.isfinite(stamps).all():
        number = int((~np.isfinite(stamps)).sum())
        msg = f"{name}: {many(number, 'time stamp')} NaN in its clock; expected seconds"
        raise ValueError(msg)
    steps = np.diff(stamps)
    usual = float(np.median(steps))
    within = steps[(steps > 0) & (steps <= HOLE * usual)] if usual > 0 else steps[:0]
    step = float(within.mean()) if within.size else np.nan
    off = float(np.sqrt(np.mean((within - step) ** 2)) / step) if within.size else np.inf
    short = int((steps <= 0).sum())
    mixed = within.size > 0 and has_mixed(steps[steps > 0])
    if not off <= JITTER or mixed or short > 1 + 0.001 * steps.size:
        raise ValueError(_irregular(name, purpose, steps, usual, off))
    return 1 / step


def _irregular(name: str, purpose: str, steps: np.ndarray, usual: float, off: float) -> str:
    """Describe what is wrong with a clock, and what to do."""
    msg = (
        f"{name}: its clock is not regular: steps from {steps.min():.4g} to {steps.max():.4g} s, "
        f"median {usual:.4g} s"
    )
    if off > JITTER and np.isfinite(off):
        msg += f", {100 * off:.1f} % from the mean"
    if back := int((steps <= 0).sum()):
        msg += f"; {many(back, 'step')} of {steps.size} not forward"
    forwards = steps[steps > 0]
    if not forwards.size:
        return f"{msg}. {purpose} needs times in order: signal.sortby('time')"
    near = forwards[forwards < (HOLE + 1) * np.median(forwards)]
    rate = 1 / float(near.mean())
    return f"{msg}; {purpose} needs a regular clock, as from na.resample(signal, {rate:.4g})"


def _regular(signal: xr.DataArray) -> RegularClock | None:
    clock = array_of(signal[schema.TIME].variable)
    return clock if isinstance(clock, RegularClock) else None


def _stretches(signal: xr.DataArray) -> np.ndarray:
    """Stretches without a gap, a change of block, or invalid time."""
    labelled = {schema.VALID, schema.BLOCK} & set(signal.coords)
    if _regular(signal) is not None and not labelled:
        return np.array([[0, signal.sizes[schema.TIME]]], np.int64)
    first = np.flatnonzero(breaks(signal))
    ends = np.append(first[1:], signal.sizes[schema.TIME])
    rows = np.stack([first, ends], axis=1)
    if schema.VALID in signal.coords and signal[schema.VALID].dims == (schema.TIME,):
        rows = rows[np.asarray(signal[schema.VALID].values, bool)[first]]
    return rows


def _valid_stretches(signal: xr.DataArray) -> np.ndarray:
    """Stretches of valid samples, for any clock."""
    valid = np.ones(signal.sizes[schema.TIME], bool)
    if schema.VALID in signal.coords and signal[schema.VALID].dims == (schema.TIME,):
        valid = np.asarray(signal[schema.VALID].values, bool)
    changes = np.diff(np.concatenate([[False], valid, [False]]).astype(np.int8))
    return np.flatnonzero(changes).reshape(-1, 2).astype(np.int64)


def scipy_signal(purpose: str) -> Any:
    """The module `scipy.signal`.

    Raises
    ------
    MissingDependency
        If scipy is not installed.
    """
    return required("scipy.signal", "signals", purpose)
