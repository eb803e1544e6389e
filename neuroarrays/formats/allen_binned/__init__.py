"""The published binned archive of Allen Visual Coding Neuropixels: a file per stimulus type.

In a file, one group per session and area, each with four netCDF-4 groups that repeat their
coordinates ``presentation_id``, ``unit_id`` (int32) and ``time`` (float64, bin centres)::

    /session_<id>/<area>/spike_data/spike_data         (presentation_id, time, unit_id) int8
    /session_<id>/<area>/speed/speed                   (time, presentation_id) float32, cm/s
    /session_<id>/<area>/gaze_data/raw_*               (time, presentation_id) float32; may be missing;
                                                       called pupil_data in the README of the archive
    /session_<id>/<area>/presentations/<parameter>     (presentation_id,) float32

A file ``<stimulus>_frames.h5`` beside it has one array (frame, y, x) with the images that were shown.
Dimensions may be stored in any order; in the tree they are (presentation_id, unit_id, time).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files import safety
from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.source import Source
from neuroarrays.formats.allen_binned import presented, separate
from neuroarrays.formats.allen_binned import walk as files
from neuroarrays.formats.allen_binned.walk import Array, BinnedGroup, Walk
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.lazy.arrays import FileArray, file_array, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged
from neuroarrays.tree import contents

#: The order of dimensions in the tree, whatever the order in the file.
_ORDER = (schema.PRESENTATION, schema.UNIT, schema.TIME)
_FRAMES = "_frames"
#: Folder of the files of stimuli in a clone of the published repository, from its root or `data`.
_IN_CLONE = ("data/02_stimulus_types", "02_stimulus_types")
#: Path of the frames, relative to a file of stimuli.
_SHOWN = "../presentations/presented_stimuli/"
#: What an archive file may be called.
_SUFFIXES = (".h5", ".hdf5", ".nc")


class AllenBinnedReader(Reader):
    """Reads the published binned archive, and what `na.save(layout="allen_binned")` wrote."""

    name = "allen_binned"
    description = "published binned archive of Allen Visual Coding Neuropixels"
    several = True

    def recognise(self, probe: Probe) -> bool:
        """Whether the first session has areas with spikes; for a folder, whether any file has."""
        if probe.is_list:
            return all(asked(_is_archive, file) for file in probe.children)
        if separate.sessions(probe) or presented.table_of(probe):
            return True
        if any(asked(_is_archive, file) for file in _files(probe)):
            return True
        is_clone = probe.is_folder and any(probe.child(folder).is_folder for folder in _IN_CLONE)
        return is_clone and any(file.pointer for file in _files(probe))

    def open_groups(self, probe: Probe, request: Request) -> dict[str, xr.Dataset]:
        """Open the archive as the groups of an aligned tree.

        Sessions are not opened one by one, because a file has many sessions, which share the frames,
        and a session is in the files of several stimuli.

        Parameters
        ----------
        probe : Probe
            A file, which gives the groups ``<session>/<area>``; or a folder or list of files, which
            gives ``<stimulus>/<session>/<area>``, where the names of files are the stimuli.
        request : Request
            The sessions and areas that the caller wants; the others are not read.
        """
        kind = schema.ALIGNED
        if separate.sessions(probe):
            nodes = separate.groups(probe, request)
        elif table := presented.table_of(probe):
            kind, nodes = schema.RECORDING, presented.groups(table, request)
        else:
            nodes = self._combined(probe, request)
        root = schema.root_attrs(kind, source=self.name, notes=request.notes)
        return {"/": xr.Dataset(attrs=root)} | nodes

    def _combined(self, probe: Probe, request: Request) -> dict[str, xr.Dataset]:
        """Return the nodes of files of stimuli."""
        archives = _archives(probe, request.notes)
        listed: dict[Probe, dict[str, list[str]]] = {}
        for file in archives:
            with (
                request.sparing(file.name, file, len(archives) > 1),
                files.walking(file.source) as walk,
            ):
                listed[file] = {s: walk.areas(s) for s in walk.sessions()}
        picked = set(request.sessions(_distinct(listed.values())))
        pairs = [pair for content in listed.values() for pair in content.items()]
        names = dict.fromkeys(a for session, areas in pairs if session in picked for a in areas)
        wanted_areas = set(request.areas(names))
        groups: dict[str, xr.Dataset] = {}
        for file, content in listed.items():
            wanted = {s: [a for a in areas if a in wanted_areas] for s, areas in content.items()}
            wanted = {s: n for s, n in wanted.items() if s in picked and (n or request.every_area)}
            if wanted:
                block = _block(probe, file)
                nodes = _BinnedFile(file, request).groups(wanted, block)
                if both := set(nodes) & set(groups) - {block}:
                    raise FormatError(
                        file.as_given,
                        sorted(both)[0],
                        "a session in one file only",
                        "it is in another file of the same name too",
                    )
                groups |= nodes
        return groups

    def list_rows(self, probe: Probe, request: Request) -> list[dict[str, Any]]:
        """Return the catalogue, from the sizes that are stored in the files."""
        if separate.sessions(probe) or presented.table_of(probe):
            return contents.of_groups(self.open_groups(probe, request)).rows()
        archives = _archives(probe, request.notes)
        rows: list[dict[str, Any]] = []
        for file in archives:
            with (
                request.sparing(file.name, file, len(archives) > 1),
                files.walking(file.source) as walk,
            ):
                block = _block(probe, file)
                rows += [row for s in walk.sessions() for row in _rows(walk, block, s)]
        return rows


def _block(probe: Probe, file: Probe) -> str:
    """Return the name of the node above the sessions of a file; "" if only that file was given."""
    return "" if file is probe else schema.node_name(file.stem)


def _rows(walk: Walk, block: str, session: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the catalogue of one session."""
    for area in walk.areas(session):
        path = f"{session}/{area}"
        with safety.readable(walk.path, path, "readable HDF5"):
            groups = walk.groups(path)
            sizes = walk.shapes(path)
        yield {
            "block": block,
            "session": session,
            "area": area,
            "units": sizes[schema.UNIT],
            "presentations": sizes[schema.PRESENTATION],
            "times": sizes[schema.TIME],
            "has_pupil": any(name in groups for name in files.PUPILS),
        }


