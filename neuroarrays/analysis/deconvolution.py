"""`deconvolve`: events from fluorescence, with OASIS, a threshold, or DRIADA's wavelets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Unpack
from uuid import uuid4

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.errors import NotInTree, SchemaError, required, warn
from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.lazy.arrays import LazyArray, cached
from neuroarrays.schema.given import check
from neuroarrays.tree.breaks import breaks, step

#: Time constant -> its label along units and its attribute (by DRIADA) in files, in s.
_LABELS = {"rise": "t_rise", "decay": "t_off"}
_ATTRIBUTES = {"rise": "t_rise_sec", "decay": "t_off_sec"}
_RISE = 0.25  # rise in s of the threshold method if it is not known
#: The fewest frames of a stretch (a shorter one is NaN), and the most bytes of traces read at once.
_SHORTEST, _BLOCK = 5, 64 << 20
_CLEAR = 3.0  # standard deviations above the autocorrelation of white noise that show a decay


@over_areas("traces", apart=True)
def deconvolve(
    responses: xr.DataArray | xr.DataTree | xr.Dataset,
    method: str = "oasis",
    *,
    rise: float | None = None,
    decay: float | None = None,
    threshold: float = 4.0,
    **over: Unpack[Over],
) -> xr.DataArray | xr.DataTree:
    """Estimate events from fluorescence, lazily: only the units that are read are computed.

    Parameters
    ----------
    responses : (time, unit_id) DataArray, or an area with `responses`
        Fluorescence in any unit. Frames that are NaN, gaps in the clock, changes of `block_id`, and
        frames of an area that are False in `valid` or `valid_units` are gaps.
    method : {"oasis", "threshold", "wavelet"}
        "oasis": non-negative deconvolution by the package oasis-deconv (GPL-3; Friedrich, Zhou and
        Paninski 2017). "threshold": upward steps of more than `threshold` deviations of the noise.
        "wavelet": the method of the installed package DRIADA.
    rise, decay : float, s, optional
        Time constants of the indicator (default: those of the file, in the labels `t_rise` and
        `t_off` of the units or in DRIADA's attributes `t_rise_sec` and `t_off_sec`).
    threshold : float
        Threshold of the threshold method, in deviations of the noise.

    Returns
    -------
    (time, unit_id) float DataArray, named "responses"
        Events; NaN in gaps and in stretches below 5 frames ("threshold": below twice the rise).

    Raises
    ------
    MissingDependency
        If the package of the method is not installed.
    SchemaError
        If the method needs the sampling rate and there is no clock, or the clock goes backwards.
    ValueError
        If a number is not possible.

    Warns
    -----
    UserWarning
        If the decay of a unit must be estimated and its trace shows none (its autocorrelation is
        that of white noise). Its events are then NaN.

    Notes
    -----
    Stretches between gaps are deconvolved separately. Noise, decay and baseline are estimated once
    for each unit, from all its frames.

    ``oasis``: amplitudes per frame in the unit of the responses, from
    ``oasis.functions.deconvolve``. With a decay and no rise, an event is a jump followed by an
    exponential decay (AR(1)). With both, it is ``(1 - exp(-t / rise)) exp(-t / decay)``, as in
    DRIADA (AR(2)). Without a decay, AR(1) is estimated from the autocovariance of the trace.

    ``threshold``: an event is where the difference between the means of the next and of the last
    `rise` seconds (default: 0.25) has a local maximum above `threshold` times 1.4826 times the
    median absolute deviation of these differences. Its amplitude is the difference.

    ``wavelet``: 1.0 during an event, which lasts 0.5 to 2.5 s, with DRIADA's parameters for the
    sampling rate. DRIADA scales each stretch to the range 0 to 1.

    Examples
    --------
    >>> import numpy as np, xarray as xr, neuroarrays as na
    >>> trace = np.zeros((100, 1))
    >>> trace[40:] = np.exp(-np.arange(60) / 20)[:, None]
    >>> noisy = trace + np.random.default_rng(0).normal(0, 0.02, trace.shape)
    >>> time = np.arange(100) / 20
    >>> calcium = xr.DataArray(noisy, {"time": time, "unit_id": [7]}, ("time", "unit_id"))
    >>> events = na.deconvolve(calcium, "threshold")
    >>> events.time[events.sel(unit_id=7).fillna(0).values > 0].values
    array([2.])
    """
    if method not in METHODS:
        msg = f"method={method!r}: expected one of {', '.join(map(repr, METHODS))}"
        raise ValueError(msg)
    for name, value in (("rise", rise), ("decay", decay), ("threshold", threshold)):
        if value is not None and not (np.isfinite(value) and value > 0):
            msg = f"{name}={value!r}: expected a finite number above 0"
            raise ValueError(msg)
    array, masks, attrs = _parts(responses)
    rate, breaks = _clock(array, responses)
    given = {"rise": rise, "decay": decay}
    constants = {name: _constants(array, attrs, name, value) for name, value in given.items()}
    METHODS[method].check(rate, constants)
    stored = array.dtype
    lazy = Deconvolved(
        traces=array.variable,
        units=array[schema.UNIT].values,
        masks=masks,
        breaks=breaks,
        method=method,
        rate=rate,
        **constants,
        threshold=float(threshold),
        dtype=stored if stored.kind == "f" and stored.itemsize >= 4 else np.dtype("f8"),
        key=uuid4().hex,
    )
    units = "1" if method == "wavelet" else array.attrs.get("units")
    labels = {"long_name": "deconvolved events", "method": method, "units": units}
    events = lazy.variable((schema.TIME, schema.UNIT), {k: v for k, v in labels.items() if v})
    return xr.DataArray(events, array.coords, name=schema.RESPONSES)


def _parts(
    responses: xr.DataArray | xr.DataTree | xr.Dataset,
) -> tuple[xr.DataArray, tuple[xr.Variable, ...], Mapping[Any, Any]]:
    """The traces, the masks of their frames, and the time constants of the file."""
    if isinstance(responses, xr.DataArray):
        array, masks, attrs = responses, [], dict(responses.attrs)
    else:
        wanted = "expected traces (time, unit_id), or the node that has them as responses"
        check(responses, xr.DataTree | xr.Dataset, wanted)
        node = responses.to_dataset() if isinstance(responses, xr.DataTree) else responses
        if schema.RESPONSES not in node:
            known = [name for name, v in node.data_vars.items() if schema.UNIT in v.dims]
            raise NotInTree("variable", schema.RESPONSES, known, _NO_RESPONSES)
        array = node[schema.RESPONSES]
        masks = [node[name].variable for name in (schema.VALID, schema.VALID_UNITS) if name in node]
        attrs = {}
        for above in reversed(responses.parents) if isinstance(responses, xr.DataTree) else ():
            attrs |= above.attrs
        attrs |= {**node.attrs, **array.attrs}
    if array.dims != (schema.TIME, schema.UNIT):
        msg = f"{array.name!r} has dims {array.dims}; expected (time, unit_id) on one clock"
        raise SchemaError(msg)
    return array, tuple(masks), attrs


def _clock(array: xr.DataArray, area: Any) -> tuple[float | None, np.ndarray]:
    """Frames per second (None without a clock), and the frames before which the clock breaks."""
    starts = np.flatnonzero(breaks(area)[1:]) + 1
    if schema.TIME not in array.coords or array.sizes[schema.TIME] < 2:
        return None, starts
    clock = array[schema.TIME]
    if not (np.diff(clock.values) > 0).all():
        msg = f"the time of {array.name!r} does not always increase; sort it first: .sortby('time')"
        raise SchemaError(msg)
    return 1 / step(clock), starts


def _constants(
    array: xr.DataArray, attrs: Mapping[Any, Any], name: str, given: float | None
) -> np.ndarray:
    """A time constant of each unit in s: the option, else that of the file, else NaN."""
    n, label = array.sizes[schema.UNIT], _LABELS[name]
    if given is not None:
        return np.full(n, float(given))
    stated = attrs.get(_ATTRIBUTES[name])
    stated = stated if isinstance(stated, int | float) and stated > 0 else np.nan
    values = np.full(n, float(stated))
    if label in array.coords and array[label].dims == (schema.UNIT,):
        of_units = array[label].values.astype(float)
        values = np.where(of_units > 0, of_units, values)
    return values


@dataclass(frozen=True, repr=False, eq=False)
class Deconvolved(LazyArray):
    """Events of units, computed when they are read, and kept."""

    traces: xr.Variable
    units: np.ndarray
    masks: tuple[xr.Variable, ...]
    breaks: np.ndarray
    method: str
    rate: float | None
    rise: np.ndarray
    decay: np.ndarray
    threshold: float
    dtype: np.dtype
    key: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.traces.shape

    def outer(self, key: Key) -> np.ndarray:
        k, unit_key = key
        frames = self.shape[0]
        units = np.atleast_1d(np.arange(self.shape[1])[unit_key])
        events = np.empty((np.arange(frames)[k].size, units.size), self.dtype)
        block = max(1, _BLOCK // (8 * max(frames, 1)))
        for first in range(0, units.size, block):
            part = units[first : first + block]
            read = cache(lambda part=part: self._usable(part))
            for i, unit in enumerate(part.tolist()):
                load = lambda i=i, unit=unit, read=read: (self._events(read()[:, i], unit),)  # noqa: E731
                events[:, first + i] = cached((self.key, unit), load)[0][k]
        return events[outer.dropping_ints(key)]

    def _usable(self, units: np.ndarray) -> np.ndarray:
        """Traces of some units; NaN where a mask is False."""
        traces = np.asarray(self.traces[:, units].values)
        for mask in self.masks:
            good = mask[:, units].values if mask.ndim > 1 else mask.values[:, None]
            traces = np.where(good, traces, np.nan)
        return traces

    def _events(self, trace: np.ndarray, unit: int) -> np.ndarray:
        trace = trace.astype(np.float64)
        out = np.full(trace.size, np.nan, self.dtype)
        stretches = self._stretches(np.isfinite(trace))
        if not stretches:
            return out
        rise, decay = float(self.rise[unit]), float(self.decay[unit])
        settings = UnitSettings(self.rate, rise, decay, self.threshold)
        parts = METHODS[self.method].run([trace[part] for part in stretches], settings)
        if parts is None:
            warn(
                f"the trace of unit {self.units[unit]} does not show how fast it decays: its "
                "events "
                "are NaN; give decay= in seconds, or leave the unit out"
            )
            return out
        for part, events in zip(stretches, parts, strict=True):
            out[part] = events
        return out

    def _stretches(self, good: np.ndarray) -> list[slice]:
        """The stretches of frames between gaps and jumps of the clock."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], good, [0]])))
        stretches = []
        for a, b in edges.reshape(-1, 2):
            inside = self.breaks[(a < self.breaks) & (self.breaks < b)]
            stretches += [slice(int(p), int(q)) for p, q in pairwise([a, *inside, b])]
        return [part for part in stretches if part.stop - part.start >= _SHORTEST]

    def depends(self) -> tuple[Any, ...]:
        from dask.base import normalize_token

        arrays = [normalize_token(array) for array in (self.traces, *self.masks)]
        return (arrays, self.breaks, self.rise, self.decay, self.method, self.rate, self.threshold)


@dataclass(frozen=True)
class UnitSettings:
    """Frames per second, time constants of a unit (s, NaN if unknown), noise deviation."""

    rate: float | None
    rise: float
    decay: float
    threshold: float


@dataclass(frozen=True)
class Method:
    """A method to find events.

    Attributes
    ----------
    run : callable
        Function that gives the events of the stretches of one trace; None if they are not known.
    check : callable
        Function that raises an error if a package or a number is missing.
    """

    run: Callable[[list[np.ndarray], UnitSettings], list[np.ndarray] | None]
    check: Callable[[float | None, Mapping[str, np.ndarray]], None]


def _oasis() -> Any:
    return required("oasis.functions", "deconvolve", "method='oasis'", package="oasis-deconv")


def _check_oasis(rate: float | None, constants: Mapping[str, np.ndarray]) -> None:
    _oasis()
    if rate is None and not np.isnan(constants["decay"]).all():
        raise SchemaError(_NO_RATE)
    rise, decay = constants["rise"], constants["decay"]
    alone = int((~np.isnan(rise) & np.isnan(decay)).sum())
    if alone:
        msg = f"{alone} units have a rise and no decay: give decay= too, in seconds"
        raise ValueError(msg)


def _run_oasis(stretches: list[np.ndarray], settings: UnitSettings) -> list[np.ndarray] | None:
    functions, joined = _oasis(), np.concatenate(stretches)
    rate = settings.rate or 1.0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nperseg")  # for traces with fewer than 256 frames
        if np.isnan(settings.decay):
            decay, rise, noise = *_estimated(functions, joined, rate), functions.GetSn(joined)
            if np.isnan(decay):
                return None
        else:
            decay, noise = settings.decay, functions.GetSn(joined)
            rise = np.nan_to_num(settings.rise * decay / (settings.rise + decay))
        model = {"tau_d": decay, "tau_r": rise, "framerate": rate, "sn": noise}
        whole = functions.deconvolve(joined, **model)
        if len(stretches) == 1:
            return [whole.s]
        return [functions.deconvolve(trace - whole.b, b=0.0, **model).s for trace in stretches]


def _estimated(functions: Any, trace: np.ndarray, rate: float) -> tuple[float, float]:
    """The decay of a trace as OASIS estimates it, or NaN if the trace shows none; no rise."""
    from neuroarrays.kernels import transients

    first, again = (
        functions.estimate_parameters(trace, p=1, fudge_factor=0.98)[0][0] for _ in range(2)
    )
    # If OASIS finds no solution it draws one at random; white noise has one in half of the cases.
    if first != again or not 0 < first < 1 or transients.persistence(trace) < _CLEAR:
        return np.nan, 0.0
    return float(functions.ar1_to_tau(float(first), rate)), 0.0


def _check_threshold(rate: float | None, constants: Mapping[str, np.ndarray]) -> None:
    if rate is None:
        raise SchemaError(_NO_RATE)


def _run_threshold(stretches: list[np.ndarray], settings: UnitSettings) -> list[np.ndarray]:
    from neuroarrays.kernels import transients

    assert settings.rate is not None
    width = max(1, round((_RISE if np.isnan(settings.rise) else settings.rise) * settings.rate))
    steps = [transients.rises(trace, width) for trace in stretches]
    least = settings.threshold * transients.noise(np.concatenate(steps))
    return [transients.peaks(rise, least) for rise in steps]


def _driada() -> Any:
    module = "driada.experiment.wavelet_event_detection"
    return required(module, "driada", "method='wavelet'")


def _check_wavelet(rate: float | None, constants: Mapping[str, np.ndarray]) -> None:
    _driada()
    _check_threshold(rate, constants)


def _run_wavelet(stretches: list[np.ndarray], settings: UnitSettings) -> list[np.ndarray]:
    driada = _driada()
    each = []
    for trace in stretches:
        events = np.zeros(trace.size)
        if np.ptp(trace) > 0:
            starts, ends, _ = driada.extract_wvt_events(trace[None], {"fps": settings.rate})
            events = driada.events_to_ts_array(trace.size, starts, ends, settings.rate)[0]
        each.append(events)
    return each


_NO_RESPONSES = "pass the traces themselves: na.deconvolve(node['...'])"
_NO_RATE = (
    "the sampling rate is not known, because the responses have no coordinate time; open the file "
    "with sampling_rate=, or assign time in seconds"
)

METHODS = {
    "oasis": Method(_run_oasis, _check_oasis),
    "threshold": Method(_run_threshold, _check_threshold),
    "wavelet": Method(_run_wavelet, _check_wavelet),
}
