"""What all plots share: colours, and the labels of axes."""

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

#: Colours that colour-blind readers tell apart (Okabe & Ito 2008), without the yellow.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Units that ticks may name.
TICKS = 30
#: Colours of units, as many as have their names beside their lines.
UNIT_COLORS = (*PALETTE, "0.55")
NAMED = len(UNIT_COLORS)
#: Steps in degrees that the ticks of an angle may have.
_DEGREES = (5, 10, 15, 30, 45, 90)


def axes_of(ax: Axes | None) -> Axes:
    """The axes that were given, else the current ones; a figure made for them clips no label."""
    if ax is not None:
        return ax
    return plt.gca() if plt.get_fignums() else plt.figure(layout="constrained").gca()


def check(values: Any, kind: Any, call: str, line: str) -> None:
    """Raise an error if something is not the result that a plot is drawn of.

    Parameters
    ----------
    values : object
        What was given.
    kind : class, or classes
        What the answer is.
    call : str
        What gives such an answer: "na.psth".
    line : str
        What to write; "{unit}" becomes the label of a unit of the area that was given.

    Raises
    ------
    SchemaError
        Says what was given, and the line.
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
    msg = f"expected what {call} gives, found {given.described(values)}; write {line.format(unit=unit)}"
    counts = {schema.SPIKE_DATA, schema.RESPONSES}
    if isinstance(values, xr.DataTree) and not is_events and not counts & set(values.data_vars):
        msg += f"; for an area, {given.instead(values, 'trials')}"
    raise SchemaError(msg)


def rows_of(values: xr.DataArray | xr.Dataset) -> str:
    """The dimension along which each row is a unit, an event of another name, or an area."""
    return next((dim for dim in (schema.EVENT, schema.AREA) if dim in values.dims), schema.UNIT)


def text_of(text: object) -> str:
    """A text from a file as matplotlib writes it letter by letter: a "$" begins no mathematics."""
    return printable(text).replace("$", r"\$")


def label_of(values: xr.DataArray, name: str | None = None) -> str:
    """The name of an array with its unit, to write at an axis; any shape, any unit."""
    return text_of(labels.label_of(values, name))


def quantity_of(values: xr.DataArray) -> str:
    """The label of a result with its unit: its `long_name`, else "rate (spikes/s)"."""
    if "long_name" not in values.attrs:
        return "rate (spikes/s)"
    return label_of(values, values.attrs["long_name"])


def time_label(time: xr.DataArray) -> str:
    """What the time around an event is called: "time from onset (s)", or from the column it was aligned to."""
    return text_of(labels.time_label(time))


def angle_axis(axis: Axis, angles: xr.DataArray) -> bool:
    """Write the ticks of an angle in radians in degrees; False where it is no such angle."""
    if not labels.is_in_radians(angles) or not angles.size:
        return False
    reach = np.degrees(float(angles.max() - angles.min()))
    step = next((degrees for degrees in _DEGREES if reach / degrees <= 6), 90)
    axis.set_major_locator(MultipleLocator(np.radians(step)))
    axis.set_major_formatter(FuncFormatter(lambda angle, _: f"{np.degrees(angle):.0f}°"))
    return True


def axis_label(ax: Axes, which: Literal["x", "y"], along: xr.DataArray) -> None:
    """Name an axis after the labels along it: texts one by one, angles in degrees, numbers with their unit."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    if along.dtype.kind not in "iuf":
        axis.set_ticks(numbers_of(along), [text_of(label) for label in along.values])
    is_angle = angle_axis(axis, along)
    axis.set_label_text(text_of(str(along.name)) if is_angle else label_of(along))


def name_lines(ax: Axes, lines: Sequence[Line2D], at: Literal["end", "peak"] = "end") -> None:
    """Write the label of each line beside it, in its colour: at its right end, or at its peak.

    Names at the right end keep a distance from each other. Call it when the limits are set.
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
    """Let the vertical axis begin at 0, unless there are values below."""
    if not np.nanmin(values, initial=0) < 0:
        ax.set_ylim(bottom=0)


def frameless(ax: Axes) -> None:
    """Take the frame's upper and right side away."""
    ax.spines[["top", "right"]].set_visible(False)


def nothing(ax: Axes, why: str) -> None:
    """Write on the axes why there is nothing to plot."""
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, color="0.5")
    ax.axis("off")


def legend(ax: Axes, n: int, title: str | None = None) -> None:
    """Name the lines: inside where there are two or three, else beside, where nothing is hidden."""
    beside = {"loc": "upper left", "bbox_to_anchor": (1.08 if ax.name == "polar" else 1.0, 1.02)}
    how: dict[str, Any] = beside if n > 3 or ax.name == "polar" else {}
    ax.legend(frameon=False, fontsize="small", title=title, title_fontsize="small", **how)


def scale(ax: Axes, colours: Any, label: str) -> None:
    """Put a colour bar beside axes, as high as what they show."""
    bar = ax.inset_axes((1.03, 0, 0.03, 1))
    ax.figure.colorbar(colours, cax=bar, label=label)


def numbers_of(labels: xr.DataArray) -> np.ndarray:
    """Where labels stand along an axis: at themselves, texts one after another."""
    values = labels.values
    return values if values.dtype.kind in "iuf" else np.arange(values.size)


def edges(centres: np.ndarray) -> np.ndarray:
    """Edges half way between centres."""
    if centres.size < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def trace(ax: Axes, signal: xr.DataArray, time: np.ndarray, row: float) -> tuple[float, float]:
    """Draw a signal in a row of height 1, and give its range.

    Lines break where it is missing. An angle is shown over the half circles on both sides of its
    circular mean, and its line breaks where it goes round; its range is that of the shown values.
    No more points are drawn than a page can show: the extremes of each stretch, or, of an angle,
    samples.
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
