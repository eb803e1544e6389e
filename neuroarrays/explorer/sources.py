"""Values as columns of the sources of figures and of the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.explorer.figures import COLORS

#: Presentations drawn behind the raster, and groups that have a colour each, at most.
_BEHIND, GROUPS = 80, len(COLORS)


def text_of(value: Any) -> str:
    """A value of a column as a label: numbers without needless digits, nothing for missing ones."""
    if isinstance(value, float | np.floating):
        return "missing" if np.isnan(value) else f"{value:g}"
    return str(value)[:40]


def behind(
    table: xr.Dataset, groups: str, window: tuple[float, float], height: tuple[float, float]
) -> dict[str, list[Any]]:
    """The presentations in a window as boxes, coloured by group; none where there are too many."""
    empty: dict[str, list[Any]] = {
        k: [] for k in ("left", "right", "bottom", "top", "color", "label")
    }
    if schema.START_TIME not in table or schema.STOP_TIME not in table:
        return empty
    start, stop = (
        np.asarray(table[k].values, float) for k in (schema.START_TIME, schema.STOP_TIME)
    )
    mark = start + 0.003 * (window[1] - window[0])  # of a presentation whose end is not known
    stop = np.where(np.isnan(stop), mark, stop)
    inside = np.flatnonzero((stop > window[0]) & (start < window[1]) & (stop > start))
    if inside.size > _BEHIND:
        return empty
    labels = (
        [text_of(v) for v in table[groups].values]
        if groups in table.variables
        else [""] * start.size
    )
    names = list(dict.fromkeys(labels))
    colors = [
        COLORS[names.index(labels[k]) % len(COLORS)] if len(names) <= GROUPS else "#999999"
        for k in inside
    ]
    return {
        "left": start[inside].tolist(), "right": stop[inside].tolist(), "color": colors,
        "bottom": [height[0]] * inside.size, "top": [height[1]] * inside.size,
        "label": [labels[k] for k in inside],
    }  # fmt: skip


def table_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns of a table of units as texts and numbers for the page; text stays text."""
    columns: dict[str, list[Any]] = {"unit": frame.index.tolist()}
    for k, name in enumerate(frame.columns):
        values = frame[name].to_numpy()
        plain = values.dtype.kind in "iufb"
        columns[f"c{k}"] = values.tolist() if plain else [str(v)[:80] for v in values]
    return columns


def ends_of_counts(counts: np.ndarray) -> tuple[float, float]:
    """Spikes per bin that are white and black: none, and what 90 % of the bins with spikes have at most."""
    positive = counts[counts > 0]
    return 0.0, max(1.0, float(np.percentile(positive, 90))) if positive.size else 1.0


def ends_of_traces(values: np.ndarray) -> tuple[float, float]:
    """Values of a trace, in its unit, that are white and black."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [2, 99.5]) if known.size else (0.0, 1.0)
    return float(low), float(high)
