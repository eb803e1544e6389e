"""Scanning an archive: the entries of its nodes, from a visit to every group."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.archive.attributes import CODED
from neuroarrays.archive.nodes import (
    NON_COORDINATE,
    Nodes,
    link_row_indexes,
    node_entry,
    variable_entry,
)
from neuroarrays.errors import FormatError
from neuroarrays.files import safety
from neuroarrays.files.hdf5 import open_file
from neuroarrays.files.headers import SAVED_BY
from neuroarrays.files.location import Folder, Location
from neuroarrays.files.source import plain

if TYPE_CHECKING:
    import h5py

_ZARR = "zarr.json"


def scan_hdf5(location: Location) -> Nodes:
    """Return the entries of all nodes of an HDF5 archive, without values."""
    import hdf5plugin  # noqa: F401

    path, nodes = location.path, Nodes()
    with safety.readable(path, "/", "readable HDF5"), open_file(location) as file:
        is_ours = SAVED_BY in file.attrs
        seen: dict[int, str] = {}
        todo: list[tuple[str, h5py.Group]] = [("", file)]
        while todo:
            node_path, group = todo.pop(0)
            with safety.readable(path, node_path, "readable HDF5"):
                nodes[node_path] = _scan_group(path, file, node_path, group, seen)
                if not is_ours:
                    _plain_netcdf(nodes[node_path])
                names = [name for name in group if _is_group(group, name)]
                todo += [(f"{node_path}/{name}".lstrip("/"), group[name]) for name in names]
    return link_row_indexes(nodes, path)


def _is_group(group: h5py.Group, name: str) -> bool:
    import h5py

    return bool(group.get(name, getclass=True) is h5py.Group)


def _scan_group(
    path: str,
    file: h5py.File,
    node_path: str,
    group: h5py.Group,
    seen: dict[int, str],
) -> dict[str, Any]:
    """Return the entry of a node; `seen` collects object -> path of all datasets."""
    import h5py

    datasets: dict[str, h5py.Dataset] = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FormatError(path, f"{node_path}/{name}", "data inside this file", "a link")
        if group.get(name, getclass=True) is h5py.Dataset:
            datasets[name] = group[name]
            seen.setdefault(hash(datasets[name].id), f"{node_path}/{name}".lstrip("/"))
    variables: dict[str, Any] = {}
    for stored, dataset in datasets.items():
        attrs = _raw_attrs(dataset)
        if "netCDF dimension but not" not in str(attrs.get("NAME", "")):
            name = stored.removeprefix(NON_COORDINATE)
            dims = [name] if "CLASS" in attrs else _dims(file, dataset, seen)
            is_text = h5py.check_string_dtype(dataset.dtype) is not None
            dtype = "|O" if is_text else dataset.dtype.str
            target = seen[hash(dataset.id)]
            variables[name] = variable_entry(dims, dataset.shape, dtype, attrs, target)
    return node_entry(_raw_attrs(group), variables)


def _raw_attrs(node: Any) -> dict[str, Any]:
    """Return the attributes of a group or dataset, without references to dimension scales."""
    import h5py

    out = {}
    for name in node.attrs:
        if name in ("DIMENSION_LIST", "REFERENCE_LIST"):
            continue
        value = node.attrs[name]
        out[name] = "" if isinstance(value, h5py.Empty) else plain(value)
    return out


def _dims(file: h5py.File, dataset: h5py.Dataset, seen: Mapping[int, str]) -> list[str]:
    """Return the dimensions of a dataset: the names of its dimension scales."""
    from h5py import h5r

    if not dataset.ndim:
        return []
    ids = [h5r.dereference(refs[0], file.id) for refs in dataset.attrs["DIMENSION_LIST"]]
    names = [seen[hash(scale)].rpartition("/")[2] for scale in ids]
    return [name.removeprefix(NON_COORDINATE) for name in names]


def scan_zarr(location: Location) -> Nodes:
    """Return the entries of all nodes of a Zarr archive, from consolidated metadata if there are any."""
    path, folder = location.path, location.folder(location.folder_stamp())
    root = _json(folder, _ZARR)
    node_path = ""
    try:
        metadata = (root.get("consolidated_metadata") or {}).get("metadata")
        if metadata is None:
            files = [name for name in folder.files if name.endswith(f"/{_ZARR}")]
            metadata = {name.removesuffix(f"/{_ZARR}"): _json(folder, name) for name in files}
        groups: dict[str, tuple[Any, dict[str, Any]]] = {"": (root, {})}
        # A group comes before what is in it; zarr before 3.1.2 does not sort them.
        for node_path, meta in sorted(metadata.items()):
            if meta["node_type"] == "group":
                groups[node_path] = meta, {}
            elif meta["node_type"] == "array":
                group, _, name = node_path.rpartition("/")
                is_text = meta["data_type"] == "string"
                dtype = "|O" if is_text else np.dtype(meta["data_type"]).str
                dims = [str(dim) for dim in meta.get("dimension_names") or []]
                variable = variable_entry(dims, meta["shape"], dtype, meta["attributes"], node_path)
                groups[group][1][name] = variable
        node_path = ""
        ordered = sorted(groups, key=lambda p: p.count("/"))  # the root is first
        nodes = {p: node_entry(groups[p][0]["attributes"], groups[p][1]) for p in ordered}
        if SAVED_BY not in root["attributes"]:
            for node in nodes.values():
                _plain_netcdf(node)
        return link_row_indexes(nodes, path)
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            path, node_path, "Zarr v3 metadata", f"{type(error).__name__}: {error}"
        ) from error


def _json(folder: Folder, name: str) -> Any:
    """Return the metadata in a file of a Zarr store."""
    content = folder.document(name)
    if content is None:
        if name == _ZARR and folder.has(".zgroup"):
            hint = "write it again with zarr_format=3, or with na.save"
            raise FormatError(folder.path, "", "a store of Zarr format 3", "format 2", hint)
        raise FormatError(f"{folder.path}/{name}", expected="metadata of Zarr", found="no file")
    return content


def _plain_netcdf(node: dict[str, Any]) -> None:
    """Adapt the entry of a node that xarray's `to_netcdf` or `to_zarr` wrote.

    The attributes by which xarray decodes values move from a variable's attributes to "cf", and lists
    of one number, which is how netCDF stores numbers, become numbers. All coordinates are in the file,
    so none are added on opening.
    """
    node["views"] = []
    node["attrs"] = {name: _scalar(value) for name, value in node["attrs"].items()}
    for variable in node["vars"].values():
        attrs = {name: _scalar(value) for name, value in variable["a"].items()}
        coded = {name: attrs.pop(name) for name in CODED if name in attrs}
        is_float = np.dtype(variable["t"]).kind == "f"
        fill = coded.get("_FillValue")
        if is_float and isinstance(fill, str):  # xarray writes it to Zarr as base64
            fill = coded["_FillValue"] = struct.unpack("<d", base64.b64decode(fill))[0]
        if is_float and isinstance(fill, float) and np.isnan(fill):
            del coded["_FillValue"]  # such values need no decoding
        if coded:
            variable["cf"] = coded
        variable["a"] = attrs


def _scalar(value: Any) -> Any:
    """Return the number in a list of one number, and any other value unchanged."""
    is_single = isinstance(value, list) and len(value) == 1 and not isinstance(value[0], str)
    return value[0] if is_single else value
