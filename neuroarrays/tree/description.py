"""Describe the content of a tree as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import many, printable
from neuroarrays.tree import contents
from neuroarrays.tree.breaks import step
from neuroarrays.tree.observed import times_to_read
from neuroarrays.tree.records import AreaRecord, SessionRecord, SignalRecord, TreeContents

#: Masks are read, to tell the masked share, in trees of up to this many sessions.
_READ_MASKS = 100
#: Up to this many spikes (8 bytes each) are read if `rates` is not given.
_READ_SPIKES = 4_000_000
#: Variables of an aligned area that are no signals.
_NO_SIGNALS = (schema.SPIKE_DATA, schema.RESPONSES, schema.VALID, schema.VALID_UNITS)
#: Width of the text, in characters.
_WIDTH = 100
#: A name of a session that has more characters than this gets a line of its own.
_LONG = 40
_COLUMNS = (
    "session",
    "area",
    "units",
    "spikes",
    "presentations",
    "clock",
    "duration",
    "rate",
    "masked",
)
_RIGHT = ("units", "spikes", "presentations", "duration", "rate", "masked")
#: Columns that are listed below the areas of a session.
_LISTS = ("signals", "events", "tables", "notes")
#: A space at which no line is broken.
_UNBROKEN = "\u00a0"
#: Columns that are shown once for a session.
_OF_SESSION = ("session", "duration", "clock", "masked", *_LISTS)


@dataclass(frozen=True)
class Description:
    """A table of sessions and areas; prints itself in a terminal and in a notebook.

    Attributes
    ----------
    title : str
        The kind of the tree, its source and its size.
    rows : list of dict of str to str
        A row for each session and area.
    contents : TreeContents
        The records behind the rows, as numbers with units.
    remark : str
        What was not read, and how to read it.
    """

    title: str
    rows: list[dict[str, str]]
    contents: TreeContents
    remark: str = ""

    @property
    def columns(self) -> list[str]:
        """The names of the columns that are not empty."""
        return [name for name in _COLUMNS if any(row.get(name) for row in self.rows)]

    def __str__(self) -> str:
        names, rows = self.columns, self._sparse()
        long = any(len(row["session"]) > _LONG for row in rows)
        shown = [name for name in names if name != "session" or not long]
        cells = [shown, *([row.get(name, "") for name in shown] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(shown))]
        head, *body = [_line(line, shown, widths) for line in cells]
        lines = [*_wrapped(self.title), head]
        for i, (row, line) in enumerate(zip(rows, body, strict=True)):
            lines += [row["session"]] if long and row["session"] else []
            lines += [line] if line else []
            if i + 1 == len(rows) or rows[i + 1]["session"]:
                lines += _listed(self._first_of_session(i))
        return "\n".join([*lines, *_wrapped(self.remark)])

    __repr__ = __str__

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        names = [*self.columns, *self._lists()]
        table = Table(
            title=Text(self.title),
            title_justify="left",
            caption=Text(self.remark) if self.remark else None,
            caption_justify="left",
            box=None,
            header_style="bold",
        )
        for name in names:
            right = name in _RIGHT
            style = "cyan" if name in ("session", "area") else ""
            table.add_column(
                name, justify="right" if right else "left", style=style, overflow="fold"
            )
        for row in self._sparse():
            table.add_row(*(Text(row.get(name, "")) for name in names))
        return table

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Iterable[tuple[str, str]]) -> str:
            tagged = [
                f'<{tag} style="text-align:{"right" if name in _RIGHT else "left"}">'
                f"{escape(cell)}</{tag}>"
                for name, cell in cells
            ]
            return f"<tr>{''.join(tagged)}</tr>"

        names = [*self.columns, *self._lists()]
        head = line("th", [(name, name) for name in names])
        body = "".join(
            line("td", [(name, row.get(name, "")) for name in names]) for row in self._sparse()
        )
        title = f"<caption>{escape(self.title)}</caption>"
        foot = (
            f'<tfoot><tr><td colspan="{len(names)}">{escape(self.remark)}</td></tr></tfoot>'
            if self.remark
            else ""
        )
        return f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody>{foot}</table>"

    def _lists(self) -> list[str]:
        """The names of the lists that are not empty."""
        return [name for name in _LISTS if any(row.get(name) for row in self.rows)]

    def _first_of_session(self, last: int) -> dict[str, str]:
        """The first row of a session, from the position of its last row."""
        rows = self._sparse()
        return next(self.rows[i] for i in range(last, -1, -1) if rows[i]["session"])

    def _sparse(self) -> list[dict[str, str]]:
        """Rows that show the facts about a session once, not for each area."""
        out: list[dict[str, str]] = []
        before: dict[str, str] = {}
        for row in self.rows:
            same = bool(before) and row["session"] == before["session"]
            hidden = {name for name in _OF_SESSION if same and row.get(name) == before.get(name)}
            out.append({name: "" if name in hidden else text for name, text in row.items()})
            before = row
        return out


def _line(cells: list[str], names: list[str], widths: list[int]) -> str:
    """One line of cells, padded to columns."""
    padded = [
        cell.rjust(width) if name in _RIGHT else cell.ljust(width)
        for cell, width, name in zip(cells, widths, names, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _listed(row: dict[str, str]) -> list[str]:
    """The lists of a session, each after its name."""
    lines: list[str] = []
    for name in _LISTS:
        if row.get(name):
            text = row[name]
            if name != "notes":  # a name and its number stay on one line
                text = ", ".join(entry.replace(" ", _UNBROKEN) for entry in text.split(", "))
            wrapped = _wrapped(text, f"  {name}".ljust(11))
            lines += [line.replace(_UNBROKEN, " ") for line in wrapped]
    return lines


def _wrapped(text: str, lead: str = "") -> list[str]:
    """A wrapped text; lines after the first are indented by the length of the lead."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )


def describe(tree: xr.DataTree, rates: bool | None = None) -> Description:
    """Describe a tree: its sessions and areas, with their units, presentations and rates.

    Parameters
    ----------
    tree : xr.DataTree
        A recording or aligned tree, or a branch of one.
    rates : bool, optional
        For a recording: whether to read all spikes. They are needed for the firing rates, and for
        the duration of a session whose file does not state it. By default they are read if there
        are 4 million or fewer.

    Returns
    -------
    Description
        A table that prints itself as text, in colour with rich, or as HTML in a notebook. The
        duration of a recording is the time that was recorded (node `observed`). If spikes are not
        read it is "at least" the time that signals and tables cover. The rate is the mean of
        `firing_rate` over units, in spikes/s. The share of masked bins is that of the first area of
        a session; it is read if the tree has 100 sessions or fewer.

    Raises
    ------
    SchemaError
        If `tree` is neither a recording nor an aligned tree.

    Examples
    --------
    >>> import neuroarrays as na
    >>> print(na.describe(na.load_sample()))  # doctest: +ELLIPSIS
    recording tree from nwb: 1 session, 2 areas, 15 units
    session       area  units  spikes  duration ...
    """
    facts = contents.of_tree(tree)
    remark = ""
    if facts.kind == schema.RECORDING:
        read_spikes = _has_few_spikes(facts, tree) if rates is None else rates
        facts = contents.timed(facts, tree, read_spikes)
        texts = [_of_recording(session) for session in facts.sessions]
        if facts.n_spikes and not read_spikes:
            what = (
                "Rates" if all(s.is_whole for s in facts.sessions) else "Rates and full durations"
            )
            remark = (
                f"{what} are not known before {facts.n_spikes:,} spikes are read: "
                "na.describe(tree, rates=True) reads them"
            )
    else:
        masks = len(facts.sessions) <= _READ_MASKS
        texts = [_of_aligned(session, tree.root, masks) for session in facts.sessions]
    rows: list[dict[str, str]] = []
    for session, text in zip(facts.sessions, texts, strict=True):
        if session.notes:
            text["notes"] = f"{len(session.notes)}, in tree[{session.path!r}].attrs['notes']"
        rows += [
            {"session": session.path, **_of_area(area), **text}
            for area in session.areas or (AreaRecord("", ""),)
        ]
    source = f" from {facts.source}" if facts.source else ""
    counts = [
        many(len(facts.sessions), "session"),
        many(len(facts.areas), "area"),
        many(facts.n_units, "unit"),
    ]
    rows = [{name: printable(text) for name, text in row.items()} for row in rows]
    title = printable(f"{facts.kind} tree{source}: {', '.join(counts)}")
    remarks = [text for text in (remark, _cached(tree)) if text]
    return Description(title, rows, facts, " ".join(remarks))


