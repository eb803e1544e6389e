"""One clock out of many: spikes counted and behaviour interpolated where the bins are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import binning, schema
from neuroarrays._version import __version__
from neuroarrays.backend import LazyArray, cached, chosen, chunked, unwrap, wrap
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.source import Key

#: Series that are aligned unless others are asked for.
BEHAVIOUR = (schema.RUNNING, schema.PUPIL, "position", "head_direction")
METHODS = ("linear", "previous", "nearest")
#: Share of presentations in which event times must make sense on a clock to be taken for it.
_PLAUSIBLE = 0.95


@dataclass(frozen=True, repr=False)
class Interpolated(LazyArray):
    """A series at given times: (times,) or (origins, offsets), then the series' other axes.

    The series is read once per process when the first value is asked for.
    """

    values: Any
    clock: Any
    origins: np.ndarray | None
    offsets: np.ndarray
    method: str
    max_gap: float
    period: float | None
    rest: tuple[int, ...]
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        rows = () if self.origins is None else (self.origins.size,)
        return (*rows, self.offsets.size, *self.rest)

    def outer(self, key: Key) -> np.ndarray:
        from neuroarrays.kernels import resample

        times, values = cached(self.__dask_tokenize__()[:5], self._load)
        n_time = 1 if self.origins is None else 2
        picked = [np.atleast_1d(axis[k]) for axis, k in zip(self._axes(), key, strict=False)]
        at = picked[0] if n_time == 1 else picked[0][:, None] + picked[1]
        columns = values.reshape(values.shape[0], -1)
        found = resample.interpolate(times, columns, at.ravel(), self.method, self.max_gap)
        if self.period is not None:
            found = found % self.period
        full = found.reshape(*at.shape, *self.rest).astype(self.dtype, copy=False)
        for axis in range(n_time, len(key)):
            k = key[axis]
            full = full[(slice(None),) * axis + (k if not isinstance(k, int) else [k],)]
        return full[tuple(0 if isinstance(k, int) else slice(None) for k in key)]

    def _axes(self) -> tuple[np.ndarray, ...]:
        return (self.offsets,) if self.origins is None else (self.origins, self.offsets)

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        """The series in order of time; an angle unwound, so that it does not jump at a full turn."""
        times, values = np.asarray(_all(self.clock), float), np.asarray(_all(self.values))
        if values.dtype.kind != "f":
            values = values.astype(float)
        order = np.argsort(times, kind="stable") if (np.diff(times) < 0).any() else slice(None)
        times, values = times[order], values[order]
        if self.period is not None:
            values = np.array(values, float)
            flat = values.reshape(values.shape[0], -1)
            for column in flat.T:
                known = np.isfinite(column)
                column[known] = np.unwrap(column[known], period=self.period)
        return times, values

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        from dask.base import normalize_token

        at = (self.origins, self.offsets, self.max_gap, str(self.dtype))
        own = (normalize_token(self.values), normalize_token(self.clock))
        return ("Interpolated", *own, self.period, self.method, *at)


def _all(data: Any) -> np.ndarray:
    return data.load() if isinstance(data, LazyArray) else np.asarray(data)


def interpolate(
    series: xr.DataArray | xr.Dataset | xr.DataTree,
    times: Any,
    method: str = "linear",
    max_gap: float | None = None,
) -> Any:
    """A series at other times: NaN outside the data and in gaps, NaN samples skipped.

    Parameters
    ----------
    series : DataArray, Dataset or DataTree node
        Along `time` in seconds; other dimensions follow.
    times : (n,) array or DataArray, s
        Where to have it, session clock; labels of a DataArray are kept.
    method : {"linear", "previous", "nearest"}
        "previous" is causal: the last sample at or before each time. An angle (a `period`
        attribute, such as 2 pi) is interpolated along the shorter arc.
    max_gap : float, s, optional
        Between two good samples further apart than this, the result is NaN.

    Returns
    -------
    DataArray or Dataset
        The same names and units along the new `time`, lazy.

    Raises
    ------
    ValueError
        On an unknown method or a negative `max_gap`.
    SchemaError
        If the series has no `time` coordinate.

    Notes
    -----
    At a duplicated time stamp the last of its samples counts. Times out of order are sorted.
    """
    check_method(method, max_gap)
    if isinstance(series, xr.DataTree):
        series = series.to_dataset()
    if isinstance(series, xr.DataArray):
        named = series.to_dataset(name="_series")
        return interpolate(named, times, method, max_gap)["_series"].rename(series.name)
    at = np.asarray(times, float)
    if at.ndim != 1:
        msg = f"times has shape {at.shape}: expected one dimension"
        raise ValueError(msg)
    labels = times.coords if isinstance(times, xr.DataArray) else {}
    dim = times.dims[0] if isinstance(times, xr.DataArray) else schema.TIME
    found = resampled(series, None, at, method, max_gap, (dim,))
    coords = {name: coord.variable for name, coord in dict(labels).items()}
    coords.setdefault(dim, xr.Variable(dim, at, {"units": "s"}))
    return xr.Dataset(found, coords | _other_coords(series), attrs=series.attrs)


def check_method(method: str, max_gap: float | None) -> None:
    """Refuse a method or gap that cannot be."""
    if method not in METHODS:
        msg = f"method={method!r}: expected one of {', '.join(map(repr, METHODS))}"
        raise ValueError(msg)
    if max_gap is not None and not max_gap > 0:
        msg = f"max_gap={max_gap!r}: expected a positive number of seconds"
        raise ValueError(msg)


def _other_coords(series: xr.Dataset) -> dict[Any, xr.Variable]:
    return {k: c.variable for k, c in series.coords.items() if schema.TIME not in c.dims}


def resampled(
    series: xr.Dataset,
    origins: np.ndarray | None,
    offsets: np.ndarray,
    method: str,
    max_gap: float | None,
    dims: tuple[str, ...],
) -> dict[Any, xr.Variable]:
    """The numeric variables of a series at `origins + offsets`, lazily, along `dims`."""
    if schema.TIME not in series.variables:
        msg = f"no `time` coordinate; expected a series along time, found {dict(series.sizes)}"
        raise SchemaError(msg)
    clock = unwrap(series.variables[schema.TIME]._data)
    out = {}
    for name, variable in series.data_vars.items():
        if variable.dims[:1] != (schema.TIME,) or variable.dtype.kind not in "iufb":
            continue
        raw = variable.variable
        data = unwrap(raw._data)
        period = raw.attrs.get("period") if method == "linear" else None
        dtype = raw.dtype if raw.dtype.kind == "f" else np.dtype("f8")
        gap = np.inf if max_gap is None else float(max_gap)
        lazy = Interpolated(
            values=data if isinstance(data, LazyArray | np.ndarray) else raw,
            clock=clock if isinstance(clock, LazyArray) else np.asarray(series[schema.TIME]),
            origins=origins,
            offsets=offsets,
            method=method,
            max_gap=gap,
            period=period,
            rest=raw.shape[1:],
            dtype=dtype,
        )
        out[name] = xr.Variable((*dims, *raw.dims[1:]), wrap(lazy), raw.attrs)
    return out


# ------------------------------------------------------------------------------------- align


@dataclass(frozen=True)
class _Plan:
    """The options of one `align`, checked."""

    bin_width: float
    window: tuple[float, float] | None
    event: str
    event_clock: str | None
    clip: bool
    series: str | Sequence[str] | None
    method: str
    max_gap: float | None
    dtype: np.dtype
    binarize: bool


@dataclass(frozen=True)
class _Table:
    """The presentations of one session: onsets, stops and what is known of each."""

    name: str
    node: xr.Dataset
    onsets: np.ndarray
    stops: np.ndarray
    clock: str


def align(
    tree: xr.DataTree,
    presentations: str | xr.Dataset | pd.DataFrame | None = None,
    bin_width: float = 0.02,
    window: Sequence[float] | None = None,
    *,
    event: str = "start_time",
    event_clock: str | None = None,
    clip: bool = True,
    series: str | Sequence[str] | None = None,
    method: str = "linear",
    max_gap: float | None = None,
    dtype: Any = "uint8",
    binarize: bool = False,
    chunks: Any = None,
) -> xr.DataTree:
    """Bring every signal of a recording on one clock.

    Spikes are counted in bins (see `bin_spikes` for their edges) and behaviour is interpolated at
    the bins' centres. Lazy: what is indexed later is what is computed.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree; all its sessions are aligned.
    presentations : str, Dataset or DataFrame, optional
        The table of presentations to align to: its name in the tree, or your own with
        `start_time`, `stop_time` (s, session clock) and any parameters. Without it, one
        continuous clock.
    bin_width : float, s
        Width of a bin.
    window : (float, float), s, optional
        With `presentations`: relative to each onset; by default from the onset to the end of the
        longest presentation of all sessions. Without: the part of the session clock; by default
        all that holds spikes, which reads them.
    event : str
        Column of the table that onsets are taken from.
    event_clock : {"session", "presentation"}, optional
        Whether that column is on the session clock or relative to `start_time`. Decided by
        comparing them when not given; `history` says which.
    clip : bool
        Spikes at or after a presentation's stop are not counted, and `valid` is False in bins that
        end after it. False counts on, into what follows: every bin is whole.
    series : str or list of str, optional
        Names or globs of the series to align; running, pupil, position and head direction unless
        given.
    method : {"linear", "previous", "nearest"}
        How series are interpolated; see `interpolate`.
    max_gap : float, s, optional
        Longest gap in a series that is bridged.
    dtype : integer dtype
        Of the counts.
    binarize : bool
        1 where there is any spike.
    chunks : {}, "auto" or dict, optional
        Put dask on top, as in xarray.

    Returns
    -------
    xr.DataTree
        An aligned tree: ``<session>/<area>/spike_data`` as ``(presentation_id, unit_id, time)``
        or ``(time, unit_id)``, with behaviour, `valid` and `presentations` beside it.

    Raises
    ------
    NotInTree
        On a table, event column or series that is not there.
    ValueError
        On a bin width, window or method that cannot be, a window longer than the recording, event
        times whose clock cannot be told.
    SchemaError
        If the tree is not a recording tree, or has no units.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> aligned = na.align(tree, bin_width=0.02)
    >>> aligned["A2929-200711/adn/spike_data"].dims
    ('time', 'unit_id')
    """
    check_method(method, max_gap)
    if event_clock not in (None, "session", "presentation"):
        msg = f"event_clock={event_clock!r}: expected 'session' or 'presentation'"
        raise ValueError(msg)
    plan = _Plan(
        bin_width=binning.check_bin_width(bin_width),
        window=None if window is None else binning.check_window(window),
        event=event,
        event_clock=event_clock,
        clip=clip,
        series=series,
        method=method,
        max_gap=max_gap,
        dtype=binning.check_dtype(dtype),
        binarize=binarize,
    )
    if schema.kind_of(tree) != schema.RECORDING:
        msg = "this tree is aligned already; na.align takes a recording tree"
        raise SchemaError(msg)
    sessions = _sessions(tree)
    tables = {name: _table(name, node, presentations, plan) for name, node in sessions.items()}
    groups: dict[str, xr.Dataset] = {}
    if presentations is None:
        for name, session in sessions.items():
            groups |= _on_clock(name, session, plan)
    else:
        span = plan.window or (0.0, _longest(tables.values()))
        for name, session in sessions.items():
            groups |= _on_trials(name, session, tables[name], span, plan)
    clocks = {name: table.clock for name, table in tables.items() if table is not None}
    root = _root(tree, presentations, plan, clocks)
    aligned = xr.DataTree.from_dict({"/": root} | groups)
    return aligned if chunks is None else chunked(aligned, chunks)


def _sessions(tree: xr.DataTree) -> dict[str, xr.DataTree]:
    """The sessions with units.

    Raises
    ------
    SchemaError
        If one has none: there is nothing to count.
    """
    sessions = dict(tree.children)
    areas = schema.area_paths(tree)
    for name in sessions:
        if not any(path.startswith(name + "/") for path in areas):
            found = ", ".join(sessions[name].children) or "nothing"
            msg = (
                f"session {name!r} has no units: expected spikes or responses of some area, found "
                f"{found}. Leave it out with sessions= when you open the tree"
            )
            raise SchemaError(msg)
    if not sessions:
        msg = "the tree has no sessions"
        raise SchemaError(msg)
    return sessions


def _areas(session: xr.DataTree) -> dict[str, dict[str, xr.Dataset]]:
    """Area -> its spikes node ("spikes") and its series with units, as datasets."""
    found: dict[str, dict[str, xr.Dataset]] = {}
    for name, area in session.children.items():
        for leaf, node in area.children.items():
            if schema.UNIT in node.sizes:
                found.setdefault(name, {})[leaf] = node.to_dataset()
    return found


def _series(session: xr.DataTree, wanted: str | Sequence[str] | None) -> dict[str, xr.Dataset]:
    """Series of the session by path, those asked for or the usual ones."""
    paths = {
        path: node
        for path, node in session.subtree_with_keys
        if schema.TIME in node.dims and schema.UNIT not in node.dims and path != "."
    }
    if wanted is None:
        usual = [p for p in paths if p.partition("/")[0] in BEHAVIOUR]
        return {path: paths[path].to_dataset() for path in usual}
    return {path: paths[path].to_dataset() for path in chosen(paths, wanted, "series")}


# ------------------------------------------------------------------------------ presentations


def _table(name: str, session: xr.DataTree, wanted: Any, plan: _Plan) -> _Table | None:
    if wanted is None:
        return None
    if isinstance(wanted, str):
        known = session.children.get(schema.PRESENTATIONS)
        tables = {} if known is None else dict(known.children)
        if wanted not in tables:
            raise NotInTree(f"presentation table in session {name!r}", wanted, tables)
        label, node = wanted, tables[wanted].to_dataset()
    else:
        label, node = "a table of your own", _own_table(wanted)
    for needed in {"start_time", plan.event}:
        if needed not in node.data_vars:
            raise NotInTree(f"column in {label!r} of session {name!r}", needed, node.data_vars)
    start = node["start_time"].values.astype(float)
    stop = node["stop_time"].values.astype(float) if "stop_time" in node else np.full_like(
        start, np.nan
    )  # fmt: skip
    event = node[plan.event].values.astype(float)
    clock = plan.event_clock or _clock_of(plan.event, event, start, stop)
    onsets = event if clock == "session" else start + event
    return _Table(label, node, onsets, stop, clock)


def _own_table(table: xr.Dataset | pd.DataFrame) -> xr.Dataset:
    """A user's table as a node: along presentation_id, text as object."""
    if isinstance(table, xr.Dataset):
        if schema.PRESENTATION not in table.dims:
            msg = f"a table of dims {dict(table.sizes)}: expected presentation_id"
            raise SchemaError(msg)
        return table
    frame = pd.DataFrame(table)
    ids = frame.index.to_numpy()
    ids = ids if ids.dtype.kind in "iu" else np.arange(len(frame))
    columns = {
        str(name): (schema.PRESENTATION, np.asarray(column, object)
                    if pd.api.types.is_string_dtype(column) else column.to_numpy())
        for name, column in frame.items()
    }  # fmt: skip
    return xr.Dataset(columns, {schema.PRESENTATION: ids})


