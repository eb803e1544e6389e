"""Arrays of any layout (MATLAB, npy, npz, HDF5, Zarr, csv, parquet), described by a short mapping.

A mapping (a dict, or a TOML file) says which array is what, which axis is time, and in which units;
see `mapping` for its form and ``neuroarrays info FILE`` for one to start from. A TOML file with a
line ``neuroarrays_mapping = 1`` and ``file = "data.mat"`` opens by itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError, many, shorten, warn
from neuroarrays.files.probe import Probe, probe_of
from neuroarrays.formats.arrays.files import arrays_source, listing
from neuroarrays.formats.arrays.mapping import (
    SETTINGS,
    Arrays,
    check_stars,
    integers,
    together,
    variable,
)
from neuroarrays.formats.arrays.outlines import outline
from neuroarrays.formats.arrays.spiketrains import spikes
from neuroarrays.formats.arrays.times import clock
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.tree.extents import parts_of
from neuroarrays.tree.observed import add_observed

__all__ = ["ArraysReader", "outline"]
#: The most bytes of a TOML file that is read.
_LARGEST = 1 << 20
_MARK = "neuroarrays_mapping"
#: A node of an aligned tree with one of these variables is an area.
_OF_AREAS = (schema.RESPONSES, schema.SPIKE_DATA, "responses_by_trial")


class ArraysReader(Reader):
    """Reads any file or folder of arrays that a mapping describes."""

    name = "arrays"
    description = (
        "MATLAB, npy, npz, HDF5, Zarr, csv and parquet, described by a mapping that you write"
    )
    one_session = True

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is a TOML file with the mark of a mapping; arrays alone are not recognised."""
        return probe.is_file and probe.suffix == ".toml" and _MARK in read_mapping(probe)

    def open_groups(
        self,
        probe: Probe,
        request: Request,
        *,
        mapping: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open the arrays that a mapping describes.

        There is one session. The mapping states its name and the kind of tree.

        Parameters
        ----------
        probe : Probe
            A file or folder of arrays, or a mapping (TOML) that names one.
        request : Request
            The areas that the caller wants.
        mapping : dict or path of a TOML file, optional
            The description of the arrays (see `neuroarrays.formats.arrays.mapping`). It is needed
            unless `probe` is a mapping.
        """
        chart = mapping if isinstance(mapping, Mapping) or mapping is None else _chart(mapping)
        if probe.suffix == ".toml":
            stored = read_mapping(probe)
            probe = _data_of(probe, stored.get("file"))
            chart = stored if chart is None else chart
        if chart is None:
            raise FormatError(
                probe.as_given,
                "",
                "mapping= (a dict or TOML file) that says which array is what",
                "none",
                f"one to start from:\n\n{outline(probe)}",
            )
        file = arrays_source(probe)
        broken: dict[str, NeuroArraysError] = {}
        arrays = Arrays(file, listing(file, broken), broken)
        groups = tree_groups(arrays, chart, request)
        groups["/"].attrs["source"] = self.name
        return groups


def _data_of(probe: Probe, named: Any) -> Probe:
    """Return the data that a mapping names, by a path relative to its folder."""
    expected = "the path of the data, from this folder"
    if not isinstance(named, str):
        raise FormatError(probe.as_given, "file", expected, f"{named!r}")
    data = probe.beside(named)
    if not data.exists:
        raise FormatError(probe.as_given, "file", expected, f"{named!r}, where there is nothing")
    return data


def _chart(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the mapping in a TOML file that was given together with the arrays."""
    return read_mapping(probe_of(path))


def read_mapping(probe: Probe) -> dict[str, Any]:
    """Read a mapping from a TOML file.

    Raises
    ------
    FormatError
        If it is not TOML.
    """
    import tomllib

    if probe.size > _LARGEST:
        raise FormatError(probe.as_given, "", f"a mapping of at most {_LARGEST:,} bytes", "more")
    try:
        return tomllib.loads(probe.read_text(_LARGEST))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(probe.as_given, "", "TOML", str(error)) from error


def tree_groups(
    arrays: Arrays, mapping: Mapping[str, Any], request: Request
) -> dict[str, xr.Dataset]:
    """Return the groups of a tree, as a mapping describes them."""
    path = arrays.source.path
    kind, session, attrs = _settings(path, mapping)
    request.sessions([session])
    nodes = _nodes(path, mapping)
    wanted = _of_areas(nodes, kind, request)
    opened = {name: node(arrays, kind, name, nodes[name]) for name in wanted}
    opened = {_of_area(kind, name, contents): contents for name, contents in opened.items()}
    shared = opened.pop("", xr.Dataset())
    groups = {
        "/": xr.Dataset(attrs=schema.root_attrs(kind)),
        session: shared.assign_attrs({"session_id": session, **attrs}),
    }
    hidden = [name for name in nodes if name and name not in wanted]  # areas not asked for
    every = {name: node(arrays, kind, name, nodes[name]) for name in hidden}
    notes = [*arrays.notes, *arrays.left_out()]
    if notes:
        groups[session].attrs.setdefault("notes", notes)
    for name, contents in opened.items():
        rows = opened.get(f"{name}/{schema.PRESENTATIONS}")
        if kind == schema.ALIGNED and rows is not None and schema.PRESENTATION in contents.dims:
            contents = contents.assign_coords(schema.trial_labels(contents, rows))
        groups[f"{session}/{name}"] = contents
    _check_parents(path, groups)
    if kind == schema.ALIGNED:
        return groups
    return add_observed(groups, session, parts_of(opened | every) if hidden else None)


def _of_area(kind: str, name: str, dataset: xr.Dataset) -> str:
    """Return the path of a node; series of units go below an area, "unknown" if none is given."""
    if kind == schema.ALIGNED or not name or "/" in name or schema.UNIT not in dataset.dims:
        return name
    return f"{schema.UNKNOWN_AREA}/{name}"


def _settings(path: str, mapping: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return the kind of tree, the name of the session and its attributes."""
    kind = mapping.get("tree", schema.RECORDING)
    if kind not in (schema.RECORDING, schema.ALIGNED):
        raise FormatError(path, "tree", "'recording' or 'aligned'", f"{kind!r:.80}")
    session = mapping.get("session", probe_of(path).stem)
    if not isinstance(session, str):
        raise FormatError(path, "session", "the name of the session", f"{session!r:.80}")
    attrs = mapping.get("attrs", {})
    if not isinstance(attrs, Mapping):
        raise FormatError(path, "attrs", "a table of name = value", f"{attrs!r:.80}")
    return kind, schema.node_name(session), {str(key): value for key, value in attrs.items()}


def _nodes(path: str, mapping: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the nodes of a mapping by path below the session; "" is the session itself."""
    nodes = {key: value for key, value in mapping.items() if key not in SETTINGS}
    wrong = [key for key, value in nodes.items() if not isinstance(value, Mapping)]
    if wrong or not nodes:
        raise FormatError(
            path,
            "mapping",
            "nodes, each a table of name = array",
            f"{wrong[0]} = {nodes[wrong[0]]!r}"[:80] if wrong else "none",
            f"settings are {shorten(SETTINGS)}",
        )
    by_path: dict[str, dict[str, Any]] = {}
    for key, value in nodes.items():
        parts = str(key).strip("/").split("/")
        bad = [part for part in parts if part != schema.node_name(part)] if any(parts) else []
        if bad:
            raise FormatError(path, str(key), "names of nodes, with / between them", f"{bad[0]!r}")
        by_path["/".join(parts)] = dict(value)
    return by_path


def _check_parents(path: str, groups: Mapping[str, xr.Dataset]) -> None:
    """Raise an error if sizes of a node differ from those of nodes above it, with a shared clock."""
    for name, dataset in groups.items():
        parent = name
        while "/" in parent:
            parent, _, leaf = parent.rpartition("/")
            if leaf in groups.get(parent, xr.Dataset()).variables:
                raise FormatError(
                    path,
                    name,
                    f"a name that {parent} has not given to an array",
                    f"{leaf!r}, which is both",
                )
            above = groups.get(parent, xr.Dataset())
            for dim in set(dataset.dims) & set(above.dims):
                if dataset.sizes[dim] != above.sizes[dim]:
                    raise FormatError(
                        path,
                        name,
                        f"{above.sizes[dim]:,} along {dim}, as {parent} above it has",
                        f"{dataset.sizes[dim]:,}",
                        "what has a clock of its own is a node beside it",
                    )


def _of_areas(nodes: Mapping[str, Any], kind: str, request: Request) -> list[str]:
    """Return the nodes of the wanted areas, and those of no area."""
    if kind == schema.ALIGNED:
        of = {n: n.partition("/")[0] for n in nodes if n}
    else:
        shared = (
            schema.RUNNING,
            schema.PUPIL,
            schema.PRESENTATIONS,
            schema.STIMULUS,
            schema.EVENTS,
        )
        of = {
            n: n.partition("/")[0] for n in nodes if "/" in n and n.partition("/")[0] not in shared
        }
    wanted = set(request.areas(dict.fromkeys(of.values())))
    return [n for n in nodes if n not in of or of[n] in wanted]


def node(arrays: Arrays, kind: str, name: str, entries: Mapping[str, Any]) -> xr.Dataset:
    """Return one node of the tree."""
    role = _role(kind, name, entries)
    if role == "spikes":
        return spikes(arrays, name, entries)
    check_stars(arrays, name, entries)
    variables = {
        key: variable(arrays, kind, role, (name, key), value)
        for key, value in entries.items()
        if key not in (schema.TIME, schema.UNIT, schema.PRESENTATION)
    }
    if not variables:
        raise FormatError(arrays.source.path, name, "at least one variable", "none")
    sizes: dict[str, int] = {}
    for array in variables.values():
        sizes = {**{str(d): n for d, n in array.sizes.items()}, **sizes}
    _warn_if_exchanged(arrays, name, sizes, entries.get(schema.TIME))
    coords: dict[str, xr.Variable] = {}
    if schema.TIME in entries:
        coords[schema.TIME] = clock(arrays, name, entries[schema.TIME], sizes.get(schema.TIME, 0))
    for dim in (schema.UNIT, schema.PRESENTATION):
        if dim in sizes:
            arrays.source.check_rows(f"{name}/{dim}", sizes[dim])
            ids = np.arange(sizes[dim])
            if dim in entries:
                ids = integers(arrays, entries[dim], f"{name}/{dim}")
            coords[dim] = xr.Variable(dim, ids)
    return together(arrays, name, variables, coords)


def _warn_if_exchanged(arrays: Arrays, name: str, sizes: Mapping[str, int], clock: Any) -> None:
    """Warn of a matrix whose axes seem to be exchanged, if no clock would show it."""
    units, times = sizes.get(schema.UNIT, 0), sizes.get(schema.TIME, 0)
    has_clock = isinstance(clock, str) or (isinstance(clock, Mapping) and "array" in clock)
    if units > times > 0 and not has_clock:
        warn(
            f"{arrays.source.path}: {name or '/'} has {many(units, 'unit')} and {times:,} times; if these are "
            "exchanged, say dims= the other way round",
        )


def _role(kind: str, name: str, entries: Mapping[str, Any]) -> str:
    parent, _, leaf = name.rpartition("/")
    if kind == schema.ALIGNED:
        if not name:
            return "session"
        if leaf == schema.PRESENTATIONS:
            return "table"
        return "area" if set(entries) & set(_OF_AREAS) else "behaviour"
    if leaf == schema.SPIKES or schema.SPIKE_TIMES in entries:
        return "spikes"
    if parent == schema.PRESENTATIONS:
        return "table"
    if name == schema.OBSERVED and schema.START_TIME in entries:
        return "observed"
    return parent if parent in (schema.STIMULUS, schema.EVENTS) else "series"
