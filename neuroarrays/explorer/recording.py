"""What can be shown of a tree: its menus, from records; its spikes, counted in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.pyramid import CountPyramid
from neuroarrays.errors import NeuroArraysError, NotInTree, SchemaError
from neuroarrays.explorer.state import State
from neuroarrays.tree import contents, groups
from neuroarrays.tree.observed import known_without_spikes
from neuroarrays.tree.query import missing
from neuroarrays.tree.records import AreaRecord, SessionRecord

#: Columns that a menu lists, and columns of units that the table shows, at most.
MOST_COLUMNS, UNIT_COLUMNS = 60, 12
#: Values that a column to group by has by default: few enough to tell lines apart.
_GROUPS = (2, 8)
#: What stands in a menu for no column and no signal.
NOTHING = "(none)"
#: The extent of a session of which no time is known, s; the rate that is black at most, spikes/s.
_UNKNOWN, _BLACK = (0.0, 1.0), 50.0


class Recording:
    """A tree, the line of Python that opens it, and what menus need of it; one for all pages that show it."""

    def __init__(self, tree: xr.DataTree, opening: str):
        self.tree, self.opening = tree.root, opening
        self.contents = contents.of_tree(self.tree)
        if not self.contents.sessions:
            raise SchemaError("the tree has no session to show")
        self.is_aligned = self.contents.kind == schema.ALIGNED
        self.sessions = {session.path: session for session in self.contents.sessions}
        self._found: dict[tuple[str, ...], Any] = {}
        self._nodes: dict[str, xr.Dataset] = {}
        self._pyramids: dict[str, CountPyramid] = {}
        self._extents: dict[str, tuple[float, float, bool]] = {}

    # ------------------------------------------------------------------------------------- names

    def session(self, state: State) -> SessionRecord:
        """The record of the session that is shown."""
        return self.sessions[state.session]

    def area(self, state: State) -> AreaRecord | None:
        """The record of the area that is shown, None where a session has none."""
        areas = {area.name: area for area in self.session(state).areas}
        return areas.get(state.area)

    def units_path(self, state: State) -> tuple[str, str] | None:
        """The node that holds the units of an area, and its variable: spikes, or traces."""
        area = self.area(state)
        if area is None:
            return None
        if self.is_aligned:
            of_area = [name for name in (schema.SPIKE_DATA, schema.RESPONSES) if name in area.units]
            return (area.path, of_area[0]) if of_area else None
        children: Any = self.tree[area.path].children
        if schema.SPIKES in children:
            return f"{area.path}/{schema.SPIKES}", schema.SPIKE_TIMES
        traces = [
            (f"{area.path}/{child}", str(name))
            for child, node in children.items()
            for name, values in node.data_vars.items()
            if values.dims == (schema.TIME, schema.UNIT)
        ]
        return min(traces, key=lambda path: _rank(path[1]), default=None)

    def node(self, path: str) -> xr.Dataset:
        """A node of the tree as a Dataset, made once; nothing is read."""
        if path not in self._nodes:
            self._nodes[path] = self.tree[path].to_dataset()
        return self._nodes[path]

    def unit_ids(self, state: State) -> np.ndarray:
        """Labels of the units of the area, (unit_id,) int."""
        path = self.units_path(state)
        return np.empty(0, int) if path is None else self.node(path[0])[schema.UNIT].values

    def tables(self, state: State) -> list[str]:
        """Names of what can be aligned to: tables of presentations with rows, then point events."""
        if self.is_aligned:
            area = self.area(state)
            return [schema.PRESENTATIONS] if area and area.n_presentations else []
        session = self.session(state)
        names = [t.name for t in session.tables if t.n_rows and schema.START_TIME in t.units]
        return names + [event.name for event in session.events if event.n_events]

    def table(self, state: State) -> xr.Dataset:
        """The table that is aligned to; empty for point events."""
        if self.is_aligned:
            area = self.area(state)
            return xr.Dataset() if area is None else self.node(area.path)
        path = f"{state.session}/{schema.PRESENTATIONS}/{state.table}"
        return self.node(path) if state.table and has(self.tree, path) else xr.Dataset()

    def epochs(self, state: State) -> tuple[xr.Dataset, str]:
        """The table of epochs that stands above the raster and its first column of text, if any."""
        for table in () if self.is_aligned else self.session(state).tables:
            if "epoch" in table.name.lower() and table.n_rows:
                node = self.node(f"{state.session}/{schema.PRESENTATIONS}/{table.name}")
                texts = [str(n) for n, v in node.data_vars.items() if v.dtype.kind in "OUT"]
                return node, (texts or [""])[0]
        return xr.Dataset(), ""

    def columns(self, state: State) -> list[str]:
        """Columns of the presentations that are still there, and unambiguous, when they are aligned."""
        table, path, taken = self.table(state), self.units_path(state), {schema.PRESENTATION}
        if self.is_aligned:
            table = table.coords.to_dataset()  # variables are responses, and what belongs to them
        elif path:
            # `align` leaves blank presentations out, and their column
            taken.update(map(str, self.node(path[0]).variables), ["blank"])
        names = groups.names_along(table, schema.PRESENTATION)
        return [name for name in names if name not in taken][:MOST_COLUMNS]

    def onsets(self, state: State) -> list[str]:
        """Columns that may hold onsets: numbers in seconds, or called a time; none once aligned."""
        if self.is_aligned:
            return []
        table = self.table(state).variables
        names = (n for n in self.columns(state) if table[n].dtype.kind in "fiu")
        times = (n for n in names if table[n].attrs.get("units") == "s" or "time" in n)
        return [name for name in times if name != schema.STOP_TIME]

    def signals(self, state: State) -> list[str]:
        """Paths of signals along time below the session: ``position/x``; none of units."""
        return [
            path
            for path, values in self._along_time(state)
            if values.dtype.kind in "fiu" and values.size > 1 and values.ndim <= 2
        ][:MOST_COLUMNS]

    def frames(self, state: State) -> list[str]:
        """Paths of frames of a stimulus below the session: along time, or aligned to presentations."""
        paths = [p for p, v in self._along_time(state) if _is_frames(v)]
        if self.is_aligned:
            variables = self.node(state.session).data_vars
            paths += [str(name) for name, values in variables.items() if _is_frames(values)]
        return paths

    def _along_time(self, state: State) -> Iterator[tuple[str, xr.DataArray]]:
        """What a session has along time, without values of units, and where it is below the session."""
        for signal in self.session(state).signals:
            for name, values in self.node(f"{state.session}/{signal.path}").data_vars.items():
                if values.dims[:1] == (schema.TIME,) and schema.UNIT not in values.dims:
                    yield f"{signal.path}/{name}", values

    def variety(self, state: State, name: str) -> int:
        """How many of 36 parts of its range a signal visits, from some of its samples."""
        path, _, variable = f"{state.session}/{name}".rpartition("/")
        values = self.node(path)[variable]
        step = max(1, values.size // 5000) if values.size < 1 << 20 else 1
        some = values[: 5000 * step : step].values.astype(float)
        known = some[np.isfinite(some)]
        return int((np.histogram(known, 36)[0] > 0).sum()) if known.size else 0

    def extent(self, state: State) -> tuple[float, float]:
        """From when to when the session goes, as far as that is known without its spikes, s."""
        path, ends, is_whole = state.session, (np.nan, np.nan), False
        if path not in self._extents:
            if not self.is_aligned:
                known, is_whole = known_without_spikes(self.tree[path])  # type: ignore[arg-type]
                ends = known.extent if len(known.rows) else ends
            elif area := self.area(state):
                node = self.node(area.path)
                if schema.PRESENTATION not in node.sizes and node.sizes.get(schema.TIME, 0) > 1:
                    ends = float(node[schema.TIME][0]), float(node[schema.TIME][-1])
            self._extents[path] = (float(ends[0]), float(ends[1]), is_whole)
        low, high, is_whole = self._extents[path]
        spikes = self._pyramids.get(self._spikes(state))
        if spikes is not None and not is_whole:
            low, high = np.fmin(low, spikes.extent[0]), np.fmax(high, spikes.extent[1])
        return (float(low), float(high)) if low < high else _UNKNOWN

    # ------------------------------------------------------------------------------------- spikes

    def _spikes(self, state: State) -> str:
        path = None if self.is_aligned else self.units_path(state)
        return path[0] if path and path[1] == schema.SPIKE_TIMES else ""

    def pyramid(self, state: State) -> CountPyramid | None:
        """The counts of the area's spikes; reading them begins when they are first asked for."""
        path = self._spikes(state)
        if path and path not in self._pyramids:
            self._pyramids[path] = CountPyramid(self.node(path))
            self._pyramids[path].read_in_background()
        return self._pyramids.get(path)

    def reading(self, state: State) -> str:
        """How far reading is, or why it stopped; "" when it is done."""
        pyramid = self._pyramids.get(self._spikes(state))
        if pyramid is None or pyramid.is_read.all():
            return ""
        if pyramid.failure is not None:
            return f"spikes could not be read: {one_line(pyramid.failure)}"
        return f"reading spikes: {pyramid.is_read.sum():,} of {pyramid.is_read.size:,} units"

    # ------------------------------------------------------------------------------- fitting a state

    def menu(self, field: str, state: State) -> list[str]:
        """What a field of a state can be, found once in each area and table."""
        find = partial(MENUS[field].names, self, state)
        return list(self._once(f"menu of {field}", state, find))

    def _once(self, name: str, state: State, find: Callable[[], Any]) -> Any:
        key = name, state.session, state.area, state.table
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]

    def fitted(self, state: State) -> tuple[State, list[str]]:
        """A state that this recording can show, and what of the wanted one it lacks."""
        notices = []
        for field, menu in MENUS.items():
            wanted, names = getattr(state, field), self.menu(field, state)
            if isinstance(wanted, tuple):
                continue  # of these there may be several
            if wanted not in names:
                if wanted:
                    notices.append(str(NotInTree(menu.what, wanted, names)))
                find = partial(menu.default, self, state, names)
                wanted = self._once(f"{field} by {state.by}", state, find)
            state = replace(state, **{field: wanted})
        ids, along = self.unit_ids(state).tolist(), self.menu("signals", state)
        if lost := [unit for unit in state.units if unit not in ids]:
            notices.append(f"no unit {', '.join(map(str, lost))} in {state.area!r}")
        notices += [str(NotInTree("signal", s, along)) for s in state.signals if s not in along]
        before, after, width = self._times(state)
        state = replace(
            state,
            units=tuple(unit for unit in state.units if unit in ids) or tuple(ids[:1]),
            signals=tuple(s for s in state.signals if s in along),
            black=state.black or self._once("black", state, lambda: self._black(state)),
        )
        return replace(state, before=before, after=after, bin_width=width), notices

    def _black(self, state: State) -> float:
        """The rate that is black, spikes/s: what busy units reach at times, from their numbers of spikes."""
        path, (low, high) = self._spikes(state), self.extent(state)
        sizes = self.node(path).get(schema.ROW_SIZE) if path else None
        if sizes is None or not sizes.size or (low, high) == _UNKNOWN:
            return _BLACK
        return min(nice(max(3 * float(np.percentile(sizes, 90)) / (high - low), 0.1)), _BLACK)

    def _times(self, state: State) -> tuple[float, float, float]:
        """The window around onsets and the bins, s, where none were chosen."""
        after, width = state.after, state.bin_width
        if self.is_aligned and self.table(state).sizes.get(schema.TIME, 0) > 1:
            bins = self.table(state)[schema.TIME].values  # those of the file, centres in s
            half = (bins[1] - bins[0]) / 2
            ends = float(bins[0] - half), float(bins[-1] + half), float(2 * half)
            return round(ends[0], 6), round(ends[1], 6), round(ends[2], 6)
        if not state.before < after or not (state.before or after):
            table, lasts = self.table(state), np.array([])
            if {schema.START_TIME, schema.STOP_TIME} <= set(table.variables):
                lasts = table[schema.STOP_TIME].values - table[schema.START_TIME].values
            lasts = lasts[np.isfinite(lasts)]
            usual = float(np.median(lasts)) if lasts.size else 1.0
            after = float(np.clip(np.ceil(usual * 2) / 2, 0.5, 5.0))
            state = replace(state, before=-0.5)
        if not width:
            path = self.units_path(state)
            clock = self.node(path[0]).get(schema.TIME) if path and not self.is_aligned else None
            step = float(clock[1] - clock[0]) if clock is not None and clock.size > 1 else 0.0
            width = nice(max(0.02, step)) if np.isfinite(step) else 0.02
        return state.before, after, min(width, after - state.before)


