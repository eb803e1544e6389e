"""The controls of the page and where they stand."""

from __future__ import annotations

import io
from abc import abstractmethod
from typing import Any

import panel as pn
from bokeh.models import ColumnDataSource, DataTable, Div

from neuroarrays.errors import NeuroArraysError
from neuroarrays.explorer.drawing import Plots
from neuroarrays.explorer.figures import THEMES
from neuroarrays.explorer.panels import VIEWS
from neuroarrays.explorer.state import State

TITLES = {
    "session": "Session",
    "signals": "Behaviour and signals",
    "trials": "Around the event",
    "psth": "Mean around the event",
    "tuning": "Tuning",
    "correlogram": "Correlogram",
    "waveform": "Waveform",
    "stimulus": "Stimulus at the cursor",
    "units": "Units",
}
#: Controls above all panels.
_TOP = [
    "session",
    "area",
    "table",
    "event",
    "by",
    "trials",
    "before",
    "after",
    "bin_width",
    "smooth",
    "theme",
    "svg",
]
_COPY = "navigator.clipboard.writeText(code.value)"
_STYLE = """
:host { color: var(--ink); font-size: 13px; }
input, select, textarea, .bk-input { background: var(--paper) !important; color: var(--ink) !important;
  border-color: var(--faint) !important; font-size: 12px; min-height: 24px; padding: 2px 6px; }
label { font-size: 11px; color: var(--ink); opacity: .8; }
.bk-btn { font-size: 11px; padding: 2px 8px; background: var(--paper) !important; color: var(--ink) !important;
  border-color: var(--faint) !important; }
"""
_TABLE = """
.slick-header-column, .slick-cell { font-size: 11px; }
.bk-data-table, .slick-viewport, .slick-row, .slick-header-column { background: var(--paper) !important; color: var(--ink) !important; }
.slick-row.odd { background: var(--stripe) !important; }
.slick-cell.selected { background: #7fb2e5 !important; color: #000 !important; }
"""


