"""Figures of the page: each is made once, in the colours of a theme."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import (
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    Legend,
    LinearColorMapper,
    Range1d,
    SaveTool,
    Span,
    TapTool,
)
from bokeh.palettes import Greys256
from bokeh.plotting import figure

from neuroarrays.explorer.state import State

#: Colours of units and of groups that colour-blind readers can tell, on light and on dark.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#8B5CF6", "#999999")
#: Views that are lines -> what their x axis is.
_LINES = {
    "psth": "time from onset (s)",
    "tuning": "",
    "correlogram": "lag (s)",
    "waveform": "sample",
}
_TOOLS = "xwheel_zoom,xpan,reset,save"
THEMES = {
    "light": {"paper": "#ffffff", "ink": "#222222", "faint": "#dddddd", "stripe": "#f5f5f5"},
    "dark": {"paper": "#16181d", "ink": "#e6e6e6", "faint": "#3a3f4a", "stripe": "#1e2128"},
}


class Figures:
    """The figures by name, each made when it is first asked for.

    Parameters
    ----------
    state : State
        Whether they are drawn as vectors, and in which colours.
    """

    def __init__(self, state: State):
        self._backend, self._theme = "svg" if state.svg else "canvas", state.theme
        self.sources: dict[str, ColumnDataSource] = {}
        self.figures: dict[str, Any] = {}
        self._mappers: dict[str, LinearColorMapper] = {}
        self._bars: dict[str, ColorBar] = {}
        self._legends: dict[str, Legend] = {}
        self._lines_of: dict[str, Any] = {}

    # ------------------------------------------------------------------------------- making figures

    def figure(self, name: str) -> Any:
        """The figure of a name: that of a view, or ``rate map``."""
        if name not in self.figures:
            if name in _LINES:
                self._lines(name)
            elif name in ("rate map", "stimulus"):
                self._map(name)
            else:
                getattr(self, f"_{name}")()
            self._colour(name)
        return self.figures[name]

    def _new(self, name: str, height: int, tools: str = _TOOLS, **options: Any) -> Any:
        plot = figure(
            height=height,
            sizing_mode="stretch_width",
            tools=tools,
            active_scroll=None,
            toolbar_location="above",
            toolbar_inner=True,
            output_backend=self._backend,
            **{"x_range": Range1d(0, 1), "y_range": Range1d(0, 1), **options},
        )
        plot.toolbar.logo, plot.toolbar.autohide = None, True
        plot.select_one(SaveTool).filename = name  # else the browser asks for one
        self.figures[name] = plot
        return plot

    def _source(self, name: str, *columns: str) -> ColumnDataSource:
        self.sources[name] = ColumnDataSource({column: [] for column in columns}, name=name)
        return self.sources[name]

    def _image(self, plot: Any, name: str, palette: Any, *more: str) -> Any:
        """An image with its source and its colours."""
        source = self._source(name, "image", "x", "y", "dw", "dh", *more)
        self._mappers[name] = LinearColorMapper(
            palette=palette, low=0, high=1, nan_color="#00000000"
        )
        return plot.image(
            "image", "x", "y", "dw", "dh", source=source, color_mapper=self._mappers[name]
        )

    def _bar(self, plot: Any, name: str, **options: Any) -> None:
        """The scale of an image at its right."""
        bar = ColorBar(
            color_mapper=self._mappers[name],
            width=8,
            padding=4,
            title_text_font_style="normal",
            title_text_font_size="11px",
            **options,
        )
        self._bars[name] = bar
        plot.add_layout(bar, "right")

    def _session(self) -> None:
        plot = self._new("session", 330, "xwheel_zoom,xpan,reset,save,tap")
        brush = BoxZoomTool(dimensions="width")
        plot.add_tools(brush)
        plot.toolbar.active_drag = brush
        behind = self._source("behind", "left", "right", "bottom", "top", "color", "label")
        plot.quad(
            "left", "right", "top", "bottom", source=behind, color="color", alpha=0.3, line_width=0
        )
        drawn = self._image(plot, "session", "Greys256", "value")
        epochs = self._source(
            "epochs", "left", "right", "bottom", "top", "middle", "label", "color"
        )
        plot.quad(
            "left", "right", "top", "bottom", source=epochs, color="color", alpha=0.45, line_width=0
        )
        plot.text(
            "middle", "bottom", "label", source=epochs, text_align="center", text_baseline="bottom",
            text_font_size="11px", text_color="#888888",
        )  # fmt: skip
        chosen = self._source("chosen", "x", "y", "color")
        plot.scatter(
            "x", "y", source=chosen, color="color", marker="triangle", angle=-np.pi / 2, size=9
        )
        self._bar(plot, "session", ticker=FixedTicker(ticks=[0, 1]))
        self._hover = HoverTool(renderers=[drawn])
        plot.add_tools(self._hover)
        plot.xaxis.axis_label, plot.yaxis.axis_label = "session time (s)", "unit"
        plot.select(TapTool).renderers = []

    def _signals(self) -> None:
        plot = self._new("signals", 220, x_range=self.figure("session").x_range)
        source = self._source("signals", "xs", "ys", "color", "name")
        plot.multi_line("xs", "ys", source=source, line_color="color", line_width=1)
        points = self._source("points", "x", "y", "name", "value")
        dots = plot.scatter("x", "y", source=points, size=6, alpha=0, line_alpha=0)
        plot.add_tools(
            HoverTool(
                renderers=[dots],
                tooltips=[("", "@name: @value"), ("time", "@x{0.000} s")],
                mode="mouse",
            )
        )
        plot.xaxis.axis_label = "session time (s)"

    def _trials(self) -> None:
        plot = self._new("trials", 400, f"{_TOOLS},tap")
        drawn = self._image(plot, "trials", ["#ffffff"], "responses")
        shown = [("time", "$x{0.000} s"), ("row", "$y{0}"), ("response", "@responses")]
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=shown))
        plot.add_layout(
            Span(location=0, dimension="height", line_color="#888888", line_dash="dashed")
        )
        plot.xaxis.axis_label, plot.yaxis.axis_label = "time from onset (s)", "presentation"
        plot.select(TapTool).renderers = []

    def _lines(self, name: str) -> None:
        shared = {"x_range": self.figure("trials").x_range} if name == "psth" else {}
        plot = self._new(name, 240, **shared)
        if name in ("psth", "correlogram"):
            plot.add_layout(
                Span(location=0, dimension="height", line_color="#888888", line_dash="dashed")
            )
        bands = self._source(f"{name} bands", "xs", "ys", "color")
        plot.patches("xs", "ys", source=bands, color="color", alpha=0.22, line_width=0)
        source = self._source(name, "xs", "ys", "color", "dash", "label", "unit")
        drawn = self._lines_of[name] = plot.multi_line(
            "xs", "ys", source=source, line_color="color", line_dash="dash", line_width=1.8
        )
        shown = [("", "@label"), ("at", "$snap_x{0.000}"), ("", "$snap_y{0.000} @unit")]
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=shown, mode="vline"))
        self._legends[name] = Legend(
            location="left", orientation="horizontal", ncols=2, label_text_font_size="11px", padding=3, spacing=10, glyph_width=14,
            background_fill_alpha=0.6, border_line_width=0,
        )  # fmt: skip
        plot.add_layout(self._legends[name], "above")
        plot.xaxis.axis_label = _LINES[name]

    def _map(self, name: str) -> None:
        plot = self._new(name, 240, "pan,wheel_zoom,reset,save")
        drawn = self._image(plot, name, "Greys256" if name == "stimulus" else "Viridis256")
        shown = [("x, y", "$x{0.00}, $y{0.00}"), ("value", "@image{0.00}")]
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=shown))
        if name != "stimulus":
            self._bar(plot, name, title="spikes/s")

    def theme(self, name: str) -> None:
        """Draw all figures in the colours of a theme."""
        self._theme = name
        for made in self.figures:
            self._colour(made)

    def _colour(self, name: str) -> None:
        colors, plot = THEMES[self._theme], self.figures[name]
        if name == "session":
            ramp = Greys256[::-1] if self._theme == "light" else Greys256
            self._mappers[name].palette = ["#00000000", *ramp[1:]]  # what lies behind is seen
        plot.background_fill_color = plot.border_fill_color = colors["paper"]
        plot.outline_line_color = colors["faint"]
        for axis in plot.axis:
            axis.axis_label_text_color = axis.major_label_text_color = colors["ink"]
            axis.axis_line_color = axis.major_tick_line_color = colors["ink"]
            axis.minor_tick_line_color, axis.axis_label_text_font_style = None, "normal"
        plot.grid.grid_line_color, plot.grid.grid_line_alpha = colors["faint"], 0.5
        if name in self._legends:
            self._legends[name].label_text_color = colors["ink"]
            self._legends[name].background_fill_color = colors["paper"]
        if name in self._bars:
            self._bars[name].major_label_text_color = self._bars[name].title_text_color = colors[
                "ink"
            ]
            self._bars[name].background_fill_color = colors["paper"]
