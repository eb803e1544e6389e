"""`coherence`: the frequencies at which spikes follow a signal."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.conditions import dataset_of
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.analysis.signals import series_of
from neuroarrays.files import outer
from neuroarrays.schema.given import choice
from neuroarrays.signals.sampled import Sampled, sampled, scipy_signal
from neuroarrays.signals.spectra import Periodograms, windows_of
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.trains import check_order, spikes_node

#: The most bytes of samples and spike counts that are transformed at once.
_AT_ONCE = 16 << 20
#: The fraction of frequencies at which an unrelated unit exceeds the level.
_CHANCE = 0.05


@over_areas("spikes")
def coherence(
    area: xr.DataTree | xr.Dataset,
    signal: str | xr.DataArray,
    window: float = 1.0,
    *,
    method: str = "multitaper",
    bandwidth: float | None = None,
    **over: Unpack[Over],
) -> xr.Dataset:
    """Compute the spike-field coherence: the frequencies at which spikes follow a signal.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area of a recording tree, or its spikes: ``spike_times (spike,)`` in seconds.
    signal : (time, ...) DataArray or str
        A signal on a regular clock, in any unit, or its path in the session of the area. It is read
        once, in parts. Spikes are counted in its sampling intervals.
    window : float, s
        Length of a window; the frequency resolution is 1 / `window`.
    method : {"multitaper", "welch"}
        "multitaper" averages over several tapers (discrete prolate spheroidal sequences) in
        adjacent windows. "welch" uses a Hann window in windows that overlap by half.
    bandwidth : float, Hz, optional
        Full bandwidth of the multitaper method (default: 4 / `window`).

    Returns
    -------
    xr.Dataset
        float64 variables along ``(unit_id, frequency, ...)``, `frequency` in Hz: ``coherence``,
        magnitude squared, from 0 to 1; and ``phase`` of the signal at the spikes, in rad from 0 to
        2 pi, 0 at a peak, with the attribute `period`. ``n (unit_id,)`` is the number of spikes in
        the windows. ``level (...)`` is exceeded at 5 % of the frequencies by a unit that does not
        follow the signal. The coordinate `windows` is the number of windows without a missing
        sample. NaN for units without spikes, and if windows times tapers is less than two.

    Raises
    ------
    ValueError
        If the method is unknown, the window is longer than the longest stretch between gaps, or the
        clock is missing or irregular.
    SchemaError
        If there are no spikes; also as `neuroarrays.filter`.
    NotInTree
        If there is no signal at the path.
    MissingDependency
        If scipy is not installed.

    Notes
    -----
    ``C = |sum X N*|² / (sum |X|² sum |N|²)`` over windows and tapers. X and N are the Fourier
    transforms of the signal and of the spike counts, each without its mean in the window and
    multiplied by the taper (Jarvis & Mitra 2001, Neural Comput. 13:717). With "welch" it equals
    `scipy.signal.coherence`. ``level = 1 - 0.05^(1 / (K - 1))``, where K is the number of tapers
    times that of windows that do not overlap. If K is small, unrelated spikes also have a large
    coherence, 1 / K on average: compare it with the level.

    Examples
    --------
    >>> import numpy as np, xarray as xr, neuroarrays as na
    >>> clock = np.arange(0, 60, 0.002)
    >>> lfp = xr.DataArray(np.cos(2 * np.pi * 8 * clock), {"time": clock}, "time")
    >>> times = np.arange(8, 472) / 8  # a spike at every peak
    >>> spikes = xr.Dataset(
    ...     {"spike_times": ("spike", times), "row_size": ("unit_id", [times.size])},
    ...     {"unit_id": [1]},
    ... )
    >>> na.coherence(spikes, lfp)["coherence"].sel(frequency=8).values.round(1)
    array([1.])
    """
    scipy_signal("na.coherence")
    choice(method, "method", ("multitaper", "welch"))
    signal = series_of(area, signal, "signal")
    known = sampled(signal, "na.coherence")
    taper, step = ("hann", None) if method == "welch" else (method, window)
    spectra, coords, _ = windows_of(known, window, step, taper, bandwidth)
    node = dataset_of(spikes_node(area, "spikes"))
    sample, unit = _in_samples(known, node)
    n_units = check_order(node).size
    cross, field, spiking, windows = _sums(spectra, sample, unit, n_units)
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = (cross.real**2 + cross.imag**2) / (field * spiking)
    level = _level(spectra, windows)
    defined = np.isfinite(squared) & np.isfinite(level)
    phase = np.where(defined, np.angle(cross) % (2 * np.pi), np.nan)
    coords |= {k: c.variable for k, c in node.coords.items() if c.dims == (schema.UNIT,)}
    rest = signal.dims[1:]
    coords["windows"] = xr.Variable(rest, windows.reshape(signal.shape[1:]))
    dims = (schema.UNIT, "frequency", *rest)
    shape = (n_units, spectra.shape[1], *signal.shape[1:])
    turn = {"units": "rad", "period": 2 * np.pi, "long_name": "phase of the signal at the spikes"}
    values = np.where(defined, squared, np.nan).reshape(shape)
    n = np.bincount(unit[_in_windows(spectra, sample)], minlength=n_units)
    return xr.Dataset(
        {
            "coherence": (dims, values, {"units": "1", "long_name": "coherence"}),
            "phase": (dims, phase.reshape(shape), turn),
            "level": (rest, level.reshape(signal.shape[1:]), {"units": "1"}),
            "n": (schema.UNIT, n, {"long_name": "spikes"}),
        },
        coords,
        {"window": spectra.tapers.shape[1] / known.rate, "tapers": len(spectra.tapers)},
    )


def _level(spectra: Periodograms, windows: np.ndarray) -> np.ndarray:
    """The level that chance exceeds at 5 % of the frequencies, (column,); NaN if K < 2."""
    n_samples = spectra.tapers.shape[1]
    hop = np.diff(spectra.starts).min(initial=n_samples)
    independent = len(spectra.tapers) * np.ceil(windows * hop / n_samples)
    with np.errstate(divide="ignore"):
        level = 1 - _CHANCE ** (1 / (independent - 1))
    return np.where(independent > 1, level, np.nan)


def _in_windows(spectra: Periodograms, sample: np.ndarray) -> np.ndarray:
    """Tell which samples, given by their numbers, are in a window."""
    window = np.searchsorted(spectra.starts, sample, side="right") - 1
    ends = spectra.starts[np.maximum(window, 0)] + spectra.tapers.shape[1]
    return np.asarray((window >= 0) & (sample < ends))


def _in_samples(known: Sampled, node: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The sorted numbers of the samples next to the spikes, and the number of the unit of each.

    Spikes that are further from the signal than half a step are left out.
    """
    times = seconds(node[schema.SPIKE_TIMES])
    sizes = check_order(node)
    order = np.argsort(times, kind="stable")  # NaN is sorted to the end
    times, unit = times[order], np.repeat(np.arange(sizes.size), sizes)[order]
    samples = [np.empty(0, np.int64)]
    units = [np.empty(0, np.int64)]
    half = 0.5 / known.rate
    for begin, end in known.stretches.tolist():
        stamps = known.stamps(np.arange(begin, end))
        inside = slice(*np.searchsorted(times, [stamps[0] - half, stamps[-1] + half]))
        middles = (stamps[1:] + stamps[:-1]) / 2
        samples.append(np.searchsorted(middles, times[inside], side="right") + begin)
        units.append(unit[inside])
    sample, unit = np.concatenate(samples), np.concatenate(units)
    order = np.argsort(sample, kind="stable")
    return sample[order], unit[order]


