"""The form in which an index holds the nodes of an archive, made from what is stored of them.

`neuroarrays.archive.index` describes the form. What stands in a file is known from looking at it
(`neuroarrays.archive.scan`), or to what has just written it (`neuroarrays.archive.hdf5_writer`).
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

#: Path -> a node, in the form that `neuroarrays.archive.index` describes.
Nodes = dict[str, dict[str, Any]]

#: Before the name of a variable that is named as a dimension, and is not along it.
NON_COORDINATE = "_nc4_non_coord_"
#: Coordinates and sizes up to this many bytes stand in the index itself.
_INLINE = 1 << 16


@dataclass(frozen=True)
class Written:
    """What stands in a file, as what has written it knows.

    Attributes
    ----------
    nodes : dict
        All nodes, for the index.
    extents : list of (int, int)
        Where chunks lie: offset and number of bytes, both in bytes.
    bounds : list of int
        Where the file ended when the first of the sessions were to be written, and after each but the last,
        bytes.
    """

    nodes: Nodes
    extents: list[tuple[int, int]]
    bounds: list[int]


def variable_entry(
    dims: Sequence[str], shape: Iterable[int], dtype: str, attrs: Mapping[str, Any], path: str
) -> dict[str, Any]:
    """A variable of the index from what is stored.

    Parameters
    ----------
    dims, shape : sequence
        Names of its dimensions, and their sizes.
    dtype : str
        As numpy spells it; "|O" for text.
    attrs : mapping
        Plain values by name, those of the file format among them.
    path : str
        Place in the file.
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
    places = {"i": note["places"]} if "places" in note else {}
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
        **places,
    }


def add_values(
    variable: dict[str, Any],
    name: str,
    nbytes: int,
    values: np.ndarray | None,
    load: Callable[[], np.ndarray],
) -> None:
    """Add what the index holds of a variable's values: a checksum, and small coordinates.

    HDF5 has checksums of chunks, not of text nor of what is stored in one piece.

    Parameters
    ----------
    variable : dict
        Its entry, which is changed.
    name : str
        Its name.
    nbytes : int
        Bytes of its stored values.
    values : np.ndarray, optional
        The stored values, text as str; None where they are in chunks.
    load : callable
        Reads the stored values; called only where they are in chunks, and few.
    """
    inline = variable["d"] == [name] or name == schema.ROW_SIZE
    if values is None and inline and nbytes <= _INLINE:
        values = load()
    if values is None:
        return
    if variable["k"] == "text":
        variable["c"] = text_checksum(values)
        return
    raw = np.ascontiguousarray(values).tobytes()
    variable["c"] = zlib.crc32(raw)
    if inline:
        variable["v"] = base64.b64encode(raw).decode()


def text_checksum(values: np.ndarray) -> int:
    """A checksum of text, which HDF5 keeps without one."""
    return zlib.crc32("\0".join(np.asarray(values, object).ravel()).encode("utf-8", "replace"))


def with_places(nodes: Nodes, path: str) -> Nodes:
    """Nodes whose variables with rows stored once know which row is which."""
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
    """A node of the index from its stored attributes and its variables."""
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