# --------------------------------------------------------------------------------- which files


def _files(probe: Probe) -> list[Probe]:
    """Return the files of a path, folder or list, whatever their contents."""
    if probe.is_folder:
        inside = (probe.child(path) for path in _IN_CLONE)
        folder = next((child for child in inside if child.is_folder), probe)
        return [file for file in folder.children if file.suffix in _SUFFIXES]
    return list(probe.children) if probe.is_list else [probe]


def _is_archive(probe: Probe) -> bool:
    """Whether the groups of a file are those of the archive; archives of `na.save` are not."""
    return files.claims(probe) and "neuroarrays_schema" not in probe.attrs


def _archives(probe: Probe, notes: list[str]) -> list[Probe]:
    """Return the archive files; pointers in a folder become notes, other pointers are errors."""
    archives = []
    for file in _files(probe):
        if not probe.is_folder:
            _ = file.source  # it is not HDF5, a pointer, missing, ...
        elif file.pointer:
            notes.append(f"{file.name}: {file.pointer.replace(';', ', left out;', 1)}")
            continue
        elif file.stem.endswith(_FRAMES):
            continue
        archives.append(file)
    if not archives:
        for file in _files(probe):
            file.check_pointer()
        raise FormatError(probe.as_given, "", "files of the binned archive", "none")
    return archives


def _distinct(contents: Any) -> dict[str, None]:
    return dict.fromkeys(session for content in contents for session in content)


# -------------------------------------------------------------------------------------- one file


