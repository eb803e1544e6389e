"""`spike_triggered_average`: receptive fields of units."""

from __future__ import annotations

from typing import TypeVar, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.conditions import clock_of, counted, dataset_of, kept
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.analysis.signals import check_clock
from neuroarrays.errors import NotInTree
from neuroarrays.schema.given import check, whole_number
from neuroarrays.tree.breaks import bin_width, breaks

#: The most bytes of frames, in float32, that are in memory at once.
_BLOCK = 64 << 20
_Shown = TypeVar("_Shown", xr.Dataset, xr.DataArray)


@over_areas("either")
def spike_triggered_average(
    area: xr.DataTree | xr.Dataset,
    stimulus: xr.DataArray | None = None,
    lags: int = 20,
    **over: Unpack[Over],
) -> xr.Dataset:
    """Compute the spike-triggered average: the mean stimulus before a spike or response.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area on one clock, with ``spike_data`` (counts) or ``responses`` (in any unit) along
        ``(time, unit_id)``; for flashed images along ``(presentation_id, unit_id)``.
    stimulus : (time, ...) DataArray, optional
        Frames on the same clock in any unit, lazy or not (default: the stimulus of the session).
        They are read once, in blocks.
    lags : int
        Number of frames to go back, including the frame at the time of the response; 1 for flashed
        images.

    Returns
    -------
    xr.Dataset
        Variables along ``(unit_id, lag, ...)``: `average`, the stimulus relative to its mean, in
        the unit of the stimulus; and `z`, its distance from 0 in standard errors, without unit. The
        coordinate `lag` is the time before the response in s, or in frames if there is no `time`.
        The coordinate `total`, ``(unit_id,)``, is the sum of weights (for counts the number of
        spikes). NaN for a unit whose sum is 0.

    Raises
    ------
    SchemaError
        If the area is not on one clock, or the stimulus is on another clock.
    NotInTree
        If no stimulus is given and the session has none.
    ValueError
        If `lags` is not positive, or is longer than the recording or than all its stretches.

    Notes
    -----
    Responses ``r_t`` are used at valid times that have all lags before them in one stretch of the
    clock. A stretch ends at a gap in `time`, where a `block_id` of the area or its session changes,
    and where `valid` is False. With the mean ``m`` of these responses: ``average_l = sum_t (r_t -
    m) s_(t-l) / sum_t r_t`` for counts: the spike-triggered average minus the mean stimulus of the
    same times (Chichilnisky 2001, Network 12:199). Signals can be below 0 and have a sum of 0, so
    theirs is divided by ``sum_t |r_t - m|``: it is half the difference between the mean stimuli
    before responses above and below the mean. ``z_l = sum_t (r_t - m) s_(t-l) / (sd(s) sqrt(sum_t
    (r_t - m)^2))`` has a standard normal distribution if frames are independent (white noise) and
    the unit does not respond to the pixel; for films it has not. Responses that are masked or NaN
    are left out. Products are computed in float32, sums over blocks in float64.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> random = np.random.default_rng(0)
    >>> film = random.normal(size=(500, 4, 6)).astype("float32")
    >>> time = ("time", np.arange(500) / 60, {"bin_width": 1 / 60})
    >>> counts = (film[:, 1, 2:3] > 0).astype("uint8")
    >>> area = xr.Dataset(
    ...     {
    ...         "stimulus": (("time", "y", "x"), film),
    ...         "spike_data": (("time", "unit_id"), counts),
    ...     },
    ...     {"time": time, "unit_id": [7]},
    ... )
    >>> average = na.spike_triggered_average(area, area["stimulus"], lags=3)
    >>> average["average"].dims
    ('unit_id', 'lag', 'y', 'x')
    """
    from neuroarrays.kernels import averages

    film = _stimulus(area) if stimulus is None else stimulus
    frames_of = "stimulus: expected frames as a variable, such as tree['session']['stimulus']"
    check(film, xr.DataArray, frames_of)
    if schema.PRESENTATION in film.dims and schema.TIME not in film.dims:
        area, film = _in_turn(dataset_of(area)), _in_turn(film)
        if lags != 1:
            msg = f"lags={lags!r}: flashed images have no earlier frames; give lags=1"
            raise ValueError(msg)
    node, response = clock_of(area)
    responses = response.values
    check_clock(node[schema.TIME], film)
    n = responses.sizes[schema.TIME]
    lags = whole_number(lags, "lags")
    if not 1 <= lags <= n:
        msg = f"lags={lags}: expected 1 to {n:,}, the number of frames"
        raise ValueError(msg)
    values = responses.values.astype(float)
    good = np.isfinite(values)
    mask = counted(node, responses)
    good &= True if mask is None else mask
    good[_since(area) < lags - 1] = False
    if not good.any():
        msg = f"lags={lags!r}: no response that counts has that many frames before it without a gap"
        raise ValueError(msg)
    values = np.where(good, values, 0)
    total, number = values.sum(axis=0), good.sum(axis=0)
    weights = np.where(good, values - total / np.maximum(number, 1), 0)
    if responses.name != schema.SPIKE_DATA:
        total = np.abs(weights).sum(axis=0)
    flat = int(np.prod(film.shape[1:]))

    def frames(begin: int, end: int) -> np.ndarray:
        return np.asarray(film[begin:end].values).reshape(end - begin, flat)

    block = max(lags, _BLOCK // max(1, 4 * flat))
    sums, spread = averages.triggered_sums(frames, n, weights, lags, block)
    norm = spread * np.sqrt((weights**2).sum(axis=0))[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        average = np.where(total[:, None, None] != 0, sums / total[:, None, None], np.nan)
        z = np.where(norm > 0, sums / norm, np.nan)
    return _labelled(node, film, {"average": average, "z": z}, total, lags)


def _in_turn(shown: _Shown) -> _Shown:
    """Treat presentations as consecutive frames, without a clock."""
    return shown.drop_vars(schema.PRESENTATION, errors="ignore").rename(
        {schema.PRESENTATION: schema.TIME}
    )


def _since(area: xr.DataTree | xr.Dataset) -> np.ndarray:
    """Number of frames since the beginning of the stretch, (time,) int64."""
    begins = breaks(area)
    positions = np.arange(begins.size)
    since: np.ndarray = positions - np.maximum.accumulate(np.where(begins, positions, 0))
    return since


def _labelled(
    node: xr.Dataset,
    film: xr.DataArray,
    results: dict[str, np.ndarray],
    total: np.ndarray,
    lags: int,
) -> xr.Dataset:
    others = tuple(str(dim) for dim in film.dims[1:])
    dims, shape = (schema.UNIT, "lag", *others), film.shape[1:]
    units = film.attrs.get("units")
    attrs = {
        "average": {"long_name": "stimulus before a response, from its mean"}
        | ({"units": units} if units else {}),
        "z": {"units": "1", "long_name": "standard errors from 0"},
    }
    variables = {
        name: (dims, values.reshape(*values.shape[:2], *shape).astype(np.float32), attrs[name])
        for name, values in results.items()
    }
    timed = schema.TIME in node.coords
    step, unit, what = (bin_width(node), "s", "time") if timed else (1, "1", "frames")
    coords = kept(node, (schema.UNIT,)) | kept(film.to_dataset(name="film"), others)
    labels = {"units": unit, "long_name": f"{what} before the response"}
    coords["lag"] = ("lag", np.arange(lags) * step, labels)
    coords["total"] = (schema.UNIT, total)
    return xr.Dataset(variables, coords)


def _stimulus(area: xr.DataTree | xr.Dataset) -> xr.DataArray:
    """The stimulus of the session that an area belongs to."""
    node = area.parent if isinstance(area, xr.DataTree) else None
    if node is None or schema.STIMULUS not in node.data_vars:
        known = [] if node is None else list(node.data_vars)
        raise NotInTree("variable of the session", schema.STIMULUS, known, "give stimulus=")
    return node.to_dataset()[schema.STIMULUS]
