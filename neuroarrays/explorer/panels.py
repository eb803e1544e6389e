"""The views: what each shows is what public functions of the library returned for a state."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.explorer.calls import Call, Kept, Nothing, View, call, together
from neuroarrays.explorer.recording import NOTHING, UNIT_COLUMNS, Recording, has, nice, one_line
from neuroarrays.explorer.state import State
from neuroarrays.tree import groups

#: Columns and rows of an image (two rows for each of its pixels), samples of a signal that are drawn, at most.
_COLUMNS, ROWS, _SAMPLES = 700, 500, 2000
#: Spikes that are counted anew at any zoom; samples or values that are read for one picture.
_COUNTED, _READ = 4_000_000, 4_000_000
#: Bins of the event raster, and rows of it, at most; signals that are drawn; bins of a curve.
_FINE, _TRIALS, _SIGNALS, _BINS = 200, 3000, 5, 36
#: Columns of presentations and units that are aligned: the time that xarray takes grows with their square.
_WIDEST = 1000


def view(name: str, recording: Recording, state: State, kept: Kept) -> View:
    """What a panel shows of a state; an error becomes its note."""
    tree = Call(recording.tree, "tree", kept)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one presentation has no standard error: n says it
            return VIEWS[name].view(recording, state, tree)
    except Nothing as reason:
        return View(note=str(reason))
    except Exception as error:  # whatever is in a file: the other panels go on
        return View(note=one_line(error), facts={"failed": True})


def _units_path(recording: Recording, state: State) -> tuple[str, str]:
    """The node of the units and its variable."""
    path = recording.units_path(state)
    if path is None or not recording.unit_ids(state).size:
        raise Nothing("this session has no units")
    return path


def _check_width(recording: Recording, state: State) -> None:
    """Refuse to align very many columns."""
    nodes = recording.table(state), recording.node(_units_path(recording, state)[0])
    n_columns = sum(len(node.variables) for node in nodes)
    if n_columns > _WIDEST:
        raise Nothing(f"not aligned: {n_columns:,} columns, of which {_WIDEST:,} are the most")


# ------------------------------------------------------------------------------- along the session


def session_raster(recording: Recording, state: State, tree: Call) -> View:
    """Spikes of all units in bins of the session, or their traces; without units the table of presentations."""
    window = state.window or recording.extent(state)
    if not recording.unit_ids(state).size and recording.table(state).sizes:
        table = tree[f"{state.session}/{schema.PRESENTATIONS}/{state.table}"].then("to_dataset")
        note = f"this session has no units; shown are {state.table}"
        note += f" by {state.by}" if _by(state) else ""
        return View.of(table, note, width=1.0, ends=window, window=window)
    path = _units_path(recording, state)
    if path[1] != schema.SPIKE_TIMES:
        return _traces(recording, path, window, tree)
    pyramid = recording.pyramid(state)
    assert pyramid is not None
    n_spikes = recording.node(path[0]).sizes[schema.SPIKE]
    few = pyramid.is_read.all() and n_spikes <= _COUNTED
    width = pyramid.bin_width
    while few and (window[1] - window[0]) / width <= _COLUMNS / 2 and width > 2.0**-10:
        width /= 2
    kept = None
    if width == pyramid.bin_width:
        kept = pyramid.within(window, _COLUMNS)
        width = kept[schema.TIME].attrs["bin_width"]
    ends = float(np.floor(window[0] / width) * width), float(np.ceil(window[1] / width) * width)
    options = {"bin_width": width, "window": ends, "dtype": "uint32"}
    counts = call("counts", "bin_spikes", tree[path[0]], known=kept, **options)
    group = -(-pyramid.unit_ids.size // ROWS)
    note = f"each row is the highest of {group} neighbouring units" if group > 1 else ""
    return View.of(counts, note, width=width, ends=ends, window=window)


def _traces(
    recording: Recording, path: tuple[str, str], window: tuple[float, float], tree: Call
) -> View:
    """Traces of all units within a window: means of neighbouring samples, or each n-th."""
    node = recording.node(path[0])
    if schema.PRESENTATION in node.sizes:
        raise Nothing("this area is aligned to presentations: it has no session clock")
    cut = _on_clock(tree[path[0]][path[1]]).then("sel", time=slice(*window))
    n_times, n_units = cut.value.sizes[schema.TIME], cut.value.sizes[schema.UNIT]
    if not n_times:
        raise Nothing("no sample lies in this window")
    step, note = max(1, -(-n_times // _COLUMNS)), ""
    if n_times * n_units > _READ:
        cut = cut.then("isel", time=slice(None, None, step))
        note = f"every {step:,}th sample is shown"
    elif step > 1:
        cut = cut.then("coarsen", time=step, boundary="trim").then("mean")
    shown = cut.then("transpose", schema.TIME, schema.UNIT)
    clock = shown.value[schema.TIME].values
    ends = (float(clock[0]), float(clock[-1])) if clock.size > 1 else window
    unit = str(node[path[1]].attrs.get("units", "")) or path[1]
    return View.of(shown, note, ends=ends, unit=unit, window=window)


def _on_clock(signal: Call) -> Call:
    """A signal that can be cut to a window."""
    if schema.TIME not in signal.value.coords:
        raise Nothing("the file has no times of these samples")
    if not signal.value.indexes[schema.TIME].is_monotonic_increasing:
        is_missing = bool(signal.value[schema.TIME].isnull().any())
        raise Nothing(f"the clock {'has missing times' if is_missing else 'goes backwards'}")
    return signal


def signals(recording: Recording, state: State, tree: Call) -> View:
    """Behaviour and traces of the chosen cells within the window: extremes of neighbouring samples."""
    names = recording.signals(state)
    wanted = list(state.signals) or _varied(names)
    drawn = {_title(name): f"{state.session}/{name}" for name in wanted}
    path = recording.units_path(state)
    is_traced = path is not None and path[1] != schema.SPIKE_TIMES
    if path and is_traced and schema.PRESENTATION not in recording.node(path[0]).sizes:
        drawn |= {f"unit {unit}": "/".join(path) for unit in state.units}
    if not drawn:
        raise Nothing("this session has no signal along time")
    window = state.window or recording.extent(state)
    shown: dict[str, Call] = {}
    skipped = [f"{len(wanted)} of {len(names)} signals"] if len(wanted) < len(names) else []
    failed: list[str] = []
    for number, (name, place) in enumerate(drawn.items(), 1):
        signal = tree[place]
        if number > len(wanted):
            signal = signal.then("sel", unit_id=int(name.split()[1]))
        elif signal.value.ndim == 2:
            skipped.append(f"{name}: the first of {signal.value.shape[1]}")
            signal = signal.then("isel", {signal.value.dims[1]: 0})
        try:
            cut = _on_clock(signal).then("sel", time=slice(*window))
            if cut.value.size > _READ:
                raise Nothing(f"{cut.value.size:,} samples, zoom in to see it")
            if cut.value.size:
                shown[name] = call(f"signal_{number}", "extremes", cut, _SAMPLES)
        except Exception as error:  # without a clock that goes forward: the other signals are drawn
            failed.append(f"{name}: {one_line(error)}")
    failed += [] if shown or failed else ["no sample lies in this window"]
    values = together(shown, tree.kept)
    return View.of(values, "; ".join(skipped + failed), names=list(drawn), window=window)


def _title(name: str) -> str:
    """The path of a signal without a node of the same name, as some formats have it: `pupil/pupil`."""
    node, _, variable = name.rpartition("/")
    return node if node.rpartition("/")[2] == variable else name


def _varied(names: list[str]) -> list[str]:
    """The first signals, one of each node in turn, so that no node takes all the room."""
    nodes = [name.rpartition("/")[0] for name in names]
    turns = [nodes[:k].count(node) for k, node in enumerate(nodes)]
    return [names[k] for k in np.argsort(turns, kind="stable")][:_SIGNALS]


def units(recording: Recording, state: State, tree: Call) -> View:
    """The units that fit the condition, with their columns."""
    path = _units_path(recording, state)
    whole = recording.node(path[0])
    if state.query:
        tree = call("chosen", "select_units", tree, state.query)
        if not has(tree.value, path[0]):
            raise Nothing(f"0 of {whole.sizes[schema.UNIT]:,} units fit {state.query!r}")
    node = tree[path[0]].then("to_dataset").then("reset_coords")
    columns = [n for n in groups.names_along(node.value, schema.UNIT) if n != schema.UNIT]
    first = [n for n in (schema.ROW_SIZE, "quality", "firing_rate", "snr", "depth") if n in columns]
    listed = list(dict.fromkeys([*first, *columns]))[:UNIT_COLUMNS]
    shown = node[listed or [schema.UNIT]].then("to_dataframe")
    fit, total = len(shown.value), whole.sizes[schema.UNIT]
    note = f"{fit:,} of {total:,} match" if state.query else f"{total:,} unit{'s' * (total != 1)}"
    note += f"; {len(listed)} of {len(columns)} columns" if len(listed) < len(columns) else ""
    return View.of(shown, note)


# -------------------------------------------------------------------------------- around an event


def _aligned(recording: Recording, state: State, tree: Call, width: float) -> Call:
    """The area of the chosen units around the events."""
    path = _units_path(recording, state)
    if not state.table:
        raise Nothing("there are no presentations and no events to align to")
    _check_width(recording, state)
    place = path[0]
    if not recording.is_aligned:
        around: dict[str, Any] = {"bin_width": width, "window": (state.before, state.after)}
        around["event"] = state.event if state.event not in ("", schema.START_TIME) else None
        tree = call("aligned", "align", tree[state.session], state.table, **around, clip=False)
        place = _place(tree.value, state, path)
    if state.trials:
        tree = call("chosen", "trials", tree, state.trials)
    area = tree[place].then("to_dataset")
    if schema.PRESENTATION not in area.value.sizes or schema.TIME not in area.value.sizes:
        raise Nothing("this area has no responses along presentations and time")
    return area.then("sel", unit_id=list(state.units)).named("area")


def _place(tree: xr.DataTree, state: State, path: tuple[str, str]) -> str:
    """The path of an area in an aligned tree, in which traces beside spikes are an area of their own."""
    place = f"{state.session}/{state.area}"
    alone = f"{place}_{path[0].rpartition('/')[2]}"
    return alone if path[1] != schema.SPIKE_TIMES and has(tree, alone) else place


def trials(recording: Recording, state: State, tree: Call) -> View:
    """Responses of the chosen units in each presentation, in the order of the groups."""
    is_spikes = _units_path(recording, state)[1] == schema.SPIKE_TIMES
    width = nice((state.after - state.before) / _FINE) if is_spikes else state.bin_width
    area = _aligned(recording, state, tree, width)
    name = schema.SPIKE_DATA if schema.SPIKE_DATA in area.value else schema.RESPONSES
    note, by = "", _by(state)
    responses = area[name].then("sortby", by) if by else area[name]
    n_presentations = responses.value.sizes[schema.PRESENTATION]
    if n_presentations > _TRIALS:
        note = f"the first {_TRIALS:,} of {n_presentations:,} presentations"
        responses = responses.then("isel", presentation_id=slice(_TRIALS))
    return View.of(responses.then("load"), note, by=by)


def psth(recording: Recording, state: State, tree: Call) -> View:
    """Mean and standard error of the chosen units, by group."""
    area = _aligned(recording, state, tree, min(state.bin_width, state.after - state.before))
    by, smooth = _by(state), state.smooth or None
    return View.of(call("response", "psth", area, by=by or None, smooth=smooth), by=by)


def _by(state: State) -> str:
    return "" if state.by == NOTHING else state.by


def tuning(recording: Recording, state: State, tree: Call) -> View:
    """Rates of the chosen units over a column of the presentations or over signals."""
    if not state.feature:
        raise Nothing("there is no column of presentations and no signal to tune to")
    signals = recording.signals(state)
    if state.feature not in signals:
        area = _aligned(recording, state, tree, state.bin_width)
        curve = call("curve", "tuning_curve", area, state.feature)
        if curve.value.sizes[state.feature] < 2:
            raise Nothing(f"{state.feature} has the same value in all presentations")
        return View.of(curve)
    path = _units_path(recording, state)
    place = path[0]
    is_map = state.other not in (NOTHING, state.feature)
    wanted = [state.feature, state.other] if is_map else [state.feature]
    if not recording.is_aligned:
        _check_width(recording, state)
        node_path = f"{state.session}/{state.feature}".rpartition("/")[0]
        clock = recording.node(node_path).get(schema.TIME)
        if clock is None or not clock.notnull().any():
            raise Nothing(f"the file has no times of {state.feature}")
        ends = float(np.nanmin(clock)), float(np.nanmax(clock))
        series = [name.rpartition("/")[0].rpartition("/")[2] for name in wanted]
        around = {"bin_width": 0.02, "window": ends, "series": series}
        tree = call("continuous", "align", tree[state.session], **around)
        place = _place(tree.value, state, path)
    node = tree[place].named("node")
    features, notes = [], []
    for name in wanted:
        above, _, variable = name.removeprefix(f"{state.area}/").rpartition("/")
        # `align` makes the running speed a variable of each area, without a node of its own
        is_node = above and has(node.value, above)
        feature = node[f"{above}/{variable}" if is_node else variable]
        for dim in [d for d in feature.value.dims if d not in (schema.TIME, schema.PRESENTATION)]:
            notes.append(f"{name}: the first of {feature.value.sizes[dim]}")
            feature = feature.then("isel", {dim: 0})
        features.append(feature)
    area = node.then("to_dataset").then("sel", unit_id=list(state.units))
    given: Any = features if is_map else features[0]
    notes += [f"the map of unit {state.units[0]}"] if is_map and len(state.units) > 1 else []
    bins = 24 if is_map else _BINS
    return View.of(call("curve", "tuning_curve", area, given, bins=bins), "; ".join(notes))


# ------------------------------------------------------------------------------------- of the units


def _spikes(recording: Recording, state: State, tree: Call) -> Call:
    path = _units_path(recording, state)
    if path[1] != schema.SPIKE_TIMES:
        raise Nothing("there are no spike times")
    return tree[path[0]].then("to_dataset").then("sel", unit_id=list(state.units))


def correlogram(recording: Recording, state: State, tree: Call) -> View:
    """The autocorrelogram of a unit, or correlograms among several."""
    spikes = _spikes(recording, state, tree)
    name = "autocorrelogram" if len(state.units) == 1 else "crosscorrelogram"
    return View.of(call("correlogram", name, spikes, bin_width=0.001, window=0.05))


def waveform(recording: Recording, state: State, tree: Call) -> View:
    """Mean waveforms, where the file has them."""
    spikes = _spikes(recording, state, tree)
    variables = spikes.value.data_vars.items()
    waves = [(str(n), v) for n, v in variables if "waveform" in str(n) and v.ndim in (2, 3)]
    names = [name for name, values in waves if values.dims[0] == schema.UNIT]
    if not names:
        raise Nothing("the file has no waveforms")
    return View.of(spikes[max(names, key=lambda name: "mean" in name)].then("load"))


def stimulus(recording: Recording, state: State, tree: Call) -> View:
    """The frame of a stimulus at the cursor."""
    names = recording.frames(state)
    if not names:
        raise Nothing("the recording has no frames of a stimulus")
    moment = state.cursor if state.cursor >= 0 else (state.window or recording.extent(state))[0]
    frame, notes = tree[f"{state.session}/{names[0]}"], []
    if schema.PRESENTATION not in frame.value.dims and schema.TIME in frame.value.indexes:
        try:
            frame = _on_clock(frame).then("sel", time=moment, method="ffill")
        except KeyError:
            raise Nothing(f"no frame was shown before {moment:.3f} s") from None
        notes.append(f"at {moment:.3f} s")
    sizes = dict(frame.value.sizes)
    last = list(sizes)[-1]
    if len(sizes) > 2 and last != "x" and sizes[last] in (3, 4):  # colours come last in NWB files
        sizes = {last: sizes.pop(last), **sizes}
    for dim in list(sizes)[:-2]:
        frame = frame.then("isel", {dim: 0})
        notes += [f"the first of {sizes[dim]} along {dim}"] if sizes[dim] > 1 else []
    return View.of(frame.then("load"), "; ".join(notes))


_UNITS = {"session", "area", "units"}
_AROUND = {*_UNITS, "table", "event", "trials", "before", "after", "bin_width"}


class Panel(NamedTuple):
    """A panel: its title, what computes its view, and the fields of the state that it depends on."""

    title: str
    view: Callable[[Recording, State, Call], View]
    depends: set[str]


#: By name, in the order in which they are drawn.
VIEWS = {
    "units": Panel("Units", units, {"session", "area", "query"}),
    "session": Panel("Session", session_raster, {"session", "area", "query", "window", "table", "by", "black"}),
    "signals": Panel("Behaviour and signals", signals, {*_UNITS, "window", "signals"}),
    "trials": Panel("Around the event", trials, {*_AROUND, "by"}),
    "psth": Panel("Mean around the event", psth, {*_AROUND, "by", "smooth"}),
    "tuning": Panel("Tuning", tuning, {*_AROUND, "feature", "other"}),
    "correlogram": Panel("Correlogram", correlogram, _UNITS),
    "waveform": Panel("Waveform", waveform, _UNITS),
    "stimulus": Panel("Stimulus at the cursor", stimulus, {"session", "cursor", "window"}),
}  # fmt: skip
