"""The page: controls and figures that follow one state, in a browser or in a notebook."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import DocumentReady, RangesUpdate, Reset, Tap
from bokeh.models import CustomJS, NumberFormatter, StringFormatter, TableColumn

from neuroarrays import schema
from neuroarrays.explorer.calls import Kept, View
from neuroarrays.explorer.drawing import Plots
from neuroarrays.explorer.layout import Layout
from neuroarrays.explorer.panels import VIEWS, view
from neuroarrays.explorer.recording import MENUS, NOTHING, Recording, one_line
from neuroarrays.explorer.state import FIELDS, MOST_UNITS, State, changes_in, link_of

#: What is looked at while units and times are chosen, drawn at once; the other views follow.
_FIRST = ("units", "session", "trials", "psth")
#: Controls of how presentations are aligned, which has been done in an aligned file.
_OF_ALIGNING = ("before", "after", "bin_width")
#: Time between looks at how far reading is, and for the browser to paint before views that follow are drawn, ms.
_LOOK, _PAINT = 300, 60
#: The only script of our own: keys go to the server, except while somebody types.
_KEYS = """
document.addEventListener("keydown", (event) => {
  const at = event.composedPath()[0]
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName)) return
  if (!"ArrowUp ArrowDown ArrowLeft ArrowRight + - 0 n p g d".split(" ").includes(event.key)) return
  event.preventDefault()
  keys.tags = [event.key, Date.now()]
})
"""


class Page:
    """One page over a recording, which other pages may show too; it begins with the part of an address from "#" on."""

    def __init__(self, recording: Recording, link: str = ""):
        changes, notices = changes_in(link)
        self.recording, self._kept = recording, Kept()
        self.state, more = recording.fitted(replace(State(), **changes))
        self.views: dict[str, View] = {}
        self._setting = self._begun = False
        self._rows: np.ndarray | None = None
        self._status, self._shown_read = "", -1
        self._waiting: list[str] = []
        self.plots = Plots(self.state)
        self.parts = Layout(self._chosen, self.code_of, self.csv)
        self.parts.colour(self.state.dark)
        self.parts.keys.on_change("tags", lambda attr, old, new: self.key(str(new[0])))
        self.parts.table.source.selected.on_change("indices", self._rows_selected)
        self._sync()
        self._place("session")
        self._say(notices + more)

    # ------------------------------------------------------------------------------------- events

    def _chosen(self, field: str, value: Any) -> None:
        if not self._setting:
            self.change(**{field: value})

    def _ranges(self, event: Any) -> None:
        window = float(event.x0), float(event.x1)
        if np.isfinite(window).all() and window[0] < window[1] and not self._setting:
            now = self.state.window or self.recording.extent(self.state)
            if max(abs(a - b) for a, b in zip(now, window, strict=True)) > 1e-6 * (now[1] - now[0]):
                self.change(window=window)

    def _listed(self) -> list[int]:
        """Labels of the units that fit the condition, in the order of the rows."""
        ids = self.recording.unit_ids(self.state)
        listed: list[int] = (ids if self._rows is None else ids[self._rows]).tolist()
        return listed

    def _tap_session(self, event: Any) -> None:
        ids, row = self._listed(), round(event.y)
        if 0 <= row < len(ids):
            is_more = bool(event.modifiers and event.modifiers.get("shift"))
            self.choose(ids[row], is_more, cursor=float(event.x))

    def _tap_trial(self, event: Any) -> None:
        shown = self.views.get("trials", View()).value
        ids = () if shown is None else shown[schema.PRESENTATION].values
        if len(ids) and 0 <= event.y < len(ids) * len(self.state.units):
            self.go_to(int(ids[int(event.y) % len(ids)]))

    def _rows_selected(self, attr: str, old: list[int], new: list[int]) -> None:
        if self._setting:
            return
        if new:
            ids = self.parts.table.source.data["unit"]
            self.change(units=tuple(int(ids[row]) for row in new[:MOST_UNITS]))
        if len(new) > MOST_UNITS:
            self._say([f"{MOST_UNITS} units are compared at most"])
        self._sync()  # rows that are not shown are not marked

    def choose(self, unit: int, add: bool = False, **changes: Any) -> None:
        """Show a unit; with `add` beside those chosen, or without it if it is one of them."""
        others = tuple(u for u in self.state.units if u != unit) if add else ()
        is_dropped = others and unit in self.state.units
        units = others if is_dropped else (*others, unit)[-MOST_UNITS:]
        self.change(units=units, **changes)

    def go_to(self, presentation: int) -> None:
        """Bring the window of the session to a presentation, by its label."""
        table = self.recording.table(self.state)
        if schema.START_TIME not in table.variables:
            return
        rows = np.flatnonzero(table[schema.PRESENTATION].values == presentation)
        if rows.size:
            start = float(table[schema.START_TIME].values[rows[0]])
            length = max(4 * (self.state.after - self.state.before), 4.0)
            self.change(window=(start - length / 4, start + 3 * length / 4), cursor=max(start, 0.0))

    def key(self, key: str) -> None:
        """Do what a key stands for."""
        ids = self._listed()
        low, high = self.state.window or self.recording.extent(self.state)
        width = high - low
        moves = {
            "ArrowLeft": (low - width / 4, high - width / 4), "ArrowRight": (low + width / 4, high + width / 4),
            "+": (low + width / 4, high - width / 4), "-": (low - width / 2, high + width / 2),
        }  # fmt: skip
        if key in ("ArrowUp", "ArrowDown") and ids:
            at = next((ids.index(unit) for unit in self.state.units[:1] if unit in ids), 0)
            self.choose(ids[(at + (1 if key == "ArrowUp" else -1)) % len(ids)])
        elif key in moves:
            self.change(window=moves[key])
        elif key == "0":
            self.change(window=None)
        elif key in "np":
            self._next_presentation(1 if key == "n" else -1)
        elif key == "g":
            columns = self.recording.menu("by", self.state)
            self.change(by=columns[(columns.index(self.state.by) + 1) % len(columns)])
        elif key == "d":
            self.change(dark=not self.state.dark)

    def _next_presentation(self, step: int) -> None:
        table = self.recording.table(self.state)
        if schema.START_TIME in table.variables and table.sizes.get(schema.PRESENTATION):
            starts = table[schema.START_TIME].values.astype(float)
            order = np.argsort(starts, kind="stable")
            at = int(np.searchsorted(starts[order], self.state.cursor, side="right")) - 1
            at = int(np.clip(at + step, 0, order.size - 1))
            self.go_to(int(table[schema.PRESENTATION].values[order[at]]))

    # ------------------------------------------------------------------------------------ the state

    def change(self, **changes: Any) -> None:
        """Show another state; a value that cannot be shown is said, and the rest stays."""
        with self._saying_errors():
            self._change(**changes)

    @contextmanager
    def _saying_errors(self) -> Iterator[None]:
        """Say on the page what is wrong with a recording whose menus are read, as after it changed on disk."""
        try:
            yield
        except Exception as error:
            self._say([one_line(error)])

    def _change(self, **changes: Any) -> None:
        if "session" in changes and changes["session"] != self.state.session:
            kept = ("dark", "svg", "smooth")  # what belongs to the old session does not
            changes = {**{f: getattr(State(), f) for f in FIELDS if f not in kept}, **changes}
        elif "area" in changes and changes["area"] != self.state.area:
            changes = {"units": (), "query": "", **changes}
        elif "table" in changes and changes["table"] != self.state.table:
            changes = {"event": "", "by": "", "trials": "", "before": 0.0, "after": 0.0, **changes}
        wanted, notices = self.recording.fitted(replace(self.state, **changes))
        if wanted.before >= wanted.after:
            notices.append("the window around the event has to begin before it ends")
            wanted = replace(wanted, before=self.state.before, after=self.state.after)
        self._take(wanted, notices)
        if pn.state.location is not None:
            pn.state.location.hash = self.link()

    def link(self) -> str:
        """The part of an address that brings this state back, from "#" on."""
        return link_of(self.state, lambda state: self.recording.fitted(state)[0])

    def follow(self, link: str) -> None:
        """Show what a link says; an empty one is the view that a page begins with."""
        with self._saying_errors():
            if not self._begun or link == self.link():
                return
            changes, notices = changes_in(link)
            if notices and not changes:  # of another version: what is shown stays
                with pn.io.hold():
                    return self._say(notices)
            wanted, more = self.recording.fitted(replace(State(), **changes))
            self._take(wanted, notices + more)

    def _take(self, wanted: State, notices: list[str]) -> None:
        """Show a state that fits the recording, but for conditions that cannot be used."""
        for field, name in (("query", "units"), ("trials", "trials")):
            if getattr(wanted, field) not in ("", getattr(self.state, field)):
                tried = view(name, self.recording, wanted, self._kept)
                if tried.value is None:
                    notices.append(tried.note)
                    wanted = replace(wanted, **{field: getattr(self.state, field)})
        changed = {f for f in FIELDS if getattr(wanted, f) != getattr(self.state, f)}
        self.state, again = wanted, "svg" in changed
        if again:  # figures are made anew, as vectors or not
            self.plots, self.views = Plots(wanted), {}
            for name in (*VIEWS, "rate map"):
                if name != "units":
                    self.parts.panes[name].object = None
        with pn.io.hold():  # one message, so that no figure is seen half changed
            wanted_views = [name for name in VIEWS if again or changed & VIEWS[name].depends]
            self.update(name for name in wanted_views if name in _FIRST)
            if "units" in changed:
                window = self.state.window or self.recording.extent(self.state)
                self.plots.mark(self.state.units, window)
            if "dark" in changed:
                self.plots.theme(self.state.dark)
                self.parts.colour(self.state.dark)
            if changed or notices:
                self._sync()
                self._say(notices)
        self._draw_later(name for name in wanted_views if name not in _FIRST)

    def _draw_later(self, names: Iterable[str]) -> None:
        """Draw views one after another, each as soon as the one before it has been sent to the browser."""
        document = pn.state.curdoc if pn.state.location is not None else None
        if document is None:  # a notebook
            return self.update(names)
        is_idle = not self._waiting
        self._waiting = [*self._waiting, *(name for name in names if name not in self._waiting)]

        def one() -> None:
            # Bokeh's own hold is sent before the next turn; Panel's would keep the last of several back.
            document.hold()
            try:
                self.update([self._waiting[0]])
            finally:
                del self._waiting[0]
                document.unhold()
            if self._waiting:
                document.add_next_tick_callback(one)

        if is_idle and self._waiting:
            document.add_timeout_callback(one, _PAINT)

    def update(self, names: Iterable[str] = VIEWS) -> None:
        """Compute and draw views; of one that fails, what was shown stays."""
        for name in names:
            shown = view(name, self.recording, self.state, self._kept)
            before = self.views.get(name, View())
            self.parts.say(self.parts.notes[name], shown.note)
            if shown.facts.get("failed") and before.value is not None:
                continue
            self.views[name] = shown
            if name != "session" and shown.code and shown.code == before.code:
                continue  # it is drawn; what lies behind the session is no part of its code
            try:
                if name == "units":
                    self._show_table(shown)
                else:
                    self._draw(name, shown)
            except Exception as error:  # whatever is in a file: the other panels go on
                self.parts.say(self.parts.notes[name], f"not drawn: {one_line(error)}")

    def _draw(self, name: str, shown: View) -> None:
        """Draw a view, or hide its figure where it has nothing."""
        drawn = "" if shown.value is None else name
        if drawn == "tuning" and shown.value.ndim == 3:
            drawn = "rate map"
        if drawn:
            self._setting = True
            try:
                self.plots.show(drawn, shown, self.state, self.recording, self._rows)
            finally:
                self._setting = False
            if self.parts.panes[drawn].object is None:
                self._place(drawn)
        for pane in (name, "rate map") if name == "tuning" else (name,):
            self.parts.panes[pane].visible = pane == drawn

    def _place(self, name: str) -> None:
        """Put a new figure on the page."""
        plot = self.plots.figure(name)
        if name in ("session", "signals"):
            plot.on_event(RangesUpdate, self._ranges)
            plot.on_event(Reset, lambda _: self.change(window=None))
        if name == "session":
            plot.on_event(Tap, self._tap_session)
        elif name == "trials":
            plot.on_event(Tap, self._tap_trial)
        self.parts.panes[name].object = plot

    def _show_table(self, shown: View) -> None:
        """The units as texts and numbers in the table of the page; text stays text."""
        self._rows, table = None, self.parts.table
        n_rows = 0 if shown.value is None else len(shown.value)
        table.visible, table.height = n_rows > 0, min(560, 42 + table.row_height * n_rows)
        if shown.value is None:
            table.source.data = {"unit": []}
            return
        ids = self.recording.unit_ids(self.state)
        if n_rows < len(ids):
            self._rows = np.flatnonzero(np.isin(ids, shown.value.index.to_numpy()))
        data: dict[str, list[Any]] = {"unit": shown.value.index.tolist()}
        columns = [TableColumn(field="unit", title="unit", width=_width("unit", data["unit"]))]
        for k, (name, values) in enumerate(shown.value.items()):
            is_number = values.dtype.kind in "iuf"
            data[f"c{k}"] = values.tolist() if is_number else [str(v)[:80] for v in values]
            title = html.escape("spikes" if name == schema.ROW_SIZE else str(name))
            kind = NumberFormatter(format="0,0.[000]") if is_number else StringFormatter()
            width = _width(title, data[f"c{k}"])
            columns.append(TableColumn(field=f"c{k}", title=title, formatter=kind, width=width))
        table.columns, table.source.data = columns, data
        self._sync()  # the rows that are chosen

    def _sync(self) -> None:
        """Let every control show the state, and hide those that have nothing to choose from."""
        self._setting = True
        try:
            for field, control in self.parts.controls.items():
                value = getattr(self.state, field)
                value = list(value) if isinstance(value, tuple) else value
                if field in MENUS:
                    names = self.recording.menu(field, self.state)
                    control.visible = any(name not in ("", NOTHING) for name in names)
                    if control.options != names:
                        control.options = names
                if control.value != value:
                    control.value = value
            for field in _OF_ALIGNING:
                self.parts.controls[field].visible = not self.recording.is_aligned
            path = self.recording.units_path(self.state)
            self.parts.controls["black"].visible = bool(path and path[1] == schema.SPIKE_TIMES)
            ids = list(self.parts.table.source.data.get("unit", []))
            chosen = [ids.index(unit) for unit in self.state.units if unit in ids]
            self.parts.table.source.selected.indices = chosen
        finally:
            self._setting = False

    def _say(self, notices: list[str]) -> None:
        self.parts.say(self.parts.notice, "; ".join(notices))

    # ------------------------------------------------------------------------------ what panels give

    def code_of(self, name: str) -> str:
        """The Python that makes a panel."""
        shown = self.views.get(name) or view(name, self.recording, self.state, self._kept)
        return "\n".join(["import neuroarrays as na", "", self.recording.opening, *shown.code, ""])

    def csv(self, name: str) -> io.StringIO:
        """The values of a panel."""
        shown = self.views.get(name) or View()
        text = "" if shown.value is None else shown.table().to_csv(index=name == "units")
        return io.StringIO(text)

    def begin(self) -> None:
        """Draw everything, and show how much of the spikes has been read; called once the page is there.

        In a browser one view after another, so that each is there as soon as it is ready.
        """
        self._begun = True
        if pn.state.location is not None and pn.state.location.hash:
            self.follow(pn.state.location.hash)
        self._draw_later(VIEWS)
        with pn.io.hold():
            self._sync()
        pn.state.add_periodic_callback(self._look, _LOOK)

    def _look(self) -> None:
        text, pyramid = self.recording.reading(self.state), self.recording.pyramid(self.state)
        read = -1 if pyramid is None else int(pyramid.is_read.sum())
        if text == self._status and read == self._shown_read:
            return
        self._status, self._shown_read = text, read
        with pn.io.hold():
            self.parts.say(self.parts.status, text)
            self.update(["session"])

    def listen(self, document: Any) -> None:
        """Let keys of the browser's page reach it."""
        script = CustomJS(args={"keys": self.parts.keys}, code=_KEYS)
        document.js_on_event(DocumentReady, script)


def _width(title: str, values: list[Any]) -> int:
    """Pixels of a column of the table: those of its longest text, of the first and the last rows."""
    longest = max(map(len, [title, *map(str, values[:50]), *map(str, values[-50:])]))
    return min(20 + 6 * longest, 150)
