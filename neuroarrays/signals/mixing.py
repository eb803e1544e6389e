"""`reference` and `csd`: weighted sums of channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError, many, shorten
from neuroarrays.files import outer
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Computed
from neuroarrays.signals.sampled import Sampled, Signal, each, outside, sampled

#: Distances between channels may differ by this share of their median.
_UNEVEN = 0.01


def _mixed(known: Sampled, weights: np.ndarray) -> LazyArray:
    """Compute weighted sums of the columns of a signal, lazily.

    Parameters
    ----------
    known : Sampled
        A signal (time, column) in any unit.
    weights : (column, column of the result) float64
        Weights; a column of the result whose weights are NaN is NaN.

    Returns
    -------
    (time, column of the result) LazyArray
        Sums in the same unit; NaN where time is not valid.
    """
    shape = (known.base.shape[0], weights.shape[1])
    return Computed(_sums, shape, known.dtype, (known.base, weights, known.stretches))


def _sums(
    rows: np.ndarray,
    columns: np.ndarray,
    base: LazyArray,
    weights: np.ndarray,
    stretches: np.ndarray,
) -> np.ndarray:
    weights = weights[:, columns]
    needed = np.flatnonzero((weights != 0).any(axis=1))
    values = np.asarray(base.outer((outer.compact(rows), outer.compact(needed))), np.float64)
    missing = ~np.isfinite(values)
    sums = np.where(missing, 0.0, values) @ weights[needed]
    touched = np.flatnonzero(missing.any(axis=1))  # a missing channel matters where it has a weight
    sums[touched] += np.where(missing[touched] @ (weights[needed] != 0), np.nan, 0.0)
    sums[outside(rows, stretches)] = np.nan  # time that is not valid
    return np.asarray(sums)


def reference(signal: Signal, by: str | None = None) -> Any:
    """Subtract the average of all channels, or of the channels of a group, lazily.

    Parameters
    ----------
    signal : (time, channel) DataArray, Dataset or DataTree node
        A signal in any unit.
    by : str, optional
        A label of the channels, such as "group_name" (shank). The average is then taken over the
        channels with the same label.

    Returns
    -------
    (time, channel) DataArray, or Dataset
        ``x_c(t) - mean_k x_k(t)`` in the same unit, float32 or float64. NaN where time is not
        valid. Where one channel is missing (NaN), all channels of its group are NaN.

    Raises
    ------
    SchemaError
        If the signal is not (time, channel), or a group has only one channel.
    NotInTree
        If the channels have no such label.

    Notes
    -----
    The common average reference (Ludwig et al. 2009, J. Neurophysiol. 101:1679).

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 4, 0.001)
    >>> values = np.random.default_rng(0).normal(size=(time.size, 4))
    >>> coords = {"time": time, "rel_y": ("channel", [0.0, 20.0, 40.0, 60.0])}
    >>> lfp = xr.DataArray(values, coords, ("time", "channel"), "LFP", {"units": "V"})
    >>> referenced = na.reference(lfp)
    >>> round(float(referenced.mean("channel").max()), 6)
    0.0
    """

    def transform(array: xr.DataArray) -> xr.DataArray:
        known = _channels(array, "na.reference")
        dim = str(array.dims[1])
        groups = np.zeros(array.sizes[dim], np.int64)
        if by is not None:
            labels = [str(name) for name, c in array.coords.items() if c.dims == (dim,)]
            if by not in labels:
                raise NotInTree("label of channels", by, labels)
            groups = np.unique(array[by].values.astype(str), return_inverse=True)[1]
        same = groups[:, None] == groups
        sizes = same.sum(axis=0)
        if (sizes < 2).any():
            msg = (
                f"{known.name}: expected groups of at least 2 channels, found groups of "
                f"{shorten(np.unique(sizes).tolist())} channels"
            )
            raise SchemaError(msg)
        weights = np.eye(groups.size) - same / sizes
        named = "common average" + (f" of each {by}" if by else "")
        return known.result(_mixed(known, weights), {"reference": named})

    return each(signal, transform)


def csd(signal: Signal, positions: str | Any = "rel_y", conductivity: float = 0.3) -> Any:
    """Compute the current source density along a linear probe, lazily.

    Parameters
    ----------
    signal : (time, channel) DataArray, Dataset or DataTree node
        Potentials in any unit; if they are in volts, the result is in A/m³.
    positions : str or (channel,) array, um
        Positions of the channels along the probe: the name of a label, or numbers.
    conductivity : float, S/m
        Conductivity of the tissue.

    Returns
    -------
    (time, channel) DataArray, or Dataset
        Channels in the order of their positions. The first and the last are NaN, because they have
        a neighbour on one side only. NaN where time is not valid. Sinks are negative.

    Raises
    ------
    SchemaError
        If the signal is not (time, channel), or has no such label.
    ValueError
        If there are fewer than 3 channels, or positions are missing, equal or not evenly spaced.

    Notes
    -----
    ``-s (x(z - h) - 2 x(z) + x(z + h)) / h²`` (Nicholson & Freeman 1975, J. Neurophysiol.
    38:356).

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 4, 0.001)
    >>> values = np.random.default_rng(0).normal(size=(time.size, 4))
    >>> coords = {"time": time, "rel_y": ("channel", [0.0, 20.0, 40.0, 60.0])}
    >>> lfp = xr.DataArray(values, coords, ("time", "channel"), "LFP", {"units": "V"})
    >>> density = na.csd(lfp)
    >>> density.sizes["channel"], density.attrs["units"]
    (4, 'A/m³')
    """

    def transform(array: xr.DataArray) -> xr.DataArray:
        known = _channels(array, "na.csd")
        depths = _depths(array, known.name, positions)
        order = np.argsort(depths, kind="stable")
        step = np.diff(depths[order])
        _check_spacing(known.name, step)
        n = order.size
        weights = np.full((n, n), np.nan)
        height = float(np.median(step)) * 1e-6
        for channel in range(1, n - 1):
            column = np.zeros(n)
            column[order[channel - 1 : channel + 2]] = np.array([1.0, -2.0, 1.0])
            weights[:, channel] = -conductivity * column / height**2
        volts = str(array.attrs.get("units", "")).lower() in ("v", "volt", "volts")
        attrs = {"units": "A/m³" if volts else "", "long_name": "current source density"}
        ordered = known.signal.isel({array.dims[1]: order})
        in_order = Sampled(ordered, known.rate, known.stretches)
        return in_order.result(_mixed(known, weights), attrs, "csd")

    return each(signal, transform)


def _channels(array: xr.DataArray, purpose: str) -> Sampled:
    known = sampled(array, purpose, regular=False)
    if array.ndim != 2:
        msg = f"{known.name} has dims {array.dims}: {purpose} needs (time, {schema.CHANNEL})"
        raise SchemaError(msg)
    return known


def _depths(array: xr.DataArray, name: str, positions: Any) -> np.ndarray:
    """Positions of the channels along the probe, (channel,) float64, um."""
    dim = str(array.dims[1])
    if isinstance(positions, str):
        labels = [
            str(label)
            for label, coord in array.coords.items()
            if coord.dims == (dim,) and coord.dtype.kind in "iuf" and label != dim
        ]
        if positions not in labels:
            msg = (
                f"{name}: its channels have no label {positions!r} with their positions (labels "
                "with numbers "
                f"along {dim}: {shorten(labels)}); give positions= in um"
            )
            raise SchemaError(msg)
        positions = array[positions].values
    depths = np.asarray(positions, float)
    if depths.shape != (array.sizes[dim],) or not np.isfinite(depths).all():
        msg = (
            f"{name}: positions of shape {depths.shape}, {int(np.isnan(depths).sum())} "
            f"missing; expected a position in um for each of {array.sizes[dim]} channels"
        )
        raise ValueError(msg)
    return depths


def _check_spacing(name: str, step: np.ndarray) -> None:
    if step.size < 2:
        msg = f"{name} has {step.size + 1} channels; expected at least 3, for a second derivative"
        raise ValueError(msg)
    if (step == 0).any():
        msg = (
            f"{name}: {many(int((step == 0).sum()), 'channel')} at the position of another; select "
            "one column of the probe, or average them"
        )
        raise ValueError(msg)
    usual = float(np.median(step))
    if (np.abs(step - usual) > _UNEVEN * usual).any():
        msg = (
            f"{name}: channels are {step.min():g} to {step.max():g} um apart; expected even "
            "spacing. Interpolate the channels, or select a part of the probe"
        )
        raise ValueError(msg)