def _clock_of(name: str, event: np.ndarray, start: np.ndarray, stop: np.ndarray) -> str:
    """Whether event times are on the session clock or relative to each presentation's start.

    Raises
    ------
    ValueError
        If neither makes sense of nearly all of them, or both do.
    """
    known = np.isfinite(event) & np.isfinite(start)
    if not known.any() or np.array_equal(event[known], start[known]):
        return "session"
    event, start = event[known], start[known]
    stop = np.where(np.isfinite(stop[known]), stop[known], np.inf)
    session = float(np.mean((event >= start) & (event <= stop)))
    relative = float(np.mean((event >= 0) & (event <= stop - start)))
    if session >= _PLAUSIBLE and session > relative:
        return "session"
    if relative >= _PLAUSIBLE and relative > session:
        return "presentation"
    msg = (
        f"the times in {name!r} lie between start and stop for {session:.0%} of the presentations "
        f"on the session clock, and for {relative:.0%} relative to start_time: say "
        "event_clock='session' or event_clock='presentation'"
    )
    raise ValueError(msg)


def _longest(tables: Any) -> float:
    onsets = np.concatenate([table.onsets for table in tables])
    stops = np.concatenate([table.stops for table in tables])
    return binning.longest(onsets, stops)


# -------------------------------------------------------------------------------- the two ways


