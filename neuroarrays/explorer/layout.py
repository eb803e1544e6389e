"""The parts of the page and where they stand."""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import panel as pn
from bokeh.models import ColumnDataSource, DataTable, ImportedStyleSheet, UIElement
from panel.io.notebook import replace_inline_css

from neuroarrays.explorer.figures import THEMES
from neuroarrays.explorer.panels import VIEWS

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
    "dark": ("Toggle", "dark", 50, {}),
    "svg": ("Toggle", "save as SVG", 90, {}),
    "query": ("TextInput", "units that fit", 250, {"placeholder": "e.g. depth > 800"}),
    "black": ("FloatInput", "black (sp/s)", 74, {"start": 1e-3, "end": 1e5, "step": 10}),
    "feature": ("Select", "tune to", 140, {}),
    "other": ("Select", "map against", 140, {}),
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
_WIDE: dict[str, Any] = {"sizing_mode": "stretch_width"}
#: Parts that stand below each other where the window is narrow; where code is seen, wherever the page is.
_WRAPS = {"flex-wrap": "wrap"}
_STICKS = {"position": "sticky", "bottom": "0", "z-index": "10", "background": "var(--paper)"}


class Layout:
    """Controls, which give `chosen` a field of the state and its value; a table, figures, and lines of text."""

    def __init__(
        self,
        chosen: Callable[[str, Any], None],
        code_of: Callable[[str], str],
        csv_of: Callable[[str], io.StringIO],
    ):
        self._chosen, self._code_of, self._csv_of = chosen, code_of, csv_of
        self.controls: dict[str, Any] = {}
        for field, (kind, label, width, options) in _CONTROLS.items():
            control = getattr(pn.widgets, kind)(label=label, width=width, stylesheets=[_STYLE], **options)  # fmt: skip
            control.param.watch(partial(self._control, field), "value")
            self.controls[field] = control
        self.table = DataTable(
            source=ColumnDataSource({"unit": []}), columns=[], height=560, width=290, index_position=None,
            row_height=22, stylesheets=[_TABLE], reorderable=False, autosize_mode="none",
        )  # fmt: skip
        self.keys = ColumnDataSource()  # of its own: a table whose tags change is built anew
        self.table.tags = [self.keys]
        names = (*VIEWS, "rate map")
        self.panes = {
            name: pn.pane.Bokeh(None, visible=name == "session", **_WIDE) for name in names
        }
        self.panes["units"] = pn.pane.Bokeh(self.table)
        self.notice, self.status = text_line(color="#b45309"), text_line()
        self.notes = {name: text_line("…") for name in VIEWS}  # until it is drawn
        self.code = pn.widgets.TextAreaInput(
            label="the calls that make it", auto_grow=True, max_length=100_000, stylesheets=[_STYLE], **_WIDE
        )  # fmt: skip
        copy, close = _button("copy", 50), _button("close", 50)
        copy.js_on_click(args={"code": self.code}, code=_COPY)
        bar = pn.Row(self.code, copy, close, visible=False, styles=_STICKS, **_WIDE)
        close.on_click(lambda _: bar.param.update(visible=False))
        self.code_bar = bar
        self.page = self._laid_out()

    def say(self, line: Any, text: str) -> None:
        """Write a line of text, of which nothing is read as markup: it may come out of a file or a link."""
        line.object = html.escape(text)

    def show_code(self, name: str) -> None:
        """Show the Python that makes a panel, to copy."""
        self.code.value, self.code_bar.visible = self._code_of(name), True

    def colour(self, is_dark: bool) -> None:
        """Let the page be dark or light."""
        colors = {f"--{name}": color for name, color in THEMES[is_dark].items()}
        paper = colors["--paper"]  # it goes on beyond the page
        more = {
            "background": paper,
            "color": colors["--ink"],
            "box-shadow": f"0 0 0 100vmax {paper}",
        }
        self.page.styles = {**colors, **more}

    def _control(self, field: str, event: Any) -> None:
        """Take the value of a control as that of its field; an emptied number changes nothing."""
        value = event.new.strip() if isinstance(event.new, str) else event.new
        if value is not None:
            self._chosen(field, tuple(value) if isinstance(value, list) else value)

    def _laid_out(self) -> Any:
        left = pn.Column(*self._panel("units", "query"), width=310)
        session, *rest = self._panel("session", "black")
        tuning = [*self._panel("tuning", "feature", "other"), self.panes["rate map"]]
        columns = (
            [*self._panel("trials"), *self._panel("psth")],
            [*tuning, *self._panel("correlogram")],
            [*self._panel("waveform"), *self._panel("stimulus")],
        )
        main = pn.Column(
            session, self.status, *rest, *self._panel("signals", "signals"),
            pn.Row(*(pn.Column(*parts, styles={"flex": "1 1 350px", "max-width": "700px"}, **_WIDE) for parts in columns), styles=_WRAPS, **_WIDE),
            self.code_bar, styles={"flex": "1 1 600px", "min-width": "0"}, **_WIDE,
        )  # fmt: skip
        above = (control for field, control in self.controls.items() if field not in _BESIDE)
        below = pn.Row(left, main, styles=_WRAPS, **_WIDE)
        return pn.Column(pn.FlexBox(*above), self.notice, below, hooks=[_with_styles], **_WIDE)

    def _panel(self, name: str, *controls: str) -> list[Any]:
        """The parts of a panel: its title with code, values and controls, its note, and its figure."""
        python = _button("Python", 52)
        python.on_click(lambda _: self.show_code(name))
        csv = pn.widgets.FileDownload(
            callback=lambda: self._csv_of(name), filename=f"{name}.csv", label="CSV", width=40,
            margin=2, stylesheets=[_STYLE],
        )  # fmt: skip
        title = pn.pane.HTML(
            f"<b>{VIEWS[name].title}</b>", width=145, margin=5, stylesheets=[_STYLE]
        )
        beside = (self.controls[field] for field in controls)
        head = pn.FlexBox(title, python, csv, *beside, align_items="center", margin=0)
        return [head, self.notes[name], self.panes[name]]


def _button(label: str, width: int) -> Any:
    return pn.widgets.Button(label=label, width=width, margin=2, stylesheets=[_STYLE])


def _with_styles(_: Any, root: Any, changed: Any, __: Any) -> None:
    """Let style sheets travel with the page, each once, and with a figure that is put on it later.

    Linked ones would come later than figures, which keep the place that they had without them;
    and marimo would fetch them from Panel's own host.
    """
    new = changed.object if isinstance(changed, pn.pane.Bokeh) else root
    texts: dict[str, Any] = {}
    for model in () if new is None else new.select({"type": UIElement}):
        sheets = list(model.stylesheets)
        for k, sheet in enumerate(sheets):
            if isinstance(sheet, ImportedStyleSheet):
                if sheet.url not in texts:
                    texts[sheet.url] = replace_inline_css(sheet)
                sheets[k] = texts[sheet.url]
        if sheets != model.stylesheets:
            model.stylesheets = sheets


def text_line(text: str = "", color: str = "var(--ink)") -> Any:
    """A line of text; what comes out of a file or a link goes in by `say`, or is escaped.

    It is Panel's, because Bokeh lays the whole page out anew when a line of its own changes.
    """
    styles = {"color": color, "font-size": "12px", "min-height": "16px"}
    return pn.pane.HTML(text, disable_math=True, margin=(0, 10), styles=styles, **_WIDE)