def _cached(tree: xr.DataTree) -> str:
    """A sentence on how much of a remote tree is kept on this machine; "" for a local tree."""
    address = str(tree.root.encoding.get("source", ""))
    if "://" not in address:
        return ""
    from neuroarrays.files import remote_file, sidecars

    on_disk, in_memory = sidecars.size_of(address) / 1e3, remote_file.in_memory(address) / 1e3
    return printable(
        f"Read from {address}: {on_disk:,.0f} kB are kept on disk for the next opening, "
        f"{in_memory:,.0f} kB in memory."
    )


def _has_few_spikes(facts: TreeContents, tree: xr.DataTree) -> bool:
    """Whether a recording has so few spikes that they are read by default."""
    sessions: list[Any] = [tree.root[session.path] for session in facts.sessions]
    return max(facts.n_spikes, sum(map(times_to_read, sessions))) <= _READ_SPIKES


def _of_area(area: AreaRecord) -> dict[str, str]:
    """The cells of an area, as text."""
    numbers = {"spikes": area.n_spikes, "presentations": area.n_presentations}
    texts = {name: f"{number:,}" for name, number in numbers.items() if number is not None}
    if area.rate is not None and np.isfinite(area.rate):
        number = f"{area.rate:.0f}" if area.rate >= 10 else f"{area.rate:#.2g}"
        texts["rate"] = f"{number} spikes/s"
    return {"area": area.name, "units": f"{area.n_units:,}", **texts}


def _of_recording(session: SessionRecord) -> dict[str, str]:
    """The cells of a session of a recording tree, as text."""
    seconds = session.seconds or 0.0
    at_least = "" if session.is_whole or not seconds > 0 else "at least "
    return {
        "duration": f"{at_least}{_duration(seconds)}",
        "signals": ", ".join(f"{signal.path} {_clock(signal)}" for signal in session.signals),
        "events": ", ".join(f"{events.name} {events.n_events:,}" for events in session.events),
        "tables": ", ".join(f"{table.name} {table.n_rows:,}" for table in session.tables),
    }


def _clock(signal: SignalRecord) -> str:
    """The sampling rate of a signal, as text."""
    return many(signal.n_times, "sample") if signal.rate is None else f"{_digits(signal.rate)} Hz"


def _digits(number: float) -> str:
    """A number with three digits, or all digits before the point: 0.5, 29.9, 1,250."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _of_aligned(session: SessionRecord, root: xr.DataTree, read_masks: bool) -> dict[str, str]:
    """The cells of a session of an aligned tree, as text; its areas share one clock."""
    node: Any = root[session.areas[0].path if session.areas else session.path]
    n_bins, width = node.sizes.get(schema.TIME, 0), _width(node)
    texts = {
        "events": ", ".join(events.name for events in session.events),
        "signals": ", ".join(_signals_of_areas(session)),
    }
    if width:
        texts["clock"] = f"{n_bins:,} bins of {_digits(1000 * width)} ms"
    elif n_bins:
        texts["clock"] = many(n_bins, "frame")
    if schema.PRESENTATION not in node.sizes:
        texts["duration"] = _duration(n_bins * width)
    elif not session.areas:
        texts["presentations"] = f"{node.sizes[schema.PRESENTATION]:,}"
    if read_masks and schema.VALID in node.data_vars:
        valid = node[schema.VALID].values
        texts["masked"] = f"{1 - float(valid.mean()) if valid.size else 0.0:.1%}"
    return texts


def _signals_of_areas(session: SessionRecord) -> list[str]:
    """Names of the aligned signals, which are the same in all areas of a session."""
    areas = [area.path.removeprefix(session.path).strip("/") for area in session.areas]
    names = [name for area in session.areas for name in area.units if name not in _NO_SIGNALS]
    for signal in session.signals:
        within = [area for area in areas if signal.path.startswith(f"{area}/")]
        names.append(signal.path.removeprefix(f"{max(within, key=len)}/" if within else ""))
    return list(dict.fromkeys(names))


def _width(area: xr.DataTree) -> float:
    """Bin width of an area in s; 0 without a clock."""
    clock = area.coords.get(schema.TIME)
    width = np.nan if clock is None else step(clock)
    return 0.0 if np.isnan(width) else width


def _duration(seconds: float) -> str:
    """A duration as text, in s, min or h; "" if it is 0 or not known."""
    if not seconds > 0:
        return ""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
