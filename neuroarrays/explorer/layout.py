"""The controls of the page and where they stand."""

from __future__ import annotations

import io
from abc import abstractmethod
from functools import partial
from typing import Any

import panel as pn
from bokeh.models import ColumnDataSource, DataTable, Div, UIElement
from panel.io.notebook import patch_inline_stylesheets

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
#: Field -> kind of control, label, width, and what else it takes. Those with a panel stand beside its title.
_CONTROLS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "session": ("Select", "session", 200, {}),
    "area": ("Select", "area", 110, {}),
    "table": ("Select", "align to", 140, {}),
    "event": ("Select", "onset", 120, {}),
    "by": ("Select", "group by", 120, {}),
    "trials": ("TextInput", "presentations that fit", 160, {"placeholder": "e.g. is_good == 1"}),
    "before": ("FloatInput", "from (s)", 74, {"start": -1000, "end": 1000, "step": 0.1}),
    "after": ("FloatInput", "to (s)", 74, {"start": -1000, "end": 1000, "step": 0.1}),
    "bin_width": ("FloatInput", "bin (s)", 74, {"start": 1e-4, "end": 1000, "step": 0.01}),
    "smooth": ("FloatInput", "smooth (s)", 74, {"start": 0, "end": 1000, "step": 0.01}),
    "theme": ("Toggle", "dark", 50, {}),
    "svg": ("Toggle", "save as SVG", 90, {}),
    "query": ("TextInput", "units that fit", 250, {"placeholder": "e.g. depth > 800"}),
    "black": ("FloatInput", "black (sp/s)", 74, {"start": 1e-3, "end": 1e5, "step": 10}),
    "feature": ("Select", "tune to", 150, {}),
    "other": ("Select", "map against", 150, {}),
    "signals": ("MultiSelect", "signals (Ctrl chooses several)", 260, {"size": 3}),
}
_BESIDE = ("query", "black", "feature", "other", "signals")
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
        self.controls: dict[str, Any] = {}
        for field, (kind, label, width, options) in _CONTROLS.items():
            control = getattr(pn.widgets, kind)(label=label, width=width, stylesheets=[_STYLE], **options)  # fmt: skip
            control.param.watch(partial(self._control, field), "value")
            self.controls[field] = control
        self._sync()

    def _control(self, field: str, event: Any) -> None:
        """Take the value of a control as that of its field; an emptied number changes nothing."""
        value = event.new
        if value is not None:
            value = tuple(value) if field == "signals" else value
            value = value.strip() if isinstance(value, str) else value
            self._chosen(field, ("dark" if value else "light") if field == "theme" else value)

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
        self.panes["session"].visible = True
        self.notice = plain_text(color="#b45309")
        self.status = plain_text()
        self.notes = {name: plain_text("…") for name in VIEWS}  # until it is drawn
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
            pn.FlexBox(*(c for name, c in self.controls.items() if name not in _BESIDE)),
            self.notice,
            pn.Row(left, main, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
            hooks=[_with_styles],
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


def _with_styles(_: Any, root: Any) -> None:
    """Let style sheets travel with the page: marimo would fetch them from Panel's own host."""
    for model in root.select({"type": UIElement}):
        patch_inline_stylesheets(model)


def plain_text(text: str = "", color: str = "var(--ink)") -> Any:
    """A line of text, of which nothing is read as markup: it may come out of a file or a link."""
    styles = {"color": color, "font-size": "12px", "margin": "0 10px"}
    return Div(text=text, render_as_text=True, styles=styles)


def error_page(error: BaseException) -> Any:
    """The page that is shown where a recording cannot be: the error in one line."""
    text = str(error) if isinstance(error, NeuroArraysError) else repr(error)
    return pn.pane.Bokeh(plain_text(text))