def nice(number: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(number))
    step = next(step for step in (1, 2, 5, 10) if step * power >= number * (1 - 1e-9))
    return float(f"{step * power:.6g}")


def has(tree: xr.DataTree, path: str) -> bool:
    """Whether there is a node at a path (`in` of a DataTree looks at its children only)."""
    try:
        return isinstance(tree[path], xr.DataTree)
    except KeyError:
        return False


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    text = str(error) if isinstance(error, NeuroArraysError | ValueError) else repr(error)
    return " ".join(text.split())[:400]


def _is_frames(values: xr.DataArray) -> bool:
    first, others = values.dims[:1], {schema.KEYPOINT, schema.UNIT}
    is_along = first in ((schema.TIME,), (schema.PRESENTATION,))
    return is_along and values.ndim >= 3 and not others & set(values.dims)


def _rank(name: str) -> tuple[int, str]:
    """Traces in the order in which they are shown: dF/F, then fluorescence, neuropil last."""
    text = name.lower()
    order = ("df" in text or "dff" in text, "fluo" in text or "roi" in text, "neuropil" not in text)
    return next((i for i, fits in enumerate(order) if fits), len(order)), name


def _first(recording: Recording, state: State, names: list[str]) -> str:
    return (names or [""])[0]


def _first_table(recording: Recording, state: State, names: list[str]) -> str:
    """The table called trials, else the first one with rows to compare, else the first."""
    rows = {table.name: table.n_rows for table in recording.session(state).tables}
    named = [name for name in names if "trial" in name.lower()]
    many = [name for name in names if rows.get(name, 0) > 5 and name != "invalid_times"]
    return (named or many or names or [""])[0]