def _on_trials(
    name: str, session: xr.DataTree, table: _Table | None, span: tuple[float, float], plan: _Plan
) -> dict[str, xr.Dataset]:
    from neuroarrays.kernels import counts

    assert table is not None
    areas = _areas(session)
    _check_length(name, session, areas, span[1] - span[0])
    n_bins = counts.bins_to_cover(span[1] - span[0], plan.bin_width)
    offsets = counts.bin_centres(span[0], n_bins, plan.bin_width)
    ends = counts.bin_edges(span[0], n_bins, plan.bin_width)[1:]
    stops = np.where(np.isnan(table.stops), np.inf, table.stops)
    onsets = table.onsets
    past = onsets[:, None] + ends - plan.bin_width * 1e-6 > stops[:, None]
    valid = (~past | (not plan.clip)) & np.isfinite(onsets)[:, None]
    dims = (schema.PRESENTATION, schema.TIME)
    behaviour = {
        path: resampled(node, onsets, offsets, plan.method, plan.max_gap, dims)
        for path, node in _series(session, plan.series).items()
    }
    ids = table.node[schema.PRESENTATION].variable
    shared = {
        schema.PRESENTATION: ids,
        schema.TIME: binning.time_axis(span[0], n_bins, plan.bin_width),
    }
    groups = {name: xr.Dataset(coords=shared, attrs=session.attrs)}
    rows = _presentations(table)
    onset = xr.DataArray(onsets, dims=schema.PRESENTATION)
    for area, nodes in areas.items():
        variables, coords = _responses(nodes, onsets, offsets, dims, plan)
        if schema.SPIKES in nodes:
            counted = binning.bin_spikes(
                nodes[schema.SPIKES], onset, plan.bin_width, span,
                stops=table.stops if plan.clip else None, dtype=plan.dtype, binarize=plan.binarize,
            )  # fmt: skip
            variables["spike_data"] = counted.variable
            coords |= _unit_coords(counted)
        variables["valid"] = schema.var("area", "valid", valid, dims, tree=schema.ALIGNED)
        groups |= _area_groups(f"{name}/{area}", variables, coords, behaviour, rows)
    return groups


