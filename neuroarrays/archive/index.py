"""The index of an archive: the variables and attributes of every node, read without visiting them.

An HDF5 archive ends with an index, after the last byte that HDF5 uses. The index consists of copies of
HDF5's metadata (`neuroarrays.archive.structure`), one compressed JSON text per session, a table of
contents, a seal (`neuroarrays.archive.seal`) and a footer. HDF5 does not see it, and drops it when any
program opens the file for writing, so that it is never out of date. A file without an index is
scanned (`neuroarrays.archive.scan`). A Zarr store has no index of ours; its consolidated metadata are
read instead.

In the index a node is ``{"attrs": {...}, "vars": {name: variable}, "coords": [names], "views":
[names]?, "indexes": {name: form}?}``, where "views" names coordinates that are columns of
`presentations`, and "indexes" those whose xarray index has an unusual form. A variable is ``{"d":
dims, "s": shape, "t": dtype, "k": kind, "m": missing, "a": attrs, "p": path, "v": values?, "c":
checksum?, "i": [rows, variable]?, "cf": {...}?}``. The entry "i" belongs to a variable whose repeated
rows are stored once: it has the number of stored rows, and the variable with the stored row of each
row. The entry "cf" belongs to a variable that xarray itself wrote: it has the attributes by which its
values are decoded.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from neuroarrays import schema
from neuroarrays.archive import seal, structure
from neuroarrays.archive.nodes import Nodes, Written
from neuroarrays.archive.scan import scan_hdf5, scan_zarr
from neuroarrays.errors import FormatError
from neuroarrays.files.locating import locate
from neuroarrays.files.probe import Probe
from neuroarrays.tree import contents
from neuroarrays.tree.records import NodeRecord


@dataclass
class Index:
    """The contents of an archive.

    Attributes
    ----------
    path : str
        Path of the archive, for errors.
    nodes : dict
        The root, blocks and all other nodes that belong to no session.
    sessions : dict
        Path of each session -> names of its areas.
    rows : list of dict
        The rows of the catalogue.
    entries : dict
        Session -> offset, length and checksum of its entry in the file.
    loaded : dict
        Session -> its nodes, for those that were read already.
    probe : Probe, optional
        The file that other sessions are read from.
    """

    path: str
    nodes: Nodes
    sessions: dict[str, list[str]]
    rows: list[dict[str, Any]]
    entries: dict[str, list[int]]
    loaded: dict[str, Nodes]
    probe: Probe | None = None

    def fetch(self, names: Iterable[str]) -> dict[str, Nodes]:
        """Return the nodes of some sessions, which are read together.

        Raises
        ------
        FormatError
            If the entry of a session is damaged.
        """
        names = list(names)
        missing = [name for name in names if name not in self.loaded]
        if missing:
            assert self.probe is not None
            ranges = [(self.entries[name][0], self.entries[name][1]) for name in missing]
            for name, packed in zip(missing, self.probe.read_ranges(ranges), strict=True):
                nodes = _unpacked(packed, *self.entries[name][1:])
                if nodes is None:
                    raise FormatError(
                        self.path,
                        name,
                        "the session's entry in the index",
                        "damaged bytes",
                        "opening the file once for writing with h5py drops the index",
                    )
                self.loaded[name] = nodes
        return {name: self.loaded[name] for name in names}


def session_paths(kind: str, areas: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Return the paths of the sessions of a tree.

    Sessions are the parents of areas, and nodes below the root that have no session below them.

    Parameters
    ----------
    areas, paths : iterable of str
        Paths of the areas, and of all nodes; the root is "".
    """
    parents = dict.fromkeys(area.rpartition("/")[0] for area in areas)
    if "" in parents:
        return [""]
    sessions = dict(parents)
    tops = {parent.partition("/")[0] for parent in parents}
    for path in paths:
        first = path.partition("/")[0]
        if first and first not in tops:
            sessions[first] = None
    return list(sessions)


def from_nodes(path: str, nodes: Nodes) -> Index:
    """Return the index of an archive, from all its nodes."""
    try:
        kind = schema.kind_of(nodes[""]["attrs"])
    except ValueError as error:
        raise FormatError(path, "/", "the attribute neuroarrays_schema", "none") from error
    below: dict[str, list[str]] = {}
    for node_path in nodes:
        below.setdefault(node_path.rpartition("/")[0], []).append(node_path)
    areas = [p for p in nodes if p and _is_area(kind, p, nodes, below.get(p, []))]
    sessions = session_paths(kind, areas, nodes)
    by_session: dict[str, Nodes] = {s: {} for s in sessions}
    rest: Nodes = {}
    for node_path, node in nodes.items():
        session = next((p for p in _upwards(node_path) if p in by_session), None)
        (rest if session is None else by_session[session])[node_path] = node
    rest.setdefault("", {"attrs": nodes[""]["attrs"], "vars": {}, "coords": []})
    names: dict[str, list[str]] = {s: [] for s in sessions}
    for area in areas:
        session = next((p for p in _upwards(area.rpartition("/")[0]) if p in by_session), "")
        names.setdefault(session, []).append(area.removeprefix(f"{session}/"))
    rows = contents.of_groups({p or "/": _sizes(node) for p, node in nodes.items()}).rows()
    return Index(path, rest, names, rows, {}, by_session)