def _sums(
    spectra: Periodograms, sample: np.ndarray, unit: np.ndarray, n_units: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sums over windows and tapers, and the number of complete windows of each channel.

    Returns
    -------
    cross : (unit_id, frequency, column) complex128
        Sums of the signal times the conjugate of the spikes.
    field, spiking : (1 or unit_id, frequency, column) float64
        Power of the signal, and of the spikes in the windows of that column.
    windows : (column,) int64
    """
    n_samples, n_bins = spectra.tapers.shape[1], spectra.shape[1]
    n_columns = int(np.prod(spectra.shape[2:], dtype=np.int64))
    cross = np.zeros((n_bins, n_units, n_columns), complex)
    field = np.zeros((n_bins, 1, n_columns))
    spiking = np.zeros((n_bins, n_units, n_columns))
    windows = np.zeros(n_columns, np.int64)
    some = max(1, _AT_ONCE // (16 * n_samples * (n_units + n_columns + 1)))
    rest = outer.normalise((), spectra.shape[2:])
    numbers = np.arange(spectra.starts.size)
    for places, values in spectra.gathered(numbers, rest, some):
        values = values.reshape(len(places), n_columns, n_samples)
        whole = np.isfinite(values).all(axis=-1)
        values = np.where(whole[..., None], values, 0)
        counts = np.zeros((len(places), n_units, n_samples))
        for k, start in enumerate(spectra.starts[places].tolist()):
            part = slice(*np.searchsorted(sample, [start, start + n_samples]))
            np.add.at(counts[k], (unit[part], sample[part] - start), 1)
        values -= values.mean(axis=-1, keepdims=True)
        counts -= counts.mean(axis=-1, keepdims=True)
        for taper in spectra.tapers:
            x = np.fft.rfft(values * taper, axis=-1).transpose(2, 0, 1)
            spikes = np.fft.rfft(counts * taper, axis=-1).transpose(2, 1, 0)
            cross += spikes.conj() @ x
            field += (np.abs(x) ** 2).sum(axis=1, keepdims=True)
            spiking += (np.abs(spikes) ** 2) @ whole.astype(float)
        windows += whole.sum(axis=0)
    across = (1, 0, 2)
    return cross.transpose(across), field.transpose(across), spiking.transpose(across), windows