class Layout:
    """Controls, a table and panes for the figures; what they do is up to `Page`."""

    state: State
    plots: Plots

    # ----------------------------------------------------------------------------------- the parts

    def _make_controls(self) -> None:
        def menu(field: str, label: str, width: int) -> None:
            widget = pn.widgets.Select(label=label, width=width, stylesheets=[_STYLE])
            widget.param.watch(lambda event: self._chosen(field, event.new), "value")
            self.controls[field] = widget

        def text(field: str, label: str, width: int, hint: str) -> None:
            widget = pn.widgets.TextInput(
                label=label, width=width, placeholder=hint, stylesheets=[_STYLE]
            )
            widget.param.watch(lambda event: self._chosen(field, event.new.strip()), "value")
            self.controls[field] = widget

        def number(field: str, label: str, low: float, high: float, step: float) -> None:
            widget = pn.widgets.FloatInput(
                label=label, width=74, start=low, end=high, step=step, stylesheets=[_STYLE]
            )
            widget.param.watch(
                lambda event: self._number(field, event.new),
                "value",
            )
            self.controls[field] = widget

        self.controls: dict[str, Any] = {}
        menu("session", "session", 200)
        menu("area", "area", 110)
        text("query", "units that fit", 250, "e.g. depth > 800")
        menu("table", "align to", 140)
        menu("event", "onset", 120)
        menu("by", "group by", 120)
        text("trials", "presentations that fit", 160, "e.g. is_good == 1")
        number("before", "from (s)", -1000, 1000, 0.1)
        number("after", "to (s)", -1000, 1000, 0.1)
        number("bin_width", "bin (s)", 1e-4, 1000, 0.01)
        number("smooth", "smooth (s)", 0, 1000, 0.01)
        number("black", "black (sp/s)", 1e-3, 1e5, 10)
        menu("feature", "tune to", 150)
        menu("other", "map against", 150)
        self.controls["signals"] = pn.widgets.MultiSelect(
            label="signals (Ctrl chooses several)", width=260, size=3, stylesheets=[_STYLE]
        )
        self.controls["signals"].param.watch(
            lambda e: self._chosen("signals", tuple(e.new)), "value"
        )
        dark = pn.widgets.Toggle(label="dark", width=50, stylesheets=[_STYLE])
        dark.param.watch(lambda e: self._chosen("theme", "dark" if e.new else "light"), "value")
        self.controls["theme"] = dark
        svg = pn.widgets.Toggle(label="save as SVG", width=90, stylesheets=[_STYLE])
        svg.param.watch(lambda event: self._chosen("svg", bool(event.new)), "value")
        self.controls["svg"] = svg
        self._sync()

    def _make_table(self) -> None:
        self.table = DataTable(
            source=ColumnDataSource(), columns=[], height=560, width=290, index_position=None,
            row_height=22, stylesheets=[_TABLE], selectable=True, sortable=True, reorderable=False,
        )  # fmt: skip

    def _laid_out(self) -> Any:
        self.panes = {
            name: pn.pane.Bokeh(None, sizing_mode="stretch_width", visible=False)
            for name in (*TITLES, "rate map")
        }
        self.panes["session"] = pn.pane.Bokeh(
            self.plots.figure("session"), sizing_mode="stretch_width"
        )
        self.notice = plain_text(color="#b45309")
        self.status = plain_text()
        self.notes = {name: plain_text() for name in VIEWS}
        self.code = pn.widgets.TextAreaInput(
            label="the calls that make it", sizing_mode="stretch_width", auto_grow=True, visible=False,
            max_length=100_000, stylesheets=[_STYLE], disabled=False,
        )  # fmt: skip
        copy = pn.widgets.Button(label="copy", width=60, visible=False, stylesheets=[_STYLE])
        copy.js_on_click(args={"code": self.code}, code=_COPY)
        self._copy = copy
        units = [self._head("units"), self.controls["query"], self.notes["units"]]
        left = pn.Column(*units, pn.pane.Bokeh(self.table), width=310)
        wide = {"sizing_mode": "stretch_width"}
        panels = [self._along_the_session(), self._beside_each_other()]
        main = pn.Column(*panels, pn.Row(self.code, copy), margin=(0, 40, 0, 0), **wide)
        page = pn.Column(
            pn.FlexBox(*(self.controls[name] for name in _TOP)),
            self.notice,
            pn.Row(left, main, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )
        page.styles = self._colors()
        return page

    def _along_the_session(self) -> Any:
        """The panels on the clock of the session, one below the other."""
        head, *rest = self._panel("session", self.controls["black"])
        signals = self._panel("signals", self.controls["signals"])
        return pn.Column(head, self.status, *rest, *signals, sizing_mode="stretch_width")

    def _beside_each_other(self) -> Any:
        """The panels that answer something about units, in three columns."""
        tuning = self._panel("tuning", self.controls["feature"], self.controls["other"])
        columns = (
            (380, [*self._panel("trials"), *self._panel("psth")]),
            (380, [*tuning, self.panes["rate map"], *self._panel("correlogram")]),
            (300, [*self._panel("waveform"), *self._panel("stimulus")]),
        )
        wide = {"sizing_mode": "stretch_width"}
        return pn.Row(
            *(pn.Column(*parts, min_width=width, **wide) for width, parts in columns), **wide
        )

    def _panel(self, name: str, *controls: Any) -> list[Any]:
        """The parts of a panel: its head with controls, its note, and its figure."""
        return [self._head(name, *controls), self.notes[name], self.panes[name]]

    def _head(self, name: str, *controls: Any) -> Any:
        """The title of a panel, with its code and its values."""
        python = pn.widgets.Button(label="Python", width=52, margin=2, stylesheets=[_STYLE])
        python.on_click(lambda _: self.show_code(name))
        csv = pn.widgets.FileDownload(
            callback=lambda: self.csv(name),
            filename=f"{name}.csv",
            label="CSV",
            width=40,
            margin=2,
            stylesheets=[_STYLE],
        )
        title = pn.pane.HTML(
            f"<b>{TITLES[name]}</b>", width=145, margin=(5, 5), stylesheets=[_STYLE]
        )
        return pn.FlexBox(title, python, csv, *controls, align_items="center", margin=0)

    def _colors(self) -> dict[str, str]:
        colors = THEMES[self.state.theme]
        return {
            **{f"--{k}": v for k, v in colors.items()},
            "background": colors["paper"],
            "color": colors["ink"],
            "box-shadow": f"0 0 0 100vmax {colors['paper']}",
        }

    def _number(self, field: str, value: float | None) -> None:
        if value is not None:
            self._chosen(field, float(value))

    @abstractmethod
    def _chosen(self, field: str, value: Any) -> None:
        """Take what a control says."""

    @abstractmethod
    def _sync(self) -> None:
        """Let every control show the state."""

    @abstractmethod
    def show_code(self, name: str) -> None:
        """Show the Python that makes a panel."""

    @abstractmethod
    def csv(self, name: str) -> io.StringIO:
        """The values of a panel."""


def plain_text(text: str = "", color: str = "var(--ink)") -> Any:
    """A line of text, of which nothing is read as markup: it may come out of a file or a link."""
    styles = {"color": color, "font-size": "12px", "margin": "0 10px"}
    return Div(text=text, render_as_text=True, styles=styles)


def error_page(error: BaseException) -> Any:
    """The page that is shown where a recording cannot be: the error in one line."""
    text = str(error) if isinstance(error, NeuroArraysError) else repr(error)
    return pn.pane.Bokeh(plain_text(text))
