"""`extremes`: a long signal as the lowest and highest of neighbouring samples, to draw it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema import given
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
        A signal with at most `most` samples is returned as it is, (time,). A longer one becomes
        (time, end): each point in time stands for the same number of samples, at their mean time,
        and `end` is ``lowest`` or ``highest``. NaN is skipped. Last samples that do not fill a point
        are left out. Of an angle, which has no lowest value, every n-th sample is returned, (time,).

    Raises
    ------
    SchemaError
        If the signal is not along time alone.
    ValueError
        If `most` is not a whole number of at least 1.

    Examples
    --------
    >>> import neuroarrays as na
    >>> speed = na.load_sample()["A2929-200711/position/x"]
    >>> na.extremes(speed, most=500).dims
    ('time', 'end')
    """
    given.check(signal, xr.DataArray, "expected a signal, such as tree['session/running/speed']")
    if signal.dims != (schema.TIME,):
        expected = f"expected a signal along {schema.TIME!r} alone"
        raise SchemaError(f"{expected}, found one along {', '.join(map(str, signal.dims))}")
    step = -(-signal.size // given.whole_number(most, "most", least=1))
    if step <= 1:
        return signal.load()
    if turn_of(signal):
        return signal[::step].load()
    coarse = signal.coarsen({schema.TIME: step}, boundary="trim")
    ends = xr.concat([coarse.min(), coarse.max()], "end").transpose()
    return ends.assign_coords(end=np.array(["lowest", "highest"])).assign_attrs(signal.attrs)
