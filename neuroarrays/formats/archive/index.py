"""What an archive holds: every node's variables and attributes, without visiting them.

An HDF5 archive ends with this index, after the last byte that HDF5 uses: one compressed JSON text
per session, a table of contents, and a footer. HDF5 does not see it, and drops it when any program
opens the file to write, so it is never out of date; then, and in a Zarr store (where it is the
consolidated metadata), it is made by looking.

A node is ``{"attrs": {...}, "vars": {name: variable}, "coords": [names], "views": [names]?}`` and a
variable ``{"d": dims, "s": shape, "t": dtype, "k": kind, "m": missing, "a": attrs, "p": path,
"v": values?, "c": checksum?}``.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays import safety, schema
from neuroarrays.backend import catalog_rows
from neuroarrays.encoding import HIDDEN, MACHINE
from neuroarrays.errors import FormatError
from neuroarrays.hdf5 import open_file
from neuroarrays.source import plain

if TYPE_CHECKING:
    import h5py

Nodes = dict[str, dict[str, Any]]

MAGIC = b"neuroarrays\x001"
#: Offset, length and checksum of the table of contents, then the mark.
_FOOTER = struct.Struct(f"<QQI{len(MAGIC)}s")
#: Coordinates and sizes up to this many bytes stand in the index itself.
_INLINE = 1 << 16
_NON_COORDINATE = "_nc4_non_coord_"


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
    held: dict[str, Nodes]

    def session(self, name: str) -> Nodes:
        """The nodes of one session."""
        if name in self.held:
            return self.held[name]
        with open(self.path, "rb") as file:
            nodes: Nodes | None = _unpack(file, *self.places[name])
        if nodes is None:
            raise FormatError(
                self.path, name, "the session's entry in the index", "damaged bytes",
                "opening the file once for writing with h5py drops the index",
            )  # fmt: skip
        return nodes


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
    found = dict(parents)
    for path in paths:
        first = path.partition("/")[0]
        if first and not any(p == first or p.startswith(first + "/") for p in parents):
            found[first] = None
    return list(found)


def from_nodes(path: str, nodes: Nodes) -> Index:
    """The index of an archive from all its nodes."""
    try:
        kind = schema.kind_of(nodes[""]["attrs"])
    except ValueError as error:
        raise FormatError(path, "/", "the attribute neuroarrays_schema", "none") from error
    below: dict[str, list[str]] = {}
    for place in nodes:
        below.setdefault(place.rpartition("/")[0], []).append(place)
    areas = [p for p in nodes if p and _is_area(kind, p, nodes, below.get(p, []))]
    sessions = session_paths(kind, areas, nodes)
    held: dict[str, Nodes] = {s: {} for s in sessions}
    rest: Nodes = {}
    for place, node in nodes.items():
        owner = next((p for p in _upwards(place) if p in held), None)
        (rest if owner is None else held[owner])[place] = node
    rest.setdefault("", {"attrs": nodes[""]["attrs"], "vars": {}, "coords": []})
    names: dict[str, list[str]] = {s: [] for s in sessions}
    for area in areas:
        parent, _, name = area.rpartition("/")
        names.setdefault(parent, []).append(name)
    rows = catalog_rows({p or "/": _summary(node) for p, node in nodes.items()})
    return Index(path, rest, names, rows, {}, held)


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
    node = _summary(nodes[path])
    return schema.role_of(kind, path, node.data_vars, node.dims, bool(children)) == "area"


def _summary(node: dict[str, Any]) -> Any:
    """A node as `catalog_rows` looks at it."""
    sizes: dict[str, int] = {}
    for variable in node["vars"].values():
        sizes |= dict(zip(variable["d"], variable["s"], strict=True))
    coords = set(node["coords"])
    names = [name for name in node["vars"] if name not in coords]
    return SimpleNamespace(attrs=node["attrs"], data_vars=names, sizes=sizes, dims=sizes)


# ------------------------------------------------------------------------ at the end of the file


def load(path: str) -> Index:
    """The index of an archive, from its end or by looking.

    Raises
    ------
    FormatError
        If it is no archive or damaged.
    """
    if os.path.isdir(path):
        return from_nodes(path, scan_zarr(path))
    return _from_end(path) or from_nodes(path, scan_hdf5(path))


def has_footer(path: str | os.PathLike[str]) -> bool:
    """Whether a file ends with an index."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(MAGIC)))
        return file.read() == MAGIC


