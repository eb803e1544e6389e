"""Running and gaze of an Allen session, each on its own clock.

The start and the end of a running sample are stored in two series; its time in the tree is the middle.
Gaze is stored as (y, x). The unit that files state for areas is wrong.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb.account import Account
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.computed import Elementwise
from neuroarrays.lazy.indexes import dataset

_SPEED = "processing/running/running_speed"
_ENDS = "processing/running/running_speed_end_times"
_GAZE = {
    schema.PUPIL: "processing/raw_gaze_mapping",
    "pupil_filtered": "processing/filtered_gaze_mapping",
}
_ELLIPSES = {
    "pupil": "pupil_ellipse_fits",
    "corneal_reflection": "cr_ellipse_fits",
    "eye": "eye_ellipse_fits",
}
#: Series -> names of its columns in the order of the file, and their unit.
_COLUMNS = {
    "eye_area": (("eye_area",), ""),
    "pupil_area": (("area",), ""),
    "screen_coordinates": (("y", "x"), "cm"),
    "screen_coordinates_spherical": (("y_angle", "x_angle"), "degree"),
}
_LONG_NAMES = {
    "x": "where on the screen the mouse looks, from its middle",
    "y": "where on the screen the mouse looks, from its middle",
    "x_angle": "direction of gaze",
    "y_angle": "direction of gaze",
    "area": "area of the pupil; unit unknown (the file says pixels squared, which it is not)",
    "eye_area": "area of the eye; unit unknown (the file says pixels squared, which it is not)",
}
#: Series that are read here, and series that repeat other tables.
HANDLED = (_SPEED, _ENDS, *_GAZE.values(), "processing/eye_tracking/", "processing/stimulus")


def _middle(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.asarray((starts + ends) / 2)


def running(account: Account) -> dict[str, xr.Dataset]:
    """Return ``running``: `speed` in cm/s at the middle of each sample, with its start and end."""
    with account.step(_SPEED):
        return _running(account)
    return {}


def _running(account: Account) -> dict[str, xr.Dataset]:
    """Return the node, if values and clock fit."""
    source, data = account.source, f"{_SPEED}/data"
    shape = _shape(source, data)
    if not shape or len(shape) > 1 or _shape(source, f"{_SPEED}/timestamps") != shape:
        return {}
    account.take(data, f"{_SPEED}/timestamps")
    speed = file_array(source, data)
    starts = file_array(source, f"{_SPEED}/timestamps")
    variables = {
        "speed": schema.var("series", "speed", speed.variable((schema.TIME,)), nwb_path=_SPEED)
    }
    clock: LazyArray = starts
    coords = {}
    ends = source.info(f"{_ENDS}/timestamps")
    if ends is not None and ends.shape == starts.shape:
        last = file_array(source, f"{_ENDS}/timestamps")
        clock = Elementwise(_middle, (starts, last), np.dtype("f8"))
        account.take(f"{_ENDS}/timestamps")
        coords["end_time"] = last.variable((schema.TIME,), {"units": "s"})
    coords[schema.START_TIME] = starts.variable((schema.TIME,), {"units": "s"})
    attrs = {"units": "s", "long_name": "session clock"}
    return {
        schema.RUNNING: dataset(
            variables, {schema.TIME: clock.variable((schema.TIME,), attrs), **coords}
        )
    }


def gaze(account: Account) -> dict[str, xr.Dataset]:
    """Return ``pupil`` as measured and ``pupil_filtered`` without blinks; NaN where the fit failed."""
    source, nodes = account.source, {}
    for node, module in _GAZE.items():
        with account.step(module):
            clock = source.info(f"{module}/eye_area/timestamps")
            if clock is None:
                continue
            variables: dict[str, xr.Variable] = {}
            for series, (names, unit) in _COLUMNS.items():
                path = f"{module}/{series}"
                info = source.info(f"{path}/data")
                if info is None or info.shape[:1] != clock.shape:
                    account.leave(path, "not as long as the clock of the eye")
                    continue
                account.take(f"{path}/data", f"{path}/timestamps")
                whole = file_array(source, f"{path}/data").variable(
                    (schema.TIME, "axis")[: len(info.shape)]
                )
                for column, name in enumerate(names):
                    signal = whole if whole.ndim == 1 else whole[:, column]
                    attrs = {"units": unit, "long_name": _LONG_NAMES[name], "nwb_path": path}
                    signal.attrs = {key: value for key, value in attrs.items() if value}
                    variables[name] = signal
            nodes[node] = dataset(
                variables, {schema.TIME: _clock(source, f"{module}/eye_area/timestamps")}
            )
    return nodes | _ellipses(account)


def _ellipses(account: Account) -> dict[str, xr.Dataset]:
    """Return ``ellipses/pupil``, ...: the ellipses fitted to the camera's image, with whole axes."""
    source, nodes = account.source, {}
    clock = "processing/raw_gaze_mapping/eye_area/timestamps"
    for node, table in _ELLIPSES.items():
        path = f"processing/eye_tracking/{table}"
        with account.step(path):
            names = source.names(path)
            size = source.known(f"{path}/center_x").shape if "center_x" in names else None
            here = clock if source.info(clock) else f"{path}/timestamps"
            info = source.info(here)
            if size is None or info is None or info.shape != size:
                continue
            variables: dict[str, xr.Variable] = {}
            for name in ("center_x", "center_y", "width", "height", "phi"):
                if name in names:
                    double = 2.0 if name in ("width", "height") else 1.0
                    array = file_array(source, f"{path}/{name}", double)
                    unit = "radian" if name == "phi" else "pixel"
                    variables[name] = array.variable((schema.TIME,), {"units": unit})
                    account.take(f"{path}/{name}")
            nodes[f"ellipses/{node}"] = dataset(variables, {schema.TIME: _clock(source, here)})
    return nodes


def _shape(source: Source, name: str) -> tuple[int, ...] | None:
    info = source.info(name)
    return None if info is None or info.dtype.kind not in "iuf" else info.shape


def _clock(source: Source, name: str) -> xr.Variable:
    attrs = {"units": "s", "long_name": "session clock"}
    return file_array(source, name).variable((schema.TIME,), attrs)
