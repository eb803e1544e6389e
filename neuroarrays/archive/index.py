"""What an archive holds: every node's variables and attributes, without visiting them.

An HDF5 archive ends with this index, after the last byte that HDF5 uses: copies of what HDF5 goes by
(`neuroarrays.archive.structure`), one compressed JSON text per session, a table of contents, a seal
(`neuroarrays.archive.seal`), and a footer. What writes the
file hands it over. HDF5 does not see it, and drops it when any program opens the file to write, so
it is never out of date; then, and in a Zarr store (where it is the consolidated metadata), it is
made by looking.

A node is ``{"attrs": {...}, "vars": {name: variable}, "coords": [names], "views": [names]?,
"indexes": {name: form}?}``, the last for indexes of another form than usual, and a variable
``{"d": dims, "s": shape, "t": dtype, "k": kind, "m": missing, "a": attrs, "p": path, "v": values?,
"c": checksum?, "i": [rows, variable]?, "cf": {...}?}``; "i" for one whose repeated rows are stored
once: how many are, and the variable that says which; "cf" for one that `xarray` wrote by itself: the
attributes to decode its values by.
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
    nodes : dict
        The root, blocks and whatever belongs to no session.
    sessions : dict
        Path of each session -> names of its areas.
    rows : list of dict
        The catalog.
    """

    path: str
    nodes: Nodes
    sessions: dict[str, list[str]]
    rows: list[dict[str, Any]]
    places: dict[str, list[int]]
    loaded: dict[str, Nodes]
    probe: Probe | None = None

    def fetch(self, names: Iterable[str]) -> dict[str, Nodes]:
        """The nodes of some sessions, read in one go.

        Raises
        ------
        FormatError
            If the entry of one is damaged.
        """
        names = list(names)
        missing = [name for name in names if name not in self.loaded]
        if missing:
            assert self.probe is not None
            packed = self.probe.read_ranges(
                [(entry[0], entry[1]) for entry in map(self.places.__getitem__, missing)]
            )
            for name, entry in zip(missing, packed, strict=True):
                nodes = _unpacked(entry, *self.places[name][1:])
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
    """The sessions of a tree: parents of areas, and first nodes that are not above one.

    Parameters
    ----------
    kind : str
        "recording" or "aligned".
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
    """The index of an archive from all its nodes."""
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
        owner = next((p for p in _upwards(node_path) if p in by_session), None)
        (rest if owner is None else by_session[owner])[node_path] = node
    rest.setdefault("", {"attrs": nodes[""]["attrs"], "vars": {}, "coords": []})
    names: dict[str, list[str]] = {s: [] for s in sessions}
    for area in areas:
        owner = next((p for p in _upwards(area.rpartition("/")[0]) if p in by_session), "")
        names.setdefault(owner, []).append(area.removeprefix(f"{owner}/"))
    rows = contents.of_groups({p or "/": _sizes(node) for p, node in nodes.items()}).rows()
    return Index(path, rest, names, rows, {}, by_session)


def _upwards(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts), 0, -1)] + [""]


def _is_area(kind: str, path: str, nodes: Nodes, children: list[str]) -> bool:
    if kind == schema.RECORDING:
        return any(
            p.endswith("/" + schema.SPIKES)
            or any(schema.UNIT in v["d"] for v in nodes[p]["vars"].values())
            for p in children
        )
    node = _sizes(nodes[path])
    return schema.role_of(kind, path, node.units, node.sizes, bool(children)) == "area"


def _sizes(node: dict[str, Any]) -> NodeRecord:
    """The names and sizes of a node."""
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
    """The index of an archive, from its end or by looking.

    Raises
    ------
    FormatError
        If it is no archive or damaged.
    """
    if probe.container == "zarr":
        return from_nodes(probe.path, scan_zarr(probe.location))
    probe.check("file")
    stored = _from_end(probe)
    if stored is None:
        seal.check_end(probe.given, probe.head, probe.size)
        stored = from_nodes(probe.path, scan_hdf5(probe.location))
    return stored


def _from_end(probe: Probe) -> Index | None:
    footer = seal.footer_of(probe.tail(seal.FOOTER.size))
    if footer is None:
        return None
    offset, length, checksum = footer[:3]
    packed = probe.read_ranges([(offset, length)])[0] if offset + length <= probe.size else b""
    stored = _unpacked(packed, length, checksum)
    if stored is None:
        return None
    parts = {name: stored[name] for name in ("nodes", "sessions", "rows", "places")}
    return Index(probe.path, **parts, loaded={}, probe=probe)


def _unpacked(packed: bytes, length: int, checksum: int) -> Any:
    """The content of an entry; None if its bytes are others than were put there."""
    if len(packed) != length or zlib.crc32(packed) != checksum:
        return None
    return json.loads(zlib.decompress(packed))


def append(path: str | os.PathLike[str], written: Written) -> None:
    """Write the index of a finished HDF5 file at its end, and its seal.

    Parameters
    ----------
    path : path
        The file.
    written : Written
        What is in it.
    """
    index = from_nodes(os.fspath(path), written.nodes)
    with locate(path).open() as raw, open(path, "ab") as file:
        size = file.tell()
        runs = structure.between(written.extents, size)

        def put(content: Any) -> list[int]:
            packed = content
            if not isinstance(content, bytes):
                packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 6)
            offset = file.tell()
            file.write(packed)
            return [offset, len(packed), zlib.crc32(packed)]

        def copy(number: int) -> structure.Copied:
            begin, end = bounds[number : number + 2]
            return structure.Copied(begin, *put(structure.packed(raw, runs, begin, end)))

        bounds = [0, *written.bounds, size]
        copies = [copy(number) for number in range(1, len(bounds) - 1)]
        places = {name: put(nodes) for name, nodes in index.loaded.items()}
        copies.insert(0, copy(0))  # near the end, which comes with the first request
        table = {
            "nodes": index.nodes,
            "sessions": index.sessions,
            "rows": index.rows,
            "places": places,
        }
        sealed = seal.Seal(size, runs, seal.checksum_of(raw, runs), copies)
        file.write(seal.FOOTER.pack(*put(table), *put(sealed.packed()), seal.MAGIC))