class _BinnedFile:
    """One file of the archive, and the groups of its tree."""

    def __init__(self, probe: Probe, request: Request):
        self.probe, self.request, self.notes = probe, request, request.notes
        self.source: Source = probe.source

    def groups(self, wanted: dict[str, list[str]], block: str) -> dict[str, xr.Dataset]:
        """Return the nodes of the wanted sessions and areas, below the name of the block."""
        nodes: dict[str, xr.Dataset] = {}
        shown = self._frames()
        if block:
            nodes[block] = xr.Dataset()
        with files.walking(self.source) as walk:
            for session, areas in wanted.items():
                node = f"{block}/{session}".lstrip("/")
                with (
                    self.request.sparing(session, self.probe),
                    safety.readable(self.source.path, session, "readable HDF5"),
                ):
                    nodes |= self._session(walk, session, areas, node, shown)
        return nodes

    def _session(
        self,
        walk: Walk,
        session: str,
        areas: list[str],
        node: str,
        shown: tuple[xr.Variable, xr.Variable] | None,
    ) -> dict[str, xr.Dataset]:
        """Return the nodes of a session with the wanted areas."""
        contents = {area: self._area(walk, f"{session}/{area}") for area in areas}
        labels = [groups[files.SPIKES].labels for groups in contents.values()]
        shared = {
            name: labels[0][name]
            for name in (schema.PRESENTATION, schema.TIME)
            if labels and all(np.array_equal(other[name], labels[0][name]) for other in labels)
        }
        coords = {name: _label(name, values) for name, values in shared.items()}
        variables = {}
        if shown is not None:
            coords[schema.IMAGE], variables[schema.STIMULUS] = shown
        attrs = {"session_id": session.removeprefix("session_")}
        nodes = {node: dataset(variables, coords, attrs)}
        for area, groups in contents.items():
            nodes |= self._nodes(f"{node}/{area}", groups, set(shared))
        return nodes

    def _area(self, walk: Walk, path: str) -> dict[str, BinnedGroup]:
        """Return the groups of an area, after checking that they share one clock."""
        names = walk.groups(path)
        for needed in (files.SPIKES, files.TRIALS):
            if needed not in names:
                raise walk.fault(f"{path}/{needed}", "a group", f"only {', '.join(names)}")
        known = (files.SPIKES, files.TRIALS, files.SPEED, *files.PUPILS)
        if strangers := [name for name in names if name not in known]:
            self.notes.append(f"{path}: left out {', '.join(strangers)}")
        groups = {name: walk.group(f"{path}/{name}") for name in names if name in known}
        spikes = groups[files.SPIKES]
        for label in _ORDER:
            if label not in spikes.labels:
                raise walk.fault(spikes.path, f"the coordinate {label}", "none")
        if not any(schema.UNIT in array.dims for array in spikes.arrays.values()):
            raise walk.fault(spikes.path, "a variable along unit_id", "none")
        for group in groups.values():
            for label, values in group.labels.items():
                if label in _ORDER and not np.array_equal(values, spikes.labels[label]):
                    raise walk.fault(group.path, f"the {label} of the spikes", "others")
        return groups

    def _nodes(
        self, node: str, groups: dict[str, BinnedGroup], shared: set[str]
    ) -> dict[str, xr.Dataset]:
        """Return the nodes of one area."""
        labels = groups[files.SPIKES].labels
        variables = {}
        for name, array in groups[files.SPIKES].arrays.items():
            name = schema.RESPONSES if array.dtype.kind == "f" and name == files.SPIKES else name
            variables[name] = self._variable("area", name, array)
        for name, array in groups[files.SPEED].arrays.items() if files.SPEED in groups else ():
            variables[name] = self._variable("area", name, array)
        table = {
            name: self._variable("table", name, array)
            for name, array in groups[files.TRIALS].arrays.items()
        }
        below = {f"{node}/{schema.PRESENTATIONS}": dataset(table)}
        pupil = {
            name: self._variable("behaviour", name, array)
            for group in files.PUPILS
            for name, array in (groups[group].arrays.items() if group in groups else ())
        }
        if pupil:
            below[f"{node}/{schema.PUPIL}"] = dataset(pupil)
        coords = {name: _label(name, labels[name]) for name in _ORDER if name not in shared}
        rows = below[f"{node}/{schema.PRESENTATIONS}"]
        views = schema.trial_labels(dataset(variables), rows)
        return {node: dataset(variables, coords | views)} | below

    def _variable(self, role: str, name: str, array: Array) -> xr.Variable:
        """Return one dataset as a lazy variable, with dimensions in the order of the tree."""
        stored = FileArray(self.source, array.path, array.shape, array.dtype)
        known = [dim for dim in _ORDER if dim in array.dims]
        dims = (*known, *(dim for dim in array.dims if dim not in known))
        axes = tuple(array.dims.index(dim) for dim in dims)
        lazy = stored if dims == array.dims else Arranged(stored, axes)
        attrs = {"units": unit} if (unit := files.unit_of(name)) else {}
        return schema.var(role, name, wrap(lazy), dims, tree=schema.ALIGNED, **attrs)

    def _frames(self) -> tuple[xr.Variable, xr.Variable] | None:
        """Return image_id and the images (image_id, channel, y, x) from the file beside this one."""
        name = f"{self.probe.stem}{_FRAMES}.h5"
        path = next(
            (
                p
                for p in map(self.probe.beside, (name, _SHOWN + name))
                if p.is_file and not p.pointer
            ),
            None,
        )
        if path is None:
            return None
        try:
            beside = path.source
            infos = {name: beside.info(name) for name in beside.names("/")}
            name = next(
                (n for n, i in infos.items() if i and len(i.shape) == 3 and i.dtype.kind in "uf"),
                "",
            )
            if not name:
                raise FormatError(path.as_given, "", "an array (frame, y, x)", "none")
            frames = file_array(beside, name)
            known = infos.get("frame")
            ids = np.arange(frames.shape[0])
            if known and known.shape == ids.shape and known.dtype.kind in "iu":
                ids = beside.read("frame")
        except FormatError as error:
            self.notes.append(f"{path.name} left out: {error}")
            return None
        shown = Arranged(frames, (0, Arranged.NEW, 1, 2))
        dims = (schema.IMAGE, schema.CHANNEL, "y", "x")
        return _label(schema.IMAGE, ids), schema.var(
            "session", schema.STIMULUS, wrap(shown), dims, tree=schema.ALIGNED
        )


def _label(name: str, values: np.ndarray) -> xr.Variable:
    units = schema.COORDINATES[name][1]
    return xr.Variable((name,), values, {"units": units} if units else {})
