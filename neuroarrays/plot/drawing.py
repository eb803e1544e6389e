"""Shared by all plots: colours, labels of axes, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.ticker import FuncFormatter, MultipleLocator

from neuroarrays import schema
from neuroarrays.errors import SchemaError, printable
from neuroarrays.schema import given, labels
from neuroarrays.schema.labels import turn_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.lines import Line2D

#: Colours that colour-blind readers can tell apart (Okabe & Ito 2008), without yellow. The last is a violet and
#: not their black, which would not show on a dark ground.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F5FB5")
#: The most units that ticks name.
TICKS = 30
#: Colours of units; so many lines have their names beside them.
UNIT_COLORS = (*PALETTE, "0.55")
NAMED = len(UNIT_COLORS)
#: Steps in degrees for the ticks of an angle.
_DEGREES = (5, 10, 15, 30, 45, 90)


def ink() -> str:
    """The colour of texts: black, and white on a dark ground (`plt.style.use("dark_background")`)."""
    return str(plt.rcParams["text.color"])


def axes_of(ax: Axes | None) -> Axes:
    """The given axes, else the current ones. A figure without axes gets a layout that cuts off no label."""
    if ax is not None:
        return ax
    figure = plt.gcf()
    if not figure.axes and figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    return plt.gca()


def check(values: Any, kind: Any, call: str, line: str) -> None:
    """Raise an error if something is not the result that a plot needs.

    Parameters
    ----------
    values : object
        The argument of the user.
    kind : class, or classes
        Type of the result.
    call : str
        The function with such a result: "na.psth".
    line : str
        The line of code to suggest; "{unit}" becomes the label of a unit of the area.

    Raises
    ------
    SchemaError
        If it is something else; the message has what was given, and the line.
    """
    if isinstance(values, kind):
        return
    is_events = isinstance(values, xr.DataTree) and values.name == schema.EVENTS
    labels = (
        values.coords[schema.UNIT].values if schema.UNIT in getattr(values, "coords", ()) else [0]
    )
    unit = next(iter(np.atleast_1d(labels).tolist()), 0)
    if is_events:
        line = line.replace("area", "events").replace(".sel(unit_id={unit})", ".isel(event=0)")
    msg = (
        f"expected the result of {call}, found {given.described(values)}; write "
        f"{line.format(unit=unit)}"
    )
    counts = {schema.SPIKE_DATA, schema.RESPONSES}
    if isinstance(values, xr.DataTree) and not is_events and not counts & set(values.data_vars):
        msg += f"; for an area, {given.instead(values, 'trials')}"
    raise SchemaError(msg)


def rows_of(values: xr.DataArray | xr.Dataset) -> str:
    """The dimension whose rows are units, events or areas."""
    return next((dim for dim in (schema.EVENT, schema.AREA) if dim in values.dims), schema.UNIT)


def text_of(text: object) -> str:
    """A text that matplotlib shows as it is: a "$" does not start mathematics."""
    return printable(text).replace("$", r"\$")


def label_of(values: xr.DataArray, name: str | None = None) -> str:
    """The name of an array with its unit, for an axis; any shape, any unit."""
    return text_of(labels.label_of(values, name))


def name_of(values: xr.DataArray) -> str:
    """What an array is called, as matplotlib shows it."""
    return text_of(labels.name_of(values))


def quantity_of(values: xr.DataArray) -> str:
    """The label of a result with its unit: its `long_name`, else "rate (spikes/s)"."""
    if "long_name" not in values.attrs:
        return "rate (spikes/s)"
    return label_of(values, values.attrs["long_name"])


def time_label(time: xr.DataArray) -> str:
    """The label of time around an event: "time from onset (s)", or from the event's column."""
    return text_of(labels.time_label(time))


def angle_axis(axis: Axis, angles: xr.DataArray) -> bool:
    """Show the ticks of an angle in radians as degrees; False if it is not such an angle."""
    if not labels.is_in_radians(angles) or not angles.size:
        return False
    reach = np.degrees(float(angles.max() - angles.min()))
    step = next((degrees for degrees in _DEGREES if reach / degrees <= 6), 90)
    axis.set_major_locator(MultipleLocator(np.radians(step)))
    axis.set_major_formatter(FuncFormatter(lambda angle, _: f"{np.degrees(angle):.0f}°"))
    return True