def _on_clock(name: str, session: xr.DataTree, plan: _Plan) -> dict[str, xr.Dataset]:
    from neuroarrays.kernels import counts

    areas = _areas(session)
    origin, n_bins = _session_clock(name, session, areas, plan)
    time = counts.bin_centres(origin, n_bins, plan.bin_width)
    window = (origin, origin + (n_bins - 0.5) * plan.bin_width)
    behaviour = {
        path: resampled(node, None, time, plan.method, plan.max_gap, (schema.TIME,))
        for path, node in _series(session, plan.series).items()
    }
    shared = {schema.TIME: binning.time_axis(origin, n_bins, plan.bin_width)}
    groups = {name: xr.Dataset(coords=shared, attrs=session.attrs)}
    for area, nodes in areas.items():
        variables, coords = _responses(nodes, None, time, (schema.TIME,), plan)
        if schema.SPIKES in nodes:
            counted = binning.bin_spikes(
                nodes[schema.SPIKES], None, plan.bin_width, window,
                dtype=plan.dtype, binarize=plan.binarize,
            )  # fmt: skip
            variables["spike_data"] = counted.variable
            coords |= _unit_coords(counted)
        groups |= _area_groups(f"{name}/{area}", variables, coords, behaviour, None)
    return groups


def _responses(
    nodes: Mapping[str, xr.Dataset],
    origins: np.ndarray | None,
    offsets: np.ndarray,
    dims: tuple[str, ...],
    plan: _Plan,
) -> tuple[dict[Any, xr.Variable], dict[Any, xr.Variable]]:
    """Continuous responses (fluorescence, ...) at the bins; `responses` if there is one kind."""
    series = {name: node for name, node in nodes.items() if name != schema.SPIKES}
    found: dict[Any, xr.Variable] = {}
    coords: dict[Any, xr.Variable] = {}
    for node in series.values():
        found |= resampled(node, origins, offsets, plan.method, plan.max_gap, dims)
        coords |= {k: c.variable for k, c in node.coords.items() if c.dims == (schema.UNIT,)}
    if len(found) == 1:
        ((name, variable),) = found.items()
        found = {"responses": variable.assign_attrs(signal=str(name))}  # type: ignore[attr-defined]
    return found, coords


