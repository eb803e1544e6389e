"""Figures of the page: each is made once, in the colours of a theme; values go into its sources later."""

from __future__ import annotations

import re
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from bokeh.models import (
    Axis,
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    Grid,
    HoverTool,
    Legend,
    LinearColorMapper,
    Model,
    NoOverlap,
    Plot,
    PrintfTickFormatter,
    Range1d,
    SaveTool,
    Text,
)
from bokeh.palettes import Greys256
from bokeh.plotting import figure

from neuroarrays.explorer.state import State

#: Colours of units and of groups that colour-blind readers can tell, on light and on dark.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#8B5CF6", "#999999")
#: The lower and the upper end of an axis.
Ends = tuple[float, float]
#: Whether they are dark -> colours of the page.
THEMES = {
    False: {"paper": "#ffffff", "ink": "#222222", "faint": "#dddddd", "stripe": "#f5f5f5"},
    True: {"paper": "#16181d", "ink": "#e6e6e6", "faint": "#3a3f4a", "stripe": "#1e2128"},
}
#: Characters of the name of an axis.
_LABEL = 60
_BOX = ("left", "right", "bottom", "top", "color", "label", "middle")
_LINE = ("xs", "ys", "color", "dash", "label", "unit")


class _Kind(NamedTuple):
    """A figure: its height in pixels, its axes, whose x axis it shares, and its tools."""

    height: int
    x: str = ""
    y: str = ""
    shares: str = ""
    tools: str = "xpan,xwheel_zoom,reset,save"


_KINDS = {
    "session": _Kind(300, "session time (s)", tools="xbox_zoom,xwheel_zoom,xpan,reset,save"),
    "signals": _Kind(220, "session time (s)", shares="session"),
    "trials": _Kind(360),
    "psth": _Kind(220, shares="trials"),
    "tuning": _Kind(220),
    "correlogram": _Kind(220, "lag (s)", "rate (spikes/s)"),
    "waveform": _Kind(220, "sample"),
    "rate map": _Kind(240, tools="pan,wheel_zoom,reset,save"),
    "stimulus": _Kind(240, tools="pan,wheel_zoom,reset,save"),
}


