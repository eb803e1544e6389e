"""The entries of nodes and variables in the index of an archive.

`neuroarrays.archive.index` describes their form. They are made by a scan of an archive
(`neuroarrays.archive.scan`), and by the code that writes one (`neuroarrays.archive.hdf5_writer`).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays import schema
from neuroarrays.archive.attributes import HIDDEN, MACHINE
from neuroarrays.errors import FormatError

#: Path -> entry of a node.
Nodes = dict[str, dict[str, Any]]

#: netCDF-4's prefix for a variable that is named like a dimension but is not its coordinate.
NON_COORDINATE = "_nc4_non_coord_"
#: The index contains the values of coordinates and row sizes up to this size, bytes.
_INLINE = 1 << 16


@dataclass(frozen=True)
class Written:
    """What was written into an HDF5 file.

    Attributes
    ----------
    nodes : dict
        The entries of all nodes.
    extents : list of (int, int)
        Offset and size of every chunk, bytes.
    bounds : list of int
        The size of the file before the first session and after each session but the last, bytes.
    """

    nodes: Nodes
    extents: list[tuple[int, int]]
    bounds: list[int]


def variable_entry(
    dims: Sequence[str], shape: Iterable[int], dtype: str, attrs: Mapping[str, Any], path: str
) -> dict[str, Any]:
    """Return the entry of a variable, from what is stored of it.

    Parameters
    ----------
    dims, shape : sequence
        Names of its dimensions, and their sizes.
    dtype : str
        The stored dtype as numpy writes it; "|O" for text.
    attrs : mapping
        All stored attributes, including those of the file format.
    path : str
        Path of the variable in the file.
    """
    note = json.loads(attrs.get(HIDDEN, "{}"))
    kind, plain_attrs = "raw", dict(attrs)
    if dtype == "|O":
        kind = "text"
    elif plain_attrs.get("dtype") == "bool":
        kind, dtype = "bool", "|b1"
        del plain_attrs["dtype"]
    elif "dtype" in note:
        kind = "cast"
    missing = [plain_attrs.pop("missing_value"), note["missing"]] if "missing" in note else None
    labels = str(plain_attrs.get("coordinates", "")).split()
    row_index = {"i": note["places"]} if "places" in note else {}
    plain_attrs = {k: v for k, v in plain_attrs.items() if k not in MACHINE} | note.get("attrs", {})
    return {
        "d": list(dims),
        "s": list(shape),
        "t": note.get("dtype", dtype),
        "k": kind,
        "m": missing,
        "a": plain_attrs,
        "p": path,
        "l": labels,
        **row_index,
    }


def add_values(
    variable: dict[str, Any],
    name: str,
    nbytes: int,
    values: np.ndarray | None,
    load: Callable[[], np.ndarray],
) -> None:
    """Add to the entry of a variable a checksum of its values, and the values of a small coordinate.

    HDF5 itself has checksums of chunks, but not of text or of arrays that are stored in one piece.

    Parameters
    ----------
    variable : dict
        The entry, which is changed.
    name : str
        The name of the variable.
    nbytes : int
        Size of its stored values, bytes.
    values : np.ndarray, optional
        The stored values, of any shape, text as str; None if they are stored in chunks.
    load : callable
        Reads the stored values. It is called only for a small coordinate that is stored in chunks.
    """
    is_inline = variable["d"] == [name] or name == schema.ROW_SIZE
    if values is None and is_inline and nbytes <= _INLINE:
        values = load()
    if values is None:
        return
    if variable["k"] == "text":
        variable["c"] = text_checksum(values)
        return
    raw = np.ascontiguousarray(values).tobytes()
    variable["c"] = zlib.crc32(raw)
    if is_inline:
        variable["v"] = base64.b64encode(raw).decode()


def text_checksum(values: np.ndarray) -> int:
    """Return the CRC-32 of an array of text."""
    return zlib.crc32("\0".join(np.asarray(values, object).ravel()).encode("utf-8", "replace"))


def link_row_indexes(nodes: Nodes, path: str) -> Nodes:
    """Connect variables whose repeated rows are stored once with their row indexes.

    The entries of these variables get the full shape, and the row indexes, which are not variables of
    the tree, leave their nodes.

    Raises
    ------
    FormatError
        If a row index is missing.
    """
    stored = {v["p"]: v for node in nodes.values() for v in node["vars"].values()}
    used = set()
    for node_path, node in nodes.items():
        for name, variable in node["vars"].items():
            if "i" in variable:
                index = stored.get(variable["i"])
                if index is None or len(index["s"]) != 1 or not variable["s"]:
                    raise FormatError(
                        path,
                        f"{node_path}/{name}",
                        "a list of the positions of its rows",
                        f"no such list at {variable['i']}",
                    )
                used.add(index["p"])
                variable["i"] = [variable["s"][0], index]
                variable["d"] = [*index["d"], *variable["d"][1:]]
                variable["s"] = [*index["s"], *variable["s"][1:]]
    for node in nodes.values():
        node["vars"] = {n: v for n, v in node["vars"].items() if v["p"] not in used}
    return nodes


def node_entry(attrs: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a node, from its stored attributes and the entries of its variables."""
    note = json.loads(attrs.get(HIDDEN, "{}"))
    labels = {name for name, variable in variables.items() if variable["d"] == [name]}
    labels |= {*str(attrs.get("coordinates", "")).split(), *note.get("coords", [])}
    for variable in variables.values():
        labels |= set(variable.pop("l"))
    plain_attrs = {k: v for k, v in attrs.items() if k not in MACHINE} | note.get("attrs", {})
    node: dict[str, Any] = {
        "attrs": plain_attrs,
        "vars": variables,
        "coords": [n for n in variables if n in labels],
    }
    return node | {key: note[key] for key in ("views", "indexes") if key in note}
