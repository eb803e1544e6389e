"""`extremes`: a long signal as the lowest and highest of neighbouring samples, to draw it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema.labels import turn_of


def extremes(signal: xr.DataArray, most: int = 2000) -> xr.DataArray:
    """Take the lowest and the highest of neighbouring samples, so that a picture loses no peak.

    Parameters
    ----------
    signal : (time,) xr.DataArray, in any unit
        A signal on a clock in s; of a lazy one only this range is read.
    most : int
        The most points along time to return.

    Returns
    -------
    xr.DataArray, in the unit of the signal
        The signal as it is, (time,), if it has at most `most` samples. Of a longer one (time, end):
        each point in time stands for as many samples, at their mean time, and `end` is ``lowest``
        or ``highest``; NaN is left out. Samples at the end that fill no point are left out. Of an
        angle, whose extremes are those of the circle, every n-th sample, (time,).

    Raises
    ------
    SchemaError
        If the signal is not along time alone.

    Examples
    --------
    >>> import neuroarrays as na
    >>> speed = na.load_sample()["A2929-200711/position/x"]
    >>> na.extremes(speed, most=500).dims
    ('time', 'end')
    """
    if signal.dims != (schema.TIME,):
        expected = f"expected a signal along {schema.TIME!r} alone"
        raise SchemaError(f"{expected}, found one along {', '.join(map(str, signal.dims))}")
    step = -(-signal.size // most)
    if step <= 1:
        return signal.load()
    if turn_of(signal):
        return signal[::step].load()
    coarse = signal.coarsen({schema.TIME: step}, boundary="trim")
    ends = xr.concat([coarse.min(), coarse.max()], "end").transpose()
    return ends.assign_coords(end=np.array(["lowest", "highest"])).assign_attrs(signal.attrs)