class Figures:
    """The figures by name, made when they are first asked for, as a state says: as vectors or not, dark or light."""

    def __init__(self, state: State):
        self._backend, self._dark = "svg" if state.svg else "canvas", state.dark
        self.sources: dict[str, ColumnDataSource] = {}
        self.figures: dict[str, Any] = {}
        self._mappers: dict[str, LinearColorMapper] = {}
        self._bars: dict[str, ColorBar] = {}
        self._legends: dict[str, Legend] = {}
        self._lines_of: dict[str, Any] = {}

    def figure(self, name: str) -> Any:
        """The figure of a name: that of a view, or ``rate map``."""
        if name in self.figures:
            return self.figures[name]
        kind = _KINDS[name]
        plot = self.figures[name] = figure(
            height=kind.height, sizing_mode="stretch_width", tools=kind.tools, title=None,
            active_drag=kind.tools.partition(",")[0], active_scroll=None, toolbar_location="right",
            x_range=self.figure(kind.shares).x_range if kind.shares else Range1d(0, 1),
            y_range=Range1d(0, 1), x_axis_label=kind.x, y_axis_label=kind.y, output_backend=self._backend,
            min_border_left=70, min_border_right=20,
            styles={"clip-path": "inset(2px)"},  # else a line of the former colours stays
        )  # fmt: skip
        plot.toolbar.logo, plot.toolbar.autohide = None, True
        plot.axis.major_label_policy = NoOverlap()
        # All labels of an axis are as wide: else Bokeh lays the whole page out anew.
        plot.yaxis.formatter = PrintfTickFormatter(format="%7.6g")
        plot.select_one(SaveTool).filename = name  # else the browser asks for one
        if name in ("trials", "psth", "correlogram"):
            plot.vspan([0], line_color="#888888", line_dash="dashed")
        if name == "session":
            self._session(plot)
        elif name == "signals":
            self._signals(plot)
        elif name == "trials":
            self._image(plot, name, ["#ffffff"], [("", "@responses")], "responses")
            self._rows(plot, name, "from the event")
        elif name in ("rate map", "stimulus"):
            self._map(plot, name)
        else:
            self._lines(plot, name)
        self._colour(name)
        return plot

    def put(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        """Put rows of values into a source, in the order of its columns."""
        keys, columns = list(self.sources[name].data), zip(*rows, strict=True)
        self.sources[name].data = dict(zip(keys, map(list, columns if rows else repeat(()))))  # noqa: B905

    def put_image(self, name: str, image: np.ndarray, x: Ends, y: Ends, **more: Any) -> None:
        """Put an image (row, column) into its source, between two ends of each axis."""
        columns = {"image": image, "x": x[0], "y": y[0], "dw": x[1] - x[0], "dh": y[1] - y[0]}
        self.sources[name].data = {key: [value] for key, value in {**columns, **more}.items()}

    def write_as_text(self, name: str) -> None:
        """Let Bokeh take no text of a file for TeX, whose fonts and scripts it would load from another host."""
        for axis in self.figures[name].axis:
            axis.axis_label = _without_tex(shortened(axis.axis_label or "", _LABEL))
            ticks = axis.major_label_overrides
            axis.major_label_overrides = {tick: _without_tex(text) for tick, text in ticks.items()}
        if name in self._bars:
            self._bars[name].title = _without_tex(self._bars[name].title or "")

    def theme(self, is_dark: bool) -> None:
        """Draw all figures in dark or in light colours."""
        self._dark = is_dark
        for name in self.figures:
            self._colour(name)

    # ---------------------------------------------------------------------------- what figures are made of

    def _source(self, name: str, *columns: str) -> ColumnDataSource:
        self.sources[name] = ColumnDataSource({column: [] for column in columns}, name=name)
        return self.sources[name]

    def _hover(self, plot: Any, drawn: Any, tooltips: Any, **options: Any) -> HoverTool:
        tool = HoverTool(renderers=[drawn], tooltips=tooltips, visible=False, **options)
        plot.add_tools(tool)
        return tool

    def _image(self, plot: Any, name: str, palette: Any, tooltips: Any, *more: str) -> HoverTool:
        """An image with its colours, which shows a value where the pointer is."""
        source = self._source(name, "image", "x", "y", "dw", "dh", *more)
        mapper = LinearColorMapper(palette=palette, low=0, high=1, nan_color="#00000000")
        self._mappers[name] = mapper
        drawn = plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=mapper)
        plot.xgrid.visible = False  # the image lies over it
        return self._hover(plot, drawn, tooltips, attachment="below")

    def _rows(self, plot: Any, name: str, time: str) -> None:
        """What each row of an image is, shown where the pointer is: an image that is not seen."""
        source = self._source(f"{name} rows", "image", "label", "x", "y", "dw", "dh")
        drawn = plot.image("image", "x", "y", "dw", "dh", source=source, global_alpha=0.0)
        self._hover(plot, drawn, [("", "@label"), (time, "$x{0.000} s")], attachment="above")

    def _bar(self, plot: Any, name: str, mapper: LinearColorMapper) -> None:
        """The scale of an image at its right."""
        style = {"title_text_font_style": "normal", "title_text_font_size": "11px"}
        self._bars[name] = ColorBar(color_mapper=mapper, width=8, padding=4, **style)
        plot.add_layout(self._bars[name], "right")

    def _session(self, plot: Any) -> None:
        sides = "left", "right", "top", "bottom"
        behind = self._source("behind", *_BOX)
        plot.quad(*sides, source=behind, color="color", alpha=0.3, line_width=0)
        self._value = self._image(plot, "session", "Greys256", [], "value", "width")
        self._rows(plot, "session", "time")
        epochs = self._source("epochs", *_BOX)
        plot.quad(*sides, source=epochs, color="color", alpha=0.45, line_width=0)
        size = {"text_align": "center", "text_font_size": "11px"}
        plot.text("middle", "bottom", "label", source=epochs, **size)
        plot.scatter(  # on the layer above: the image is not painted again
            "x", "y", source=self._source("chosen", "x", "y", "color"), color="color",
            marker="triangle", angle=-np.pi / 2, size=9, level="overlay",
        )  # fmt: skip
        # The scale of rates stays while that of counts follows the width of the bins.
        self._shades = LinearColorMapper(palette="Greys256", low=0, high=1)
        self._bar(plot, "session", self._shades)
        self._bars["session"].ticker = FixedTicker(ticks=[0, 0.5, 1])

    def _signals(self, plot: Any) -> None:
        source = self._source("signals", "xs", "ys", "color", "name")
        plot.multi_line("xs", "ys", source=source, line_color="color", line_width=1)
        points = self._source("points", "x", "y", "name", "value")
        dots = plot.scatter("x", "y", source=points, size=6, alpha=0, line_alpha=0)
        self._hover(plot, dots, [("", "@name: @value"), ("time", "@x{0.000} s")])

    def _lines(self, plot: Any, name: str) -> None:
        bands = self._source(f"{name} bands", "xs", "ys", "color")
        plot.patches("xs", "ys", source=bands, color="color", alpha=0.22, line_width=0)
        drawn = self._lines_of[name] = plot.multi_line(
            "xs", "ys", source=self._source(name, *_LINE), line_color="color", line_dash="dash",
            line_width=1.8,
        )  # fmt: skip
        shown = [("", "@label"), ("at", "$snap_x{0.000}"), ("", "$snap_y{0.000} @unit")]
        self._hover(plot, drawn, shown, mode="vline")
        self._legends[name] = Legend(
            location="left", orientation="horizontal", label_text_font_size="11px",
            margin=2, padding=2, spacing=10, glyph_width=14, glyph_height=12, label_height=12,
            background_fill_alpha=0, border_line_width=0,
        )  # fmt: skip
        plot.add_layout(self._legends[name], "above")

    def _map(self, plot: Any, name: str) -> None:
        palette = "Greys256" if name == "stimulus" else "Viridis256"
        shown = [("x, y", "$x{0.00}, $y{0.00}"), ("value", "@image{0.00}")]
        self._image(plot, name, palette, shown)
        if name == "stimulus":
            plot.axis.visible, plot.height, plot.max_width = False, None, 340
            plot.min_border = plot.min_border_left = plot.min_border_right = 0
        else:
            self._bar(plot, name, self._mappers[name])

    def _colour(self, name: str) -> None:
        if name == "session":
            self._shade_session(self._mappers[name].palette[0] == "#00000000")
        looks = _colors(**THEMES[self._dark])
        for model in self.figures[name].references():
            for kind, colors in looks.items():
                if isinstance(model, kind):
                    model.update(**colors)

    def _shade_session(self, is_clear: bool) -> None:
        """The greys of the session; clear where nothing is counted, so that what lies behind is seen."""
        ramp = Greys256 if self._dark else Greys256[::-1]
        self._mappers["session"].palette = ["#00000000" if is_clear else ramp[0], *ramp[1:]]
        self._shades.palette = list(ramp)


