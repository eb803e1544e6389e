"""Drawing what views returned along time: rasters, and signals beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.explorer.calls import View
from neuroarrays.explorer.curves import GROUPS, Curves, edges, ends_of, text_of, tick
from neuroarrays.explorer.figures import COLORS, Ends, shortened
from neuroarrays.explorer.panels import ROWS
from neuroarrays.explorer.recording import Recording
from neuroarrays.explorer.state import State
from neuroarrays.schema.labels import brief, time_label, turn_of, unit_of

#: Labels on an axis, presentations behind the raster, and presentations where there are no units, at most.
_TICKS, _BEHIND, _ALONE = 40, 80, 2000
#: Characters of the range of a signal beside its axis, so that the axis is as wide at any zoom.
_RANGE = 20
#: Characters of a text that are shown where the pointer is.
_HOVER = 80
#: Shades of one colour in the event raster, and its rows at most: one for each pixel.
_SHADES, _ROWS = 16, 320


class Plots(Curves):
    """The figures, with methods that draw what each view returned."""

    def show(
        self, name: str, view: View, state: State, recording: Recording, rows: np.ndarray | None
    ) -> None:
        """Draw what the view of a name returned (``rate map``: tuning to two signals); of the session some rows."""
        self.figure(name)
        if name == "session":
            self._show_session(view, state, rows)
            self._show_behind(view, state, recording)
            self.mark(state.units, view.facts["window"])
        else:
            getattr(self, f"_show_{name.replace(' ', '_')}")(view, state)
        self.write_as_text(name)

    # ------------------------------------------------------------------------------ along the session

    def _show_session(self, view: View, state: State, rows: np.ndarray | None) -> None:
        has_units = isinstance(
            view.value, xr.DataArray
        )  # else what lies behind them is drawn alone
        none = xr.DataArray(np.zeros((1, 1), int), {schema.UNIT: ["-"]}, (schema.TIME, schema.UNIT))
        value: xr.DataArray = view.value if has_units else none
        value = value if rows is None else value[:, rows]
        image, ids, ends = value.values.T, value[schema.UNIT].values, view.facts["ends"]
        group = -(-len(image) // ROWS)
        if group > 1:  # the highest of neighbours, so that no row that fires is lost
            image = np.maximum.reduceat(image, np.arange(0, len(image), group), axis=0)
        is_spikes = "width" in view.facts
        self._shade_session(is_spikes)
        image, values, what = (self._spikes if is_spikes else self._traces)(image, view, state)
        self._value.tooltips = [("", what)] if has_units else []
        height = -0.5, group * len(image) - 0.5
        width = view.facts.get("width", 0.0)
        self.put_image("session", image, ends, height, value=values, width=width)
        self._name_rows("session", [f"unit {unit}" for unit in ids], ends, -0.5)
        plot, n_rows = self.figure("session"), len(ids)
        step = 1 if n_rows <= _TICKS else -(-n_rows // 10)
        tick(plot.yaxis[0], {row: str(ids[row]) for row in range(0, n_rows, step)})
        plot.yaxis.axis_label = f"unit ({n_rows:,})"
        plot.yaxis.visible = self._bars["session"].visible = has_units

    def mark(self, units: tuple[int, ...], window: Ends) -> None:
        """Mark the rows of some units in the session raster, at the left of its window, s."""
        names = self.sources["session rows"].data["label"]
        rows = {label: row for row, label in enumerate(names[0] if names else [])}
        left = window[0] + 0.004 * (window[1] - window[0])
        at = [rows.get(f"unit {unit}", np.nan) for unit in units]
        self.put("chosen", [(left, row, color) for row, color in zip(at, COLORS, strict=False)])

    def _show_behind(self, view: View, state: State, recording: Recording) -> None:
        """The presentations behind the raster, and the epochs above it; the window of the session."""
        plot, window = self.figure("session"), view.facts["window"]
        n_rows = len(self.sources["session rows"].data["label"][0])
        bottom, top = -0.5, n_rows - 0.5
        most = _ALONE if isinstance(view.value, xr.Dataset) else _BEHIND
        boxes = _boxes(recording.table(state), state.by, window, (bottom, top), most)
        self.put("behind", boxes)
        above = top + 0.07 * n_rows
        epochs = _boxes(*recording.epochs(state), window, (top, above), _BEHIND)
        self.put("epochs", epochs)
        plot.y_range.start, plot.y_range.end = bottom, above if epochs else top
        plot.x_range.start, plot.x_range.end = window

    def _name_rows(self, name: str, labels: list[str], x: Ends, bottom: float) -> None:
        """What is shown of each row of an image where the pointer is."""
        image = np.zeros((len(labels), 1), np.uint8)
        height = bottom, bottom + len(labels)
        self.put_image(f"{name} rows", image, x, height, label=labels)

    def _scale(self, high: float, labels: tuple[str, str, str], title: str) -> None:
        """The value of the session's darkest shade, and what stands beside the shades."""
        mapper, bar = self._mappers["session"], self._bars["session"]
        mapper.high, bar.title = high, title
        bar.major_label_overrides = dict(zip((0, 0.5, 1), labels, strict=True))

    def _spikes(self, image: np.ndarray, view: View, state: State) -> tuple[Any, Any, str]:
        """Counts (unit, bin), of which grey says the rate, so that a shade means the same at any zoom."""
        width, black = view.facts["width"], state.black
        self._scale(black * width, ("0", f"{black / 2:g}", f"{black:g}"), "spikes/s")
        small = np.uint8 if image.max(initial=0) < 256 else np.uint16
        return image.astype(small), image[:0], "@image spikes in @width s"

    def _traces(self, image: np.ndarray, view: View, state: State) -> tuple[Any, Any, str]:
        """Traces (unit, sample), each between its own ends: their baselines differ by orders."""
        values = image.astype(np.float32)
        low, high = (np.nanpercentile(values, q, axis=1, keepdims=True) for q in (2, 99.5))
        self._scale(1.0, ("lowest", "", "highest"), "of each trace")
        shares = np.clip((values - low) / np.where(high > low, high - low, 1), 0, 1)
        return shares, values, f"@value {view.facts['unit']}"

    def _show_signals(self, view: View, state: State) -> None:
        names, lines, points = view.facts["names"], [], []
        labels: dict[float, str] = {}
        for row, name in enumerate(names[::-1]):  # one for each, so that the page stays as it is
            if name not in view.value:
                labels[row + 0.5] = f"{name}\n{'no sample':>{_RANGE}}"
                continue
            signal = view.value[name]
            unit = unit_of(signal)
            values = signal.values.astype(float).reshape(signal.sizes[schema.TIME], -1)
            low, high = ends_of(values)
            heights = row + 0.08 + 0.84 * (values - low) / (high - low or 1.0)
            if turn := turn_of(signal):  # a line that goes round the circle is broken
                heights[1:][np.abs(np.diff(values, axis=0)) > turn / 2] = np.nan
            # of each moment the lowest and the highest value
            clock = np.repeat(signal[schema.TIME].values, values.shape[1])
            lines.append((clock, heights.ravel(), COLORS[row % len(COLORS)], name))
            ends = f"{brief(low, high - low)} to {brief(high, high - low)} {unit}".rstrip()
            labels[row + 0.5] = f"{name}\n{ends:>{_RANGE}}"
            for k in np.linspace(0, clock.size - 1, min(400, clock.size)).astype(int):
                shown = f"{values.ravel()[k]:.4g} {unit}"
                points.append((clock[k], heights.ravel()[k], name, shown))
        plot = self.figure("signals")
        plot.x_range.start, plot.x_range.end = view.facts["window"]
        plot.y_range.end, plot.height = max(1, len(names)), 60 + 45 * max(1, len(names))
        tick(plot.yaxis[0], labels)
        self.put("signals", lines)
        self.put("points", points)

    # ------------------------------------------------------------------------------- around an event

    def _show_trials(self, view: View, state: State) -> None:
        value: xr.DataArray = view.value
        n_units, n_rows = value.sizes[schema.UNIT], value.sizes[schema.PRESENTATION]
        by, ids = view.facts["by"], value[schema.UNIT].values
        texts = [text_of(label) for label in value[by].values] if by else [""] * n_rows
        names = list(dict.fromkeys(texts))
        codes = np.array([names.index(text) for text in texts])
        is_grouped = 1 < len(names) <= GROUPS
        # As in the mean: a colour for each group of one unit, or for each of several units.
        n_colors = n_units if n_units > 1 else len(names) if is_grouped else 1
        colors = np.repeat(np.arange(n_units), n_rows) if n_units > 1 else codes % n_colors
        self._shade_trials(value, colors, n_colors)
        shown = [shortened(text, _HOVER) for text in texts]
        labels = [
            ", ".join(filter(None, (f"unit {unit}", f"presentation {number}", text)))
            for unit in ids
            for number, text in zip(value[schema.PRESENTATION].values, shown, strict=True)
        ]
        self._name_rows("trials", labels, edges(value[schema.TIME].values), 0)
        ticks: dict[float, str] = {}
        for u, unit in enumerate(ids):
            head = f"unit {unit}" if n_units > 1 else ""
            for k, name in enumerate(names if is_grouped else [""]):
                middle = np.flatnonzero(codes == k).mean() if is_grouped else n_rows / 2 - 0.5
                ticks[u * n_rows + float(middle) + 0.5] = ", ".join(
                    filter(None, (head, shortened(name)))
                )
        plot = self.figure("trials")
        plot.x_range.start, plot.x_range.end = state.before, state.after
        plot.y_range.end = n_units * n_rows
        tick(plot.yaxis[0], ticks if any(ticks.values()) else {})
        plot.yaxis.axis_label = f"presentation ({n_rows:,})" + (f", by {by}" if by else "")
        plot.xaxis.axis_label = time_label(value[schema.TIME])
        is_edge = (
            np.append(np.diff(codes) != 0, True) if is_grouped else np.arange(n_rows) == n_rows - 1
        )
        tick(plot.ygrid[0], (np.flatnonzero(np.tile(is_edge, n_units)) + 1).tolist())

    def _shade_trials(self, value: xr.DataArray, color: np.ndarray, n_colors: int) -> None:
        """The image of the event raster: a row for each unit and presentation, in the colour of a number."""
        order = (value.get_axis_num(dim) for dim in (schema.UNIT, schema.PRESENTATION, schema.TIME))
        responses = value.values.transpose(*order).reshape(color.size, -1)
        is_count = value.dtype.kind in "iu"
        known = responses[responses > 0] if is_count else responses[np.isfinite(responses)]
        low, high = np.percentile(known, [2, 99.5]) if known.size else (0.0, 1.0)
        if is_count:  # what 90 % of the bins with spikes have at most is full
            low, high = 0.0, float(np.percentile(known, 90)) if known.size else 1.0
        with np.errstate(invalid="ignore"):
            share = np.nan_to_num(np.clip((responses - low) / (high - low or 1), 0, 1))
        shade = np.ceil(share * (_SHADES - 1)).astype(np.int64)
        is_small = is_count and responses.max(initial=0) < 256
        responses = responses.astype(np.uint8 if is_small else np.float32)
        group = -(-color.size // _ROWS)
        if group > 1:  # the darkest of neighbours, so that no spike is lost between pixels
            first = np.arange(0, color.size, group)
            color, shade = color[first], np.maximum.reduceat(shade, first, axis=0)
            responses = np.maximum.reduceat(responses, first, axis=0)
        mapper = self._mappers["trials"]
        mapper.palette = [
            COLORS[c % len(COLORS)] + f"{round(255 * k / (_SHADES - 1)):02x}"
            for c in range(n_colors)
            for k in range(_SHADES)
        ]
        mapper.low, mapper.high = 0, len(mapper.palette) - 1
        image = (color[:, None] * _SHADES + shade).astype(np.uint8)
        height = 0, len(image) * group
        x = edges(value[schema.TIME].values)
        self.put_image("trials", image, x, height, responses=responses)


def _boxes(
    table: xr.Dataset, column: str, window: Ends, height: Ends, most: int
) -> list[tuple[Any, ...]]:
    """The presentations in a window as boxes, coloured by a column; none where there are too many."""
    if not {schema.START_TIME, schema.STOP_TIME} <= set(table.variables):
        return []
    start, stop = (table[k].values.astype(float) for k in (schema.START_TIME, schema.STOP_TIME))
    mark = start + 0.003 * (window[1] - window[0])  # of a presentation whose end is not known
    stop = np.where(np.isnan(stop), mark, stop)
    inside = np.flatnonzero((stop > window[0]) & (start < window[1]) & (stop > start))
    if inside.size > most:
        return []
    texts = [""] * start.size
    if column in table.variables:
        texts = [text_of(value) for value in table[column].values]
    names = list(dict.fromkeys(texts))
    colors = COLORS if len(names) <= GROUPS else ["#999999"] * len(names)
    middle = (np.maximum(start, window[0]) + np.minimum(stop, window[1])) / 2
    return [
        (start[k], stop[k], *height, colors[names.index(texts[k])], shortened(texts[k]), middle[k])
        for k in inside
    ]