def _unit_coords(counted: xr.DataArray) -> dict[Any, xr.Variable]:
    return {k: c.variable for k, c in counted.coords.items() if c.dims == (schema.UNIT,)}


def _area_groups(
    path: str,
    variables: dict[Any, xr.Variable],
    coords: dict[Any, xr.Variable],
    behaviour: Mapping[str, Mapping[Any, xr.Variable]],
    rows: xr.Dataset | None,
) -> dict[str, xr.Dataset]:
    """The nodes of an area: itself, behaviour below it, its presentations."""
    below: dict[str, xr.Dataset] = {}
    for node, signals in behaviour.items():
        if node == schema.RUNNING and set(signals) == {"speed"}:
            variables |= signals
        else:
            below[f"{path}/{node}"] = xr.Dataset(dict(signals))
    area = xr.Dataset(variables, coords)
    if rows is not None:
        below[f"{path}/{schema.PRESENTATIONS}"] = rows
        area = area.assign_coords(schema.trial_labels(area, rows))
    return {path: area} | below


def _presentations(table: _Table) -> xr.Dataset:
    """The table of an aligned tree: onset, stop and duration in full precision, all parameters."""
    rows = table.node.drop_vars(schema.PRESENTATION)
    start = rows["start_time"].astype(float) if "start_time" in rows else None
    if "stop_time" in rows and start is not None:
        duration = (rows["stop_time"].values - start.values).astype(float)
        rows["duration"] = schema.var("table", "duration", duration, tree=schema.ALIGNED)
    return rows.drop_vars([k for k in rows.coords])


