"""The published archive before it was combined, with four files per session and stimulus.

In ``01_sessions_presentations/session_<id>`` of the repository, netCDF-3::

    <stimulus>_spike_counts.nc    (stimulus_presentation_id, time_relative_to_stimulus_onset, unit_id)
    <stimulus>_running_speed.nc   (time_relative_to_stimulus_onset, stimulus_presentation_id), cm/s
    <stimulus>_gaze_data.nc       the same, six signals; not of every session
    <stimulus>_stimuli.nc         (stimulus_presentation_id)

Areas are in ``units.csv``, two folders up. Without it, all units are in one area.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, typed_word
from neuroarrays.files import safety
from neuroarrays.files.netcdf3 import NetCDF3Source
from neuroarrays.files.probe import Probe
from neuroarrays.files.texts import read_csv
from neuroarrays.formats.allen_binned import walk as files
from neuroarrays.formats.request import Request
from neuroarrays.lazy.arrays import LazyArray, file_array, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged

#: Ending of the name of a file -> what the file holds.
KINDS = ("spike_counts", "running_speed", "gaze_data", "stimuli")
_SPIKES, _SPEED, _GAZE, _ROWS = KINDS
_FILE = re.compile(rf"(?P<stimulus>.+)_(?P<kind>{'|'.join(KINDS)})\.nc")
#: Dimensions in the files -> dimensions of the tree, in the order of the tree.
_DIMS = {
    "stimulus_presentation_id": schema.PRESENTATION,
    "unit_id": schema.UNIT,
    "time_relative_to_stimulus_onset": schema.TIME,
}
FOLDER = "01_sessions_presentations"


@dataclass
class SessionFiles:
    """The files of one session, by stimulus and kind."""

    session: Probe
    stimuli: dict[str, dict[str, Probe]] = field(default_factory=dict)

    @classmethod
    def in_folder(cls, session: Probe) -> SessionFiles:
        """Return the files of a folder, sorted by their names."""
        files_of_session = cls(session)
        for child in session.children if session.is_folder else ():
            if match := _FILE.fullmatch(child.name):
                files_of_session.stimuli.setdefault(match["stimulus"], {})[match["kind"]] = child
        return files_of_session


def sessions(probe: Probe) -> dict[str, SessionFiles]:
    """Return the session at a path, or those in a folder; {} if there are none."""
    if not probe.is_folder:
        return {}
    folders = [probe] if files.SESSION.fullmatch(probe.name) else probe.children
    named = (folder for folder in folders if files.SESSION.fullmatch(folder.name))
    by_name = {folder.name: SessionFiles.in_folder(folder) for folder in named}
    return {name: session for name, session in by_name.items() if session.stimuli}


def groups(probe: Probe, request: Request) -> dict[str, xr.Dataset]:
    """Return the nodes ``<stimulus>/<session>/<area>``; pointers are left out, with notes.

    A stimulus of a session without its spikes or its presentations is left out and noted.

    Raises
    ------
    FormatError
        If every file of spikes is a pointer, or one is damaged.
    """
    by_session = sessions(probe)
    picked = request.sessions(by_session)
    areas = _Areas(next(iter(by_session.values())).session)
    if not areas.of_units:
        request.notes.append("no areas: units.csv of the repository is not there")
    pointers: list[Probe] = []
    incomplete: list[str] = []
    nodes: dict[str, xr.Dataset] = {}
    for name in picked:
        for stimulus, kinds in by_session[name].stimuli.items():
            pointers += [file for file in kinds.values() if file.pointer]
            available = {kind: file for kind, file in kinds.items() if not file.pointer}
            if not {_SPIKES, _ROWS} <= available.keys():
                if not {_SPIKES, _ROWS} <= kinds.keys():
                    incomplete.append(f"{name}/{stimulus}")
                continue
            block = schema.node_name(stimulus)
            with (
                request.sparing(name, available[_SPIKES]),
                safety.readable(available[_SPIKES].path, stimulus, "readable netCDF-3"),
            ):
                below = _session(f"{block}/{name}", available, areas, request)
                nodes |= {block: xr.Dataset()} | below
    if not nodes:
        for file in pointers:
            file.check_pointer()
        raise FormatError(
            probe.as_given, "", "files of spikes and of stimuli", "none that belong together"
        )
    if pointers:
        files_named = _shortened([f"{file.parent.name}/{file.name}" for file in pointers])
        request.notes.append(
            f"pointers of git-annex in the place of files: {files_named}, left out; get them: "
            f"datalad get {typed_word(probe.as_given)}"
        )
    if incomplete:
        request.notes.append(
            f"left out, without {_SPIKES} or {_ROWS} beside the others: {_shortened(incomplete)}"
        )
    return dict(sorted(nodes.items()))


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - 2:,} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more


class _Areas:
    """The areas of units by ``units.csv`` of the repository; empty if it is missing.

    Attributes
    ----------
    of_units : dict of (str, int) to str
        Number of the session and identifier of the unit -> name of the area.
    """

    def __init__(self, session: Probe):
        self.of_units: dict[tuple[str, int], str] = {}
        table = session.beside("../units.csv")
        if not table.is_file or table.pointer:
            return
        columns = ["ecephys_session_id", "id", "ecephys_structure_acronym"]
        with safety.readable(table.path, "", f"a table with {', '.join(columns)}"):
            frame = read_csv(table.read_bytes(), usecols=lambda name: name in columns)
        if lacking := [name for name in columns if name not in frame]:
            raise FormatError(
                table.path, "", f"the columns {', '.join(columns)}", f"no {lacking[0]}"
            )
        for number, unit, area in frame[columns].dropna().itertuples(index=False):
            self.of_units[str(number), int(unit)] = schema.node_name(str(area))

    def names_of(self, session: str, units: np.ndarray) -> np.ndarray:
        """Return the area of each unit of a session ``session_<number>``, (unit,) object."""
        number = session.removeprefix("session_")
        names = [self.of_units.get((number, int(u)), schema.UNKNOWN_AREA) for u in units]
        return np.array(names, object)


def _session(
    node: str, kinds: dict[str, Probe], areas: _Areas, request: Request
) -> dict[str, xr.Dataset]:
    """Return the nodes of one session and stimulus."""
    counts = _File(kinds[_SPIKES])
    labels = {dim: counts.label(name) for name, dim in _DIMS.items()}
    spikes = counts.variables(_DIMS.values(), "area")
    if len(spikes) != 1:
        raise counts.fault("one array of presentations x time x units", f"{len(spikes)}")
    ids = labels[schema.UNIT]
    name_of_session = node.rpartition("/")[2]
    of_unit = areas.names_of(name_of_session, ids)
    signals = {}
    for kind, role in ((_SPEED, "area"), (_GAZE, "behaviour"), (_ROWS, "table")):
        if kind not in kinds:
            continue
        file = _File(kinds[kind])
        dims = [schema.PRESENTATION] if kind == _ROWS else [schema.PRESENTATION, schema.TIME]
        for name, dim in _DIMS.items():
            if dim in dims and not np.array_equal(file.label(name), labels[dim]):
                raise file.fault(f"the {dim} of the spikes", "others")
        signals[kind] = file.variables(dims, role)
    table = dataset(signals[_ROWS])
    speed = dict(zip(["speed"], signals.get(_SPEED, {}).values(), strict=False))
    time = (schema.PRESENTATION, schema.TIME)
    coords = {dim: _label(dim, labels[dim]) for dim in time}
    attrs = {"session_id": name_of_session.removeprefix("session_")}
    nodes = {node: dataset({}, coords, attrs)}
    (array,) = spikes.values()
    for area in request.areas(sorted(set(of_unit))):
        rows = np.flatnonzero(of_unit == area)
        chosen = {schema.SPIKE_DATA: array.isel({schema.UNIT: rows}), **speed}
        units = {schema.UNIT: _label(schema.UNIT, ids[rows])}
        trials = schema.trial_labels(dataset(chosen), table)
        nodes[f"{node}/{area}"] = dataset(chosen, units | trials)
        nodes[f"{node}/{area}/{schema.PRESENTATIONS}"] = table
        if gaze := signals.get(_GAZE):
            nodes[f"{node}/{area}/{schema.PUPIL}"] = dataset(gaze)
    return nodes


def _label(dim: str, values: np.ndarray) -> xr.Variable:
    units = schema.COORDINATES[dim][1]
    return xr.Variable((dim,), values, {"units": units} if units else {})


class _File:
    """One of the four files."""

    def __init__(self, probe: Probe):
        self.probe = probe
        if not probe.head.startswith(b"CDF"):
            raise FormatError(probe.as_given, "", "a netCDF-3 file", probe.described())
        self.source = cast(NetCDF3Source, probe.source)

    def label(self, name: str) -> np.ndarray:
        """Return the values of a coordinate, (entry,); times are in s after onset."""
        if pieces := self.source.left_out().get(name):
            raise FormatError(self.probe.as_given, name, "an array that lies in one piece", pieces)
        return self.source.read(name)

    def variables(self, dims: Iterable[str], role: str) -> dict[str, xr.Variable]:
        """Return the arrays along all of these dimensions, lazy and in their order."""
        wanted = list(dims)
        variables = {}
        for name in self.source.names():
            stored = [_DIMS.get(dim, dim) for dim in self.source.dims(name)]
            if set(stored) != set(wanted) or name in _DIMS:
                continue
            lazy: LazyArray = file_array(self.source, name)
            if stored != wanted:
                lazy = Arranged(lazy, tuple(stored.index(dim) for dim in wanted))
            called = schema.SPIKE_DATA if schema.UNIT in wanted else name
            called = "speed" if name == "presentationwise_speed" else called
            about = {"units": unit} if (unit := files.unit_of(name)) else {}
            variables[name] = schema.var(
                role, called, wrap(lazy), tuple(wanted), tree=schema.ALIGNED, **about
            )
        return variables

    def fault(self, expected: str, found: str) -> FormatError:
        """Return an error that names the file."""
        return FormatError(self.probe.as_given, "", expected, found)