def axis_label(ax: Axes, which: Literal["x", "y"], along: xr.DataArray) -> None:
    """Label an axis: each text, angles in degrees, numbers with their unit."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    if along.dtype.kind not in "iuf":
        axis.set_ticks(numbers_of(along), [text_of(label) for label in along.values])
    is_angle = angle_axis(axis, along)
    axis.set_label_text(name_of(along) if is_angle else label_of(along))


def name_lines(ax: Axes, lines: Sequence[Line2D], at: Literal["end", "peak"] = "end") -> None:
    """Write the name of each line beside it in its colour, at its right end or its peak.

    Names at the right end keep a distance from each other. Call this after setting the limits.
    """
    if at == "peak":
        for line in lines:
            x, y = (np.asarray(data, float) for data in line.get_data())
            if np.isfinite(y).any():
                top = int(np.nanargmax(y))
                _name(ax, line, (x[top], y[top]), (0, 3), ha="center", va="bottom")
        return
    low, high = ax.get_ylim()
    height = ax.get_window_extent().height * 72 / ax.figure.dpi
    last = [np.asarray(line.get_ydata(), float) for line in lines]
    ends = [float(y[np.isfinite(y)][-1]) if np.isfinite(y).any() else low for y in last]
    points = (np.array(ends) - low) / ((high - low) or 1) * height
    order = np.argsort(points, kind="stable")
    apart = points[order].copy()
    for i in range(1, apart.size):
        apart[i] = max(apart[i], apart[i - 1] + 9)
    apart -= max(0.0, float(apart[-1]) - max(height, 9.0 * (apart.size - 1))) if apart.size else 0
    for i in range(apart.size - 2, -1, -1):
        apart[i] = min(apart[i], apart[i + 1] - 9)
    for i, row in enumerate(order):
        shift = (4, float(apart[i] - points[row]))
        right = ax.get_yaxis_transform()
        _name(ax, lines[row], (1, ends[row]), shift, xycoords=right, ha="left", va="center")


def _name(
    ax: Axes, line: Line2D, point: tuple[float, float], shift: tuple[float, float], **how: Any
) -> None:
    ax.annotate(
        str(line.get_label()),
        point,
        shift,
        textcoords="offset points",
        color=line.get_color(),
        fontsize="small",
        annotation_clip=False,
        **how,
    )


def from_zero(ax: Axes, values: np.ndarray) -> None:
    """Start the vertical axis at 0, unless there are values below."""
    if not np.nanmin(values, initial=0) < 0:
        ax.set_ylim(bottom=0)


def frameless(ax: Axes) -> None:
    """Remove the upper and right side of the frame."""
    ax.spines[["top", "right"]].set_visible(False)


def nothing(ax: Axes, why: str) -> None:
    """Write into the axes why there is nothing to plot."""
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, color="0.5")
    ax.axis("off")


def legend(ax: Axes, n: int, title: str | None = None) -> None:
    """Add a legend: inside for two or three lines, else beside the axes."""
    beside = {"loc": "upper left", "bbox_to_anchor": (1.08 if ax.name == "polar" else 1.0, 1.02)}
    options: dict[str, Any] = beside if n > 3 or ax.name == "polar" else {}
    ax.legend(frameon=False, fontsize="small", title=title, title_fontsize="small", **options)


def scale(ax: Axes, colours: Any, label: str) -> None:
    """Add a colour bar beside axes, as high as their content."""
    bar = ax.inset_axes((1.03, 0, 0.03, 1))
    ax.figure.colorbar(colours, cax=bar, label=label)


def numbers_of(labels: xr.DataArray) -> np.ndarray:
    """Positions of labels along an axis: their values, or 0, 1, 2, ... for text."""
    values = labels.values
    return values if values.dtype.kind in "iuf" else np.arange(values.size)


def edges(centres: np.ndarray) -> np.ndarray:
    """Edges halfway between centres."""
    if centres.size < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def trace(ax: Axes, signal: xr.DataArray, time: np.ndarray, row: float) -> tuple[float, float]:
    """Draw a signal in a row of height 1, and give its range.

    Lines break where values are missing. An angle is shown over half a turn on both sides of its
    circular mean, and its line breaks where it wraps around; the range is that of the shown values.
    The number of points is limited to what a page can show: the extremes of each stretch, or
    samples of an angle.
    """
    values = signal.values.astype(float)
    turn = turn_of(signal)
    known = np.isfinite(values)
    if not known.any():
        return np.nan, np.nan
    step = -(-values.size // 4000)
    if turn is not None:
        middle = np.angle(np.exp(2j * np.pi / turn * values[known]).mean()) * turn / (2 * np.pi)
        middle = middle % turn
        values = (values - middle + turn / 2) % turn + middle - turn / 2
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if step > 1 and turn is not None:
        time, values = time[::step], values[::step]
    elif step > 1:
        n = values.size // step * step
        parts = values[:n].reshape(-1, step)
        time, values = (
            np.repeat(time[:n:step], 2),
            np.stack([np.fmin.reduce(parts, 1), np.fmax.reduce(parts, 1)], 1).ravel(),
        )
    if turn is not None:
        breaks = np.flatnonzero(np.abs(np.diff(values)) > turn / 2) + 1
        time, values = np.insert(time, breaks, time[breaks]), np.insert(values, breaks, np.nan)
    heights = (values - low) / (high - low) - 0.5 if high > low else 0 * values
    ax.plot(time, row + 0.76 * heights, color=PALETTE[0], lw=0.7, rasterized=True)
    return low, high
