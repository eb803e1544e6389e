"""What axes are called, in any picture: names with their units, and the event that time counts from."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays.schema import START_TIME

#: The attribute of a feature that holds the path it was taken from: "ry" alone says too little in a picture.
FEATURE = "feature"
#: A full turn of an angle, by its unit in lower case.
FULL_TURNS = {unit: 2 * np.pi for unit in ("rad", "radian", "radians")} | {
    unit: 360.0 for unit in ("deg", "degree", "degrees", "\N{DEGREE SIGN}")
}


def name_of(values: xr.DataArray) -> str:
    """What an array is called: the path it was taken from ("head_direction/ry"), else its own name."""
    return str(values.attrs.get(FEATURE, values.name))


def label_of(values: xr.DataArray, name: str | None = None) -> str:
    """The name of an array with its unit, "speed (cm/s)"; a unit of "1" is not written."""
    name = name_of(values) if name is None else name
    units = unit_of(values)
    return f"{name} ({units})" if units else name


def unit_of(values: xr.DataArray) -> str:
    """The unit of an array as a picture writes it: "" for none, and for "1"."""
    units = str(values.attrs.get("units", ""))
    return "" if units == "1" else units


def time_label(time: xr.DataArray) -> str:
    """What the time around an event is called: "time from onset (s)", or from the column it was aligned to."""
    event = str(time.attrs.get("event", START_TIME))
    name = "onset" if event == START_TIME else event.removesuffix("_time").replace("_", " ")
    return f"time from {name} (s)"


def turn_of(values: xr.DataArray) -> float | None:
    """A full turn of an angle in its own unit; None of what is no angle."""
    period = values.attrs.get("period")
    return float(period) if period and values.dtype.kind in "iuf" else None


def is_in_radians(values: xr.DataArray) -> bool:
    """Whether values are angles in radians, by their unit or their full turn: readers want degrees."""
    turn = turn_of(values) or FULL_TURNS.get(str(values.attrs.get("units", "")).lower())
    return turn is not None and bool(np.isclose(turn % np.pi, 0))


def is_in_degrees(values: xr.DataArray) -> bool:
    """Whether values are angles in degrees, by their unit."""
    return FULL_TURNS.get(str(values.attrs.get("units", "")).lower()) == FULL_TURNS["degrees"]


def brief(number: float, reach: float) -> str:
    """A number with three significant digits; 0 if it is negligible compared with the range it is of."""
    return "0" if abs(number) < 0.005 * reach else f"{number:.3g}"
