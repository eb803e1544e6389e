"""Drawing what views returned: their values go into the sources of the figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from bokeh.core.properties import value as literal
from bokeh.models import BasicTicker, FixedTicker, LegendItem, Range1d

from neuroarrays import schema
from neuroarrays.explorer.figures import COLORS, Figures
from neuroarrays.explorer.panels import ROWS
from neuroarrays.explorer.recipe import View
from neuroarrays.explorer.sources import GROUPS, behind, ends_of_counts, ends_of_traces, text_of
from neuroarrays.explorer.state import State
from neuroarrays.schema.labels import is_in_radians, label_of, time_label

_DASHES = ("solid", "dashed", "dotted", "dotdash")
#: Labels on an axis, at most.
_TICKS = 40
#: Shades of one colour in the event raster, and its rows at most: one for each pixel.
_SHADES, _ROWS = 16, 320


class Plots(Figures):
    """The figures, with methods that draw what each view returned."""

    # -------------------------------------------------------------------------------- showing values

    def show(self, name: str, view: View, state: State, more: dict[str, Any]) -> None:
        """Draw what a view returned.

        Parameters
        ----------
        name : str
            Of the view.
        view : View
            What it returned; its value is not None.
        state : State
            What is shown.
        more : dict
            ``rows``: positions of the units in the session raster, or None for all; ``table`` and
            ``groups``: the presentations behind it; ``epochs`` and ``label``: those above.
        """
        if not (name == "tuning" and view.value.ndim == 3):
            self.figure(name)
        getattr(self, f"_show_{name}")(view, state, more)

    def _show_session(self, view: View, state: State, more: dict[str, Any]) -> None:
        value: xr.DataArray = view.value
        rows = more["rows"]
        image = value.values.T if rows is None else value.values.T[rows]
        ids = value[schema.UNIT].values if rows is None else value[schema.UNIT].values[rows]
        ends = view.facts["ends"]
        group = -(-len(image) // ROWS)
        if group > 1:  # the highest of neighbours, so that no row that fires is lost
            image = np.maximum.reduceat(image, np.arange(0, len(image), group), axis=0)
        shades = self._spike_shades if "width" in view.facts else self._trace_shades
        image, values, what = shades(image, view, state)
        n_rows = len(ids)
        self._hover.tooltips = [("time", "$x{0.000} s"), ("row", "$y{0}"), ("", what)]
        self.sources["session"].data = {
            "image": [image], "value": [values], "x": [ends[0]], "y": [-0.5],
            "dw": [ends[1] - ends[0]], "dh": [group * len(image)],
        }  # fmt: skip
        plot = self.figure("session")
        plot.y_range.start, plot.y_range.end = -0.5, n_rows - 0.5
        _ticks(plot.yaxis[0], ids)
        window = state.window or more["extent"]
        plot.x_range.start, plot.x_range.end = window
        where = [
            (int(np.flatnonzero(ids == u)[0]), c)
            for u, c in zip(state.units, COLORS, strict=False)
            if u in ids
        ]
        edge = window[0] + 0.004 * (window[1] - window[0])
        self.sources["chosen"].data = {
            "x": [edge] * len(where), "y": [row for row, _ in where], "color": [c for _, c in where]
        }  # fmt: skip
        height = -0.5, n_rows - 0.5
        self.sources["behind"].data = behind(more["table"], more["groups"], window, height)
        top = n_rows - 0.5, n_rows - 0.5 + 0.07 * n_rows
        epochs = behind(more["epochs"], more["label"], window, top)
        ends = zip(epochs["left"], epochs["right"], strict=True)
        epochs["middle"] = [(max(a, window[0]) + min(b, window[1])) / 2 for a, b in ends]
        self.sources["epochs"].data = epochs
        plot.y_range.end = top[1] if epochs["left"] else height[1]

    def _scale(self, low: float, high: float, labels: dict[float, str], title: str) -> None:
        """The ends of the session's shades, and what stands beside them."""
        mapper, bar = self._mappers["session"], self._bars["session"]
        mapper.low, mapper.high, bar.title = low, high, title
        bar.ticker.ticks, bar.major_label_overrides = list(labels), labels

    def _spike_shades(self, image: np.ndarray, view: View, state: State) -> tuple[Any, Any, str]:
        """Counts (unit, bin), of which grey says the rate, so that a shade means the same at any zoom."""
        width = view.facts["width"]
        labels = {float(rate * width): f"{rate:g}" for rate in np.linspace(0, state.black, 3)}
        self._scale(0, max(state.black * width, 1e-9), labels, "spikes/s")
        small = np.uint8 if image.max(initial=0) < 256 else np.uint16
        return image.astype(small), image[:0], f"@image spikes in {width:g} s"

    def _trace_shades(self, image: np.ndarray, view: View, state: State) -> tuple[Any, Any, str]:
        """Traces (unit, sample), each between its own ends: their baselines differ by orders."""
        values = image.astype(np.float32)
        low, high = (np.nanpercentile(values, q, axis=1, keepdims=True) for q in (2, 99.5))
        self._scale(0.0, 1.0, {0.0: "lowest", 1.0: "highest"}, "of each trace")
        shares = np.clip((values - low) / np.where(high > low, high - low, 1), 0, 1)
        return shares, values, f"@value {view.facts['unit']}"

    def _show_signals(self, view: View, state: State, more: dict[str, Any]) -> None:
        xs, ys, colors, names = [], [], [], []
        points: dict[str, list[Any]] = {"x": [], "y": [], "name": [], "value": []}
        labels = {}
        wanted = [n for n in view.facts["names"] if n in view.value or f"{n} lowest" in view.value]
        for row, name in enumerate(wanted[::-1]):
            parts = [
                part
                for key, part in view.value.items()
                if key in (name, f"{name} lowest", f"{name} highest")
            ]
            if not parts:
                continue
            unit = str(parts[0].attrs.get("units", ""))
            values = np.stack([part.values.astype(float) for part in parts])
            known = values[np.isfinite(values)]
            low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
            scaled = row + 0.08 + 0.84 * (values - low) / (high - low or 1.0)
            clock = parts[0][schema.TIME].values
            clock, scaled = (
                np.repeat(clock, len(parts)),
                scaled.T.ravel(),
            )  # lowest, highest, lowest
            xs.append(clock)
            ys.append(scaled)
            names.append(name)
            colors.append(COLORS[row % len(COLORS)])
            labels[row + 0.5] = f"{name}\n{low:.3g} to {high:.3g} {unit}"
            some = np.linspace(0, clock.size - 1, min(400, clock.size)).astype(int)
            points["x"] += clock[some].tolist()
            points["y"] += scaled[some].tolist()
            points["name"] += [name] * some.size
            back = low + (scaled[some] - row - 0.08) / 0.84 * (high - low or 1.0)
            points["value"] += [f"{v:.4g} {unit}" for v in back]
        plot = self.figure("signals")
        plot.y_range.start, plot.y_range.end = 0, max(1, len(wanted))
        _tick(plot.yaxis[0], list(labels))
        plot.yaxis.major_label_overrides = labels
        plot.height = 90 + 45 * max(1, len(wanted))
        self.sources["signals"].data = {"xs": xs, "ys": ys, "color": colors, "name": names}
        self.sources["points"].data = points

    def _show_trials(self, view: View, state: State, more: dict[str, Any]) -> None:
        value: xr.DataArray = view.value
        n_units, n_rows, _ = value.shape
        by = view.facts["by"]
        labels = value[by].values if by else np.zeros(n_rows)
        names = list(dict.fromkeys(text_of(label) for label in labels))
        codes = np.array([names.index(text_of(label)) for label in labels])
        few = len(names) <= GROUPS
        # As in the mean: a colour for each group of one unit, or for each of several units.
        n_colors = n_units if n_units > 1 else len(names) if few else 1
        rows = np.repeat(np.arange(n_units), n_rows) if n_units > 1 else codes % n_colors
        self._shade_trials(value, rows, n_colors)
        plot = self.figure("trials")
        plot.x_range.start, plot.x_range.end = state.before, state.after
        plot.y_range.start, plot.y_range.end = 0, n_units * n_rows
        ticks: dict[float, str] = {}
        for u, unit in enumerate(value[schema.UNIT].values):
            head = f"{unit}: " if n_units > 1 else ""
            if few and len(names) > 1:
                for k, name in enumerate(names):
                    inside = np.flatnonzero(codes == k)
                    ticks[u * n_rows + float(inside.mean()) + 0.5] = head + name
            else:
                ticks[(u + 0.5) * n_rows] = head + f"{n_rows:,}"
        _tick(plot.yaxis[0], list(ticks))
        plot.yaxis.major_label_overrides = ticks
        plot.yaxis.axis_label = f"presentation, by {by}" if by else "presentation"
        plot.xaxis.axis_label = time_label(value[schema.TIME])
        edges = [
            k
            for k in range(1, n_units * n_rows)
            if k % n_rows == 0 or codes[k % n_rows] != codes[k % n_rows - 1]
        ]
        _tick(plot.ygrid[0], edges if few else [])

    def _shade_trials(self, value: xr.DataArray, color: np.ndarray, n_colors: int) -> None:
        """The image of the event raster.

        Parameters
        ----------
        value : (unit_id, presentation_id, time) DataArray
            Spikes per bin, or a trace in its own unit.
        color : (unit x presentation,) int
            Number of the colour of each row.
        n_colors : int
            How many colours there are.
        """
        stacked = value.values.reshape(color.size, -1)
        is_count = value.dtype.kind in "iu"
        low, high = ends_of_counts(stacked) if is_count else ends_of_traces(stacked)
        with np.errstate(invalid="ignore"):
            share = np.nan_to_num(np.clip((stacked - low) / (high - low or 1), 0, 1))
        shade = np.ceil(share * (_SHADES - 1)).astype(np.int64)
        mapper = self._mappers["trials"]
        mapper.palette = [
            COLORS[c % len(COLORS)] + f"{round(255 * k / (_SHADES - 1)):02x}"
            for c in range(n_colors)
            for k in range(_SHADES)
        ]
        mapper.low, mapper.high = 0, len(mapper.palette) - 1
        time = value[schema.TIME].values
        step = float(time[1] - time[0]) if time.size > 1 else 1.0
        small = is_count and stacked.max(initial=0) < 256
        responses = stacked.astype(np.uint8 if small else np.float32)
        image = (color[:, None] * _SHADES + shade).astype(np.uint8)
        group = -(-color.size // _ROWS)
        if group > 1:  # the darkest of neighbours, so that no spike is lost between pixels
            first = np.arange(0, color.size, group)
            darkest = np.maximum.reduceat(shade, first, axis=0)
            image = (color[first, None] * _SHADES + darkest).astype(np.uint8)
            responses = np.maximum.reduceat(responses, first, axis=0)
        self.sources["trials"].data = {
            "image": [image], "responses": [responses], "x": [time[0] - step / 2], "y": [0],
            "dw": [step * time.size], "dh": [len(image) * group],
        }  # fmt: skip

    def _show_psth(self, view: View, state: State, more: dict[str, Any]) -> None:
        response: xr.Dataset = view.value
        by, clock = view.facts["by"], response[schema.TIME].values
        mean = response["mean"].transpose(..., schema.UNIT, schema.TIME)
        sem, n = (response[k].transpose(*mean.dims) for k in ("sem", "n"))
        names = [text_of(v) for v in mean[by].values][:GROUPS] if by else [""]
        ids = mean[schema.UNIT].values
        lines = []
        for g, name in enumerate(names):
            for u, unit in enumerate(ids):
                at = (g, u) if by else (u,)
                most = int(n.values[at].max(initial=0))
                label = " ".join([*([f"{unit}"] if len(ids) > 1 else []), name, f"(n = {most})"])
                color = COLORS[(u if len(ids) > 1 else g) % len(COLORS)]
                dash = _DASHES[g % len(_DASHES)] if len(ids) > 1 else "solid"
                lines.append((clock, mean.values[at], sem.values[at], color, dash, label.strip()))
        unit = str(mean.attrs.get("units", ""))
        self.figure("psth").xaxis.axis_label = time_label(response[schema.TIME])
        self._draw("psth", lines, unit, f"mean ± s.e.m. ({unit})")

    def _show_tuning(self, view: View, state: State, more: dict[str, Any]) -> None:
        curve: xr.DataArray = view.value
        unit = str(curve.attrs.get("units", ""))
        if curve.ndim == 3:
            across, up = curve.dims[1:]
            x, y = curve[across].values, curve[up].values
            plot = self.figure("rate map")
            self.sources["rate map"].data = {
                "image": [curve.values[0].T.astype(np.float32)], "x": [x[0]], "y": [y[0]],
                "dw": [x[-1] - x[0]], "dh": [y[-1] - y[0]],
            }  # fmt: skip
            plot.xaxis.axis_label, plot.yaxis.axis_label = (
                label_of(curve[across]),
                label_of(curve[up]),
            )
            _fit(plot.x_range, x, 0.0)
            _fit(plot.y_range, y, 0.0)
            mapper = self._mappers["rate map"]
            known = curve.values[0][np.isfinite(curve.values[0])]
            mapper.low, mapper.high = 0, float(known.max(initial=1e-9))
            return
        along = curve[str(curve.dims[1])]
        is_number = along.dtype.kind in "iuf"
        x = along.values.astype(float) if is_number else np.arange(along.size, dtype=float)
        x, name = (
            (np.degrees(x), f"{along.name} (degrees)")
            if is_in_radians(along)
            else (x, label_of(along))
        )
        sem = curve.coords["sem"].values if "sem" in curve.coords else np.full(curve.shape, np.nan)
        lines = [
            (x, curve.values[u], sem[u], COLORS[u % len(COLORS)], "solid", f"unit {unit_id}")
            for u, unit_id in enumerate(curve[schema.UNIT].values)
        ]
        plot = self.figure("tuning")
        plot.xaxis.axis_label = name
        texts = {} if is_number else {k: text_of(v) for k, v in enumerate(along.values)}
        plot.xaxis.major_label_overrides = texts
        if not is_number:
            _tick(plot.xaxis[0], list(range(along.size)))
        elif is_in_radians(along):
            _tick(plot.xaxis[0], list(range(-360, 721, 90)))
        elif isinstance(plot.xaxis[0].ticker, FixedTicker):
            plot.xaxis[0].ticker = BasicTicker()
        self._draw("tuning", lines, unit, unit)

    def _show_correlogram(self, view: View, state: State, more: dict[str, Any]) -> None:
        value: xr.DataArray = view.value
        lag, ids, lines = value["lag"].values, value[schema.UNIT].values, []
        pairs = [(u, u) for u in range(len(ids))] if value.ndim == 2 else []
        pairs = pairs or [(u, v) for u in range(len(ids)) for v in range(u + 1, len(ids))]
        for k, (u, v) in enumerate(pairs):
            rate = value.values[u] if value.ndim == 2 else value.values[u, v]
            label = f"unit {ids[u]}" if u == v else f"{ids[v]} around {ids[u]}"
            lines.append(
                (lag, rate, np.full(lag.size, np.nan), COLORS[k % len(COLORS)], "solid", label)
            )
        self._draw("correlogram", lines, "spikes/s", "rate (spikes/s)")

    def _show_waveform(self, view: View, state: State, more: dict[str, Any]) -> None:
        value: xr.DataArray = view.value
        lines = []
        for u, unit in enumerate(value[schema.UNIT].values):
            wave = value.values[u]
            if wave.ndim == 2:  # the channel with the largest swing
                channels = wave if wave.shape[0] < wave.shape[1] else wave.T
                wave = channels[int(np.argmax(np.ptp(np.nan_to_num(channels), axis=1)))]
            x, none = np.arange(wave.size, dtype=float), np.full(wave.size, np.nan)
            lines.append((x, wave, none, COLORS[u % len(COLORS)], "solid", f"unit {unit}"))
        unit = str(value.attrs.get("units", ""))
        self._draw("waveform", lines, unit, unit)

    def _show_stimulus(self, view: View, state: State, more: dict[str, Any]) -> None:
        frame = np.asarray(view.value.values, float)[::-1]
        self._mappers["stimulus"].low, self._mappers["stimulus"].high = (
            float(np.nanmin(frame)),
            max(float(np.nanmax(frame)), float(np.nanmin(frame)) + 1e-9),
        )
        height, width = frame.shape
        plot = self.figure("stimulus")
        plot.x_range.end, plot.y_range.end = width, height
        self.sources["stimulus"].data = {
            "image": [frame.astype(np.float32)], "x": [0], "y": [0], "dw": [width], "dh": [height]
        }  # fmt: skip

    def _draw(self, name: str, lines: list[tuple[Any, ...]], unit: str, label: str) -> None:
        """Lines, bands of their standard errors, and a legend."""
        plot, source = self.figure(name), self.sources[name]
        data: dict[str, list[Any]] = {k: [] for k in ("xs", "ys", "color", "dash", "label", "unit")}
        bands: dict[str, list[Any]] = {"xs": [], "ys": [], "color": []}
        for x, y, sem, color, dash, text in lines:
            for key, part in zip(data, (x, y, color, dash, text, unit), strict=True):
                data[key].append(part)
            known = np.isfinite(y) & np.isfinite(sem)
            if known.any():
                around = y[known] + sem[known], y[known] - sem[known]
                bands["xs"].append(np.concatenate([x[known], x[known][::-1]]))
                bands["ys"].append(np.concatenate([around[0], around[1][::-1]]))
                bands["color"].append(color)
        ends = [
            np.concatenate([y, y + np.nan_to_num(sem), y - np.nan_to_num(sem)])
            for _, y, sem, *_ in lines
        ]
        _fit(plot.y_range, np.concatenate([*ends, np.zeros(1 if name != "waveform" else 0)]), 0.06)
        if name != "psth":
            _fit(plot.x_range, np.concatenate([x for x, *_ in lines]), 0.0)
        source.data, self.sources[f"{name} bands"].data = data, bands
        legend = self._legends[name]
        drawn = self._lines_of[name]
        for k in range(len(legend.items), len(lines)):
            legend.items.append(LegendItem(label=literal(""), renderers=[drawn], index=k))
        for item, text in zip(legend.items, data["label"], strict=False):
            item.label = literal(text)
        for k, item in enumerate(legend.items):
            item.visible = k < len(lines)
        legend.visible = len(lines) <= 12
        plot.yaxis.axis_label = label


def _fit(axis: Range1d, values: np.ndarray, room: float) -> None:
    """Let a range hold all values that are known, and a share of room at its ends."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    more = room * (high - low) or (0.0 if high > low else 1.0)
    axis.start, axis.end = low - (more if low < 0 or not room else 0), high + more


def _tick(axis: Any, ticks: list[Any]) -> None:
    """Ticks of an axis or a grid; its ticker stays: a new model makes Bokeh walk the whole page."""
    if isinstance(axis.ticker, FixedTicker):
        axis.ticker.ticks = ticks
    else:
        axis.ticker = FixedTicker(ticks=ticks)


def _ticks(axis: Any, ids: np.ndarray) -> None:
    """Labels of units at their rows: each, or some of many."""
    step = max(1, -(-len(ids) // _TICKS)) if len(ids) <= _TICKS else -(-len(ids) // 10)
    rows = range(0, len(ids), step)
    _tick(axis, list(rows))
    axis.major_label_overrides = {row: str(ids[row]) for row in rows}
    axis.axis_label = f"unit ({len(ids):,})"