def _from_end(path: str) -> Index | None:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _FOOTER.size))
        footer = file.read()
        if len(footer) != _FOOTER.size or not footer.endswith(MAGIC):
            return None
        offset, length, checksum, _ = _FOOTER.unpack(footer)
        contents = _unpack(file, offset, length, checksum)
    if contents is None:
        return None
    return Index(
        path, contents["nodes"], contents["sessions"], contents["rows"], contents["places"], {}
    )


def _unpack(file: Any, offset: int, length: int, checksum: int) -> Any:
    if offset + length > os.fstat(file.fileno()).st_size:
        return None
    file.seek(offset)
    packed = file.read(length)
    if zlib.crc32(packed) != checksum:
        return None
    return json.loads(zlib.decompress(packed))


def append(path: str | os.PathLike[str]) -> None:
    """Write the index of a finished HDF5 file at its end."""
    index = from_nodes(os.fspath(path), scan_hdf5(os.fspath(path), values=True))
    with open(path, "ab") as file:

        def put(content: Any) -> list[int]:
            packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 6)
            offset = file.tell()
            file.write(packed)
            return [offset, len(packed), zlib.crc32(packed)]

        places = {name: put(nodes) for name, nodes in index.held.items()}
        contents = {
            "nodes": index.nodes, "sessions": index.sessions, "rows": index.rows, "places": places,
        }  # fmt: skip
        file.write(_FOOTER.pack(*put(contents), MAGIC))


# -------------------------------------------------------------------------------------- looking


def scan_hdf5(path: str, values: bool = False) -> Nodes:
    """Every node of an HDF5 archive.

    Parameters
    ----------
    path : str
        The file.
    values : bool
        Also small coordinates and the checksums of what HDF5 itself does not check.
    """
    import hdf5plugin  # noqa: F401

    safety.regular_file(path)
    nodes: Nodes = {}
    place = "/"
    try:
        with open_file(path) as file:
            seen: dict[int, str] = {}
            todo: list[tuple[str, h5py.Group]] = [("", file)]
            while todo:
                place, group = todo.pop(0)
                nodes[place] = _scan_group(path, file, place, group, seen, values)
                below = (f"{place}/{name}".lstrip("/") for name in group)
                todo += [(p, group[p.rpartition("/")[2]]) for p in below if _is_group(group, p)]
    except FormatError:
        raise
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # h5py raises nearly anything on damaged files
        raise FormatError(
            path, place, "readable HDF5", f"{type(error).__name__}: {error}",
            "the file is truncated or damaged",
        ) from error  # fmt: skip
    return nodes


def _is_group(group: h5py.Group, path: str) -> bool:
    import h5py

    return bool(group.get(path.rpartition("/")[2], getclass=True) is h5py.Group)


def _scan_group(
    path: str, file: h5py.File, place: str, group: h5py.Group, seen: dict[int, str], values: bool
) -> dict[str, Any]:
    import h5py

    datasets: dict[str, h5py.Dataset] = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FormatError(path, f"{place}/{name}", "data inside this file", "a link")
        if group.get(name, getclass=True) is h5py.Dataset:
            datasets[name] = group[name]
            seen.setdefault(hash(datasets[name].id), f"{place}/{name}".lstrip("/"))
    variables: dict[str, Any] = {}
    for stored, dataset in datasets.items():
        attrs = _raw_attrs(dataset)
        if "netCDF dimension but not" not in str(attrs.get("NAME", "")):
            name = stored.removeprefix(_NON_COORDINATE)
            dims = [name] if "CLASS" in attrs else _dims(file, dataset, seen)
            text = h5py.check_string_dtype(dataset.dtype) is not None
            dtype = "|O" if text else dataset.dtype.str
            target = seen[hash(dataset.id)]
            variable = _variable(dims, dataset.shape, dtype, attrs, target)
            if values:
                _add_values(variable, dataset, name)
            variables[name] = variable
    return _node(_raw_attrs(group), variables)


def _raw_attrs(node: Any) -> dict[str, Any]:
    import h5py

    out = {}
    for name in node.attrs:
        if name in ("DIMENSION_LIST", "REFERENCE_LIST"):
            continue
        value = node.attrs[name]
        out[name] = "" if isinstance(value, h5py.Empty) else plain(value)
    return out