def _first_groups(recording: Recording, state: State, names: list[str]) -> str:
    """The first column with few values, of texts if there is one; else none."""
    table, fits = recording.table(state).variables, []
    for name in names[1:]:
        if table[name].dtype.kind in "fM" or table[name].size > 100_000:
            continue
        values = table[name].values
        if _GROUPS[0] <= len(set(values[~missing(values)].tolist())) <= _GROUPS[1]:
            fits.append((values.dtype.kind not in "OUT", name))
    return min(fits, key=lambda fit: fit[0], default=(False, NOTHING))[1]


def _first_feature(recording: Recording, state: State, names: list[str]) -> str:
    """A direction, a position or a speed, of several the most varied; else what groups are made by."""
    for word in ("direction", "position", "speed"):
        likely = [name for name in recording.menu("signals", state) if word in name.lower()]
        if likely:
            return max(likely, key=lambda name: recording.variety(state, name))
    table, columns = recording.table(state), recording.columns(state)
    varied = (name for name in columns if len(set(table[name][:5000].values.tolist())) > 1)
    return state.by if state.by in names else next(varied, _first(recording, state, names))


class Menu(NamedTuple):
    """What a field of a state can be: what its values are called, their names, and the first choice."""

    what: str
    names: Callable[[Recording, State], list[str]]
    default: Callable[[Recording, State, list[str]], str] = _first


#: By field, each after those that its names depend on. Of the signals that are drawn there may be several.
MENUS = {
    "session": Menu("session", lambda r, s: list(r.sessions)),
    "area": Menu("area", lambda r, s: [area.name for area in r.session(s).areas]),
    "table": Menu("table", Recording.tables, _first_table),
    "event": Menu("column of onsets", Recording.onsets),
    "by": Menu("column", lambda r, s: [NOTHING, *r.columns(s)], _first_groups),
    "feature": Menu("feature", lambda r, s: [*r.columns(s), *r.menu("signals", s)], _first_feature),
    "other": Menu("signal", lambda r, s: [NOTHING, *r.menu("signals", s)]),
    "signals": Menu("signal", Recording.signals),
}
