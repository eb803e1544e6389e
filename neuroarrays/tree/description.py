"""What a tree holds, in a table: for a terminal, and for a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import printable
from neuroarrays.tree.breaks import step
from neuroarrays.tree.extents import hull, parts_of
from neuroarrays.tree.observed import of_session, spikes_and_seconds
from neuroarrays.tree.sessions import events_of
from neuroarrays.tree.stretches import Stretches

#: Sessions up to which masks are read, to say how much is masked.
_READ_MASKS = 100
_COLUMNS = (
    "session",
    "area",
    "units",
    "presentations",
    "events",
    "duration",
    "rate",
    "clocks",
    "masked",
)
_RIGHT = ("units", "duration", "rate", "masked")


@dataclass(frozen=True)
class Description:
    """A table of sessions and areas; prints itself in a terminal and in a notebook.

    Attributes
    ----------
    title : str
        Kind of tree, where it is from, and how much it holds.
    rows : list of dict of str to str
        A row for each session and area.
    """

    title: str
    rows: list[dict[str, str]]

    @property
    def columns(self) -> list[str]:
        """The columns in which something stands."""
        return [name for name in _COLUMNS if any(row.get(name) for row in self.rows)]

    def __str__(self) -> str:
        names = self.columns
        cells = [names, *([row.get(name, "") for name in names] for row in self._sparse())]
        widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
        lines = [
            "  ".join(
                cell.rjust(width) if name in _RIGHT else cell.ljust(width)
                for cell, width, name in zip(line, widths, names, strict=True)
            ).rstrip()
            for line in cells
        ]
        return "\n".join([self.title, *lines])

    __repr__ = __str__

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self.title), title_justify="left", box=None, header_style="bold")
        for name in self.columns:
            right = name in _RIGHT
            style = "cyan" if name in ("session", "area") else ""
            table.add_column(
                name, justify="right" if right else "left", style=style, overflow="fold"
            )
        for row in self._sparse():
            table.add_row(*(Text(row.get(name, "")) for name in self.columns))
        return table

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Iterable[tuple[str, str]]) -> str:
            made = [
                f'<{tag} style="text-align:{"right" if name in _RIGHT else "left"}">'
                f"{escape(cell)}</{tag}>"
                for name, cell in cells
            ]
            return f"<tr>{''.join(made)}</tr>"

        head = line("th", [(name, name) for name in self.columns])
        body = "".join(
            line("td", [(name, row.get(name, "")) for name in self.columns])
            for row in self._sparse()
        )
        title = f"<caption>{escape(self.title)}</caption>"
        return f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>"

    def _sparse(self) -> list[dict[str, str]]:
        """Rows in which what is said of a session stands once."""
        out: list[dict[str, str]] = []
        before: dict[str, str] = {}
        shared = ("session", "presentations", "events", "duration", "clocks", "masked")
        for row in self.rows:
            same = bool(before) and row["session"] == before["session"]
            hidden = {name for name in shared if same and row.get(name) == before.get(name)}
            out.append({name: "" if name in hidden else text for name, text in row.items()})
            before = row
        return out


def describe(tree: xr.DataTree) -> Description:
    """What is in a tree: sessions and areas with units, presentations, events, time, rates, masks.

    Parameters
    ----------
    tree : xr.DataTree
        A recording or aligned tree.

    Returns
    -------
    Description
        Prints itself: as text, in colour through rich, and as HTML in a notebook. Of a recording
        the duration is the time that was recorded (node `observed`), and the rate the mean over
        units of `firing_rate`, for which spikes are read. The share of masked bins is that of the first
        area of a session, and is read of trees of up to 100 sessions.

    Raises
    ------
    SchemaError
        If it is neither kind of tree.

    Examples
    --------
    >>> import neuroarrays as na
    >>> print(na.describe(na.load_sample()))  # doctest: +ELLIPSIS
    recording tree from nwb: 1 session, 2 areas, 15 units
    session       area  units  presentations ...
    """
    kind = schema.kind_of(tree)
    areas = schema.area_paths(tree)
    sessions = list(dict.fromkeys(path.rpartition("/")[0] for path in areas))
    if tree.parent is None and (kind == schema.RECORDING or not areas):
        sessions = [str(name) for name in tree.children]  # some have behaviour alone
    elif tree.parent is None:
        alone = (p for p, role, _ in schema.roles(tree) if role == "events")
        sessions += [
            p
            for p in dict.fromkeys(p.rpartition("/")[0] for p in alone)
            if p not in areas and p not in sessions
        ]
    about = {
        session: _about(kind, tree[session], len(sessions) <= _READ_MASKS) for session in sessions
    }
    rows, total = [], 0
    for path in areas:
        session, _, area = path.rpartition("/")
        units = _units(tree[path])
        total += units
        row = {"session": session, "area": area, "units": f"{units:,}"} | about[session].texts
        if kind == schema.RECORDING:
            row["rate"] = _mean_rate(tree[path])
        rows.append(row)
    held = {path.rpartition("/")[0] for path in areas}
    rows += [
        {"session": name, "units": "0"} | about[name].texts for name in sessions if name not in held
    ]
    source = f" from {tree.root.attrs['source']}" if "source" in tree.root.attrs else ""
    counts = [many(len(sessions), "session"), many(len(areas), "area"), many(total, "unit")]
    rows = [{name: printable(text) for name, text in row.items()} for row in rows]
    return Description(printable(f"{kind} tree{source}: {', '.join(counts)}"), rows)


@dataclass(frozen=True)
class _About:
    """What is said of a whole session."""

    seconds: float
    texts: dict[str, str]


def _about(kind: str, session: Any, read_masks: bool) -> _About:
    if kind == schema.RECORDING:
        observed = of_session(session)
        seconds = observed.seconds
        tables = session.children.get(schema.PRESENTATIONS)
        said = [
            f"{name} {node.sizes.get(schema.PRESENTATION, 0):,}"
            for name, node in (tables.children.items() if tables is not None else ())
        ]
        clocks = [f"{path} {_rate(node, observed)}" for path, node in _series(session)]
        events = [
            f"{name} {node['event_time'].size:,}" for name, node in events_of(session).items()
        ]
        texts = {"presentations": ", ".join(said), "events": ", ".join(events)}
        texts["clocks"] = ", ".join(clocks)
    else:
        area = next((c for c in session.children.values() if schema.UNIT in c.sizes), session)
        n_bins = area.sizes.get(schema.TIME, 0)
        width = _width(area)
        number = area.sizes.get(schema.PRESENTATION)
        seconds = n_bins * width if number is None else 0.0
        texts = {
            "presentations": "" if number is None else f"{number:,}",
            "clocks": f"{n_bins:,} bins of {1000 * width:.3g} ms"
            if width
            else many(n_bins, "frame")
            if n_bins
            else "",
        }
        if schema.EVENTS in area.children:
            counts = area.children[schema.EVENTS].data_vars
            texts["events"] = ", ".join(str(name) for name in counts if name != "valid")
        if read_masks and "valid" in area.data_vars:
            share = 1 - float(area["valid"].values.mean()) if area["valid"].size else 0.0
            texts["masked"] = f"{share:.1%}"
    texts["duration"] = _duration(seconds)
    return _About(seconds, texts)


def _series(session: xr.DataTree) -> list[tuple[str, Any]]:
    """The continuous signals of a session by path, those without samples left out."""
    return [
        (path, node)
        for path, node in session.subtree_with_keys
        if path != "." and node.sizes.get(schema.TIME, 0) and schema.TIME in node.coords
    ]


def _rate(node: Any, observed: Stretches) -> str:
    """Samples per second, from the ends of a clock and when the session was recorded."""
    clock = node[schema.TIME]
    first, last = hull(parts_of({"": node.to_dataset()}, spikes=False))
    length = observed.within([(first, last)]).seconds if first < last else 0.0
    return f"{(clock.size - 1) / length:.3g} Hz" if length > 0 else many(clock.size, "sample")


def _units(area: Any) -> int:
    """Number of units."""
    nodes = [area, *area.children.values()]
    return max((n.sizes.get(schema.UNIT, 0) for n in nodes), default=0)


def _mean_rate(area: Any) -> str:
    """Mean over units of an area of spikes per second in which they count."""
    rates = rates_of(area)
    known = rates[np.isfinite(rates)]
    return f"{known.mean():#.2g}".rstrip(".") + " spikes/s" if known.size else ""


def rates_of(area: xr.DataTree) -> np.ndarray:
    """Mean rate of each unit of an area of a recording, (unit_id,) spikes/s; none without spikes."""
    node = area.children.get(schema.SPIKES)
    if node is None:
        return np.empty(0)
    number, seconds = spikes_and_seconds(node.to_dataset(), area.parent)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates: np.ndarray = number / seconds
    return rates


def _width(area: Any) -> float:
    clock = area.coords.get(schema.TIME)
    width = np.nan if clock is None else step(clock)
    return 0.0 if np.isnan(width) else width


def _duration(seconds: float) -> str:
    if not seconds > 0:
        return ""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def many(number: int, noun: str) -> str:
    """A number of things in words: "1 area", "2 areas"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
