"""One clock out of many: spikes counted and behaviour interpolated where the bins are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import binning, schema
from neuroarrays._version import __version__
from neuroarrays.backend import chosen
from neuroarrays.errors import SchemaError
from neuroarrays.interpolation import check_method, resampled
from neuroarrays.lazy import chunked
from neuroarrays.presentations import (
    Presentations,
    as_rows,
    longest,
    presentations_of,
    tables_of,
)
from neuroarrays.trains import trains_of
from neuroarrays.validity import invalid_bins, unit_validity

#: Series that are aligned unless others are asked for.
BEHAVIOUR = (schema.RUNNING, schema.PUPIL, "position", "head_direction")


@dataclass(frozen=True)
class _Plan:
    """The options of one `align`, checked."""

    bin_width: float
    window: tuple[float, float] | None
    event: str
    clip: bool
    series: str | Sequence[str] | None
    method: str
    max_gap: float | None
    dtype: np.dtype
    binarize: bool


def align(  # noqa: PLR0913  one question each, all but three by name
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
    blanks: str = "drop",
    compat: str | None = None,
    chunks: Any = None,
) -> xr.DataTree:
    """Bring every signal of a recording on one clock.

    Spikes are counted in bins (see `bin_spikes` for their edges) and behaviour is interpolated at
    the bins' centres. Lazy: what is indexed later is what is computed.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree; all its sessions are aligned. Or one session of it.
    presentations : str, Dataset, DataFrame, (n,) onsets, mapping or callable, optional
        The table of presentations to align to: its name in the tree, or your own with
        `start_time`, `stop_time` (s, session clock) and any parameters, or bare onsets. Where
        sessions differ: a mapping of session to table, or a function of a session's node. Names
        joined by "+" are taken one after another. Without it, one continuous clock.
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
    blanks : {"drop", "keep"}
        What becomes of presentations that their table marks as `blank`. Those whose duration is
        further from the median than the table allows (its attribute `max_deviation`) are left out
        too; `history` says how many. More in `neuroarrays.presentations.select`.
    compat : {"mlynarski"}, optional
        Make what the published archive of Allen Visual Coding has, with its bins, names and types;
        `presentations` names a stimulus, and every other option stays as it is.
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
    if compat is not None:
        aligned = _compatible(tree, presentations, compat, locals())
        return aligned if chunks is None else chunked(aligned, chunks)
    check_method(method, max_gap)
    if event_clock not in (None, "session", "presentation"):
        msg = f"event_clock={event_clock!r}: expected 'session' or 'presentation'"
        raise ValueError(msg)
    plan = _Plan(
        bin_width=binning.check_bin_width(bin_width),
        window=None if window is None else binning.check_window(window),
        event=event,
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
    if tree.parent is not None:
        tree = _one_session(tree)
    sessions = _sessions(tree)
    groups: dict[str, xr.Dataset] = {}
    clocks: set[str] = set()
    dropped: dict[str, str] = {}
    if presentations is None:
        for name, session in sessions.items():
            groups |= _on_clock(name, session, plan)
    else:
        label = presentations if isinstance(presentations, str) else "your table"
        given, dropped = tables_of(sessions, presentations, blanks)
        tables = {
            name: presentations_of(name, given[name], event, event_clock, label)
            for name in sessions
        }
        span = plan.window or (0.0, longest(tables.values()))
        for name, session in sessions.items():
            groups |= _on_trials(name, session, tables[name], span, plan)
        clocks = {table.clock for table in tables.values()}
    root = _root(tree, presentations, plan, clocks, dropped)
    aligned = xr.DataTree.from_dict({"/": root} | groups)
    return aligned if chunks is None else chunked(aligned, chunks)


def _compatible(
    tree: xr.DataTree, stimulus: Any, compat: str, options: Mapping[str, Any]
) -> xr.DataTree:
    """The tree of a pipeline that others published.

    Raises
    ------
    ValueError
        If it is not known, or another option is given: that pipeline has none.
    """
    if compat != "mlynarski":
        msg = f"compat={compat!r}: expected 'mlynarski'"
        raise ValueError(msg)
    known = inspect.signature(align).parameters.values()
    free = ("tree", "presentations", "compat", "chunks")
    given = [p.name for p in known if p.name not in free and options[p.name] != p.default]
    if given:
        msg = f"compat={compat!r} fixes every other option; leave out {', '.join(given)}"
        raise ValueError(msg)
    if not isinstance(stimulus, str):
        msg = f"compat={compat!r}: presentations names a stimulus, e.g. 'natural_scenes'"
        raise ValueError(msg)
    from neuroarrays.formats.allen import mlynarski

    return mlynarski.published(tree, stimulus)


def _one_session(node: xr.DataTree) -> xr.DataTree:
    """A tree of one session of a larger one.

    Raises
    ------
    SchemaError
        If the node is a part of a session.
    """
    if node.level != 1:
        msg = f"{node.path} is a part of a session; give the whole tree or a session of it"
        raise SchemaError(msg)
    root = node.root
    return xr.DataTree(root.to_dataset(), children={str(node.name): node.copy(deep=False)})


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
                f"{found}"
                + (
                    ". Leave it out with sessions= when you open the tree"
                    if len(sessions) > 1
                    else ""
                )
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


# -------------------------------------------------------------------------------- the two ways


def _on_trials(
    name: str, session: xr.DataTree, table: Presentations, span: tuple[float, float], plan: _Plan
) -> dict[str, xr.Dataset]:
    from neuroarrays.kernels import counts

    areas = _areas(session)
    _check_length(name, session, areas, span[1] - span[0])
    binning.check_fits(plan.bin_width, span[1] - span[0])
    n_bins = counts.bins_to_cover(span[1] - span[0], plan.bin_width)
    offsets = counts.bin_centres(span[0], n_bins, plan.bin_width)
    edges = counts.bin_edges(span[0], n_bins, plan.bin_width)
    stops = np.where(np.isnan(table.stops), np.inf, table.stops)
    onsets = table.onsets
    past = onsets[:, None] + edges[1:] - plan.bin_width * 1e-6 > stops[:, None]
    masks = invalid_bins(session, onsets[:, None] + edges[:-1], onsets[:, None] + edges[1:])
    valid = (~past | (not plan.clip)) & np.isfinite(onsets)[:, None]
    valid = valid & ~masks[""] if "" in masks else valid
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
    rows = as_rows(table)
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
        variables |= _validity(valid, masks, coords, dims)
        groups |= _area_groups(f"{name}/{area}", variables, coords, behaviour, rows)
    return groups


def _on_clock(name: str, session: xr.DataTree, plan: _Plan) -> dict[str, xr.Dataset]:
    from neuroarrays.kernels import counts

    areas = _areas(session)
    origin, n_bins = _session_clock(name, session, areas, plan)
    time = counts.bin_centres(origin, n_bins, plan.bin_width)
    window = (origin, origin + (n_bins - 0.5) * plan.bin_width)
    edges = counts.bin_edges(origin, n_bins, plan.bin_width)
    masks = invalid_bins(session, edges[:-1], edges[1:])
    valid = ~masks[""] if "" in masks else None
    dims = (schema.TIME,)
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
        variables |= _validity(valid, masks, coords, dims)
        groups |= _area_groups(f"{name}/{area}", variables, coords, behaviour, None)
    return groups


def _validity(
    valid: np.ndarray | None,
    masks: Mapping[str, np.ndarray],
    coords: Mapping[Any, xr.Variable],
    dims: tuple[str, ...],
) -> dict[Any, xr.Variable]:
    """`valid`, and `valid_units` where it is not the same for every unit."""
    found: dict[Any, xr.Variable] = {}
    if valid is not None:
        found["valid"] = schema.var("area", "valid", valid, dims, tree=schema.ALIGNED)
    by_unit = unit_validity(masks, coords, dims)
    return found if by_unit is None else found | {"valid_units": by_unit}


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
        variable.attrs = variable.attrs | {"signal": str(name)}
        found = {"responses": variable}
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


def _session_clock(
    name: str, session: xr.DataTree, areas: Mapping[str, Any], plan: _Plan
) -> tuple[float, int]:
    from neuroarrays.kernels import counts

    if plan.window is not None:
        _check_length(name, session, areas, plan.window[1] - plan.window[0])
        begin, end = plan.window
        binning.check_fits(plan.bin_width, end - begin)
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
        trains_of(nodes[schema.SPIKES]).extent()
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


def _check_length(name: str, session: xr.DataTree, areas: Mapping[str, Any], length: float) -> None:
    """Refuse a window longer than the recording; spikes are read only if it may be."""
    tables = session.children.get(schema.PRESENTATIONS)
    for table in tables.children.values() if tables is not None else ():
        columns = table.to_dataset()
        start, stop = columns["start_time"].values, columns.get("stop_time")
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


def _root(
    tree: xr.DataTree,
    presentations: Any,
    plan: _Plan,
    clocks: set[str],
    dropped: Mapping[str, str],
) -> xr.Dataset:
    """Attributes of the aligned tree: what was done, with which options."""
    own = "a table" if presentations is not None else None
    options = {
        "presentations": presentations if isinstance(presentations, str) else own,
        "bin_width": plan.bin_width, "window": plan.window, "event": plan.event,
        "event_clock": ", ".join(sorted(clocks)) or None, "clip": plan.clip,
        "series": plan.series, "method": plan.method, "max_gap": plan.max_gap,
        "dtype": str(plan.dtype), "binarize": plan.binarize,
    }  # fmt: skip
    said = ", ".join(f"{key}={value!r}" for key, value in options.items() if value is not None)
    line = f"neuroarrays {__version__}: align({said})"
    if dropped:
        line += "; left out: " + "; ".join(f"{name}: {text}" for name, text in dropped.items())
    history = "\n".join(filter(None, [str(tree.attrs.get("history", "")), line]))
    done = ("neuroarrays_schema", "history")
    kept = {str(k): v for k, v in tree.attrs.items() if k not in done}
    return xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, **kept, history=history))
