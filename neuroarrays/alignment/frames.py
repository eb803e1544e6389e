"""Take the frame of a stimulus that was on the screen at each bin."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import Bins
from neuroarrays.lazy.arrays import wrap
from neuroarrays.lazy.computed import as_lazy
from neuroarrays.lazy.views import Taken
from neuroarrays.tree.columns import seconds


def frames_shown(node: xr.Dataset, bins: Bins, max_gap: float | None) -> xr.Variable:
    """Take the frame of a stimulus at the centre of each bin, lazily.

    Parameters
    ----------
    node : Dataset
        ``stimulus (time, ...)`` with its clock `time` in s on the session clock. A frame lasts
        until the next one.
    bins : Bins
        The bins.
    max_gap : float, s, optional
        Longest time that a frame lasts.

    Returns
    -------
    lazy variable
        Frames ``(time, ...)`` or ``(presentation_id, time, ...)``, in the dtype and unit of the
        stimulus. If a bin is before the first frame or after the last, the dtype is floating point
        and the frame is NaN.
    """
    stimulus = node.variables[schema.STIMULUS]
    clock = seconds(node[schema.TIME], "the stimulus' clock")
    order = np.argsort(clock, kind="stable")
    at = bins.middles
    before = np.searchsorted(clock[order], at, side="right") - 1
    since = at - clock[order][np.maximum(before, 0)] if clock.size else np.full(at.shape, np.nan)
    limit = np.inf if max_gap is None else max_gap
    seen = (before >= 0) & (at <= clock.max(initial=-np.inf)) & (since <= limit)
    numbers = np.where(seen, order[np.maximum(before, 0)] if clock.size else -1, -1)
    shown = Taken(as_lazy(stimulus), numbers)
    return xr.Variable((*bins.dims, *stimulus.dims[1:]), wrap(shown), stimulus.attrs)