def _session_clock(
    name: str, session: xr.DataTree, areas: Mapping[str, Any], plan: _Plan
) -> tuple[float, int]:
    from neuroarrays.kernels import counts

    if plan.window is not None:
        _check_length(name, session, areas, plan.window[1] - plan.window[0])
        begin, end = plan.window
        return begin, counts.bins_to_cover(end - begin, plan.bin_width)
    low, high = _spike_extent(areas)
    if not np.isfinite(low):
        low, high = _series_extent(areas)
    if not np.isfinite(low):
        msg = f"session {name!r} has no spikes to take the clock's range from: give window="
        raise ValueError(msg)
    return binning.covering(low, high, plan.bin_width)


def _spike_extent(areas: Mapping[str, Mapping[str, xr.Dataset]]) -> tuple[float, float]:
    found = [
        binning.trains_of(nodes[schema.SPIKES]).extent()
        for nodes in areas.values()
        if schema.SPIKES in nodes
    ]
    known = [pair for pair in found if np.isfinite(pair[0])]
    if not known:
        return np.nan, np.nan
    return min(low for low, _ in known), max(high for _, high in known)


def _series_extent(areas: Mapping[str, Mapping[str, xr.Dataset]]) -> tuple[float, float]:
    clocks = [
        node[schema.TIME].values[[0, -1]]
        for nodes in areas.values()
        for node in nodes.values()
        if node.sizes.get(schema.TIME)
    ]
    if not clocks:
        return np.nan, np.nan
    return min(c[0] for c in clocks), max(c[1] for c in clocks)


def _check_length(
    name: str, session: xr.DataTree, areas: Mapping[str, Any], length: float
) -> None:
    """Refuse a window longer than the recording; spikes are read only if it may be."""
    tables = session.children.get(schema.PRESENTATIONS)
    for table in tables.children.values() if tables is not None else ():
        start, stop = table["start_time"].values, table.get("stop_time")
        last = start if stop is None or np.isnan(stop.values).all() else stop.values
        if start.size and np.nanmax(last) - np.nanmin(start) >= length:
            return
    low, high = _spike_extent(areas)
    if not np.isfinite(low):
        low, high = _series_extent(areas)
    if np.isfinite(low) and length > (high - low) * (1 + 1e-9) + 1.0:
        msg = (
            f"window: {length:g} s is longer than the recording of session {name!r}, which spans "
            f"{low:.3f} to {high:.3f} s"
        )
        raise ValueError(msg)


def _root(tree: xr.DataTree, presentations: Any, plan: _Plan, clocks: dict[str, str]) -> xr.Dataset:
    """Attributes of the aligned tree: what was done, with which options."""
    own = "a table" if presentations is not None else None
    options = {
        "presentations": presentations if isinstance(presentations, str) else own,
        "bin_width": plan.bin_width, "window": plan.window, "event": plan.event,
        "event_clock": ", ".join(sorted(set(clocks.values()))) or None, "clip": plan.clip,
        "series": plan.series, "method": plan.method, "max_gap": plan.max_gap,
        "dtype": str(plan.dtype), "binarize": plan.binarize,
    }  # fmt: skip
    said = ", ".join(f"{key}={value!r}" for key, value in options.items() if value is not None)
    line = f"neuroarrays {__version__}: align({said})"
    history = "\n".join(filter(None, [str(tree.attrs.get("history", "")), line]))
    kept = {k: v for k, v in tree.attrs.items() if k not in ("neuroarrays_schema", "history")}
    return xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, **kept, history=history))