def _upwards(path: str) -> list[str]:
    """Return a path and the paths of all nodes above it, up to the root ""."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts), 0, -1)] + [""]


def _is_area(kind: str, path: str, nodes: Nodes, children: list[str]) -> bool:
    """Return whether a node is a brain area, which has spikes, units or responses."""
    if kind == schema.RECORDING:
        return any(
            p.endswith("/" + schema.SPIKES)
            or any(schema.UNIT in v["d"] for v in nodes[p]["vars"].values())
            for p in children
        )
    node = _sizes(nodes[path])
    return schema.role_of(kind, path, node.units, node.sizes, bool(children)) == "area"


def _sizes(node: dict[str, Any]) -> NodeRecord:
    """Return names, sizes and units of a node's variables."""
    sizes: dict[str, int] = {}
    for variable in node["vars"].values():
        sizes |= dict(zip(variable["d"], variable["s"], strict=True))
    coords = set(node["coords"])
    units = {
        name: str(variable["a"].get("units", ""))
        for name, variable in node["vars"].items()
        if name not in coords
    }
    return NodeRecord(sizes, units, node["attrs"])


# ------------------------------------------------------------------------ at the end of the file


def load(probe: Probe) -> Index:
    """Return the index of an archive: the one at its end, or one from a scan of the archive.

    Raises
    ------
    FormatError
        If the file is not an archive, or is damaged.
    """
    if probe.container == "zarr":
        return from_nodes(probe.path, scan_zarr(probe.location))
    probe.check("file")
    stored = _from_end(probe)
    if stored is None:
        seal.check_end(probe.as_given, probe.head, probe.size)
        stored = from_nodes(probe.path, scan_hdf5(probe.location))
    return stored


def _from_end(probe: Probe) -> Index | None:
    """Return the index at the end of an HDF5 file; None if there is no intact one."""
    footer = seal.footer_of(probe.tail(seal.FOOTER.size))
    if footer is None:
        return None
    offset, length, checksum = footer[:3]
    packed = probe.read_ranges([(offset, length)])[0] if offset + length <= probe.size else b""
    stored = _unpacked(packed, length, checksum)
    if stored is None:
        return None
    nodes, sessions, rows = stored["nodes"], stored["sessions"], stored["rows"]
    return Index(probe.path, nodes, sessions, rows, stored["places"], loaded={}, probe=probe)


def _unpacked(packed: bytes, length: int, checksum: int) -> Any:
    """Return the content of an entry; None if its checksum differs from the stored one."""
    if len(packed) != length or zlib.crc32(packed) != checksum:
        return None
    return json.loads(zlib.decompress(packed))


def append(path: str | os.PathLike[str], written: Written) -> None:
    """Write the index and the seal of a finished HDF5 file at its end.

    Parameters
    ----------
    path : path
        The file.
    written : Written
        What was written into it.
    """
    index = from_nodes(os.fspath(path), written.nodes)
    with locate(path).open() as raw, open(path, "ab") as file:
        size = file.tell()
        runs = structure.between(written.extents, size)

        def put(content: Any) -> list[int]:
            """Write bytes, or content as compressed JSON; return offset, length and checksum."""
            packed = content
            if not isinstance(content, bytes):
                packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 6)
            offset = file.tell()
            file.write(packed)
            return [offset, len(packed), zlib.crc32(packed)]

        def copy(number: int) -> structure.Copied:
            """Write the copy of the HDF5 metadata in one part of the file."""
            begin, end = bounds[number : number + 2]
            return structure.Copied(begin, *put(structure.packed(raw, runs, begin, end)))

        bounds = [0, *written.bounds, size]
        copies = [copy(number) for number in range(1, len(bounds) - 1)]
        entries = {name: put(nodes) for name, nodes in index.loaded.items()}
        copies.insert(0, copy(0))  # near the end of the file, which the first request brings
        table = {
            "nodes": index.nodes,
            "sessions": index.sessions,
            "rows": index.rows,
            "places": entries,
        }
        sealed = seal.Seal(size, runs, seal.checksum_of(raw, runs), copies)
        file.write(seal.FOOTER.pack(*put(table), *put(sealed.packed()), seal.MAGIC))