def _colors(ink: str, paper: str, faint: str, **_: str) -> dict[type[Model], dict[str, Any]]:
    """How the parts of a figure look, by their kind."""
    return {
        Plot: {"background_fill_color": paper, "border_fill_color": paper, "outline_line_color": faint},
        Axis: {
            "axis_label_text_color": ink, "major_label_text_color": ink, "axis_line_color": ink,
            "major_tick_line_color": ink, "minor_tick_line_color": None, "axis_label_text_font_style": "normal",
            "major_label_text_font": "monospace", "major_label_text_font_size": "10px",
        },
        Grid: {"grid_line_color": faint, "grid_line_alpha": 0.5},
        Legend: {"label_text_color": ink},
        ColorBar: {"major_label_text_color": ink, "title_text_color": ink, "background_fill_color": paper},
        Text: {"text_color": ink},
    }  # fmt: skip


def shortened(text: str, most: int = 18) -> str:
    """A text of a file as a label: of a long one the beginning and the end, which tell it from others."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 2 - 1]}…{text[-(most // 2) :]}"


def _without_tex(text: str) -> str:
    """A text in which a space of no width parts the marks between which Bokeh looks for TeX."""
    return re.sub(r"\$(?=\$)|\\(?=[][()])", lambda mark: f"{mark[0]}\u200b", text)
