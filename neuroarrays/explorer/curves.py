"""Drawing values of units: lines with bands of standard errors, rate maps and frames."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import xarray as xr
from bokeh.core.properties import value as literal
from bokeh.models import BasicTicker, FixedTicker, LegendItem

from neuroarrays import schema
from neuroarrays.explorer.calls import View
from neuroarrays.explorer.figures import COLORS, Figures, shortened
from neuroarrays.explorer.state import State
from neuroarrays.schema.labels import is_in_radians, label_of, name_of, time_label

#: Dashes of groups, of which units have the colours; the later ones in lengths of marks and gaps, pixels.
_DASHES = ("solid", "dashed", "dotted", "dotdash", "10 2", "2 8", "8 2 2 2 2 2", "1 2")
#: Groups that have a colour each, and lines that a legend names one by one, at most; the number of grey.
GROUPS, _NAMED, _GREY = len(COLORS), 6, COLORS.index("#999999")
#: What a legend names: numbers of lines with texts, or None for all lines; the height of its rows, pixels.
_Key: TypeAlias = list[tuple[int, str]] | None
_ROW = 22
#: Characters that stand beside each other below a figure.
_BESIDE = 44
#: Half the width of the mean of one text of several, as a share of the room it has.
_HALF = 0.35


class Line(NamedTuple):
    """A line of (n,) float arrays, in which NaN is a gap; the number of its colour, and its standard error."""

    x: np.ndarray
    y: np.ndarray
    text: str
    color: int
    sem: np.ndarray | None = None
    dash: str = "solid"


class Curves(Figures):
    """The figures, with methods that draw lines and maps."""

    def _show_psth(self, view: View, state: State) -> None:
        response: xr.Dataset = view.value
        by, clock = view.facts["by"], response[schema.TIME].values
        mean = response["mean"].transpose(..., schema.UNIT, schema.TIME)
        sem, n = (response[k].transpose(*mean.dims).values for k in ("sem", "n"))
        names = [shortened(text_of(v)) for v in mean[by].values][:GROUPS] if by else [""]
        ids, lines, key = mean[schema.UNIT].values, [], None
        several = len(ids) > 1
        for g, name in enumerate(names):
            for u, unit_id in enumerate(ids):
                at = (g, u) if by else (u,)
                head = f"{unit_id}" if name and several else f"unit {unit_id}"
                parts = [head, name, f"(n = {n[at].max(initial=0):,.0f})"]
                color, dash = (u, _DASHES[g]) if several else (g, _DASHES[0])
                text = " ".join(filter(None, parts))
                lines.append(Line(clock, mean.values[at], text, color, sem[at], dash))
        if several and len(lines) > _NAMED:  # units are named by colour, groups by a dash in grey
            key = [(u, f"unit {unit_id}") for u, unit_id in enumerate(ids)]
            for g, name in enumerate(names):
                key.append((len(lines), f"{name} (n = {n[g].max(initial=0):,.0f})"))
                lines.append(Line(np.empty(0), np.empty(0), name, _GREY, None, _DASHES[g]))
        unit, x = str(mean.attrs.get("units", "")), time_label(response[schema.TIME])
        self._draw("psth", lines, unit, x, label_of(mean, "mean ± s.e.m."), key)

    def _show_tuning(self, view: View, state: State) -> None:
        curve: xr.DataArray = view.value
        along = curve[str(curve.dims[1])]
        name, axis = label_of(along), self.figure("tuning").xaxis[0]
        is_number = along.dtype.kind in "iuf"
        x = along.values.astype(float) if is_number else np.arange(along.size, dtype=float)
        sems = curve.coords["sem"].values if "sem" in curve.coords else None
        if is_in_radians(along):
            x, name = np.degrees(x), f"{name_of(along)} (degrees)"
            tick(axis, list(range(-360, 721, 90)))
        elif is_number:
            axis.ticker = BasicTicker() if isinstance(axis.ticker, FixedTicker) else axis.ticker
        else:
            tick(axis, {k: shortened(text_of(text)) for k, text in enumerate(along.values)})
        axis.major_label_overrides = {} if is_number else axis.major_label_overrides
        lines = []
        for u, unit in enumerate(curve[schema.UNIT].values):
            line = Line(x, curve.values[u], f"unit {unit}", u, None if sems is None else sems[u])
            if not is_number:  # nothing lies between two texts: a short line for each
                room = 2 * _HALF / len(curve)
                left = x - _HALF + u * room
                ends = np.stack([left, left + 0.9 * room, np.full(x.size, np.nan)], axis=1).ravel()
                sem = None if line.sem is None else np.repeat(line.sem, 3)
                line = line._replace(x=ends, y=np.repeat(line.y, 3), sem=sem)
            lines.append(line)
        unit = str(curve.attrs.get("units", ""))
        self._draw("tuning", lines, unit, name, label_of(curve, "mean"))
        axis.major_label_orientation = "horizontal"
        if not is_number:
            plot = self.figure("tuning")
            plot.x_range.start, plot.x_range.end = -0.5, x.size - 0.5
            longest = max(map(len, axis.major_label_overrides.values()), default=0)
            if x.size * longest > _BESIDE:
                axis.major_label_orientation = "vertical"
                plot.height += 6 * longest

    def _show_rate_map(self, view: View, state: State) -> None:
        curve, plot = view.value[0], self.figure("rate map")
        across, up = (curve[dim] for dim in curve.dims)
        x, y = edges(across.values), edges(up.values)
        self.put_image("rate map", curve.values.T.astype(np.float32), x, y)
        plot.xaxis.axis_label, plot.yaxis.axis_label = label_of(across), label_of(up)
        plot.x_range.start, plot.x_range.end = x
        plot.y_range.start, plot.y_range.end = y
        mapper, (low, high) = self._mappers["rate map"], ends_of(curve.values)
        mapper.low, mapper.high = min(0.0, low), max(high, 1e-9)
        self._bars["rate map"].title = str(view.value.attrs.get("units", ""))

    def _show_correlogram(self, view: View, state: State) -> None:
        value: xr.DataArray = view.value
        lag, ids = value["lag"].values, value[schema.UNIT].values
        rates = {f"unit {ids[0]}": value.values[0]}
        if value.ndim == 3:
            pairs = [(u, v) for u in range(len(ids)) for v in range(u + 1, len(ids))]
            rates = {f"{ids[v]} around {ids[u]}": value.values[u, v] for u, v in pairs}
        lines = [
            Line(lag, rate, text, k, dash=_DASHES[k // len(COLORS)])
            for k, (text, rate) in enumerate(rates.items())
        ]
        self._draw("correlogram", lines, "spikes/s")

    def _show_waveform(self, view: View, state: State) -> None:
        value: xr.DataArray = view.value
        lines = []
        for u, unit in enumerate(value[schema.UNIT].values):
            wave = value.values[u]
            if wave.ndim == 2:  # the channel with the largest swing
                channels = wave if wave.shape[0] < wave.shape[1] else wave.T
                wave = channels[int(np.argmax(np.ptp(np.nan_to_num(channels), axis=1)))]
            lines.append(Line(np.arange(wave.size, dtype=float), wave, f"unit {unit}", u))
        self._draw("waveform", lines, str(value.attrs.get("units", "")), "sample", label_of(value))

    def _show_stimulus(self, view: View, state: State) -> None:
        frame, plot = np.asarray(view.value.values, np.float32), self.figure("stimulus")
        mapper, (low, high) = self._mappers["stimulus"], ends_of(frame)
        mapper.low, mapper.high = low, max(high, low + 1e-9)
        n_rows, n_columns = frame.shape
        plot.y_range.start, plot.y_range.end = n_rows, 0  # from the top
        plot.x_range.end = n_columns
        plot.aspect_ratio = max(n_columns / n_rows, 0.5)  # pixels are squares
        self.put_image("stimulus", frame, (0, n_columns), (0, n_rows))

    def _draw(
        self, name: str, lines: list[Line], unit: str, x: str = "", y: str = "", key: _Key = None
    ) -> None:
        """Lines in a unit, bands of their errors, names of axes that change, and a legend: of all lines, or a key."""
        plot, bands = self.figure(name), []
        colors = [COLORS[line.color % len(COLORS)] for line in lines]
        rows = zip(lines, colors, strict=True)
        self.put(name, [(v.x, v.y, color, v.dash, v.text, unit) for v, color in rows])
        for line, color in zip(lines, colors, strict=True):
            if line.sem is None:
                continue
            known = np.isfinite(np.concatenate([[np.nan], line.x + line.y + line.sem, [np.nan]]))
            for begin, end in np.flatnonzero(np.diff(known)).reshape(-1, 2):
                x_part, middle, sem = (v[begin:end] for v in (line.x, line.y, line.sem))
                around = np.concatenate([middle + sem, (middle - sem)[::-1]])
                bands.append((np.concatenate([x_part, x_part[::-1]]), around, color))
        # Of patches that become fewer, Bokeh paints one that is no longer there, and stops with an error.
        n_before = len(self.sources[f"{name} bands"].data["xs"])
        bands += [(np.empty(0), np.empty(0), COLORS[0])] * (n_before - len(bands))
        self.put(f"{name} bands", bands)
        floor = [] if name == "waveform" else [np.zeros(1)]
        reached = [*(line.y for line in lines), *(around for _, around, _ in bands)]
        low, high = ends_of(np.concatenate([*reached, *floor]))
        room = 0.06 * (high - low) or 1.0
        plot.y_range.start, plot.y_range.end = low - (room if low < 0 else 0), high + room
        if name != "psth":
            ends = ends_of(np.concatenate([line.x for line in lines]))
            plot.x_range.start, plot.x_range.end = ends
        plot.xaxis.axis_label = x or plot.xaxis.axis_label
        plot.yaxis.axis_label = y or plot.yaxis.axis_label
        self._name_lines(name, key or [(k, line.text) for k, line in enumerate(lines)])

    def _name_lines(self, name: str, key: list[tuple[int, str]]) -> None:
        """The legend of a figure, of lines by number, above them: its items stay, and the room for lines too."""
        legend = self._legends[name]
        for k in range(len(legend.items), len(key)):
            item = LegendItem(label=literal(""), renderers=[self._lines_of[name]], index=k)
            legend.items.append(item)
        for k, item in enumerate(legend.items):
            item.visible = k < len(key)
            item.index, text = key[k] if item.visible else (0, "")
            item.label = literal(text)
        legend.ncols = 1 if max(len(text) for _, text in key) > 18 else 2
        self.figure(name).height = 210 + _ROW * -(-len(key) // legend.ncols)


def text_of(value: Any) -> str:
    """A value of a column as a label: numbers without needless digits, nothing for missing ones."""
    if isinstance(value, float | np.floating):
        return "missing" if np.isnan(value) else f"{value:g}"
    return str(value)


def ends_of(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value that is known; 0 and 1 where none is."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def edges(centres: np.ndarray) -> tuple[float, float]:
    """Where the first of some even bins begins, and where the last one ends."""
    half = (centres[1] - centres[0]) / 2 if centres.size > 1 else 0.5
    return float(centres[0] - half), float(centres[-1] + half)


def tick(axis: Any, ticks: dict[float, str] | list[Any]) -> None:
    """Ticks of an axis or a grid; its ticker stays: a new model makes Bokeh walk the whole page."""
    if isinstance(axis.ticker, FixedTicker):
        axis.ticker.ticks = list(ticks)
    else:
        axis.ticker = FixedTicker(ticks=list(ticks))
    if isinstance(ticks, dict):
        axis.major_label_overrides = ticks
