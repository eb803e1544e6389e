"""What all plots share: colours, and the labels of axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, printable
from neuroarrays.schema import given

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that colour-blind readers tell apart (Okabe & Ito 2008), without the yellow.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Units that ticks may name.
TICKS = 30


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
    """The name of an array with its unit, to write at an axis.

    Parameters
    ----------
    values : (...) DataArray
        Its attribute `units` is written unless it is "1". Any shape, any unit.
    name : str, optional
        The name of the array unless given.
    """
    name = str(values.name) if name is None else name
    units = values.attrs.get("units", "")
    return text_of(f"{name} ({units})" if units not in ("", "1") else name)


def quantity_of(values: xr.DataArray) -> str:
    """The label of a result with its unit: its `long_name`, else "rate (spikes/s)"."""
    if "long_name" not in values.attrs:
        return "rate (spikes/s)"
    return label_of(values, values.attrs["long_name"])


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

    Lines break where it is missing; an angle, which jumps, is drawn as dots. No more points are
    drawn than a page can show: the extremes of each stretch, or, of an angle, samples.
    """
    values = signal.values.astype(float)
    angle = bool(signal.attrs.get("period"))
    known = values[np.isfinite(values)]
    if not known.size:
        return np.nan, np.nan
    low, high = float(known.min()), float(known.max())
    step = -(-values.size // 4000)
    if step > 1 and angle:
        time, values = time[::step], values[::step]
    elif step > 1:
        n = values.size // step * step
        parts = values[:n].reshape(-1, step)
        time, values = (
            np.repeat(time[:n:step], 2),
            np.stack([parts.min(1), parts.max(1)], 1).ravel(),
        )
    heights = (values - low) / (high - low) - 0.5 if high > low else 0 * values
    how: dict[str, Any] = {"ls": "", "marker": ".", "ms": 1.2} if angle else {"lw": 0.7}
    ax.plot(time, row + 0.76 * heights, color=PALETTE[0], rasterized=True, **how)
    return low, high
