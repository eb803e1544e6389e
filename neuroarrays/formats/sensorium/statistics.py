"""The statistics that are stored beside the data, read lazily and named after the tree's signals."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files import npy, outer
from neuroarrays.files.store import Listing, Store
from neuroarrays.formats.sensorium import layout
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Computed
from neuroarrays.lazy.views import Arranged, Taken

STATS = ("mean", "std", "min", "max", "median")
_FOLDER = "meta/statistics/"
#: Facts about the exporter of the statistics, which no file has.
_STATED = {
    "tier": "train, by the exporter's default; the files do not say",
    "ddof": 1,
    "axis": "over trials",
}
_MEAN = "responses_std over all units of the session, of whichever area"
#: The variables in one file by name, each with dimensions and lazy array.
Parts = dict[str, tuple[tuple[str, ...], LazyArray]]


def _statistic(*positions_and_file: Any) -> np.ndarray:
    """Return a part of an npy file, which is read whole."""
    *positions, files, name, shape = positions_and_file
    values = np.asarray(npy.values_in(files, name))
    if values.shape != shape:
        path = files.path_of(name)
        raise FormatError(path, "", f"shape {shape} as on opening", str(values.shape))
    return outer.take(values, tuple(positions))


def _mean_of(files: Store, name: str) -> np.ndarray:
    """Return the mean of the values of an npy file that are not NaN; NaN if there are none."""
    values = np.asarray(npy.values_in(files, name))
    known = values[~np.isnan(values)]
    return np.asarray(known.mean(dtype=np.float64) if known.size else np.nan)


def statistics_of(
    listing: Listing, files: Store, sizes: dict[str, int], movies: bool, notes: list[str]
) -> dict[str, dict[str, xr.Variable]]:
    """Return the variables of each scope, such as "all" and "stimulus_Frame".

    Variables are along unit_id, time, both or neither.

    Parameters
    ----------
    listing, files
        The files of the session.
    sizes : dict
        Number of units, for movies of frames, and of pixels along y and x if there are stimuli.
    movies : bool
        Whether trials are movies, whose behaviour has other signals.
    notes : list of str
        A note is added for each statistic whose shape does not fit.
    """
    by_scope: dict[str, dict[str, xr.Variable]] = {}
    folders = {variant: name for name, known in layout.FOLDERS.items() for variant in known}
    for folder in sorted(listing):
        parts = folder.removeprefix(_FOLDER).split("/")
        if not folder.startswith(_FOLDER) or len(parts) != 2 or parts[0] not in folders:
            continue
        scope = schema.node_name(parts[1])
        for stat in STATS:
            if f"{stat}.npy" not in listing[folder]:
                continue
            name = f"{folder}/{stat}.npy"
            header = npy.header_in(files, name)
            dtype = header.dtype.newbyteorder("=")
            statistic = Computed(_statistic, header.shape, dtype, (files, name, header.shape))
            signals = _by_signal(folders[parts[0]], statistic, sizes, movies)
            if signals is None:
                notes.append(
                    f"{name} left out: shape {statistic.shape} fits no units, signals or pixels"
                )
                continue
            for signal, (dims, array) in signals.items():
                attrs = {**_STATED, "scope": parts[1]}
                variables = by_scope.setdefault(scope, {})
                variables[f"{signal}_{stat}"] = array.variable(dims, attrs)
                if f"{signal}_{stat}" == "responses_std":
                    mean = Computed(_mean_of, (), np.dtype(np.float64), (files, name))
                    variables[schema.SESSION_STD] = mean.variable((), {**attrs, "axis": _MEAN})
    return by_scope


def _by_signal(
    name: str, statistic: LazyArray, sizes: dict[str, int], movies: bool
) -> Parts | None:
    """Return the variables in a statistic of one kind of file, or None if its shape does not fit."""
    shape, frames = statistic.shape, sizes.get(schema.TIME, -1)
    if name == schema.STIMULUS:
        return _of_stimulus(statistic, sizes, frames)
    has_time = shape[-1:] == (frames,) and len(shape) > 1
    time = (schema.TIME,) if has_time else ()
    flat: LazyArray = Taken(statistic, 0, 1) if len(shape) == 2 and shape[1] == 1 else statistic
    if not has_time and len(flat.shape) != 1:
        return None
    if name == schema.RESPONSES:
        fits = shape[:1] == (sizes[schema.UNIT],)
        return {schema.RESPONSES: ((schema.UNIT, *time), flat)} if fits else None
    signals = layout.BEHAVIOR[movies] if name == "behavior" else layout.CENTER
    if shape[0] != len(signals):
        return None
    return {signal: (time, Taken(flat, i)) for i, signal in enumerate(signals)}


def _of_stimulus(statistic: LazyArray, sizes: dict[str, int], frames: int) -> Parts | None:
    """Return a statistic of the stimulus: one number, or one for each pixel (and frame)."""
    if statistic.shape == ():
        return {"stimulus": ((), statistic)}
    if len(statistic.shape) != 3:
        return None
    pixels = statistic.shape[:2] if frames >= 0 else statistic.shape[1:]
    if "y" in sizes and pixels != (sizes["y"], sizes["x"]):
        return None
    if statistic.shape[-1] == frames:
        moved = Arranged(statistic, (2, Arranged.NEW, 0, 1))
        return {"stimulus": ((schema.TIME, "channel", "y", "x"), moved)}
    return {"stimulus": (("channel", "y", "x"), statistic)} if frames < 0 else None