def _dims(file: h5py.File, dataset: h5py.Dataset, seen: Mapping[int, str]) -> list[str]:
    from h5py import h5r

    if not dataset.ndim:
        return []
    ids = [h5r.dereference(refs[0], file.id) for refs in dataset.attrs["DIMENSION_LIST"]]
    names = [seen[hash(found)].rpartition("/")[2] for found in ids]
    return [name.removeprefix(_NON_COORDINATE) for name in names]


def _add_values(variable: dict[str, Any], dataset: h5py.Dataset, name: str) -> None:
    inline = variable["d"] == [name] or name == "row_size"
    if variable["k"] == "text":
        values = dataset.asstr()[...] if dataset.size else np.empty(0, object)
        variable["c"] = text_checksum(values)
    elif dataset.chunks is None or (inline and dataset.nbytes <= _INLINE):
        raw = np.ascontiguousarray(dataset[...]).tobytes() if dataset.size else b""
        variable["c"] = zlib.crc32(raw)
        if inline:
            variable["v"] = base64.b64encode(raw).decode()


def text_checksum(values: np.ndarray) -> int:
    """A checksum of text, which HDF5 keeps without one."""
    return zlib.crc32("\0".join(np.asarray(values, object).ravel()).encode("utf-8", "replace"))


def scan_zarr(path: str) -> Nodes:
    """Every node of a Zarr archive, from its consolidated metadata if it has them."""
    root = _json(Path(path, "zarr.json"))
    found = (root.get("consolidated_metadata") or {}).get("metadata")
    if found is None:
        files = sorted(Path(path).rglob("zarr.json"))
        found = {str(f.parent.relative_to(path)): _json(f) for f in files if f.parent != Path(path)}
    place = ""
    try:
        groups = {"": (root, {})} | {
            place: (meta, {}) for place, meta in found.items() if meta["node_type"] == "group"
        }
        for place, meta in found.items():
            if meta["node_type"] == "array":
                group, _, name = place.rpartition("/")
                text = meta["data_type"] == "string"
                dtype = "|O" if text else np.dtype(meta["data_type"]).str
                dims = [str(dim) for dim in meta.get("dimension_names") or []]
                variable = _variable(dims, meta["shape"], dtype, meta["attributes"], place)
                groups[group][1][name] = variable
        ordered = sorted(groups, key=lambda p: p.count("/") + bool(p))
        return {p: _node(groups[p][0]["attributes"], groups[p][1]) for p in ordered}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            path, place, "Zarr v3 metadata", f"{type(error).__name__}: {error}"
        ) from error


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise FormatError(file, expected="JSON", found=str(error)) from error


def _variable(
    dims: list[str], shape: Iterable[int], dtype: str, attrs: Mapping[str, Any], path: str
) -> dict[str, Any]:
    """A variable of the index from what is stored."""
    note = json.loads(attrs.get(HIDDEN, "{}"))
    kind, own = "raw", dict(attrs)
    if dtype == "|O":
        kind = "text"
    elif own.get("dtype") == "bool":
        kind, dtype = "bool", "|b1"
        del own["dtype"]
    elif "dtype" in note:
        kind = "cast"
    missing = [own.pop("missing_value"), note["missing"]] if "missing" in note else None
    labels = str(own.get("coordinates", "")).split()
    own = {k: v for k, v in own.items() if k not in MACHINE} | note.get("attrs", {})
    return {
        "d": dims, "s": list(shape), "t": note.get("dtype", dtype), "k": kind, "m": missing,
        "a": own, "p": path, "l": labels,
    }  # fmt: skip


def _node(attrs: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    note = json.loads(attrs.get(HIDDEN, "{}"))
    labels = {name for name, variable in variables.items() if variable["d"] == [name]}
    labels |= {*str(attrs.get("coordinates", "")).split(), *note.get("coords", [])}
    for variable in variables.values():
        labels |= set(variable.pop("l"))
    own = {k: v for k, v in attrs.items() if k not in MACHINE} | note.get("attrs", {})
    node: dict[str, Any] = {
        "attrs": own, "vars": variables, "coords": [n for n in variables if n in labels],
    }  # fmt: skip
    if "views" in note:
        node["views"] = note["views"]
    return node
