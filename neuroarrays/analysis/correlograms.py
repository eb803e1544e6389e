"""Auto- and cross-correlograms of spike trains."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.conditions import dataset_of, kept
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.tree.columns import duration
from neuroarrays.tree.trains import no_spikes, spikes_node, trains_of

OTHER, LAG = schema.OTHER_UNIT, schema.LAG


@over_areas("spikes")
def autocorrelogram(
    spikes: xr.DataTree | xr.Dataset,
    bin_width: float = 0.001,
    window: float = 0.05,
    **over: Unpack[Over],
) -> xr.DataArray:
    """Compute autocorrelograms: the firing rate of each unit around its own spikes.

    Parameters
    ----------
    spikes : DataTree node or Dataset
        An area of a recording tree, or its spikes: ``spike_times (spike,)`` in seconds.
    bin_width : float, s
        Width of a bin.
    window : float, s
        The longest lag.

    Returns
    -------
    (unit_id, lag) xr.DataArray, spikes/s
        Rates at lags of whole bins, 0 included; each bin is centred on its lag. NaN for a unit
        without spikes.

    Raises
    ------
    SchemaError
        If there are no spike times.
    ValueError
        If `bin_width` is not positive or is longer than `window`.

    Notes
    -----
    ``A(l) = #{(i, j), i != j: t_j - t_i in bin l} / (n w)`` for ``n`` spikes and bins of width
    ``w`` (Perkel, Gerstein & Moore 1967, Biophys. J. 7:391). The bin of a lag ``l`` has the
    differences of the same sign with ``(|l| - 1/2) w <= |t_j - t_i| < (|l| + 1/2) w``. An edge
    belongs to the bin further from 0, so ``A(l) = A(-l)``. A difference less than 1 ns below an
    edge counts as on the edge, so rounding does not move spikes of one sampling clock. No spike is
    paired with itself; other spikes within half a bin of it are counted at lag 0.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> correlogram = na.autocorrelogram(tree["A2929-200711/ca1"])
    >>> correlogram.dims, correlogram.sizes["lag"]
    (('unit_id', 'lag'), 101)
    """
    return _correlogram(spikes, bin_width, window, (schema.UNIT, LAG))


@over_areas("spikes", apart=True)
def crosscorrelogram(
    spikes: xr.DataTree | xr.Dataset,
    bin_width: float = 0.001,
    window: float = 0.05,
    **over: Unpack[Over],
) -> xr.DataArray | xr.DataTree:
    """Compute cross-correlograms: the firing rate of each unit around the spikes of others.

    Parameters
    ----------
    spikes : DataTree node or Dataset
        An area of a recording tree, or its spikes: ``spike_times (spike,)`` in seconds.
    bin_width : float, s
        Width of a bin.
    window : float, s
        The longest lag.

    Returns
    -------
    (unit_id, other_unit_id, lag) xr.DataArray, spikes/s
        Rate of `other_unit_id` at each lag after a spike of `unit_id`. For a unit with itself it is
        the autocorrelogram. NaN if `unit_id` has no spikes.

    Raises
    ------
    SchemaError
        If there are no spike times.
    ValueError
        If `bin_width` is not positive or is longer than `window`.

    Notes
    -----
    ``C_ab(l) = #{(i, j): t_bj - t_ai in bin l} / (n_a w)`` (Perkel, Gerstein & Moore 1967,
    Biophys. J. 7:419); divided by the rate of `b` it is 1 for units that fire independently. Bins
    are those of `autocorrelogram`, so ``n_a C_ab(l) = n_b C_ba(-l)``.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> correlograms = na.crosscorrelogram(tree["A2929-200711/ca1"])
    >>> correlograms.dims
    ('unit_id', 'other_unit_id', 'lag')
    >>> correlograms.sel(unit_id=7, other_unit_id=14).attrs["units"]
    'spikes/s'
    """
    return _correlogram(spikes, bin_width, window, (schema.UNIT, OTHER, LAG))


def _trains(
    spikes: xr.DataTree | xr.Dataset, bin_width: float, window: float
) -> tuple[xr.Dataset, tuple[np.ndarray, np.ndarray, np.ndarray], int]:
    """The spikes node, its spikes in order, and the number of lags on either side."""
    if bin_width > window * (1 + 1e-9):
        msg = f"bin_width: a bin of {bin_width:g} s is longer than the window of {window:g} s"
        raise ValueError(msg)
    spikes_or_area = spikes_node(spikes)
    if schema.SPIKE_TIMES not in spikes_or_area:
        raise no_spikes(spikes)
    node = dataset_of(spikes_or_area)
    trains = trains_of(node)
    times = trains.load(np.arange(trains.first.size))
    last = np.array(  # NaN comes last in a train and is not a spike
        [f + np.isfinite(times[f:e]).sum() for f, e in zip(trains.first, trains.last, strict=True)],
        np.int64,
    )
    return node, (times, trains.first, last), int(np.floor(window / bin_width + 1e-9))


def _correlogram(
    spikes: xr.DataTree | xr.Dataset, bin_width: float, window: float, dims: tuple[str, ...]
) -> xr.DataArray:
    from neuroarrays.kernels import pairs

    bin_width, window = duration(bin_width, "bin_width"), duration(window, "window")
    node, (times, first, last), n_lags = _trains(spikes, bin_width, window)
    counts = pairs.count_differences(times, first, last, n_lags, bin_width, OTHER not in dims)
    number = (last - first).reshape(-1, *[1] * (len(dims) - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(number > 0, counts / (number * bin_width), np.nan)
    lags = np.arange(-n_lags, n_lags + 1) * bin_width
    ids = np.atleast_1d(node[schema.UNIT].values)
    coords: dict[Any, Any] = kept(node, (schema.UNIT,)) | {schema.UNIT: ids}
    coords[LAG] = (LAG, lags, {"units": "s", "long_name": "lag", "bin_width": bin_width})
    if OTHER in dims:
        coords[OTHER] = ids
    name = "crosscorrelogram" if OTHER in dims else "autocorrelogram"
    attrs = {"units": "spikes/s", "long_name": "rate"}
    return xr.DataArray(rate, coords, dims, name, attrs)
